/*
 * POST /v1/approve, /v1/pause and /v1/resume: one batch a call, one store job each. Called by
 * api.c, on the main loop.
 *
 *   plan_start -> (writer) plan_done -> plan_stored
 *
 * plan_stored() answers and frees the struct plan_call. Who may approve is the store's to say: it
 * knows who asked, and sees two calls at once one after the other.
 */
#include "control/plans.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/json.h"
#include "control/obstacle.h"
#include "control/plan_json.h"
#include "control/request.h"
#include "control/stale.h"

/* One call, until its answer. */
struct plan_call {
	struct store_job job;
	struct loop_post post;
	struct loop *loop;
	struct request *request; /* keeps `reason` and `who` alive too */
	struct store_page page;
};

static const char *
step_name(enum store_plan_step step)
{
	static const char *const names[] = {
	    [STORE_APPROVE] = "approve", [STORE_PAUSE] = "pause", [STORE_RESUME] = "resume"};

	return names[step];
}

/* ---- the answer */

/* Tells the counters, the relay and the alerts of what is durable now. */
static void
plan_spread(const struct plan_call *c)
{
	const struct control_deps *deps = c->request->deps;
	const struct store_job *job = &c->job;
	char id[JSON_BATCH_BYTES];

	if (job->u.plan.dry_run)
		return;
	log_info("%s control.%s who=%s recipients=%" PRIu64 " left=%" PRIu64 " state=%s",
		 json_batch_id(job->u.plan.batch, id), step_name(job->u.plan.step),
		 log_safe(c->request->who), job->u.plan.recipients, job->u.plan.left,
		 store_plan_state_name(job->u.plan.state));
	if (job->u.plan.closed && job->u.plan.stream_hash != 0)
		counters_forget(deps->counters, job->u.plan.stream_hash);
	if (job->u.plan.step == STORE_PAUSE)
		deps->batch_paused(deps->context, job->u.plan.batch);
	deps->queue_poke(deps->context);
	deps->alert_poke(deps->context);
}

static json_t *
plan_answer(const struct plan_call *c)
{
	const struct store_job *job = &c->job;
	json_t *answer = json_make_object(), *plan;
	char id[JSON_BATCH_BYTES];

	json_put_text(answer, "decision", step_name(job->u.plan.step));
	json_put_text(answer, "batch", json_batch_id(job->u.plan.batch, id));
	json_put_text(answer, "state", store_plan_state_name(job->u.plan.state));
	json_put_count(answer, "recipients", job->u.plan.recipients);
	json_put_count(answer, "left", job->u.plan.left);
	json_put_count(answer, "approvals_missing", job->u.plan.approvals_missing);
	json_put_bool(answer, "dry_run", job->u.plan.dry_run);
	if (plan_json_read(c->request->deps->view, job->u.plan.batch, &plan) != STORE_OK)
		plan = json_null();
	json_put(answer, "plan", plan);
	return answer;
}

/* Main loop, after the commit. */
static void
plan_stored(struct loop_post *post)
{
	struct plan_call *c =
	    (struct plan_call *)(void *)((char *)post - offsetof(struct plan_call, post));
	char what[64], id[JSON_BATCH_BYTES];

	if (c->request->deps == NULL) { /* control is gone, nobody waits */
		request_fail(c->request, 503, "mailfused stops");
	} else if (c->job.result == STORE_REFUSED && c->page.changed != 0) {
		stale_fail(c->request, &c->page);
	} else if (c->job.result != STORE_OK) {
		snprintf(what, sizeof(what), "batch %s", json_batch_id(c->job.u.plan.batch, id));
		request_fail_store(c->request, c->job.result, what, c->job.error);
	} else {
		plan_spread(c);
		request_reply(c->request, plan_answer(c));
	}
	free(c);
}

/* Writer's thread. */
static void
plan_done(struct store_job *job)
{
	struct plan_call *c = job->context;

	loop_post(c->loop, &c->post);
}

/* ---- the call */

static bool
read_batch(struct request *r, int64_t *batch)
{
	json_t *ids = json_object_get(r->body, "ids"), *item = json_array_get(ids, 0);

	if (json_is_array(ids) && json_array_size(ids) == 1 && json_is_string(item) &&
	    store_batch_parse(json_string_value(item), batch))
		return true;
	request_fail(r, 400, "ids: name one batch, such as [\"B17\"]");
	return false;
}

/* The number of the plan that somebody was asked about; 0 where absent. */
static bool
read_number(struct request *r, int64_t *out)
{
	json_t *value = json_object_get(r->body, "plan");

	*out = 0;
	if (value == NULL || json_is_null(value))
		return true;
	*out = json_integer_value(value);
	if (json_is_integer(value) && *out >= 1)
		return true;
	request_fail(r, 400, "plan: write the `id` of the batch's plan, a whole number from 1");
	return false;
}

static bool
read_call(struct request *r, enum store_plan_step step, struct store_job *job,
	  struct store_page *page)
{
	static const char *const approve[] = {"ids", "reason", "plan", "dry_run", "seen", NULL};
	static const char *const pause[] = {"ids", "reason", "dry_run", "seen", NULL};
	static const char *const resume[] = {"ids", "reason", "rate", "dry_run", "seen", NULL};
	static const char *const *const known[] = {
	    [STORE_APPROVE] = approve, [STORE_PAUSE] = pause, [STORE_RESUME] = resume};
	const char **reason = &job->u.plan.reason;

	return request_check_fields(r, known[step]) && read_batch(r, &job->u.plan.batch) &&
	       (step == STORE_APPROVE ? request_field_text(r, "reason", REQUEST_REASON_MAX, reason)
				      : request_field_reason(r, reason)) &&
	       read_number(r, &job->u.plan.plan) &&
	       request_field_rate(r, "rate", &job->u.plan.rate_count, &job->u.plan.rate_window) &&
	       request_field_bool(r, "dry_run", &job->u.plan.dry_run) &&
	       stale_read(r, true, page) &&
	       (step == STORE_PAUSE || obstacle_check_batch(r, job->u.plan.batch, page));
}

static void
plan_start(struct request *r, enum store_plan_step step)
{
	struct plan_call *c = mem_zalloc(sizeof(*c));

	if (!read_call(r, step, &c->job, &c->page)) {
		free(c);
		return;
	}
	c->request = r;
	c->loop = r->deps->loop;
	c->post.run = plan_stored;
	c->job.op = STORE_PLAN;
	c->job.done = plan_done;
	c->job.context = c;
	c->job.bytes = sizeof(*c);
	c->job.u.plan.step = step;
	c->job.u.plan.page = &c->page;
	c->job.u.plan.who = r->who;
	c->job.u.plan.now = clock_wall();
	c->job.u.plan.due_now = clock_steady();
	writer_submit(r->deps->store, &c->job);
}

void
plans_approve(struct request *r)
{
	plan_start(r, STORE_APPROVE);
}

void
plans_pause(struct request *r)
{
	plan_start(r, STORE_PAUSE);
}

void
plans_resume(struct request *r)
{
	plan_start(r, STORE_RESUME);
}
