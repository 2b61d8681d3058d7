/*
 * The store's contract, run over both twins: releases that are stopped while an upstream has their
 * mail in hand, whoever stops them, and what people hear of a release that ended badly.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/unit/store_plan_help.h"

static const uint64_t thirds[] = {2, 5, 0};

static void
hand_back(struct fixture *f, uint64_t id, uint32_t number)
{
	struct store_delivery_result result = {
	    .id = id, .number = number, .state = STORE_QUEUED, .due_at = TEST_NOW, .reply = ""};
	struct store_job job = {.op = STORE_RESULTS, .u.results = {.results = &result, .count = 1}};

	assert_int_equal(run_job(f, &job), STORE_OK);
}

static void
release_two(struct fixture *f, uint64_t id)
{
	struct store_delivery_id ids[] = {{id, 2}, {id, 5}};
	struct store_job job;

	decide_job(&job, STORE_RELEASE, 0);
	job.u.decide.selector.ids = ids;
	job.u.decide.selector.id_count = 2;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

/* ---- all of it is in hand ---- */

static void
what_was_released_by_id_comes_back_held(void **state)
{
	struct fixture *f = *state;
	uint64_t id = add_held(f, &test_stream, 10);
	int64_t now = TEST_NOW + CLOCK_HOUR;

	release_two(f, id);
	assert_int_equal(claim(f, "staging", now), 2);
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 2);
	hand_back(f, id, 2);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 1);
	assert_int_equal(count_deliveries(f, 1, STORE_HELD), 9);
	assert_int_equal(batch_state(f), STORE_BATCH_PAUSED);
	assert_int_equal(report(f, id, 5, STORE_SENT, 0), STORE_OK);
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 1);
	assert_plan(f, STORE_PLAN_DONE, 1, 2);
	assert_int_equal(batch_state(f), STORE_BATCH_HELD);
	check_counts(f);
}

/* What a paused release had in hand may also leave after all: nothing is left to resume. */
static void
what_leaves_all_the_same_ends_the_pause(void **state)
{
	struct fixture *f = *state;
	uint64_t id = add_held(f, &test_stream, 10);

	release_two(f, id);
	assert_int_equal(claim(f, "staging", TEST_NOW + CLOCK_HOUR), 2);
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_int_equal(report(f, id, 2, STORE_SENT, 0), STORE_OK);
	assert_int_equal(batch_state(f), STORE_BATCH_PAUSED);
	assert_int_equal(report(f, id, 5, STORE_FAILED, 0), STORE_OK);
	assert_plan(f, STORE_PLAN_DONE, 1, 2);
	assert_int_equal(batch_state(f), STORE_BATCH_HELD);
	check_counts(f);
}

/* The plan's own have left, what somebody released beside it is still in hand. */
static void
what_was_released_beside_the_plan_is_paused_with_it(void **state)
{
	struct fixture *f = *state;
	const uint64_t four[] = {1, 3};
	struct store_job job;
	uint64_t id = add_held(f, &test_stream, 10);
	int64_t now = TEST_NOW + CLOCK_HOUR;

	release_job(&job, four, 2);
	assert_int_equal(run_job(f, &job), STORE_OK);
	release_two(f, id);
	assert_int_equal(claim(f, "staging", now), 3);
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_int_equal(report(f, id, 1, STORE_SENT, 0), STORE_OK);
	hand_back(f, id, 2);
	hand_back(f, id, 5);
	assert_int_equal(plan(f).p.state, STORE_PLAN_PAUSED);
	assert_int_equal(claim(f, "staging", now), 0);
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 2);
	tick(f, now);
	assert_int_equal(plan(f).p.ring, 2);
	/* one of the three of its second ring went by its id */
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 2);
	assert_int_equal(plan(f).p.state, STORE_PLAN_DONE);
	assert_int_equal(plan(f).p.released, plan(f).p.total);
	check_counts(f);
}

/* ---- a panic button ---- */

/* Nothing of the source waits in the store: the button meets its mail as it comes back. */
static void
a_panic_meets_what_comes_back(void **state)
{
	struct fixture *f = *state;
	struct verdict_stream stream = test_stream;
	struct store_job job;
	uint64_t id;
	int64_t now = TEST_NOW + CLOCK_HOUR;

	stream.source = ""; /* per environment: mail of many sources */
	id = add_held(f, &stream, 10);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(claim(f, "staging", now), 2);
	assert_int_equal(press(f, true, 2, "10.2.0.7", TEST_NOW + 5), STORE_OK);
	hand_back(f, id, 1);
	hand_back(f, id, 2);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 0);
	assert_non_null(strstr(plan(f).why, "source 10.2.0.7 is on hold"));
	assert_int_equal(batch_state(f), STORE_BATCH_PAUSED);
	assert_int_equal(take_alerts(f, "batch.paused"), 1);
	assert_int_equal(press(f, false, 2, "10.2.0.7", TEST_NOW + 6), STORE_OK);
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 2);
	tick(f, now);
	assert_plan(f, STORE_PLAN_RUNNING, 2, 7);
	check_counts(f);
}

/* Nothing of the present ring is left: what the next one has is covered. */
static void
a_hold_is_above_a_resume_between_two_rings(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	int64_t now = TEST_NOW + CLOCK_HOUR;

	add_held(f, &test_stream, 10);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 2);
	assert_int_equal(press(f, true, 1, "staging", TEST_NOW + 5), STORE_OK);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 2);
	step_job(&job, STORE_RESUME, "uid:1000(kim)");
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_non_null(strstr(job.error, "environment staging is on hold by uid:0(root)"));
	assert_plan(f, STORE_PLAN_PAUSED, 1, 2);
	press(f, false, 1, "staging", TEST_NOW + 6);
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	tick(f, now);
	assert_plan(f, STORE_PLAN_RUNNING, 2, 7);
	check_counts(f);
}

/* ---- the stop rule ---- */

/* Nothing is left to pause, but people must hear why so little arrived. */
static void
a_last_ring_over_the_limit_is_told(void **state)
{
	static const struct {
		uint64_t sizes[2];
		uint32_t count;
		double stop_on;
		uint64_t told;
	} rows[] = {
	    {{0}, 0, -1, 0}, /* a plain release, without a stop rule: as any mail that fails */
	    {{0}, 0, 2, 1},
	    {{0}, 0, 100, 0},
	    {{6}, 1, 0, 1},
	};
	struct fixture *f = *state;
	struct store_job job;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fixture_close(f);
		fixture_open(f, f->b);
		add_held(f, &test_stream, 6);
		release_job(&job, rows[i].sizes, rows[i].count);
		job.u.decide.rings.stop_on = rows[i].stop_on;
		assert_int_equal(run_job(f, &job), STORE_OK);
		deliver(f, TEST_NOW + CLOCK_HOUR, STORE_FAILED, "550 5.7.1 blocked");
		assert_plan(f, STORE_PLAN_DONE, 1, 6);
		assert_string_equal(plan(f).why,
				    rows[i].told == 0 ? ""
				    : rows[i].stop_on > 0
					? "6 of 6 recipients were refused (0 for now, 6 for good), "
					  "more than 2 %"
					: "6 of 6 recipients were refused (0 for now, 6 for good), "
					  "more than 0 %");
		assert_int_equal(count_audit(f, "batch.done"), rows[i].told);
		assert_int_equal(take_alerts(f, "batch.done"), rows[i].told);
		check_counts(f);
	}
}

/* ---- another release in its place ---- */

static void
a_dry_run_says_what_becomes_of_a_paused_one(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	int dry;

	add_held(f, &test_stream, 10);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok"), 2);
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	for (dry = 1; dry >= 0; dry--) {
		decide_job(&job, STORE_RELEASE, 1);
		job.u.decide.approve_above = 10;
		job.u.decide.approvers = 2;
		job.u.decide.dry_run = dry;
		assert_int_equal(run_job(f, &job), STORE_OK);
		assert_false(job.u.decide.asked); /* two and eight are ten */
		assert_int_equal(job.u.decide.released, 8);
		assert_int_equal(job.u.decide.left, 0);
	}
	check_counts(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(what_was_released_by_id_comes_back_held),
	    BOTH(what_leaves_all_the_same_ends_the_pause),
	    BOTH(what_was_released_beside_the_plan_is_paused_with_it),
	    BOTH(a_panic_meets_what_comes_back),
	    BOTH(a_hold_is_above_a_resume_between_two_rings),
	    BOTH(a_last_ring_over_the_limit_is_told),
	    BOTH(a_dry_run_says_what_becomes_of_a_paused_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
