/*
 * Helpers of the tests of plans, see store_plan_help.h.
 */
#include "tests/unit/store_plan_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD_MAX = 64 };

/* ---- jobs ---- */

void
release_job(struct store_job *job, const uint64_t *sizes, uint32_t count)
{
	decide_job(job, STORE_RELEASE, 1);
	memcpy(job->u.decide.rings.sizes, sizes, count * sizeof(*sizes));
	job->u.decide.rings.count = count;
	job->u.decide.due_now = TEST_NOW + CLOCK_MINUTE;
}

void
step_job(struct store_job *job, enum store_plan_step step, const char *who)
{
	*job = (struct store_job){.op = STORE_PLAN};
	job->u.plan.step = step;
	job->u.plan.batch = 1;
	job->u.plan.who = who;
	job->u.plan.reason = "because";
	job->u.plan.now = job->u.plan.due_now = TEST_NOW + 2 * CLOCK_MINUTE;
}

enum store_result
step(struct fixture *f, enum store_plan_step what)
{
	struct store_job job;

	step_job(&job, what, "uid:1000(kim)");
	return run_job(f, &job);
}

/* Both clocks alike. The streams that are to be forgotten: how many. */
size_t
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

struct seen_plan
plan(struct fixture *f)
{
	struct seen_plan seen;

	assert_int_equal(store_view_plan(f->v, 1, see_plan, &seen), STORE_OK);
	return seen;
}

void
assert_plan(struct fixture *f, enum store_plan_state state, uint32_t ring, uint64_t released)
{
	struct seen_plan seen = plan(f);

	if (seen.p.state != state || seen.p.ring != ring || seen.p.released != released)
		fail_msg("the plan is %s in ring %u with %d released",
			 store_plan_state_name(seen.p.state), seen.p.ring, (int)seen.p.released);
}

enum store_batch_state
batch_state(struct fixture *f)
{
	struct batch_numbers b;

	assert_true(get_batch(f, 1, &b));
	return b.state;
}

/* Claims what is due and reports it: how many there were. */
uint64_t
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
	return n;
}
