/*
 * What goes past the outbox: trials for somebody who waits, and alerts that the store cannot hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "alert/direct.h"
#include "base/clock.h"
#include "base/tally.h"
#include "tests/unit/alert_rig.h"

/* As GET /metrics tells it. */
static int64_t
counted(const char *channel, enum tally_slot slot)
{
	struct tally_reading r;

	for (size_t i = 0; i < tally_count(); i++) {
		tally_read(i, clock_mono(), &r);
		if (r.rule == NULL && strcmp(r.environment, channel) == 0)
			return r.values[slot];
	}
	return 0;
}

static struct {
	size_t ended;
	bool ok;
	char why[100];
} trial;

static void
trial_ended(void *context, bool ok, int64_t took, const char *why)
{
	assert_null(context);
	assert_true(took >= 0);
	trial.ended++;
	trial.ok = ok;
	snprintf(trial.why, sizeof(trial.why), "%s", why);
}

static void
test_trials(void **state)
{
	static const struct {
		const char *channel;
		bool ok;
		const char *why;
	} rows[] = {
	    {"ok", true, ""}, {"bad", false, "answered \"no\""}, {"no", false, "cannot start"}};
	struct buf why = {0};

	(void)state;
	rig_open("ok bad no hang", "1d");
	for (size_t i = 0; i < 3; i++) {
		int64_t end = clock_mono() + PATIENCE;

		trial.ended = 0;
		assert_true(alert_try(rig.alert, rows[i].channel, "me", trial_ended, NULL, &why));
		assert_int_equal(trial.ended, 0); /* never from inside */
		while (trial.ended == 0 && clock_mono() < end)
			rig_turn();
		assert_int_equal(trial.ended, 1);
		assert_int_equal(trial.ok, rows[i].ok);
		assert_string_equal(trial.why, rows[i].why);
	}
	assert_int_equal(counted("ok", TALLY_DELIVERED), 1);
	assert_int_equal(counted("bad", TALLY_FAILED), 1);
	assert_int_equal(counted("no", TALLY_FAILED), 1);
	assert_false(alert_try(rig.alert, "nobody", "me", trial_ended, NULL, &why));
	assert_string_equal(buf_text(&why), "there is no channel nobody");
	/* What is under way ends with the outbox. */
	trial.ended = 0;
	assert_true(alert_try(rig.alert, "hang", "me", trial_ended, NULL, &why));
	rig_pass(CLOCK_SECOND / 20);
	assert_int_equal(trial.ended, 0);
	rig_close();
	assert_int_equal(trial.ended, 1);
	assert_false(trial.ok);
	assert_string_equal(trial.why, "mailfused stops");
	assert_int_equal(rig.cancelled, 1);
	buf_free(&why);
}

/* Past the outbox: each channel that wants it until it has it, the others never. */
static void
test_direct(void **state)
{
	struct config *c = make_config("ok3 once3 bad3 no3 other3*upstream.*", "2s", NULL);
	int64_t end = clock_mono() + PATIENCE;
	struct direct *d;

	(void)state;
	rig_open("", "1d");
	d = direct_new(rig.loop, c, &rig_fakes, "store.broken", "a sync failed");
	config_unref(c);
	while ((counted("once3", TALLY_DELIVERED) < 1 || seen_by("bad3") < 2) && clock_mono() < end)
		event_base_loop(loop_base(rig.loop), EVLOOP_ONCE);
	assert_int_equal(seen_by("ok3"), 1);
	assert_int_equal(seen_by("once3"), 2);
	assert_true(seen_by("bad3") >= 2);
	assert_int_equal(seen_by("other3"), 0);
	assert_int_equal(counted("ok3", TALLY_DELIVERED), 1);
	assert_int_equal(counted("once3", TALLY_DELIVERED), 1);
	assert_int_equal(counted("once3", TALLY_DEFERRED), 1);
	assert_true(counted("bad3", TALLY_DEFERRED) >= 1);
	assert_int_equal(counted("other3", TALLY_DELIVERED), 0);
	direct_free(d);
	rig_close();
}

/* What is under way ends with it. */
static void
test_direct_is_freed_in_flight(void **state)
{
	struct config *c = make_config("hang", "1d", NULL);
	struct direct *d;

	(void)state;
	rig_open("", "1d");
	d = direct_new(rig.loop, c, &rig_fakes, "store.broken", "a sync failed");
	config_unref(c);
	assert_int_equal(seen_by("hang"), 1);
	direct_free(d);
	assert_int_equal(rig.cancelled, 1);
	direct_free(NULL);
	rig_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_trials),
	    cmocka_unit_test(test_direct),
	    cmocka_unit_test(test_direct_is_freed_in_flight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
