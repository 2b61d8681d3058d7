/*
 * The outbox with channels that fail: when a try is repeated, when it is given up, who is told, and
 * that a dead channel holds up no other.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alert/state.h"
#include "base/clock.h"
#include "tests/unit/alert_rig.h"

static void
test_retry(void **state)
{
	(void)state;
	rig_open("once", "1d");
	tell("batch.opened", "x");
	assert_true(rig_sees("once", 2, PATIENCE));
	assert_int_equal(rig.seen[0].id, rig.seen[1].id);
	/* 1 s, less a quarter of jitter. */
	assert_true(rig.seen[1].at - rig.seen[0].at >= 3 * CLOCK_SECOND / 4);
	assert_true(backlog_becomes(0, 0, PATIENCE));
	rig_close();
}

static bool
keep_failed(void *context, const struct store_audit *row)
{
	if (strcmp(row->action, "alert.failed") == 0) {
		buf_printf(context, "%s;", row->detail);
		/* Also of what was given up because its channel failed for too long. */
		assert_non_null(strstr(row->reason, "answered \"no\""));
	}
	return true;
}

/* What is handed back because another alert of its channel failed was not tried. */
static void
test_only_tries_count(void **state)
{
	struct buf seen = {0};

	(void)state;
	rig_open("bad", "2s");
	tell("batch.opened", "one");
	tell("batch.opened", "two");
	alert_poke(rig.alert);
	assert_true(backlog_becomes(0, 2, PATIENCE));
	assert_int_equal(store_view_audit(rig.view, 0, 0, 0, NULL, keep_failed, &seen), STORE_OK);
	for (const char *t = buf_text(&seen); (t = strstr(t, "tries=")) != NULL; t++)
		rig.count -= strtoul(t + 6, NULL, 10);
	assert_int_equal(rig.count, 0);
	buf_free(&seen);
	rig_close();
}

/* A channel that fails is left alone for a while: its other alerts are not tried one by one. */
static void
test_failing_channel_is_quiet(void **state)
{
	(void)state;
	rig_open("bad", "1d");
	for (int i = 0; i < 30; i++)
		tell("batch.opened", "x");
	alert_poke(rig.alert);
	assert_true(rig_sees("bad", 1, PATIENCE));
	rig_pass(CLOCK_SECOND / 2);
	assert_int_equal(seen_by("bad"), 1);
	assert_true(backlog_becomes(30, 0, PATIENCE));
	rig_close();
}

static void
test_dead_channel_delays_nobody(void **state)
{
	static const char *const dead[] = {"hang", "bad", "no"};

	(void)state;
	for (size_t i = 0; i < sizeof(dead) / sizeof(dead[0]); i++) {
		char channels[40];

		/* Its alerts are older and more than are taken at a time. */
		snprintf(channels, sizeof(channels), "%s ok*upstream.*", dead[i]);
		rig_open(channels, "1d");
		for (int k = 0; k < 150; k++)
			tell("batch.opened", "for the dead one");
		for (int k = 0; k < 5; k++)
			tell("upstream.down", "for both");
		alert_poke(rig.alert);
		if (!rig_sees("ok", 5, PATIENCE))
			fail_msg("%s: only %zu arrived", dead[i], seen_by("ok"));
		assert_true(seen_by(dead[i]) < 150);
		rig_close();
	}
}

static void
test_many_hanging_channels_delay_nobody(void **state)
{
	(void)state;
	rig_open("hang1 hang2 hang3 hang4 hang5 hang6 hang7 hang8 hang9 ok", "1d");
	tell("batch.opened", "for all");
	alert_poke(rig.alert);
	if (!rig_sees("ok", 1, PATIENCE))
		fail_msg("it did not arrive beside %zu that hang", rig.count);
	rig_close();
}

static bool
find_failed(void *context, const struct store_audit *a)
{
	bool *found = context;

	if (strcmp(a->action, "alert.failed") == 0 && strcmp(a->object, "bad") == 0 &&
	    strcmp(a->reason, "answered \"no\"") == 0)
		*found = true;
	return true;
}

static void
test_gives_up(void **state)
{
	bool found = false;

	(void)state;
	rig_open("bad", "3s"); /* the second try comes after about one */
	tell("batch.opened", "x");
	assert_true(backlog_becomes(0, 1, PATIENCE));
	assert_true(rig.count >= 2);
	assert_int_equal(store_view_audit(rig.view, 0, 0, 1000, NULL, find_failed, &found),
			 STORE_OK);
	assert_true(found);
	rig_close();
}

/* Once, after its patience and not before, never to itself; and that it works again. */
static void
test_failing_channel_is_told(void **state)
{
	(void)state;
	rig_open_with("twice ok*alert.*", "1d",
		      &(struct rig_options){.patience = 2 * CLOCK_SECOND});
	tell("batch.opened", "x");
	alert_poke(rig.alert);
	assert_true(rig_sees("twice", 1, PATIENCE));
	assert_true(is_told("ok", "alert.failed", 1, PATIENCE));
	assert_true(clock_mono() - rig.seen[0].at >= 2 * CLOCK_SECOND);
	assert_true(is_told("ok", "alert.recovered", 1, PATIENCE));
	assert_true(backlog_becomes(0, 0, PATIENCE));
	rig_pass(3 * CLOCK_SECOND / 2);
	assert_int_equal(told_of("ok", "alert.failed"), 1);
	assert_int_equal(told_of("ok", "alert.recovered"), 1);
	assert_int_equal(told_of("twice", "alert.failed"), 0);
	assert_int_equal(told_of("twice", "alert.recovered"), 0);
	rig_close();
}

/* What works again soon is nobody's business. */
static void
test_short_failure_is_not_told(void **state)
{
	(void)state;
	rig_open_with("once ok*alert.*", "1d",
		      &(struct rig_options){.patience = 60 * CLOCK_SECOND});
	tell("batch.opened", "x");
	assert_true(rig_sees("once", 2, PATIENCE));
	assert_true(backlog_becomes(0, 0, PATIENCE));
	rig_pass(3 * CLOCK_SECOND / 2);
	assert_int_equal(seen_by("ok"), 0);
	rig_close();
}

/* A reload that takes the channel away ends it without a word. */
static void
test_removed_channel_is_not_told(void **state)
{
	struct config *c = make_config("ok*alert.*", "1d", NULL);

	(void)state;
	rig_open_with("bad ok*alert.*", "1d", &(struct rig_options){.patience = 2 * CLOCK_SECOND});
	tell("batch.opened", "x");
	assert_true(rig_sees("bad", 1, PATIENCE));
	alert_set_config(rig.alert, c);
	config_unref(c);
	assert_true(backlog_becomes(0, 1, PATIENCE));
	rig_pass(3 * CLOCK_SECOND);
	assert_int_equal(seen_by("ok"), 0);
	rig_close();
}

struct backoff_row {
	unsigned failures;
	int64_t wait; /* without jitter */
};

static void
test_backoff(void **state)
{
	static const struct backoff_row rows[] = {
	    {1, CLOCK_SECOND},       {2, 2 * CLOCK_SECOND},    {5, 16 * CLOCK_SECOND},
	    {9, 256 * CLOCK_SECOND}, {10, 300 * CLOCK_SECOND}, {4000000000, 300 * CLOCK_SECOND}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t least = INT64_MAX, most = 0;

		for (uint64_t seed = 0; seed < 200; seed++) {
			int64_t wait = state_backoff(rows[i].failures, seed);

			assert_in_range(wait, rows[i].wait * 3 / 4, rows[i].wait * 5 / 4);
			least = wait < least ? wait : least;
			most = wait > most ? wait : most;
		}
		assert_true(most - least > rows[i].wait / 4); /* it does spread */
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_retry),
	    cmocka_unit_test(test_only_tries_count),
	    cmocka_unit_test(test_failing_channel_is_quiet),
	    cmocka_unit_test(test_dead_channel_delays_nobody),
	    cmocka_unit_test(test_many_hanging_channels_delay_nobody),
	    cmocka_unit_test(test_gives_up),
	    cmocka_unit_test(test_failing_channel_is_told),
	    cmocka_unit_test(test_short_failure_is_not_told),
	    cmocka_unit_test(test_removed_channel_is_not_told),
	    cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
