/*
 * The alert to operators when failures pile up, over both twins: at once, then not too often, and
 * none is left out.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/store_help.h"

static void
fail_delivery(struct fixture *f, uint64_t id, uint32_t number, const char *reply)
{
	struct store_delivery_result result = {
	    .id = id, .number = number, .state = STORE_FAILED, .tried = true, .reply = reply};
	struct store_job job = {.op = STORE_RESULTS, .u.results = {.results = &result, .count = 1}};

	assert_int_equal(run_job(f, &job), STORE_OK);
}

/* A message with so many recipients, the first `failed` of which have failed. */
static uint64_t
add_failed(struct fixture *f, unsigned recipients, unsigned failed)
{
	uint64_t id = add_passing(f, "staging", recipients);
	unsigned i;

	claim(f, "staging", TEST_NOW);
	for (i = 1; i <= failed; i++)
		fail_delivery(f, id, i, "550 no");
	return id;
}

struct alerts {
	size_t count;
	int64_t failures;
	char text[256]; /* of the last */
};

/* What an outbox that looks at that time finds of delivery.failed. */
static struct alerts
alerts_at(struct fixture *f, int64_t now)
{
	static char everything[] = "*";
	static char *globs[] = {everything, NULL};
	static const struct store_channel channel = {"ops", globs};
	struct store_job job = {.op = STORE_ALERTS}, done = {.op = STORE_ALERTS};
	struct alerts found = {.count = 0};
	size_t i;

	job.u.alerts.step = STORE_ALERT_FAN_OUT;
	job.u.alerts.channels = &channel;
	job.u.alerts.channel_count = 1;
	job.u.alerts.now = now;
	assert_int_equal(run_job(f, &job), STORE_OK);
	job.u.alerts.step = STORE_ALERT_TAKE;
	job.u.alerts.limit = 1000;
	assert_int_equal(run_job(f, &job), STORE_OK);
	for (i = 0; i < job.u.alerts.alert_count; i++) {
		const struct store_alert *a = &job.u.alerts.alerts[i];

		done.u.alerts.step = STORE_ALERT_DONE;
		done.u.alerts.row = a->row;
		assert_int_equal(run_job(f, &done), STORE_OK);
		if (strcmp(a->event, "delivery.failed") != 0)
			continue;
		found.count++;
		found.failures += a->count;
		snprintf(found.text, sizeof(found.text), "%s", a->text);
		assert_non_null(strstr(a->text, a->environment));
	}
	store_alerts_free(job.u.alerts.alerts, job.u.alerts.alert_count);
	return found;
}

static void
failures_that_stop_are_told_all(void **state)
{
	struct fixture *f = *state;
	int64_t now = clock_wall();
	struct alerts a;
	uint64_t id;

	id = add_failed(f, 5, 1);
	a = alerts_at(f, now);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.failures, 1);
	fail_delivery(f, id, 2, "550 two");
	fail_delivery(f, id, 3, "550 three");
	assert_int_equal(alerts_at(f, now + 9 * CLOCK_MINUTE).count, 0);
	if (f->b == &backend_sqlite)
		fixture_reopen(f);
	now = clock_wall() + 11 * CLOCK_MINUTE;
	a = alerts_at(f, now);
	assert_int_equal(a.count, 1);
	assert_int_equal(a.failures, 2);
	assert_string_equal(a.text, "staging: 2 deliveries failed for good (mailfuse messages "
				    "--state failed), the last: 550 three");
	assert_int_equal(alerts_at(f, now + CLOCK_HOUR).count, 0); /* told once */
}

/* More environments in one job than anybody has; each has its alert, none is lost. */
static void
every_environment_is_told_of(void **state)
{
	enum { ENVIRONMENTS = 40 };
	struct fixture *f = *state;
	struct store_delivery_result results[2 * ENVIRONMENTS];
	struct store_job job = {.op = STORE_RESULTS,
				.u.results = {.results = results, .count = 2 * ENVIRONMENTS}};
	struct alerts a;
	int i, round;

	for (round = 0; round < 2; round++) {
		for (i = 0; i < ENVIRONMENTS; i++) {
			char name[16];
			uint64_t id;

			snprintf(name, sizeof(name), "env%d", i);
			id = add_message(f, make_message(name, "x", 2, VERDICT_PASS, NULL, NULL));
			results[2 * i] = (struct store_delivery_result){
			    .id = id, .number = 1, .state = STORE_FAILED, .reply = "550 no"};
			results[2 * i + 1] = results[2 * i];
			results[2 * i + 1].number = 2;
		}
		assert_int_equal(run_job(f, &job), STORE_OK);
		a = alerts_at(f, clock_wall() + (round == 0 ? 0 : 11 * CLOCK_MINUTE));
		assert_int_equal(a.count, ENVIRONMENTS);
		assert_int_equal(a.failures, 2 * ENVIRONMENTS);
	}
}

/* Old alerts go; what was never told does not go with them. */
static void
purge_keeps_what_operators_were_not_told(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_PURGE};

	add_failed(f, 3, 3);
	assert_int_equal(alerts_at(f, clock_wall()).failures, 1);
	job.u.purge.limit = 100;
	job.u.purge.discarded_before = clock_wall() + CLOCK_HOUR;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(alerts_at(f, clock_wall() + 11 * CLOCK_MINUTE).failures, 2);
}

/* A clock that was set back by an hour does not keep it silent for an hour. */
static void
a_clock_set_back_does_not_silence(void **state)
{
	struct fixture *f = *state;

	add_failed(f, 3, 3);
	assert_int_equal(alerts_at(f, clock_wall()).failures, 1);
	assert_int_equal(alerts_at(f, clock_wall() - CLOCK_HOUR).failures, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(failures_that_stop_are_told_all),
	    BOTH(every_environment_is_told_of),
	    BOTH(purge_keeps_what_operators_were_not_told),
	    BOTH(a_clock_set_back_does_not_silence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
