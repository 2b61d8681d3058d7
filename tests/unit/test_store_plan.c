/*
 * The store's contract, run over both twins: how a release goes on. Rings, stop rules, pauses, what
 * a crash between two steps leaves. The machine is drawn in store.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/plan.h"
#include "tests/unit/store_plan_help.h"

static const uint64_t thirds[] = {2, 5, 0};

/* ---- rings ---- */

/* Those that there is something for, as `mailfuse show` lists them; what has begun counts. */
static void
rings_are_those_with_mail(void **state)
{
	static const struct {
		uint64_t total;
		uint32_t count, ring, want;
		uint64_t sizes[4];
	} rows[] = {
	    {4990, 4, 1, 4, {10, 100, 1000, 0}},
	    {500, 4, 1, 3, {10, 100, 1000, 0}},
	    {110, 4, 1, 2, {10, 100, 1000, 0}},
	    {111, 4, 1, 3, {10, 100, 1000, 0}},
	    {5, 2, 1, 1, {10, 0}},
	    {5, 2, 2, 2, {10, 0}},
	    {5, 1, 1, 1, {0}},
	    {0, 2, 0, 1, {10, 0}},
	    {30, 2, 1, 2, {10, 10}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_plan p = {.total = rows[i].total,
				       .ring = rows[i].ring,
				       .rings = {.count = rows[i].count}};

		memcpy(p.rings.sizes, rows[i].sizes, sizeof(rows[i].sizes));
		if (plan_ring_count(&p) != rows[i].want)
			fail_msg("row %zu: %u rings", i, plan_ring_count(&p));
	}
}

static void
rings_follow_one_another(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;
	int64_t now = TEST_NOW + CLOCK_HOUR;

	add_held(f, &test_stream, 10);
	release_job(&job, thirds, 3);
	job.u.decide.rings.wait = 10 * CLOCK_MINUTE;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.decide.recipients, 10);
	assert_int_equal(job.u.decide.released, 2);
	assert_int_equal(job.u.decide.left, 8);
	assert_false(job.u.decide.closed);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 2);
	assert_int_equal(batch_state(f), STORE_BATCH_RELEASING);

	tick(f, now);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 2); /* not delivered yet */
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 2);
	tick(f, now);
	assert_int_equal(plan(f).p.next_ring_at, now + 10 * CLOCK_MINUTE);
	tick(f, now + 10 * CLOCK_MINUTE - 1);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 2);
	now += 10 * CLOCK_MINUTE;
	assert_int_equal(tick(f, now), 0);
	assert_plan(f, STORE_PLAN_RUNNING, 2, 7);
	add_held(f, &test_stream, 4); /* was not decided on */
	assert_int_equal(batch_state(f), STORE_BATCH_RELEASING);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 5);
	tick(f, now);
	now += 10 * CLOCK_MINUTE;
	assert_int_equal(tick(f, now), 0); /* it holds more: it collects on */
	assert_plan(f, STORE_PLAN_RUNNING, 3, 10);
	assert_int_equal(batch_state(f), STORE_BATCH_HELD);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 3);
	assert_plan(f, STORE_PLAN_DONE, 3, 10);
	get_batch(f, 1, &b);
	assert_true(b.collecting);
	assert_int_equal(b.held, 4);
	assert_int_equal(count_audit(f, "batch.ring"), 3);
	assert_int_equal(count_audit(f, "batch.done"), 1);
	check_counts(f);
}

static void
the_last_ring_closes_the_batch(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;
	int64_t now = TEST_NOW + CLOCK_HOUR;

	add_held(f, &test_stream, 10);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 2);
	assert_int_equal(tick(f, now), 0);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 5);
	assert_int_equal(tick(f, now), 1);
	get_batch(f, 1, &b);
	assert_false(b.collecting);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 3);
	assert_int_equal(batch_state(f), STORE_BATCH_RELEASED);
	assert_int_equal(take_alerts(f, "batch.done"), 1);
	check_counts(f);
}

static void
a_pause_takes_back_and_a_resume_goes_on(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	int64_t now = TEST_NOW + CLOCK_HOUR;

	add_held(f, &test_stream, 10);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 0);
	assert_int_equal(batch_state(f), STORE_BATCH_PAUSED);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 0);
	assert_int_equal(tick(f, now), 0);
	assert_int_equal(step(f, STORE_PAUSE), STORE_REFUSED);
	step_job(&job, STORE_RESUME, "uid:1000(kim)");
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.plan.recipients, 2);
	assert_int_equal(job.u.plan.left, 8);
	assert_int_equal(job.u.plan.state, STORE_PLAN_RUNNING);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 2);
	assert_int_equal(step(f, STORE_RESUME), STORE_REFUSED);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 2);
	tick(f, now);
	assert_plan(f, STORE_PLAN_RUNNING, 2, 7);
	assert_int_equal(take_alerts(f, "batch.paused"), 1);
	check_counts(f);
}

/* ---- refusals ---- */

static enum store_result
report_as(struct fixture *f, uint64_t id, uint32_t number, enum store_state state, bool tried,
	  const char *reply, int64_t *paused)
{
	struct store_delivery_result result = {.id = id,
					       .number = number,
					       .state = state,
					       .due_at = TEST_NOW,
					       .tried = tried,
					       .reply = reply};
	struct store_job job = {.op = STORE_RESULTS, .u.results = {.results = &result, .count = 1}};

	run_job(f, &job);
	if (paused != NULL)
		*paused = job.u.results.paused;
	return job.result;
}

static void
too_many_refusals_pause(void **state)
{
	static const struct {
		double stop_on;
		enum store_state results[4]; /* of the first of ten; STORE_HELD = no more */
		bool paused;
	} rows[] = {
	    {-1, {STORE_FAILED, STORE_FAILED, STORE_QUEUED, STORE_QUEUED}, false},
	    {0, {STORE_FAILED, STORE_HELD, STORE_HELD, STORE_HELD}, true},
	    {0, {STORE_QUEUED, STORE_HELD, STORE_HELD, STORE_HELD}, true},
	    {0, {STORE_SENT, STORE_SENT, STORE_SENT, STORE_SENT}, false},
	    {20, {STORE_FAILED, STORE_QUEUED, STORE_SENT, STORE_SENT}, false},
	    {20, {STORE_FAILED, STORE_QUEUED, STORE_QUEUED, STORE_SENT}, true},
	    {100, {STORE_FAILED, STORE_FAILED, STORE_FAILED, STORE_FAILED}, false},
	};
	const uint64_t sizes[] = {10, 0};
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;
	uint64_t id;
	size_t i;
	uint32_t k;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t paused = 0, last;

		fixture_close(f);
		fixture_open(f, f->b);
		id = add_held(f, &test_stream, 12);
		release_job(&job, sizes, 2);
		job.u.decide.rings.stop_on = rows[i].stop_on;
		assert_int_equal(run_job(f, &job), STORE_OK);
		claim(f, "staging", TEST_NOW + CLOCK_HOUR);
		for (k = 0; k < 4 && rows[i].results[k] != STORE_HELD; k++) {
			assert_int_equal(report_as(f, id, k + 1, rows[i].results[k], true,
						   "450 4.2.1 later", &last),
					 STORE_OK);
			paused = last != 0 ? last : paused;
		}
		if (plan(f).p.state != (rows[i].paused ? STORE_PLAN_PAUSED : STORE_PLAN_RUNNING))
			fail_msg("row %zu: the plan is %s", i,
				 store_plan_state_name(plan(f).p.state));
		assert_int_equal(paused, rows[i].paused ? 1 : 0);
		get_batch(f, 1, &b);
		/* what is in hand stays so; what was deferred is held again, unless it goes on */
		assert_int_equal(count_deliveries(f, 1, STORE_QUEUED) + b.sent + b.failed,
				 rows[i].paused ? 10 - plan(f).p.ring_deferred : 10);
		assert_int_equal(take_alerts(f, "batch.paused"), rows[i].paused ? 1 : 0);
		check_counts(f);
	}
}

static void
each_is_counted_once(void **state)
{
	struct fixture *f = *state;
	const uint64_t one[] = {10, 0};
	struct store_job job;
	struct seen_plan seen;
	uint64_t id = add_held(f, &test_stream, 12);
	int64_t now = TEST_NOW + CLOCK_HOUR;

	release_job(&job, one, 2);
	job.u.decide.rings.stop_on = 50;
	assert_int_equal(run_job(f, &job), STORE_OK);
	claim(f, "staging", now);
	report_as(f, id, 1, STORE_QUEUED, true, "450 4.2.1 later", NULL);
	claim(f, "staging", now);
	report_as(f, id, 1, STORE_QUEUED, true, "450 4.2.1 later", NULL);
	claim(f, "staging", now);
	report_as(f, id, 1, STORE_FAILED, true, "550 5.1.1 no\r\nsuch\tuser", NULL);
	report_as(f, id, 2, STORE_QUEUED, true, "the connection was lost", NULL);
	report_as(f, id, 3, STORE_QUEUED, false, "450 it is only handed back", NULL);
	seen = plan(f);
	assert_int_equal(seen.p.ring_deferred, 1);
	assert_int_equal(seen.p.ring_failed, 1);
	assert_int_equal(seen.p.ring_refused, 1);
	assert_string_equal(seen.refusals, "1 450 4.2.1 later\n1 550 5.1.1 no  such user");
	/* two resumes later it is not counted twice either */
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	seen = plan(f);
	assert_int_equal(seen.p.ring_refused, 0);
	assert_int_equal(seen.p.ring_failed, 1);
	assert_int_equal(seen.p.ring_size, 10);
	check_counts(f);
}

static void
refusals_are_few_and_short(void **state)
{
	struct fixture *f = *state;
	const uint64_t one[] = {10, 0};
	char reply[600];
	struct store_job job;
	struct seen_plan seen;
	uint64_t id = add_held(f, &test_stream, 12);
	const char *line;
	uint32_t i, lines = 1;

	release_job(&job, one, 2);
	assert_int_equal(run_job(f, &job), STORE_OK);
	claim(f, "staging", TEST_NOW + CLOCK_HOUR);
	for (i = 1; i <= 9; i++) {
		memset(reply, 'x', sizeof(reply));
		snprintf(reply, sizeof(reply), "550 %u", i % 8);
		if (i == 1)
			memset(reply + 5, 'y', sizeof(reply) - 6), reply[sizeof(reply) - 1] = '\0';
		report_as(f, id, i, STORE_FAILED, true, reply, NULL);
	}
	seen = plan(f);
	assert_int_equal(seen.p.ring_refused, 9);
	for (line = seen.refusals; *line != '\0'; line++)
		lines += *line == '\n';
	assert_int_equal(lines, STORE_REFUSALS_MAX);
	assert_in_range(strlen(seen.refusals), 100, 300);
}

static void
giving_up_is_a_refusal(void **state)
{
	struct fixture *f = *state;
	const uint64_t one[] = {4, 0};
	struct store_job job, expire = {.op = STORE_EXPIRE};

	add_held(f, &test_stream, 6);
	release_job(&job, one, 2);
	job.u.decide.rings.stop_on = 50;
	assert_int_equal(run_job(f, &job), STORE_OK);
	expire.u.expire.environment = "staging";
	expire.u.expire.queued_before = TEST_NOW + CLOCK_DAY;
	expire.u.expire.now = TEST_NOW + CLOCK_DAY;
	expire.u.expire.reason = "4.4.7 gave up after 3 d";
	assert_int_equal(run_job(f, &expire), STORE_OK);
	assert_int_equal(expire.u.expire.expired, 4);
	assert_int_equal(expire.u.expire.paused, 1);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 4);
	assert_string_equal(plan(f).refusals, "4 4.4.7 gave up after 3 d");
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	tick(f, TEST_NOW + CLOCK_DAY);
	assert_plan(f, STORE_PLAN_RUNNING, 2, 6);
	check_counts(f);
}

/* ---- pauses ---- */

static void
what_is_in_hand_comes_back_held(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	uint64_t id = add_held(f, &test_stream, 10);
	int64_t now = TEST_NOW + CLOCK_HOUR;

	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(claim(f, "staging", now), 2);
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 2);
	report_as(f, id, 1, STORE_QUEUED, false, "handed back", NULL);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 1);
	report_as(f, id, 2, STORE_SENT, true, "250 ok", NULL);
	assert_int_equal(count_deliveries(f, 1, STORE_HELD), 9);
	assert_int_equal(claim(f, "staging", now), 0);
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 1);
	tick(f, now);
	assert_plan(f, STORE_PLAN_RUNNING, 2, 7);
	check_counts(f);
}

static void
a_crash_releases_nothing_of_a_paused_plan(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;

	add_held(f, &test_stream, 10);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(claim(f, "staging", TEST_NOW + CLOCK_HOUR), 2);
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	fixture_reopen(f);
	assert_int_equal(claim(f, "staging", clock_wall() + CLOCK_DAY), 0);
	get_batch(f, 1, &b);
	assert_int_equal(b.held, 10);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 0);
	check_counts(f);
}

static void
a_release_without_a_plan_is_paused_too(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	uint64_t id = add_held(f, &test_stream, 10);
	struct store_delivery_id ids[] = {{id, 2}, {id, 5}};

	decide_job(&job, STORE_RELEASE, 0);
	job.u.decide.selector.ids = ids;
	job.u.decide.selector.id_count = 2;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 0);
	assert_int_equal(plan(f).p.total, 2);
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	assert_int_equal(deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok"), 2);
	assert_plan(f, STORE_PLAN_DONE, 1, 2);
	assert_int_equal(step(f, STORE_PAUSE), STORE_REFUSED);
	assert_int_equal(count_deliveries(f, 1, STORE_HELD), 8);
	check_counts(f);
}

static void
a_panic_pauses_and_stays_above_a_resume(void **state)
{
	struct fixture *f = *state;
	struct store_job job;

	add_held(f, &test_stream, 10);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(press(f, true, 1, "staging", TEST_NOW + 5), STORE_OK);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 0);
	step_job(&job, STORE_RESUME, "uid:1000(kim)");
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_non_null(strstr(job.error, "environment staging is on hold by uid:0(root)"));
	press(f, false, 1, "staging", TEST_NOW + 6);
	tick(f, TEST_NOW + CLOCK_HOUR);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 0); /* nobody has said that it goes on */
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	assert_int_equal(deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok"), 2);
	/* of another source: only the next ring meets it */
	press(f, true, 2, "10.2.0.7", TEST_NOW + 7);
	tick(f, TEST_NOW + CLOCK_HOUR);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 2);
	check_counts(f);
}

/* ---- decisions meet a plan ---- */

static void
what_is_not_allowed_is_refused_with_a_word(void **state)
{
	struct fixture *f = *state;
	struct store_job job;

	add_held(f, &test_stream, 10);
	assert_int_equal(step(f, STORE_APPROVE), STORE_REFUSED);
	assert_int_equal(step(f, STORE_PAUSE), STORE_REFUSED);
	assert_int_equal(step(f, STORE_RESUME), STORE_REFUSED);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	decide_job(&job, STORE_RELEASE, 1);
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_non_null(strstr(job.error, "B1 is being released in rings (ring 1 of 3) by "
					  "uid:1000(kim)"));
	assert_non_null(strstr(job.error, "`mailfuse pause B1`"));
	assert_int_equal(step(f, STORE_APPROVE), STORE_REFUSED);
	/* paused: another release takes its place */
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_OK);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 10);
	assert_int_equal(count_audit(f, "plan.ended"), 1);
	step_job(&job, STORE_PAUSE, "uid:1");
	job.u.plan.batch = 5;
	assert_int_equal(run_job(f, &job), STORE_MISSING);
	check_counts(f);
}

static void
a_plain_release_is_added_to(void **state)
{
	struct fixture *f = *state;
	struct store_job job;

	add_held(f, &test_stream, 10);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.selector.first = 4;
	assert_int_equal(run_job(f, &job), STORE_OK);
	job.u.decide.selector.first = 3;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 7);
	assert_int_equal(plan(f).p.total, 7);
	/* what the present one does not have is not lost without a word */
	job.u.decide.rings.stop_on = 0;
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_int_equal(deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok"), 7);
	assert_plan(f, STORE_PLAN_DONE, 1, 7);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 2);
	check_counts(f);
}

static void
discards_make_a_plan_smaller(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	uint64_t id = add_held(f, &test_stream, 10);
	struct store_delivery_id ids[] = {{id, 9}, {id, 10}};

	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	decide_job(&job, STORE_DISCARD, 0);
	job.u.decide.selector.ids = ids;
	job.u.decide.selector.id_count = 2;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(plan(f).p.total, 8);
	/* what is restored was not decided on */
	decide_job(&job, STORE_RESTORE, 1);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(plan(f).p.total, 8);
	decide_job(&job, STORE_DISCARD, 1);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(plan(f).p.total, 2);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 2);
	assert_int_equal(deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok"), 2);
	assert_plan(f, STORE_PLAN_DONE, 1, 2);
	/* and one that has released nothing ends */
	decide_job(&job, STORE_RESTORE, 1);
	assert_int_equal(run_job(f, &job), STORE_OK);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	assert_plan(f, STORE_PLAN_ENDED, 1, 0);
	assert_int_equal(batch_state(f), STORE_BATCH_DISCARDED);
	check_counts(f);
}

static bool
is_even(void *context, const char *recipient, const char *subject)
{
	(void)context;
	(void)subject;
	return strtoul(recipient + 1, NULL, 10) % 2 == 0;
}

/* Whatever was chosen: so many, these, and nobody else. */
static void
a_part_is_released_in_rings(void **state)
{
	static const struct {
		uint64_t first, sizes[3];
		uint32_t count;
		double percent;
		bool match;
		uint64_t total;
	} rows[] = {
	    {0, {2, 3, 0}, 3, 0, false, 20}, {7, {2, 0}, 2, 0, false, 7},
	    {0, {2, 3}, 2, 0, false, 5},     {0, {2, 3, 100}, 3, 0, false, 20},
	    {0, {2, 0}, 2, 25, false, 5},    {0, {3, 0}, 2, 0, true, 10},
	    {4, {3, 0}, 2, 0, true, 4},      {0, {100, 0}, 2, 0, false, 20},
	};
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;
	size_t i, k;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fixture_close(f);
		fixture_open(f, f->b);
		add_held(f, &test_stream, 20);
		release_job(&job, rows[i].sizes, rows[i].count);
		job.u.decide.selector.first = rows[i].first;
		job.u.decide.selector.percent = rows[i].percent;
		job.u.decide.selector.match = rows[i].match ? is_even : NULL;
		job.u.decide.dry_run = true;
		assert_int_equal(run_job(f, &job), STORE_OK);
		assert_int_equal(job.u.decide.recipients, rows[i].total);
		assert_int_equal(store_view_plan(f->v, 1, NULL, NULL), STORE_MISSING);
		job.u.decide.dry_run = false;
		assert_int_equal(run_job(f, &job), STORE_OK);
		assert_int_equal(job.u.decide.recipients, rows[i].total);
		add_held(f, &test_stream, 3);
		for (k = 0; k < 6; k++) {
			deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok");
			tick(f, TEST_NOW + CLOCK_HOUR);
		}
		assert_int_equal(plan(f).p.state, STORE_PLAN_DONE);
		assert_int_equal(plan(f).p.released, rows[i].total);
		get_batch(f, 1, &b);
		assert_int_equal(b.sent, rows[i].total);
		assert_int_equal(b.held, 23 - rows[i].total);
		check_counts(f);
	}
}

/* ---- a crash between any two steps ---- */

static void
a_crash_between_two_steps_changes_nothing(void **state)
{
	enum { STEPS = 16 };
	struct fixture *f = *state;
	struct batch_numbers b;
	struct store_job job;
	int kill, i;

	for (kill = -1; kill < STEPS; kill++) {
		fixture_close(f);
		fixture_open(f, f->b);
		add_held(f, &test_stream, 12);
		release_job(&job, thirds, 3);
		job.u.decide.rings.wait = CLOCK_MINUTE;
		assert_int_equal(run_job(f, &job), STORE_OK);
		for (i = 0; i < STEPS; i++) {
			int64_t now = clock_wall() + CLOCK_DAY + i * CLOCK_HOUR;

			if (i == kill)
				fixture_reopen(f);
			if (i == 3)
				assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
			else if (i == 5)
				assert_int_equal(step(f, STORE_RESUME), STORE_OK);
			else if (i % 2 == 0)
				deliver(f, now, STORE_SENT, "250 ok");
			else
				tick(f, now);
		}
		if (plan(f).p.state != STORE_PLAN_DONE)
			fail_msg("killed before step %d: %s in ring %u", kill,
				 store_plan_state_name(plan(f).p.state), plan(f).p.ring);
		assert_plan(f, STORE_PLAN_DONE, 3, 12);
		get_batch(f, 1, &b);
		assert_int_equal(b.sent, 12);
		assert_int_equal(count_audit(f, "batch.ring"), 3);
		assert_int_equal(count_audit(f, "batch.done"), 1);
		check_counts(f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rings_are_those_with_mail),
	    BOTH(rings_follow_one_another),
	    BOTH(the_last_ring_closes_the_batch),
	    BOTH(a_pause_takes_back_and_a_resume_goes_on),
	    BOTH(too_many_refusals_pause),
	    BOTH(each_is_counted_once),
	    BOTH(refusals_are_few_and_short),
	    BOTH(giving_up_is_a_refusal),
	    BOTH(what_is_in_hand_comes_back_held),
	    {"a_crash_releases_nothing_of_a_paused_plan", a_crash_releases_nothing_of_a_paused_plan,
	     setup, teardown, (void *)&backend_sqlite},
	    BOTH(a_release_without_a_plan_is_paused_too),
	    BOTH(a_panic_pauses_and_stays_above_a_resume),
	    BOTH(what_is_not_allowed_is_refused_with_a_word),
	    BOTH(a_plain_release_is_added_to),
	    BOTH(discards_make_a_plan_smaller),
	    BOTH(a_part_is_released_in_rings),
	    {"a_crash_between_two_steps_changes_nothing", a_crash_between_two_steps_changes_nothing,
	     setup, teardown, (void *)&backend_sqlite},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
