/*
 * What only a store on disk can get wrong: restarts, files that are not ours, two openers.
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
	purge.u.purge.dropped_before = clock_wall() + 2 * CLOCK_HOUR;
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
	run_sql(f->path, "PRAGMA user_version = 6; PRAGMA application_id = 7");
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
