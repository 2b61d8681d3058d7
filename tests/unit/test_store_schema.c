/*
 * The database over time: one that an older mailfuse wrote is brought to this schema with all that
 * is in it, or is left as it was. And what the layout is for: no body is read for a header.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "store/sqlite.h"
#include "store/writer.h"
#include "tests/unit/store_help.h"

/* What a mailfuse of schema 1 left behind: each step of a delivery, a rewritten one, an alert that
 * is due, a body in chunks. Ids carry their time: 1795262400 s and a little. */
static const char rows_of_1[] =
    "INSERT INTO meta VALUES('store_name', 4711), ('last_id', 117654325000000003);"
    "INSERT INTO environment VALUES(1, 'staging');"
    "INSERT INTO tally VALUES(1, 0, 2), (1, 4, 1), (1, 5, 1);"
    "INSERT INTO message VALUES(117654325000000001, 1, 1795262400000000, 1, '10.2.0.7',"
    " '10.2.0.7', 'app', 'ESMTP', 'app@example.com', 1, 'hello', 'hello', '', 'App', 27, 6, 1,"
    " x'5375626a6563743a2068656c6c6f0d0a', x'626f64790d0a');"
    "INSERT INTO message VALUES(117654325000000002, 1, 1795262400000000, 1, '10.2.0.7',"
    " '10.2.0.7', 'app', 'ESMTP', 'app@example.com', 0, 'big', 'big', '', '', 17, 4, 2,"
    " x'5375626a6563743a206269670d0a', NULL);"
    "INSERT INTO chunk VALUES(117654325000000002, 0, x'6f6e'), (117654325000000002, 1, x'650a');"
    "INSERT INTO delivery VALUES"
    "(117654325000000001, 1, 0, 1, 1795262400000000, 1795262400000000, 1795262400000000, NULL,"
    " NULL, 0, 1, 'r1@example.net', NULL, '', '', ''),"
    "(117654325000000001, 2, 0, 1, NULL, 1795262400000000, 1795262400000000, NULL, NULL, 2, 1,"
    " 'r2@example.net', 'qa@example.com', 'recipients', 'rewritten', '450 later'),"
    "(117654325000000001, 3, 5, 1, NULL, 1795262400000000, 1795262400000000, NULL, NULL, 1, 1,"
    " 'r3@example.net', NULL, '', '', '550 no'),"
    "(117654325000000002, 1, 4, 1, NULL, 1795262400000000, 1795262400000000, NULL, NULL, 1, 1,"
    " 'r1@example.net', NULL, '', '', '250 ok');"
    "INSERT INTO notice VALUES(2, 1, 1795262400000000, 3);";

#define FIRST UINT64_C(117654325000000001)

static void
run_sql(const char *path, const char *sql)
{
	char *error = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s", error);
	sqlite3_close(db);
}

static void
remove_store(const struct fixture *f)
{
	static const char *const endings[] = {"", "-wal", "-shm"};
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", f->path, endings[i]);
		remove(path);
	}
}

/* Instead of the fixture's store one of schema 1, closed. */
static void
make_version_1(struct fixture *f)
{
	store_view_close(f->v);
	store_close(f->s);
	f->v = NULL;
	f->s = NULL;
	remove_store(f);
	run_sql(f->path, "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL");
	run_sql(f->path, sqlite_schema_step(1));
	run_sql(f->path, "PRAGMA user_version = 1; PRAGMA application_id = 1296455027");
	run_sql(f->path, rows_of_1);
}

/* Databases out there were made by exactly these texts. A new step gets a new row here. */
static void
released_steps_are_never_edited(void **state)
{
	static const uint64_t hashes[] = {
	    UINT64_C(0x688079456bda8b34), UINT64_C(0x97aab9773b920172),
	    UINT64_C(0xb7a93a76f55ded08), UINT64_C(0x8fb294a49aa04ba0),
	    UINT64_C(0x1cecbb61b9015db0), UINT64_C(0x2b52f778b198c0de)};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
		const char *step = sqlite_schema_step((int)i + 1);
		uint64_t hash = text_hash(TEXT_HASH_START, step, strlen(step));

		if (hash != hashes[i])
			fail_msg("step %zu is not what it was: 0x%016llx", i + 1,
				 (unsigned long long)hash);
	}
	assert_null(sqlite_schema_step((int)i + 1));
	assert_null(sqlite_schema_step(0));
}

static bool
see_first(void *context, const struct store_delivery *d)
{
	uint64_t *pending = context;

	*pending += d->notice != STORE_NOTICE_NONE;
	assert_string_equal(d->told, "");
	return true;
}

static void
schema_1_is_brought_over(void **state)
{
	struct store_filter all = {.state = -1};
	struct fixture *f = *state;
	struct store_job load = {.op = STORE_LOAD}, job = {.op = STORE_CLAIM};
	const char *environment = "staging";
	uint64_t pending = 0;

	make_version_1(f);
	fixture_reopen(f);
	check_counts(f);
	assert_int_equal(store_view_deliveries(f->v, &all, see_first, &pending), STORE_OK);
	assert_int_equal(pending, 0); /* what failed then is told to nobody now */
	load.u.load.id = FIRST;
	assert_int_equal(run_job(f, &load), STORE_OK);
	assert_true(load.u.load.message->eightbit);
	assert_false(load.u.load.message->smtputf8 || load.u.load.message->report);
	assert_int_equal(load.u.load.message->ret, DSN_RET_NONE);
	assert_string_equal(load.u.load.message->envid, "");
	assert_string_equal(load.u.load.message->header_from, "App");
	message_free(load.u.load.message);
	load.u.load.id = FIRST + 1;
	assert_int_equal(run_job(f, &load), STORE_OK);
	assert_int_equal(load.u.load.chunk_count, 2);
	message_free(load.u.load.message);

	job.u.claim.environments = &environment;
	job.u.claim.environment_count = 1;
	job.u.claim.now = clock_wall() > TEST_NOW ? clock_wall() : TEST_NOW;
	job.u.claim.limit = 10;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.claim.due_count, 1);
	assert_int_equal(job.u.claim.due[0].count, 2); /* what was taken is due again */
	assert_int_equal(job.u.claim.due[0].deliveries[0].notify, 0);
	assert_string_equal(job.u.claim.due[0].deliveries[0].orcpt, "");
	assert_false(job.u.claim.due[0].deliveries[0].rewritten);
	assert_true(job.u.claim.due[0].deliveries[1].rewritten);
	assert_string_equal(job.u.claim.due[0].deliveries[1].address, "qa@example.com");
	store_due_free(job.u.claim.due, job.u.claim.due_count);

	/* and goes on as if it had always been so */
	assert_int_equal(report(f, FIRST, 1, STORE_FAILED, 0), STORE_OK);
	job = (struct store_job){.op = STORE_NOTICES, .u.notices.limit = 5};
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.notices.notice_count, 1);
	assert_int_equal(job.u.notices.notices[0].count, 1);
	assert_string_equal(buf_text(&job.u.notices.notices[0].header), "Subject: hello\r\n");
	store_notices_free(job.u.notices.notices, job.u.notices.notice_count);
	/* the three untold failures of before, and this one */
	assert_int_equal(take_alerts(f, "delivery.failed"), 1);
	fixture_reopen(f);
	check_counts(f);
	assert_int_equal(ask_file(f->path, "PRAGMA user_version"), 6);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM pragma_integrity_check"
					   " WHERE integrity_check = 'ok'"),
			 1);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}

/* What waited in a mailfuse of schema 2 is called back by a trip now as it was then. */
static void
schema_2_is_brought_over(void **state)
{
	struct verdict_stream stream = test_stream;
	struct fixture *f = *state;
	struct batch_numbers b;

	make_version_1(f);
	run_sql(f->path, sqlite_schema_step(2));
	run_sql(f->path, "PRAGMA user_version = 2");
	/* stream 4660 is test_stream; one of another stream waits too */
	run_sql(f->path, "UPDATE delivery SET state = 1, stream = 4660 WHERE number = 1;"
			 "UPDATE delivery SET state = 1, stream = 4711, due_at = 1795262400000000"
			 " WHERE number = 2;"
			 "UPDATE delivery SET due_at = 1795262400000000 WHERE state = 1;"
			 "UPDATE tally SET n = 3 WHERE state = 0;"
			 "DELETE FROM tally; INSERT INTO tally VALUES(1, 1, 3), (1, 5, 1)");
	fixture_reopen(f);
	check_counts(f);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM member"), 3);
	stream.tripped_at = TEST_NOW + CLOCK_SECOND;
	add_held(f, &stream, 1);
	get_batch(f, 1, &b);
	assert_int_equal(b.recipients, 3);
	assert_int_equal(b.leaked, test_stream.counted - 2);
	assert_int_equal(claim(f, "staging", TEST_NOW + CLOCK_HOUR), 1);
	check_counts(f);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM member"), 0);
}

static bool
see_no_plan(void *context, const struct store_plan *p)
{
	(void)context;
	(void)p;
	return true;
}

/* A batch of schema 3 was seen by nobody, has no plan, and is released and paused as any other; the
 * head of its audit log stands beside the rows. */
static void
schema_3_is_brought_over(void **state)
{
	struct fixture *f = *state;
	struct batch_numbers b;
	struct store_job job = {.op = STORE_PLAN};

	make_version_1(f);
	run_sql(f->path, sqlite_schema_step(2));
	run_sql(f->path, sqlite_schema_step(3));
	run_sql(f->path, "PRAGMA user_version = 3");
	run_sql(f->path,
		"INSERT INTO batch(id, state, collecting, stream, tripped_at, opened_at, last_at,"
		" decided_at, environment, rule, key, source, sender, subject, max, window,"
		" messages, recipients, leaked, bytes, held, released, sent, failed, discarded,"
		" alerted, decided_by, decided_reason, ended_at)"
		" VALUES(1, 1, 0, 4660, 1, 1795262400000000, 1, 1, 'staging', 'burst volume', 'k',"
		" '', '', '', 50, 1, 1, 2, 0, 27, 0, 2, 0, 0, 0, 2, 'uid:1', 'fine', 1);"
		"UPDATE delivery SET batch = 1 WHERE state = 0;"
		"INSERT INTO audit VALUES(7, 1, 'gate', 'x', 'B1', '', '', x'00ff')");
	fixture_reopen(f);
	assert_int_equal(ask_file(f->path, "PRAGMA user_version"), 6);
	assert_true(ask_file(f->path, "SELECT id FROM audit_head") >= 7);
	get_batch(f, 1, &b);
	assert_int_equal(b.state, STORE_BATCH_RELEASING);
	assert_int_equal(store_view_plan(f->v, 1, see_no_plan, NULL), STORE_MISSING);
	job.u.plan.step = STORE_PAUSE;
	job.u.plan.batch = 1;
	job.u.plan.who = "uid:1000(kim)";
	job.u.plan.reason = "look";
	job.u.plan.now = TEST_NOW;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.plan.recipients, 2);
	get_batch(f, 1, &b);
	assert_int_equal(b.state, STORE_BATCH_PAUSED);
	assert_int_equal(b.held, 2);
	job.u.plan.step = STORE_RESUME;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(claim(f, "staging", clock_wall() + CLOCK_HOUR), 2);
	check_counts(f);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM pragma_integrity_check"
					   " WHERE integrity_check = 'ok'"),
			 1);
}

/* Of a batch of schema 5 the different people are counted; who comes into it goes on from there. */
static void
schema_5_is_brought_over(void **state)
{
	struct fixture *f = *state;
	int i;

	make_version_1(f);
	for (i = 2; i <= 5; i++)
		run_sql(f->path, sqlite_schema_step(i));
	run_sql(f->path, "PRAGMA user_version = 5");
	run_sql(
	    f->path,
	    "INSERT INTO batch(id, state, collecting, stream, tripped_at, opened_at, last_at,"
	    " decided_at, environment, rule, key, source, sender, subject, max, window,"
	    " messages, recipients, leaked, bytes, held, released, sent, failed, discarded,"
	    " alerted, decided_by, decided_reason)"
	    " VALUES(1, 0, 1, 4660, 1795262400000000, 1795262400000000, 1, 0, 'staging',"
	    " 'burst volume', 'k', '', '', '', 50, 1, 2, 4, 0, 44, 4, 0, 0, 0, 0, 4, '', '');"
	    "UPDATE delivery SET batch = 1, state = 2, due_at = NULL;"
	    "UPDATE delivery SET recipient = 'R1@Example.NET' WHERE message = 117654325000000002;"
	    "DELETE FROM tally; INSERT INTO tally VALUES(1, 2, 4)");
	fixture_reopen(f);
	check_counts(f);
	assert_int_equal(ask_file(f->path, "SELECT people FROM batch"), 3);
	assert_int_equal(ask_file(f->path,
				  "SELECT count(*) FROM batch b WHERE first ="
				  " (SELECT min(message) FROM delivery WHERE batch = b.id)"
				  " AND last ="
				  " (SELECT max(message) FROM delivery WHERE batch = b.id)"),
			 1);
	assert_int_equal(ask_file(f->path, "SELECT count(*) FROM pragma_integrity_check"
					   " WHERE integrity_check = 'ok'"),
			 1);
}

/* Half a step is no step. */
static void
a_step_that_fails_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct store_options options = {.path = f->path};
	struct buf error = {0};

	make_version_1(f);
	run_sql(f->path, "CREATE INDEX delivery_notice ON delivery(number)");
	assert_null(store_open(&options, &error));
	assert_non_null(strstr(buf_text(&error), "to schema 2"));
	buf_free(&error);
	assert_int_equal(ask_file(f->path, "PRAGMA user_version"), 1);
	assert_int_equal(
	    ask_file(f->path, "SELECT count(*) FROM sqlite_master WHERE name = 'envelope'"), 0);
	run_sql(f->path, "DROP INDEX delivery_notice");
	fixture_reopen(f);
	check_counts(f);
}

/* ---- layout ---- */

/* Pages read from the file by what was asked of a fresh connection. */
static int
pages_read(struct db *db)
{
	int now = 0, high = 0;

	assert_int_equal(sqlite3_db_status(((struct sqlite_db *)db)->sql,
					   SQLITE_DBSTATUS_CACHE_MISS, &now, &high, 0),
			 SQLITE_OK);
	return now;
}

static void
a_header_costs_no_body(void **state)
{
	enum { BODY = CHUNK_BYTES - 1000 };
	struct fixture *f = *state;
	struct message *m = make_message("staging", "big", 1, VERDICT_PASS, NULL, NULL), *loaded;
	struct buf error = {0}, header = {0}, envid = {0};
	char *body = mem_zalloc(BODY);
	uint32_t chunks;
	struct db *db;
	uint64_t id;
	int header_pages;

	chunks_clear(&m->body);
	chunks_add(&m->body, body, BODY);
	m->body_bytes = BODY;
	m->envid = "id";
	id = add_message(f, m);
	free(body);
	fixture_reopen(f);
	db = backend_sqlite.open_reader(f->s->work.db, &error);
	assert_non_null(db);
	assert_int_equal(backend_sqlite.header_load(db, id, 65536, &header, &envid), STORE_OK);
	assert_string_equal(buf_text(&header), "Subject: big\r\n");
	assert_string_equal(buf_text(&envid), "id");
	header_pages = pages_read(db);
	loaded = message_new();
	assert_int_equal(backend_sqlite.message_load(db, id, loaded, &chunks), STORE_OK);
	/* the yardstick: the body alone is that many pages */
	assert_true(pages_read(db) - header_pages >= BODY / SQLITE_PAGE_BYTES);
	assert_in_range(header_pages, 1, BODY / SQLITE_PAGE_BYTES / 2);
	message_free(loaded);
	backend_sqlite.close(db);
	buf_free(&header);
	buf_free(&envid);
}

static bool
count_row(void *context, const struct delivery_row *d)
{
	(void)d;
	++*(int *)context;
	return true;
}

/* However much mail there is: looking for what is to be told costs what is found. */
static void
looking_for_notices_costs_what_is_found(void **state)
{
	enum { MESSAGES = 40, RECIPIENTS = 100 };
	struct delivery_query pending = {.notices = 1U << STORE_NOTICE_PENDING}, all = {.limit = 0};
	struct fixture *f = *state;
	struct buf error = {0};
	int i, found = 0, every = 0, look;
	uint64_t id = 0;
	struct db *db;

	for (i = 0; i < MESSAGES; i++)
		id = add_passing(f, "staging", RECIPIENTS);
	claim(f, "staging", TEST_NOW);
	assert_int_equal(report(f, id, 7, STORE_FAILED, 0), STORE_OK);
	fixture_reopen(f);
	db = backend_sqlite.open_reader(f->s->work.db, &error);
	assert_non_null(db);
	assert_int_equal(backend_sqlite.delivery_list(db, &pending, count_row, &found), STORE_OK);
	look = pages_read(db);
	assert_int_equal(backend_sqlite.delivery_list(db, &all, count_row, &every), STORE_OK);
	assert_int_equal(found, 1);
	assert_int_equal(every, MESSAGES * RECIPIENTS);
	assert_in_range(look, 1, (pages_read(db) - look) / 2);
	backend_sqlite.close(db);
}

/* Of the writer's connection: rows changed, and pages read from the file. */
static int64_t
rows_changed(struct fixture *f)
{
	return sqlite3_total_changes64(((struct sqlite_db *)f->s->work.db)->sql);
}

static struct store_job
tick_at(struct fixture *f, int64_t now)
{
	static const int64_t remind_after[] = {CLOCK_HOUR, 0};
	struct store_job job = {.op = STORE_TICK};

	job.u.tick.now = job.u.tick.due_now = now;
	job.u.tick.remind_after = remind_after;
	assert_int_equal(run_job(f, &job), STORE_OK);
	free(job.u.tick.forget);
	return job;
}

/* Once a second, whatever there is: it looks at what is active, and writes when something is due.
 */
static void
an_idle_tick_writes_and_scans_nothing(void **state)
{
	enum { MESSAGES = 40, RECIPIENTS = 100 };
	struct fixture *f = *state;
	struct store_job job;
	struct db *db;
	int64_t before;
	int i, pages;

	for (i = 0; i < MESSAGES; i++)
		add_held(f, &test_stream, RECIPIENTS);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.rings.count = 2;
	job.u.decide.rings.sizes[0] = 10;
	job.u.decide.rings.wait = CLOCK_HOUR;
	assert_int_equal(run_job(f, &job), STORE_OK);
	fixture_reopen(f);
	db = f->s->work.db;
	tick_at(f, TEST_NOW + CLOCK_MINUTE); /* has read the pages of what is active */
	pages = pages_read(db);
	before = rows_changed(f);
	for (i = 0; i < 10; i++)
		job = tick_at(f, TEST_NOW + CLOCK_MINUTE + i * CLOCK_SECOND);
	assert_false(job.u.tick.released || job.u.tick.told);
	assert_int_equal(rows_changed(f), before);
	assert_int_equal(pages_read(db), pages);
	/* the yardstick: what a scan of the deliveries would have been */
	assert_int_equal(claim(f, "staging", clock_wall() + CLOCK_DAY), 10);
	assert_true(rows_changed(f) > before);
}

#define ON_DISK(test)                                                                              \
	{                                                                                          \
#test, test, setup, teardown, (void *)&backend_sqlite                              \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(released_steps_are_never_edited),
	    ON_DISK(schema_1_is_brought_over),
	    ON_DISK(schema_2_is_brought_over),
	    ON_DISK(schema_3_is_brought_over),
	    ON_DISK(schema_5_is_brought_over),
	    ON_DISK(a_step_that_fails_changes_nothing),
	    ON_DISK(a_header_costs_no_body),
	    ON_DISK(looking_for_notices_costs_what_is_found),
	    ON_DISK(an_idle_tick_writes_and_scans_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
