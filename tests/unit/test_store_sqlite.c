/*
 * What only a store on disk can get wrong: restarts, files that are not ours, two openers, faults
 * in the middle of a group, a full disk.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "base/mem.h"
#include "base/audit_chain.h"
#include "store/sqlite.h"
#include "tests/unit/store_help.h"

/* ---- restarts ---- */

static void
a_restart_keeps_everything(void **state)
{
	struct fixture *f = *state;
	uint64_t id = add_passing(f, "staging", 2);
	char before[ID_TEXT_BYTES], after[ID_TEXT_BYTES];
	struct batch_numbers b;

	add_held(f, &test_stream, 3);
	press(f, true, 1, "production", TEST_NOW + 1);
	assert_int_equal(claim(f, "staging", TEST_NOW), 2);
	id_format(id, before);
	fixture_reopen(f);
	id_format(id, after);
	assert_string_equal(before, after); /* the store's name */
	/* what was taken is due again */
	assert_int_equal(claim(f, "staging", clock_wall()), 2);
	/* the panic button holds on */
	add_passing(f, "production", 4);
	assert_true(get_batch(f, 2, &b));
	assert_int_equal(b.held, 4);
	/* the batch collects on */
	add_held(f, &test_stream, 1);
	assert_true(get_batch(f, 1, &b));
	assert_int_equal(b.recipients, 4);
	check_counts(f);
}

static void
who_must_be_told_survives(void **state)
{
	struct fixture *f = *state;
	uint64_t id = add_passing(f, "staging", 2);
	struct store_job job = {.op = STORE_NOTICES, .u.notices.limit = 5};

	claim(f, "staging", TEST_NOW);
	report(f, id, 2, STORE_FAILED, 0);
	fixture_reopen(f);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.notices.notice_count, 1);
	assert_int_equal(job.u.notices.notices[0].id, id);
	assert_int_equal(job.u.notices.notices[0].count, 1);
	assert_int_equal(job.u.notices.notices[0].deliveries[0].number, 2);
	assert_string_equal(job.u.notices.notices[0].deliveries[0].reply, "450 later");
	store_notices_free(job.u.notices.notices, job.u.notices.notice_count);
}

static void
half_received_bodies_go(void **state)
{
	struct fixture *f = *state;
	struct store_job begin = {.op = STORE_BEGIN}, chunk = {.op = STORE_CHUNK};
	uint64_t id = id_next();

	begin.u.body.id = chunk.u.body.id = id;
	assert_int_equal(run_job(f, &begin), STORE_OK);
	fixture_reopen(f);
	chunks_init(&chunk.u.body.chunks);
	chunks_add(&chunk.u.body.chunks, "x", 1);
	assert_int_equal(run_job(f, &chunk), STORE_MISSING);
	assert_true(id_next() > id); /* its id is not given again */
	chunks_clear(&chunk.u.body.chunks);
}

static void
ids_are_never_reused(void **state)
{
	struct fixture *f = *state;
	struct message *m = make_message("staging", "d", 1, VERDICT_DROP, "recipients", NULL);
	struct store_job purge = {.op = STORE_PURGE};
	/* a clock that was an hour ahead */
	uint64_t id = m->id = (uint64_t)((clock_wall() + CLOCK_HOUR) / 1000) << 16;

	add_message(f, m);
	purge.u.purge.dropped_before = TEST_NOW + 1;
	purge.u.purge.limit = 10;
	assert_int_equal(run_job(f, &purge), STORE_OK);
	assert_int_equal(purge.u.purge.purged, 1);
	fixture_reopen(f);
	assert_true(id_next() > id);
}

static void
taken_alerts_are_pending_again(void **state)
{
	struct fixture *f = *state;
	static char all[] = "*";
	char *globs[] = {all, NULL};
	struct store_channel channel = {"ops", globs};
	struct store_job job = {.op = STORE_ALERTS};
	int i;

	add_held(f, &test_stream, 1);
	job.u.alerts.channels = &channel;
	job.u.alerts.channel_count = 1;
	job.u.alerts.now = clock_wall();
	assert_int_equal(run_job(f, &job), STORE_OK);
	for (i = 0; i < 3; i++) {
		job.u.alerts.step = STORE_ALERT_TAKE;
		job.u.alerts.limit = 5;
		job.u.alerts.now = clock_wall();
		assert_int_equal(run_job(f, &job), STORE_OK);
		assert_int_equal(job.u.alerts.alert_count, i == 1 ? 0 : 1);
		store_alerts_free(job.u.alerts.alerts, job.u.alerts.alert_count);
		if (i == 1)
			fixture_reopen(f);
	}
}

struct chain {
	unsigned char last[AUDIT_CHAIN_BYTES];
	int rows;
};

static bool
check_link(void *context, const struct store_audit *a)
{
	struct chain *c = context;
	const struct audit_link link = {.id = a->id,
					.at = a->at,
					.who = a->who,
					.action = a->action,
					.object = a->object,
					.reason = a->reason,
					.detail = a->detail};
	char hex[AUDIT_CHAIN_HEX_BYTES];

	audit_chain_next(c->last, &link, c->last);
	audit_chain_format(c->last, hex);
	assert_string_equal(a->hash, hex);
	assert_false(a->malformed);
	c->rows++;
	return true;
}

static void
audit_rows_are_chained(void **state)
{
	struct fixture *f = *state;
	struct chain c = {.rows = 0};

	add_held(f, &test_stream, 2);
	decide(f, STORE_DISCARD, 1);
	fixture_reopen(f);
	decide(f, STORE_RESTORE, 1);
	assert_int_equal(store_view_audit(f->v, 0, 0, 0, NULL, check_link, &c), STORE_OK);
	assert_int_equal(c.rows, 3);
}

static bool
count_row(void *context, const struct store_audit *a)
{
	(void)a;
	++*(uint64_t *)context;
	return true;
}

static void
audit_pages(void **state)
{
	static const struct {
		int64_t after;
		uint32_t last, limit;
		uint64_t wanted;
	} rows[] = {{0, 0, 0, 9}, {4, 0, 0, 5}, {0, 3, 0, 3}, {0, 0, 4, 4},
		    {7, 3, 0, 2}, {9, 0, 0, 0}, {0, 99, 0, 9}};
	struct fixture *f = *state;
	struct store_job fact = {.op = STORE_FACT};
	size_t i;

	fact.u.fact.event = "config.reloaded";
	for (i = 0; i < 9; i++)
		assert_int_equal(run_job(f, &fact), STORE_OK);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t n = 0;

		assert_int_equal(store_view_audit(f->v, rows[i].after, rows[i].last, rows[i].limit,
						  NULL, count_row, &n),
				 STORE_OK);
		assert_int_equal(n, rows[i].wanted);
	}
}

/* ---- files ---- */

static void
expect_refused(const char *path, const char *wanted)
{
	struct store_options options = {.path = path};
	struct buf error = {0};
	struct store *s = store_open(&options, &error);

	if (s != NULL)
		fail_msg("%s was opened", path);
	if (strstr(buf_text(&error), wanted) == NULL)
		fail_msg("wanted \"%s\" in \"%s\"", wanted, buf_text(&error));
	buf_free(&error);
}

static void
close_store(struct fixture *f)
{
	store_view_close(f->v);
	store_close(f->s);
	f->v = NULL;
	f->s = NULL;
}

static void
write_at(const char *path, off_t at, const char *bytes, size_t len)
{
	int file = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(file >= 0);
	assert_int_equal(pwrite(file, bytes, len, at), (ssize_t)len);
	close(file);
}

static void
run_sql(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void
two_openers(void **state)
{
	struct fixture *f = *state;

	expect_refused(f->path, "another mailfused uses the store");
	add_passing(f, "staging", 1); /* and the first one goes on */
}

static void
foreign_files_are_refused(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	close_store(f);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	run_sql(f->path, "PRAGMA user_version = 4711");
	expect_refused(f->path, "was written by a newer mailfuse");
	run_sql(f->path, "PRAGMA user_version = 5; PRAGMA application_id = 7");
	expect_refused(f->path, "another program's database");
	expect_refused("/nonexistent/dir/store.db", "cannot create /nonexistent/dir/store.db.lock");
	run_sql(f->path, "PRAGMA application_id = 1296455027; DROP TABLE outbox");
	expect_refused(f->path, "is damaged");
	assert_int_equal(truncate(f->path, 0), 0);
	write_at(f->path, 0,
		 "this is a letter to my aunt, and no database at all, as everybody can see "
		 "who reads it to its end, which is here, behind the hundredth byte",
		 140);
	expect_refused(f->path, "is no mailfuse store, or is damaged");
}

static void
damaged_files_are_refused(void **state)
{
	struct fixture *f = *state;
	char junk[8192];
	struct stat st;
	int i;

	for (i = 0; i < 20; i++)
		add_held(f, &test_stream, 50);
	close_store(f);
	assert_int_equal(stat(f->path, &st), 0);
	memset(junk, 'x', sizeof(junk));
	/* The third page: the second says only where each is used. */
	write_at(f->path, 2 * 8192, junk, sizeof(junk));
	expect_refused(f->path, "a copy that `mailfuse backup` made");
	assert_int_equal(truncate(f->path, st.st_size / 2 / 8192 * 8192), 0);
	expect_refused(f->path, "a copy that `mailfuse backup` made");
}

/* ---- faults ---- */

static struct backend faulty;
static struct {
	uint64_t bad_id; /* adding this message fails */
	enum store_result add, commit, begin;
	int commits_to_fail;
	bool bad_sync;  /* the next commit's */
	size_t commits; /* asked for */
	int shrinks;
} faults;

static enum store_result
faulty_message_add(struct db *db, const struct message *m, int64_t environment, bool begun,
		   bool pack)
{
	if (m->id == faults.bad_id)
		return faults.add;
	return backend_sqlite.message_add(db, m, environment, begun, pack);
}

static enum store_result
faulty_commit(struct db *db)
{
	faults.commits++;
	if (faults.bad_sync) {
		db->lost = true;
		return STORE_BROKEN;
	}
	if (faults.commits_to_fail > 0) {
		faults.commits_to_fail--;
		return faults.commit;
	}
	return backend_sqlite.commit(db);
}

static void
faulty_shrink(struct db *db)
{
	faults.shrinks++;
	backend_sqlite.shrink(db);
}

static enum store_result
faulty_begin(struct db *db, bool write)
{
	if (write && faults.begin != STORE_OK)
		return faults.begin;
	return backend_sqlite.begin(db, write);
}

static int
setup_faulty(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	memset(&faults, 0, sizeof(faults));
	faulty = backend_sqlite;
	faulty.message_add = faulty_message_add;
	faulty.commit = faulty_commit;
	faulty.begin = faulty_begin;
	faulty.shrink = faulty_shrink;
	fixture_open(f, &faulty);
	*state = f;
	return 0;
}

static void
wait_for_room(struct fixture *f)
{
	int i;

	for (i = 0; i < 500 && !store_has_room(f->s, NULL); i++)
		usleep(10000);
	assert_true(store_has_room(f->s, NULL));
}

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
	usleep(2500000); /* it looks once a second, and not where it had much to do */
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

	faulty = backend_sqlite;
	faulty.open = small_open;
	fixture_open(f, &faulty);
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
	    ON_DISK(a_restart_keeps_everything),
	    ON_DISK(who_must_be_told_survives),
	    ON_DISK(half_received_bodies_go),
	    ON_DISK(ids_are_never_reused),
	    ON_DISK(taken_alerts_are_pending_again),
	    ON_DISK(audit_rows_are_chained),
	    ON_DISK(audit_pages),
	    ON_DISK(two_openers),
	    ON_DISK(foreign_files_are_refused),
	    ON_DISK(damaged_files_are_refused),
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
