/*
 * What the store tells of itself: what became of each alert, numbers that are kept with a fact, and
 * that somebody has altered the audit log.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit_chain.h"
#include "tests/unit/store_help.h"

/* ---- what became of alerts ---- */

static const struct store_channel *
channels(void)
{
	static char everything[] = "*", upstream[] = "upstream.*";
	static char *all[] = {everything, NULL}, *some[] = {upstream, NULL};
	static const struct store_channel list[] = {{"ops", all}, {"night", some}};

	return list;
}

static void
fan_out(struct fixture *f, size_t count)
{
	struct store_job job = {.op = STORE_ALERTS};

	job.u.alerts.step = STORE_ALERT_FAN_OUT;
	job.u.alerts.channels = channels();
	job.u.alerts.channel_count = count;
	job.u.alerts.now = TEST_NOW;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

static struct store_job
take(struct fixture *f)
{
	struct store_job job = {.op = STORE_ALERTS};

	job.u.alerts.step = STORE_ALERT_TAKE;
	job.u.alerts.limit = 10;
	job.u.alerts.now = TEST_NOW;
	assert_int_equal(run_job(f, &job), STORE_OK);
	return job;
}

static void
end(struct fixture *f, int64_t row, enum store_alert_step step)
{
	struct store_job job = {.op = STORE_ALERTS};

	job.u.alerts.step = step;
	job.u.alerts.row = row;
	job.u.alerts.now = TEST_NOW + CLOCK_MINUTE;
	job.u.alerts.due_at = TEST_NOW + CLOCK_HOUR;
	job.u.alerts.error_text = "no route";
	job.u.alerts.tried = true;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

static void
fact(struct fixture *f, const char *event)
{
	struct store_job job = {.op = STORE_FACT};

	job.u.fact.event = event;
	job.u.fact.alert = true;
	job.u.fact.now = TEST_NOW;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

struct fates {
	struct buf text;
	int64_t done_at;
};

static bool
see_fate(void *context, const struct store_alert_fate *fate)
{
	static const char *const names[] = {"pending", "delivered", "failed", "unwanted"};
	struct fates *f = context;

	buf_printf(&f->text, "%s@%s=%s/%u%s ", fate->event, fate->channel, names[fate->fate],
		   fate->tries, *fate->error != '\0' ? "!" : "");
	if (fate->fate == STORE_FATE_DELIVERED)
		f->done_at = fate->done_at;
	else
		assert_int_equal(fate->done_at, 0);
	return true;
}

static void
expect_fates(struct fixture *f, int64_t batch, uint32_t limit, const char *wanted)
{
	struct fates seen = {.done_at = 0};

	assert_int_equal(store_view_alert_fates(f->v, batch, limit, see_fate, &seen), STORE_OK);
	assert_string_equal(buf_text(&seen.text), wanted);
	if (strstr(wanted, "delivered") != NULL)
		assert_int_equal(seen.done_at, TEST_NOW + CLOCK_MINUTE);
	buf_free(&seen.text);
}

static void
the_fate_of_alerts_is_kept(void **state)
{
	struct fixture *f = *state;
	struct store_job taken, purge = {.op = STORE_PURGE};
	uint64_t pending, failed;
	int64_t oldest;

	add_held(f, &test_stream, 1);
	expect_fates(f, 1, 0, "batch.opened@=pending/0 ");
	fan_out(f, 0);
	expect_fates(f, 1, 0, "batch.opened@=unwanted/0 ");
	fact(f, "upstream.down");
	fan_out(f, 2);
	expect_fates(f, 0, 0,
		     "upstream.down@ops=pending/0 upstream.down@night=pending/0 "
		     "batch.opened@=unwanted/0 ");
	taken = take(f);
	assert_int_equal(taken.u.alerts.alert_count, 2);
	end(f, taken.u.alerts.alerts[0].row, STORE_ALERT_DONE);
	end(f, taken.u.alerts.alerts[1].row, STORE_ALERT_RETRY);
	expect_fates(f, 0, 2, "upstream.down@ops=delivered/1 upstream.down@night=pending/1! ");
	end(f, taken.u.alerts.alerts[1].row, STORE_ALERT_GIVE_UP);
	expect_fates(f, 0, 0,
		     "upstream.down@ops=delivered/1 upstream.down@night=failed/2! "
		     "batch.opened@=unwanted/0 ");
	expect_fates(f, 2, 0, "");
	/* What was delivered is no work any more. */
	assert_int_equal(store_view_alert_backlog(f->v, &pending, &failed, &oldest), STORE_OK);
	assert_int_equal(pending, 0);
	assert_int_equal(failed, 1);
	store_alerts_free(taken.u.alerts.alerts, taken.u.alerts.alert_count);
	taken = take(f);
	assert_int_equal(taken.u.alerts.alert_count, 0);
	purge.u.purge.discarded_before = TEST_NOW + CLOCK_DAY;
	purge.u.purge.limit = 100;
	assert_int_equal(run_job(f, &purge), STORE_OK);
	expect_fates(f, 0, 0, "");
}

static void
an_alert_says_the_logs_head(void **state)
{
	struct fixture *f = *state;
	char hash[AUDIT_CHAIN_HEX_BYTES];
	struct store_job taken;
	int64_t id;

	fact(f, "upstream.down");
	fact(f, "upstream.up");
	fan_out(f, 1);
	taken = take(f);
	assert_int_equal(store_view_audit_head(f->v, &id, hash), STORE_OK);
	assert_int_equal(id, 2);
	assert_int_equal(taken.u.alerts.alert_count, 2);
	assert_int_equal(taken.u.alerts.alerts[1].audit_id, id);
	assert_string_equal(taken.u.alerts.alerts[1].audit_hash, hash);
	store_alerts_free(taken.u.alerts.alerts, taken.u.alerts.alert_count);
}

static void
a_number_is_kept_with_a_fact(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_FACT};
	int64_t n = 5;

	assert_int_equal(store_view_number(f->v, "drill_passed_at", &n), STORE_OK);
	assert_int_equal(n, 0);
	job.u.fact.event = "drill.passed";
	job.u.fact.now = TEST_NOW;
	job.u.fact.keep = "drill_passed_at";
	job.u.fact.number = TEST_NOW;
	assert_int_equal(run_job(f, &job), STORE_OK);
	if (f->b == &backend_sqlite)
		fixture_reopen(f);
	assert_int_equal(store_view_number(f->v, "drill_passed_at", &n), STORE_OK);
	assert_int_equal(n, TEST_NOW);
}

/* ---- a log that somebody altered ---- */

static void
run_sql(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	sqlite3_busy_timeout(db, 5000);
	if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_close(db);
}

/* What touches the log's end, by who can write the file. `open`: seen at a start too. */
static const struct {
	const char *sql;
	bool running, open;
} tampering[] = {
    {"DELETE FROM audit WHERE id = (SELECT max(id) FROM audit)", true, true},
    {"DELETE FROM audit", true, true},
    {"UPDATE audit SET hash = zeroblob(32) WHERE id = 3", true, true},
    {"UPDATE audit SET hash = 'text' WHERE id = 3", true, true},
    {"UPDATE audit SET id = 9 WHERE id = 3", true, true},
    {"INSERT INTO audit SELECT 4, at, who, action, object, reason, detail, hash FROM audit"
     " WHERE id = 3",
     true, true},
    {"DELETE FROM audit_head", false, true}, /* the writer itself does not need it */
    {"UPDATE audit_head SET id = 2", false, true},
    {"SELECT 1", false, false},
};

static void
tampering_is_told(void **state, bool running)
{
	struct fixture *f;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(tampering) / sizeof(tampering[0]); i++) {
		struct fixture one;
		uint64_t wanted = running ? tampering[i].running : tampering[i].open;

		f = &one;
		fixture_open(f, &backend_sqlite);
		fact(f, "first");
		fact(f, "second");
		fact(f, "third");
		run_sql(f->path, tampering[i].sql);
		if (!running)
			fixture_reopen(f);
		fact(f, "after");
		fact(f, "later");
		if (count_audit(f, "audit.broken") != wanted)
			fail_msg("%s", tampering[i].sql);
		assert_int_equal(count_audit(f, "later"), 1);
		assert_int_equal(take_alerts(f, "audit.broken"), wanted);
		fixture_reopen(f); /* told once */
		assert_int_equal(count_audit(f, "audit.broken"), wanted);
		fixture_close(f);
	}
}

static void
tampering_is_told_while_it_runs(void **state)
{
	tampering_is_told(state, true);
}

static void
tampering_is_told_at_a_start(void **state)
{
	tampering_is_told(state, false);
}

/* Nobody can number on behind it: mail is refused rather than let through unwritten. */
static void
the_highest_number_ends_the_log(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_FACT, .u.fact.event = "after"};

	fact(f, "first");
	run_sql(f->path, "UPDATE audit SET id = 9223372036854775807");
	assert_int_equal(run_job(f, &job), STORE_BROKEN);
	assert_non_null(strstr(job.error, "highest number"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(the_fate_of_alerts_is_kept),
	    BOTH(an_alert_says_the_logs_head),
	    BOTH(a_number_is_kept_with_a_fact),
	    cmocka_unit_test(tampering_is_told_while_it_runs),
	    cmocka_unit_test(tampering_is_told_at_a_start),
	    {"the_highest_number_ends_the_log", the_highest_number_ends_the_log, setup, teardown,
	     (void *)&backend_sqlite},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
