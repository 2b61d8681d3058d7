/*
 * The store's contract, run over both twins: how a release goes on. Rings, stop rules, pauses,
 * second people, rulings, reminders. The machine is drawn in store.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/plan.h"
#include "tests/unit/store_help.h"

enum { HELD_MAX = 64 };

static const uint64_t thirds[] = {2, 5, 0};

/* ---- jobs ---- */

static void
release_job(struct store_job *job, const uint64_t *sizes, uint32_t count)
{
	decide_job(job, STORE_RELEASE, 1);
	memcpy(job->u.decide.rings.sizes, sizes, count * sizeof(*sizes));
	job->u.decide.rings.count = count;
	job->u.decide.due_now = TEST_NOW + CLOCK_MINUTE;
}

static void
step_job(struct store_job *job, enum store_plan_step step, const char *who)
{
	*job = (struct store_job){.op = STORE_PLAN};
	job->u.plan.step = step;
	job->u.plan.batch = 1;
	job->u.plan.who = who;
	job->u.plan.reason = "because";
	job->u.plan.now = job->u.plan.due_now = TEST_NOW + 2 * CLOCK_MINUTE;
}

static enum store_result
step(struct fixture *f, enum store_plan_step what)
{
	struct store_job job;

	step_job(&job, what, "uid:1000(kim)");
	return run_job(f, &job);
}

/* Both clocks alike. The streams that are to be forgotten: how many. */
static size_t
tick(struct fixture *f, int64_t now)
{
	static const int64_t remind_after[] = {CLOCK_HOUR, 4 * CLOCK_HOUR, 24 * CLOCK_HOUR, 0};
	struct store_job job = {.op = STORE_TICK};

	job.u.tick.now = job.u.tick.due_now = now;
	job.u.tick.remind_after = remind_after;
	assert_int_equal(run_job(f, &job), STORE_OK);
	free(job.u.tick.forget);
	return job.u.tick.forget_count;
}

/* ---- looking ---- */

struct seen_plan {
	struct store_plan p;
	char why[200], refusals[800], approved_by[200];
};

static bool
see_plan(void *context, const struct store_plan *p)
{
	struct seen_plan *seen = context;

	seen->p = *p;
	snprintf(seen->why, sizeof(seen->why), "%s", p->why);
	snprintf(seen->refusals, sizeof(seen->refusals), "%s", p->refusals);
	snprintf(seen->approved_by, sizeof(seen->approved_by), "%s", p->approved_by);
	return true;
}

static struct seen_plan
plan(struct fixture *f)
{
	struct seen_plan seen;

	assert_int_equal(store_view_plan(f->v, 1, see_plan, &seen), STORE_OK);
	return seen;
}

static void
assert_plan(struct fixture *f, enum store_plan_state state, uint32_t ring, uint64_t released)
{
	struct seen_plan seen = plan(f);

	if (seen.p.state != state || seen.p.ring != ring || seen.p.released != released)
		fail_msg("the plan is %s in ring %u with %d released",
			 store_plan_state_name(seen.p.state), seen.p.ring, (int)seen.p.released);
}

static enum store_batch_state
batch_state(struct fixture *f)
{
	struct batch_numbers b;

	assert_true(get_batch(f, 1, &b));
	return b.state;
}

/* Claims what is due and reports it: how many there were. */
static uint64_t
deliver(struct fixture *f, int64_t now, enum store_state state, const char *reply)
{
	struct store_delivery_result results[HELD_MAX];
	struct store_job job = {.op = STORE_CLAIM}, done = {.op = STORE_RESULTS};
	const char *staging = "staging";
	size_t i, k, n = 0;

	job.u.claim.environments = &staging;
	job.u.claim.environment_count = 1;
	job.u.claim.now = now;
	job.u.claim.limit = HELD_MAX;
	assert_int_equal(run_job(f, &job), STORE_OK);
	for (i = 0; i < job.u.claim.due_count; i++)
		for (k = 0; k < job.u.claim.due[i].count; k++)
			results[n++] = (struct store_delivery_result){
			    .id = job.u.claim.due[i].id,
			    .number = job.u.claim.due[i].deliveries[k].number,
			    .state = state,
			    .due_at = now + CLOCK_SECOND,
			    .tried = true,
			    .reply = reply};
	store_due_free(job.u.claim.due, job.u.claim.due_count);
	done.u.results.results = results;
	done.u.results.count = n;
	assert_int_equal(run_job(f, &done), STORE_OK);
	free(done.u.results.recalled);
	return n;
}

/* ---- rings ---- */

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(rings_follow_one_another),
	    BOTH(the_last_ring_closes_the_batch),
	    BOTH(a_pause_takes_back_and_a_resume_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
