/*
 * The outbox: who gets what, in which order, over a reload and a stop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "tests/unit/alert_rig.h"

static void
test_who_wants_what(void **state)
{
	(void)state;
	rig_open("ok ok2*upstream.*", "1d");
	tell("batch.opened", "one");
	tell("upstream.down", "two");
	alert_poke(rig.alert);
	assert_true(rig_sees("ok", 2, PATIENCE));
	assert_true(rig_sees("ok2", 1, PATIENCE));
	assert_true(backlog_becomes(0, 0, PATIENCE));
	assert_int_equal(rig.count, 3);
	for (size_t i = 0; i < rig.count; i++)
		if (strcmp(rig.seen[i].channel, "ok2") == 0)
			assert_string_equal(rig.seen[i].text, "two");
	rig_close();
}

static void
test_in_order(void **state)
{
	char text[20];

	(void)state;
	rig_open("ok", "1d");
	for (int i = 0; i < 12; i++) {
		snprintf(text, sizeof(text), "%d", i);
		tell("batch.opened", text);
	}
	alert_poke(rig.alert);
	assert_true(rig_sees("ok", 12, PATIENCE));
	for (int i = 0; i < 12; i++)
		assert_int_equal(strtol(rig.seen[i].text, NULL, 10), i);
	rig_close();
}

/* It looks by itself, once a second. */
static void
test_without_poke(void **state)
{
	(void)state;
	rig_open("ok", "1d");
	rig_pass(CLOCK_SECOND / 10);
	tell("batch.opened", "x");
	assert_true(rig_sees("ok", 1, PATIENCE));
	rig_close();
}

/* A channel that a reload took away gives up what waits for it; a new one gets what comes. */
static void
test_reload(void **state)
{
	struct config *c = make_config("ok", "1d", NULL);

	(void)state;
	rig_open("bad", "1d");
	tell("batch.opened", "old");
	assert_true(rig_sees("bad", 1, PATIENCE));
	alert_set_config(rig.alert, c);
	config_unref(c);
	tell("batch.opened", "new");
	assert_true(rig_sees("ok", 1, PATIENCE));
	assert_string_equal(rig.seen[rig.count - 1].text, "new");
	assert_true(backlog_becomes(0, 1, PATIENCE));
	assert_int_equal(seen_by("bad"), 1);
	rig_close();
}

/* What happened before there was a channel is not told to one that comes later. */
static void
test_no_channels(void **state)
{
	struct config *c = make_config("ok", "1d", NULL);

	(void)state;
	rig_open("", "1d");
	tell("batch.opened", "before anybody listened");
	alert_poke(rig.alert);
	rig_pass(CLOCK_SECOND / 5);
	alert_set_config(rig.alert, c);
	config_unref(c);
	tell("batch.opened", "after");
	assert_true(rig_sees("ok", 1, PATIENCE));
	assert_string_equal(rig.seen[0].text, "after");
	assert_int_equal(rig.count, 1);
	rig_close();
}

static void
test_stop_in_flight(void **state)
{
	uint64_t pending, failed;

	(void)state;
	rig_open("hang hang2", "1d");
	tell("batch.opened", "x");
	alert_poke(rig.alert);
	assert_true(rig_sees("hang", 1, PATIENCE));
	assert_true(rig_sees("hang2", 1, PATIENCE));
	backlog(&pending, &failed);
	assert_int_equal(pending, 2);
	assert_int_equal(rig.cancelled, 0);
	rig_close();
	assert_int_equal(rig.cancelled, 2);
}

/* Right after the start, with the first job at the store. */
static void
test_stop_at_once(void **state)
{
	(void)state;
	rig_open("ok", "1d");
	tell("batch.opened", "x");
	alert_poke(rig.alert);
	rig_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_who_wants_what), cmocka_unit_test(test_in_order),
	    cmocka_unit_test(test_without_poke),   cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_no_channels),    cmocka_unit_test(test_stop_in_flight),
	    cmocka_unit_test(test_stop_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
