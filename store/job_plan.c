/*
 * STORE_PLAN: somebody approves, pauses or resumes a release. STORE_SEEN: somebody has looked at a
 * batch. Runs on the writer's thread inside a transaction; what is refused has changed nothing.
 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "store/jobs.h"
#include "store/page.h"
#include "store/plan_ring.h"

static struct plan_act
act_of(const struct store_job *job)
{
	return (struct plan_act){.who = job->u.plan.who,
				 .reason = job->u.plan.reason != NULL ? job->u.plan.reason : "",
				 .now = job->u.plan.now,
				 .due_now = job->u.plan.due_now != 0 ? job->u.plan.due_now
								     : job->u.plan.now};
}

static enum store_result
check_hold(struct work *w, struct store_job *job, const struct plan_rows *rows)
{
	const struct store_hold *h;

	TRY(plan_find_hold(w, rows, &h));
	if (h == NULL)
		return STORE_OK;
	return job_refuse(job, STORE_REFUSED,
			  "%s is on hold by %.60s; first end that with `mailfuse unhold`",
			  plan_hold_text(w, h), h->who);
}

/* ---- approve ---- */

static bool
has_agreed(const struct store_plan *p, const char *who)
{
	const char *line = p->approved_by;

	while (*line != '\0') {
		if (plan_is_same_person(line, who))
			return true;
		line += strcspn(line, "\n");
		line += *line == '\n';
	}
	return false;
}

static enum store_result
refuse_unasked(struct store_job *job, const struct work_batch *wb)
{
	const struct plan_row *plan = wb->plan;
	const int64_t id = wb->row.b.id;

	if (plan != NULL && plan->p.state == STORE_PLAN_ENDED && plan->p.approvers > 0)
		return job_refuse(job, STORE_REFUSED,
				  "nothing waits for approval in B%" PRId64
				  " any more: %.100s; whoever still wants it runs `mailfuse "
				  "release B%" PRId64 "` again",
				  id, plan->p.why, id);
	return job_refuse(job, STORE_REFUSED, "nothing waits for approval in B%" PRId64, id);
}

static enum store_result
check_approve(struct store_job *job, const struct work_batch *wb)
{
	const struct plan_row *plan = wb->plan;
	const char *who = job->u.plan.who;

	if (plan == NULL || plan->p.state != STORE_PLAN_ASKED)
		return refuse_unasked(job, wb);
	if (job->u.plan.plan != 0 && job->u.plan.plan != plan->p.id)
		return job_refuse(job, STORE_REFUSED,
				  "another release of B%" PRId64
				  " is asked for meanwhile, by %.60s; look at it again with "
				  "`mailfuse show B%" PRId64 "`",
				  plan->p.batch, plan->p.who, plan->p.batch);
	if (plan->p.expires_at != 0 && plan->p.expires_at <= job->u.plan.now)
		return job_refuse(job, STORE_REFUSED,
				  "the request for B%" PRId64
				  " has lapsed; whoever still wants it runs `mailfuse release "
				  "B%" PRId64 "` again",
				  plan->p.batch, plan->p.batch);
	if (plan_is_same_person(plan->p.who, who))
		return job_refuse(job, STORE_REFUSED,
				  "%.60s asked for this release of B%" PRId64
				  ", so another person has to approve it",
				  who, plan->p.batch);
	if (has_agreed(&plan->p, who))
		return job_refuse(job, STORE_REFUSED,
				  "%.60s has approved B%" PRId64 " already; %u more %s to", who,
				  plan->p.batch, plan_missing(plan),
				  plan_missing(plan) == 1 ? "person has" : "people have");
	return STORE_OK;
}

/* One more person agrees; *last: it is the last one that it needs. */
static enum store_result
agree(struct work *w, struct store_job *job, struct work_batch *wb, bool *last)
{
	const struct plan_act act = act_of(job);
	struct store_plan *p = &wb->plan->p;
	const char *then;
	uint32_t missing;

	p->approved_by = arena_printf(&w->arena, "%s%s\n", p->approved_by, act.who);
	wb->dirty = wb->plan_dirty = true;
	missing = plan_missing(wb->plan);
	*last = missing == 0;
	then = *last
		   ? "it begins now"
		   : arena_printf(&w->arena, "%u more %s to, with `mailfuse approve B%" PRId64 "`",
				  missing, missing == 1 ? "person has" : "people have", p->batch);
	return plan_tell(
	    w, wb, &act, "batch.approved", p->total,
	    arena_printf(&w->arena,
			 "plan=%" PRId64 " recipients=%" PRIu64 " asked_by=%s missing=%u", p->id,
			 p->total, p->who, missing),
	    arena_printf(&w->arena,
			 "%s approves the release of %s of B%" PRId64 " that %s asked for: %s",
			 act.who, work_recipients(w, p->total), p->batch, p->who, then));
}

static uint64_t
first_ring_size(const struct store_plan *p)
{
	return p->rings.sizes[0] > 0 && p->rings.sizes[0] < p->total ? p->rings.sizes[0] : p->total;
}

/* Of what the plan has still to release: what a panic button covers is not sent into a pause. */
static enum store_result
check_later_rows(struct work *w, struct store_job *job, const struct work_batch *wb)
{
	struct plan_rows rows;

	TRY(plan_look_ahead(w, wb->row.b.id, wb->plan, &rows));
	return check_hold(w, job, &rows);
}

static enum store_result
approve(struct work *w, struct store_job *job, struct work_batch *wb)
{
	const struct plan_act act = act_of(job);
	bool last;

	TRY(check_approve(job, wb));
	TRY(check_later_rows(w, job, wb));
	if (job->u.plan.dry_run) {
		last = plan_missing(wb->plan) == 1;
		job->u.plan.state = last ? STORE_PLAN_RUNNING : STORE_PLAN_ASKED;
		job->u.plan.approvals_missing = plan_missing(wb->plan) - 1;
		job->u.plan.recipients = last ? first_ring_size(&wb->plan->p) : 0;
		job->u.plan.left = wb->row.b.held - job->u.plan.recipients;
		return STORE_OK;
	}
	TRY(agree(w, job, wb, &last));
	if (last) {
		wb->row.b.decided_at = act.now;
		wb->row.b.decided_by = act.who;
		wb->row.b.decided_reason = *act.reason != '\0' ? act.reason : wb->plan->p.reason;
		plan_set_state(wb, STORE_PLAN_RUNNING, "", act.now);
		TRY(plan_begin_ring(w, wb, NULL, &act, &job->u.plan.closed));
	}
	job->u.plan.recipients = wb->plan->p.ring_size;
	return STORE_OK;
}

/* ---- pause ---- */

static bool
count_row(void *context, const struct delivery_row *d)
{
	(void)d;
	++*(uint64_t *)context;
	return true;
}

/* What was released without a plan (by id, or by an older mailfuse) gets one, to be paused. */
static enum store_result
adopt(struct work *w, struct work_batch *wb, const struct plan_act *act)
{
	struct plan_row *plan;

	TRY(plan_make(w, wb, &plan));
	plan->p.rings = (struct store_rings){.count = 1, .stop_on = -1};
	plan->p.ring = 1;
	plan->p.ring_started_at = plan->p.created_at = act->now;
	plan->p.who = *wb->row.b.decided_by != '\0' ? wb->row.b.decided_by : act->who;
	plan->p.reason = wb->row.b.decided_reason;
	plan_set_state(wb, STORE_PLAN_RUNNING, "", act->now);
	return STORE_OK;
}

static bool
rules(const struct work_batch *wb)
{
	return wb->row.b.ruling != STORE_RULING_NONE;
}

/* Nothing is on its way, but what still comes passes or is discarded: it is held from here on. */
static enum store_result
end_ruling(struct work *w, struct store_job *job, struct work_batch *wb)
{
	const struct plan_act act = act_of(job);
	const char *goes = wb->row.b.ruling == STORE_RULING_PASS ? "passes" : "is discarded";

	job->u.plan.left = wb->row.b.held;
	if (job->u.plan.dry_run)
		return STORE_OK;
	wb->row.b.ruling = STORE_RULING_NONE;
	wb->row.b.ruling_until = 0;
	wb->dirty = true;
	return plan_tell(w, wb, &act, "batch.paused", 0, arena_printf(&w->arena, "ruling=none"),
			 arena_printf(&w->arena,
				      "what still comes of the stream of B%" PRId64
				      " %s no longer and is held, by %s: %s",
				      wb->row.b.id, goes, act.who, act.reason));
}

static enum store_result
check_pause(struct store_job *job, const struct work_batch *wb)
{
	const struct plan_row *plan = wb->plan;
	const int64_t id = wb->row.b.id;

	if (plan != NULL && plan->p.state == STORE_PLAN_PAUSED)
		return job_refuse(job, STORE_REFUSED,
				  "the release of B%" PRId64
				  " is paused already (%.80s); `mailfuse resume B%" PRId64
				  "` lets it go on",
				  id, plan->p.why, id);
	if (plan != NULL && plan->p.state == STORE_PLAN_RUNNING)
		return STORE_OK;
	if (work_batch_queued(&wb->row.b) > 0 || rules(wb))
		return STORE_OK;
	if (plan != NULL && plan->p.state == STORE_PLAN_ASKED)
		return job_refuse(
		    job, STORE_REFUSED,
		    "nothing of B%" PRId64 " is released yet: it waits for a second person", id);
	return job_refuse(job, STORE_REFUSED,
			  "nothing of B%" PRId64 " is on its way: there is nothing to pause", id);
}

static enum store_result
pause_plan(struct work *w, struct store_job *job, struct work_batch *wb)
{
	const struct plan_act act = act_of(job);
	struct delivery_query q = {
	    .batch = wb->row.b.id, .states = 1U << STORE_QUEUED, .due = DUE_SET, .unordered = true};

	TRY(check_pause(job, wb));
	if (rules(wb) && work_batch_queued(&wb->row.b) == 0 &&
	    (wb->plan == NULL || wb->plan->p.state != STORE_PLAN_RUNNING))
		return end_ruling(w, job, wb);
	if (job->u.plan.dry_run) {
		TRY(w->b->delivery_list(w->db, &q, count_row, &job->u.plan.recipients));
		job->u.plan.state = STORE_PLAN_PAUSED;
		job->u.plan.left = wb->row.b.held + job->u.plan.recipients;
		return STORE_OK;
	}
	if (wb->plan != NULL && wb->plan->p.state == STORE_PLAN_ASKED)
		TRY(plan_end(w, wb, &act, "what went out of the batch was paused"));
	if (wb->plan == NULL || wb->plan->p.state != STORE_PLAN_RUNNING)
		TRY(adopt(w, wb, &act));
	return plan_pause(w, wb, &act, *act.reason != '\0' ? act.reason : "by hand",
			  &job->u.plan.recipients);
}

/* ---- resume ---- */

static enum store_result
check_resume(struct store_job *job, const struct work_batch *wb)
{
	const struct plan_row *plan = wb->plan;
	const int64_t id = wb->row.b.id;

	if (plan != NULL && plan->p.state == STORE_PLAN_PAUSED)
		return STORE_OK;
	if (plan != NULL && plan->p.state == STORE_PLAN_RUNNING)
		return job_refuse(job, STORE_REFUSED,
				  "the release of B%" PRId64 " is not paused: it goes on", id);
	return job_refuse(job, STORE_REFUSED,
			  "no release of B%" PRId64 " is paused; `mailfuse show B%" PRId64
			  "` says how it stands",
			  id, id);
}

static enum store_result
tell_resumed(struct work *w, struct work_batch *wb, const struct plan_act *act, uint64_t released)
{
	const struct store_plan *p = &wb->plan->p;
	const uint64_t still = wb->row.b.held - plan_to_feed(wb->plan);
	const char *ring = "";

	if (plan_ring_count(p) > 1)
		ring = arena_printf(&w->arena, " in ring %u of %u", p->ring, plan_ring_count(p));
	return plan_tell(w, wb, act, "batch.resumed", released,
			 arena_printf(&w->arena, "plan=%" PRId64 " ring=%u/%u recipients=%" PRIu64,
				      p->id, p->ring, plan_ring_count(p), released),
			 arena_printf(&w->arena,
				      "the release of B%" PRId64
				      " goes on%s, by %s: %s %s out now, %" PRIu64 " %s held: %s",
				      p->batch, ring, act->who, work_recipients(w, released),
				      released == 1 ? "goes" : "go", still,
				      still == 1 ? "is" : "are", act->reason));
}

static enum store_result
resume(struct work *w, struct store_job *job, struct work_batch *wb)
{
	const struct plan_act act = act_of(job);
	struct plan_rows rows = {.count = 0};
	struct plan_row *plan = wb->plan;

	TRY(check_resume(job, wb));
	TRY(plan_taken_back(w, wb, &rows));
	TRY(check_hold(w, job, &rows));
	TRY(check_later_rows(w, job, wb));
	job->u.plan.recipients = plan->p.ring_size - plan->p.ring_released;
	if (job->u.plan.dry_run) {
		job->u.plan.state = STORE_PLAN_RUNNING;
		job->u.plan.left = wb->row.b.held - job->u.plan.recipients;
		return STORE_OK;
	}
	if (job->u.plan.rate_count > 0) {
		plan->p.rate_count = job->u.plan.rate_count;
		plan->p.rate_window = job->u.plan.rate_window;
	}
	/* Somebody has seen what was refused: the limit is for what is refused from now on. */
	plan->p.ring_refused = 0;
	plan->p.refusals = "";
	wb->row.b.decided_at = act.now;
	wb->row.b.decided_by = act.who;
	wb->row.b.decided_reason = act.reason;
	plan_set_state(wb, STORE_PLAN_RUNNING, "", act.now);
	plan->feed_at = 0;     /* what that was counted for is taken back */
	if (plan->p.ring == 0) /* it was stopped before its first */
		TRY(plan_begin_ring(w, wb, NULL, &act, &job->u.plan.closed));
	else
		TRY(plan_release(w, plan, &rows, PLAN_TAG_KEEP, &act));
	if (plan_is_hungry(w, plan, act.due_now))
		TRY(plan_feed(w, wb, w->feed_ahead, &act));
	return tell_resumed(w, wb, &act, job->u.plan.recipients);
}

/* ---- the jobs ---- */

enum store_result
job_plan(struct work *w, struct store_job *job)
{
	struct work_batch *wb;
	struct plan_row *plan;
	enum store_result r = work_batch(w, job->u.plan.batch, &wb);

	if (r == STORE_MISSING)
		return job_refuse(job, r,
				  "there is no batch B%" PRId64 "; see `mailfuse batches --all`",
				  job->u.plan.batch);
	TRY(r);
	TRY(plan_of(w, wb, &plan));
	job->u.plan.stream_hash = wb->row.b.stream_hash;
	TRY(page_check(w, job, wb, job->u.plan.page,
		       job->u.plan.step == STORE_PAUSE ? PAGE_LEAVE_PROGRESS | PAGE_LEAVE_NUMBERS
						       : PAGE_LEAVE_PROGRESS));
	switch (job->u.plan.step) {
	case STORE_APPROVE:
		TRY(approve(w, job, wb));
		break;
	case STORE_PAUSE:
		TRY(pause_plan(w, job, wb));
		break;
	case STORE_RESUME:
		TRY(resume(w, job, wb));
		break;
	}
	if (job->u.plan.dry_run)
		return STORE_OK;
	job->u.plan.left = wb->row.b.held - plan_to_feed(wb->plan);
	if (wb->plan == NULL)
		return STORE_OK;
	job->u.plan.state = wb->plan->p.state;
	job->u.plan.approvals_missing = plan_missing(wb->plan);
	return STORE_OK;
}

enum store_result
job_seen(struct work *w, struct store_job *job)
{
	struct work_batch *wb;
	enum store_result r = work_batch(w, job->u.seen.batch, &wb);

	if (r == STORE_MISSING)
		return job_refuse(job, r, "there is no batch B%" PRId64, job->u.seen.batch);
	TRY(r);
	if (wb->row.b.seen_at != 0)
		return STORE_OK;
	wb->row.b.seen_at = job->u.seen.now;
	wb->row.b.seen_by = job->u.seen.who;
	wb->dirty = true;
	return STORE_OK;
}
