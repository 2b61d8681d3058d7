/*
 * What a store on disk does when a write, a commit or a sync fails, when another process locks it,
 * and when it is full: nothing that was accepted is lost, and the answer says what to do.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/sqlite.h"
#include "tests/unit/store_faults.h"

enum { GROUP = 40 };

/* One bad job among forty; `held` so that batches and counts are rolled back too. */
static void
a_bad_job_fails_alone(void **state)
{
	static const enum store_result wanted[] = {STORE_BROKEN, STORE_FULL};
	struct fixture *f = *state;
	struct store_job *jobs = mem_zalloc(GROUP * sizeof(*jobs));
	size_t i, k;

	for (k = 0; k < 2; k++) {
		for (i = 0; i < GROUP; i++) {
			jobs[i] = (struct store_job){.op = STORE_ADD};
			jobs[i].u.add.message =
			    make_message("staging", "x", 3, i % 2 ? VERDICT_HOLD : VERDICT_PASS,
					 "burst volume", &test_stream);
		}
		faults.bad_id = jobs[GROUP / 2].u.add.message->id;
		faults.add = wanted[k];
		run_jobs(f, jobs, GROUP);
		for (i = 0; i < GROUP; i++) {
			assert_int_equal(jobs[i].result, i == GROUP / 2 ? wanted[k] : STORE_OK);
			assert_int_equal(jobs[i].error[0] != '\0', i == GROUP / 2);
			message_free(jobs[i].u.add.message);
		}
		wait_for_room(f);
		assert_int_equal(count_deliveries(f, 0, -1), (k + 1) * (GROUP - 1) * 3);
		check_counts(f);
	}
	assert_int_equal(count_audit(f, "batch.opened"), 1);
	free(jobs);
}

static void
a_failed_commit_loses_nothing(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_CLAIM}, add = {.op = STORE_ADD};
	const char *name = "staging", *why;

	add_passing(f, "staging", 3);
	faults.commit = STORE_BROKEN;
	faults.commits_to_fail = 2;
	job.u.claim.environments = &name;
	job.u.claim.environment_count = 1;
	job.u.claim.now = TEST_NOW;
	job.u.claim.limit = 10;
	assert_int_equal(run_job(f, &job), STORE_BROKEN);
	assert_int_equal(job.u.claim.due_count, 0);
	add.u.add.message = make_message("staging", "x", 1, VERDICT_PASS, NULL, NULL);
	assert_int_equal(run_job(f, &add), STORE_BROKEN);
	message_free(add.u.add.message);
	assert_false(store_has_room(f->s, &why));
	assert_non_null(strstr(why, "cannot be written"));
	wait_for_room(f);
	assert_int_equal(claim(f, "staging", TEST_NOW), 3);
	check_counts(f);
}

/* The sync after it would work, and prove nothing: no job is tried alone, none later, and the probe
 * that ends other trouble keeps still. */
static void
after_a_failed_sync_nothing_is_written(void **state)
{
	struct fixture *f = *state;
	struct store_job *jobs = mem_zalloc(GROUP * sizeof(*jobs));
	const char *why;
	size_t i, k;

	add_passing(f, "staging", 3);
	for (k = 0; k < 2; k++) {
		faults.bad_sync = k == 0;
		faults.commits = 0;
		for (i = 0; i < GROUP; i++) {
			jobs[i] = (struct store_job){.op = STORE_ADD};
			jobs[i].u.add.message =
			    make_message("staging", "x", 1, VERDICT_PASS, NULL, NULL);
		}
		run_jobs(f, jobs, GROUP);
		assert_int_equal(faults.commits, k == 0 ? 1 : 0);
		for (i = 0; i < GROUP; i++) {
			assert_int_equal(jobs[i].result, STORE_BROKEN);
			assert_non_null(strstr(jobs[i].error, "restart"));
			message_free(jobs[i].u.add.message);
		}
		assert_true(store_is_lost(f->s) && store_is_broken(f->s));
		assert_false(store_has_room(f->s, &why));
		assert_non_null(strstr(why, "restart"));
	}
	faults.shrinks = 0;
	/* That it does not look can be seen only by waiting: it looks once a second, and not where
	 * it had much to do, so two of its looks have to pass; nothing tells of a look. */
	usleep(2500000);
	assert_int_equal(faults.commits, 0);
	assert_int_equal(faults.shrinks, 0); /* a checkpoint is a sync too */
	assert_int_equal(count_deliveries(f, 0, -1), 3);
	fixture_reopen(f);
	assert_true(store_has_room(f->s, NULL) && !store_is_lost(f->s));
	assert_int_equal(claim(f, "staging", TEST_NOW), 3);
	check_counts(f);
	free(jobs);
}

static bool
count_one(void *context, const struct store_delivery *d)
{
	(void)d;
	++*(uint64_t *)context;
	return true;
}

static bool
see_notice(void *context, const struct store_delivery *d)
{
	*(enum store_notice_state *)context = d->notice;
	return false;
}

/* Neither is the report stored and its sender not told of, nor the other way round. */
static void
a_report_and_what_it_tells_are_one(void **state)
{
	struct fixture *f = *state;
	struct store_job add = {.op = STORE_ADD};
	struct store_filter about = {.message = add_passing(f, "staging", 1), .state = -1};
	struct store_filter reported = {.state = -1};
	enum store_notice_state notice;
	int round;

	claim(f, "staging", TEST_NOW);
	report(f, about.message, 1, STORE_FAILED, 0);
	add.u.add.message = make_message("staging", "report", 1, VERDICT_PASS, NULL, NULL);
	reported.message = add.u.add.message->id;
	add.u.add.told_id = about.message;
	add.u.add.told = &(uint32_t){1};
	add.u.add.told_count = 1;
	faults.commit = STORE_BROKEN;
	faults.commits_to_fail = 1;
	for (round = 0; round < 2; round++) {
		uint64_t n = 0;

		assert_int_equal(run_job(f, &add), round == 0 ? STORE_BROKEN : STORE_OK);
		assert_int_equal(store_view_deliveries(f->v, &about, see_notice, &notice),
				 STORE_OK);
		assert_int_equal(notice, round == 0 ? STORE_NOTICE_PENDING : STORE_NOTICE_TOLD);
		assert_int_equal(store_view_deliveries(f->v, &reported, count_one, &n), STORE_OK);
		assert_int_equal(n, round);
	}
	message_free(add.u.add.message);
}

static void
a_locked_store_is_busy(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_ADD};

	faults.begin = STORE_BUSY;
	job.u.add.message = make_message("staging", "x", 1, VERDICT_PASS, NULL, NULL);
	assert_int_equal(run_job(f, &job), STORE_BUSY);
	assert_non_null(strstr(job.error, "locked"));
	faults.begin = STORE_OK;
	assert_int_equal(run_job(f, &job), STORE_OK);
	message_free(job.u.add.message);
}

static void
over_the_limit_new_mail_is_refused(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_ADD}, begin = {.op = STORE_BEGIN};
	const char *why = "";
	uint64_t id;
	int i;

	id = add_passing(f, "staging", 1);
	add_held(f, &test_stream, 2);
	claim(f, "staging", TEST_NOW);
	store_set_limits(f->s, 1000, 0);
	for (i = 0; i < 500 && store_has_room(f->s, &why); i++)
		usleep(10000);
	assert_non_null(strstr(why, "quarantine_limit"));
	job.u.add.message = make_message("staging", "x", 1, VERDICT_PASS, NULL, NULL);
	begin.u.body.id = job.u.add.message->id;
	assert_int_equal(run_job(f, &job), STORE_FULL);
	assert_int_equal(run_job(f, &begin), STORE_FULL);
	message_free(job.u.add.message);
	/* what makes room goes through */
	assert_int_equal(report(f, id, 1, STORE_SENT, 0), STORE_OK);
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	assert_int_equal(count_deliveries(f, 0, STORE_SENT), 1);
	store_set_limits(f->s, 0, UINT64_MAX);
	for (i = 0; i < 500 && strstr(why, "min_free_space") == NULL; i++) {
		usleep(10000);
		store_has_room(f->s, &why);
	}
	assert_non_null(strstr(why, "min_free_space"));
	store_set_limits(f->s, 0, 0);
	wait_for_room(f);
	add_passing(f, "staging", 1);
}

/* All within the second between two looks at the disk, and most of it in one transaction. */
static void
a_fast_blast_stops_at_the_limit(void **state)
{
	enum { LIMIT = 2 << 20, BODY = 64 << 10, JOBS = 160 };
	struct fixture *f = *state;
	struct store_job *jobs = mem_zalloc(JOBS * sizeof(*jobs));
	char *body = mem_zalloc(BODY);
	uint32_t random = 6;
	size_t i, k, stored = 0;

	store_set_limits(f->s, LIMIT, 0);
	for (i = 0; i < JOBS; i++) {
		struct message *m =
		    make_message("staging", "x", 1, VERDICT_HOLD, "burst volume", &test_stream);

		/* What no packing makes smaller. */
		for (k = 0; k < BODY; k++) {
			random = random * 1664525U + 1013904223U;
			body[k] = (char)(random >> 24);
		}
		m->body_bytes += BODY;
		chunks_add(&m->body, body, BODY);
		jobs[i] = (struct store_job){.op = STORE_ADD, .bytes = BODY, .u.add.message = m};
	}
	run_jobs(f, jobs, JOBS);
	for (i = 0; i < JOBS; i++) {
		assert_true(jobs[i].result == STORE_OK || jobs[i].result == STORE_FULL);
		stored += jobs[i].result == STORE_OK;
		message_free(jobs[i].u.add.message);
	}
	free(jobs);
	free(body);
	assert_in_range(stored * BODY, LIMIT / 2, LIMIT + (2 << 20));
	assert_false(store_has_room(f->s, NULL));
	check_counts(f);
}

static struct backend small;

static struct db *
small_open(const char *path, struct buf *error)
{
	struct db *db = backend_sqlite.open(path, error);

	sqlite3_exec(((struct sqlite_db *)db)->sql, "PRAGMA max_page_count = 60", NULL, NULL, NULL);
	return db;
}

static int
setup_small(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	small = backend_sqlite;
	small.open = small_open;
	fixture_open(f, &small);
	*state = f;
	return 0;
}

/* SQLite's own "database or disk is full". */
static void
a_full_database_is_full(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_ADD};
	struct store_job load = {.op = STORE_LOAD};
	char *data = mem_zalloc(CHUNK_BYTES);
	int added = 0;

	do {
		job.u.add.message = make_message("staging", "x", 1, VERDICT_PASS, NULL, NULL);
		load.u.load.id = added == 0 ? job.u.add.message->id : load.u.load.id;
		chunks_add(&job.u.add.message->body, data, 30000);
		job.u.add.message->body_bytes += 30000;
		run_job(f, &job);
		message_free(job.u.add.message);
		added += job.result == STORE_OK;
	} while (job.result == STORE_OK && added < 1000);
	assert_int_equal(job.result, STORE_FULL);
	assert_true(added > 0 && added < 100);
	assert_int_equal(count_deliveries(f, 0, -1), added);
	assert_int_equal(run_job(f, &load), STORE_OK); /* what was accepted is there */
	message_free(load.u.load.message);
	f->b = &backend_sqlite;
	fixture_reopen(f);
	add_passing(f, "staging", 1);
	check_counts(f);
	free(data);
}

#define ON_DISK(test)                                                                              \
	{                                                                                          \
#test, test, setup, teardown, (void *)&backend_sqlite                              \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_bad_job_fails_alone, setup_faulty, teardown),
	    cmocka_unit_test_setup_teardown(a_failed_commit_loses_nothing, setup_faulty, teardown),
	    cmocka_unit_test_setup_teardown(after_a_failed_sync_nothing_is_written, setup_faulty,
					    teardown),
	    cmocka_unit_test_setup_teardown(a_report_and_what_it_tells_are_one, setup_faulty,
					    teardown),
	    cmocka_unit_test_setup_teardown(a_locked_store_is_busy, setup_faulty, teardown),
	    ON_DISK(over_the_limit_new_mail_is_refused),
	    ON_DISK(a_fast_blast_stops_at_the_limit),
	    cmocka_unit_test_setup_teardown(a_full_database_is_full, setup_small, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
