/*
 * STORE_DECIDE release. Of a batch: a plan, which starts at once, or is only asked for where a
 * second person has to approve it. Of single deliveries: at once. Called by job_decide.c, on the
 * writer's thread inside a transaction.
 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "store/selection.h"

enum store_result
release_check_holds(struct work *w, struct store_job *job, const struct plan_rows *s)
{
	static const char *const option[] = {"--everything", "--environment ", "--source "};
	const struct store_hold *h;

	TRY(plan_find_hold(w, s, &h));
	if (h == NULL)
		return STORE_OK;
	return job_refuse(job, STORE_REFUSED,
			  "%s%.60s is on hold by %.60s; first run `mailfuse unhold %s%.60s`",
			  h->scope == HOLD_EVERYTHING ? "everything" : "", h->name, h->who,
			  option[h->scope], h->name);
}

static struct plan_act
act_of(const struct store_job *job)
{
	return (struct plan_act){.who = job->u.decide.who,
				 .reason = job->u.decide.reason,
				 .now = job->u.decide.now,
				 .due_now = job->u.decide.due_now != 0 ? job->u.decide.due_now
								       : job->u.decide.now};
}

/* ---- a second person ---- */

/* Whether two people have to agree on what one person alone could send too much of. */
static bool
has_limit(const struct store_job *job, const struct work_batch *wb)
{
	return job->u.decide.approve_above > 0 && job->u.decide.approvers > 1 &&
	       strcmp(wb->row.b.environment, "drill") != 0;
}

/* What is still to come of a stream has no number: it is over any limit. */
static bool
needs_approval(const struct store_job *job, const struct work_batch *wb, uint64_t recipients)
{
	return has_limit(job, wb) && (job->u.decide.stream_for > 0 ||
				      wb->row.alone + recipients > job->u.decide.approve_above);
}

enum store_result
release_check_ruling(struct store_job *job, const struct work_batch *wb)
{
	const int64_t id = wb->row.b.id;

	if (job->u.decide.decision != STORE_RELEASE || job->u.decide.stream_for <= 0 ||
	    !has_limit(job, wb))
		return STORE_OK;
	return job_refuse(
	    job, STORE_REFUSED,
	    "B%" PRId64 " holds nothing, and one person alone does not let more of its "
	    "stream pass: release it with --stream when it holds mail again, so that a "
	    "second person can approve",
	    id);
}

static enum store_result
ask(struct work *w, struct store_job *job, struct work_batch *wb, const struct plan_rows *s)
{
	const struct plan_act act = act_of(job);
	struct store_plan *p = &wb->plan->p;
	char until[CLOCK_ISO_BYTES] = "";

	p->approvers = job->u.decide.approvers;
	if (job->u.decide.request_for > 0) {
		p->expires_at = act.now + job->u.decide.request_for;
		clock_format_iso(p->expires_at, until);
	}
	plan_set_state(wb, STORE_PLAN_ASKED, "", act.now);
	if (s != NULL)
		TRY(plan_mark(w, wb->plan, s));
	job->u.decide.asked = true;
	job->u.decide.approvals_missing = plan_missing(wb->plan);
	job->u.decide.request_expires_at = p->expires_at;
	job->u.decide.left = wb->row.b.held;
	return plan_tell(
	    w, wb, &act, "batch.asked", p->total,
	    arena_printf(&w->arena, "plan=%" PRId64 " recipients=%" PRIu64 " approvers=%u", p->id,
			 p->total, p->approvers),
	    arena_printf(&w->arena,
			 "%s asks to release %s of B%" PRId64
			 "; %u more %s to agree%s%s: see `mailfuse show B%" PRId64
			 "`, then run `mailfuse approve B%" PRId64 "`: %s",
			 act.who, work_recipients(w, p->total), p->batch,
			 job->u.decide.approvals_missing,
			 job->u.decide.approvals_missing == 1 ? "person has" : "people have",
			 *until != '\0' ? " before " : "", until, p->batch, p->batch, act.reason));
}

/* ---- a batch ---- */

uint64_t
release_reach(const struct store_job *job, uint64_t held)
{
	const struct store_rings *rings = &job->u.decide.rings;
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < rings->count && i < STORE_RINGS_MAX; i++) {
		if (rings->sizes[i] == 0 || rings->sizes[i] >= held - sum)
			return held;
		sum += rings->sizes[i];
	}
	return rings->count > 0 ? sum : held;
}

static enum store_result
check_rings(struct store_job *job)
{
	const struct store_rings *rings = &job->u.decide.rings;
	uint32_t i;

	for (i = 0; i < rings->count && i < STORE_RINGS_MAX; i++)
		if (rings->sizes[i] == 0 && i + 1 < rings->count)
			break;
	if (i == rings->count)
		return STORE_OK;
	return job_refuse(job, STORE_REFUSED,
			  "write up to %d rings, only the last of which may be \"all\"",
			  (int)STORE_RINGS_MAX);
}

static const char *
where_text(struct work *w, const struct store_plan *p)
{
	if (plan_ring_count(p) <= 1)
		return "";
	return arena_printf(&w->arena, " in rings (ring %u of %u)", p->ring, plan_ring_count(p));
}

static enum store_result
refuse_running(struct work *w, struct store_job *job, const struct store_plan *p)
{
	return job_refuse(job, STORE_REFUSED,
			  "B%" PRId64 " is being released%s by %.60s; wait until it is through, or "
			  "first run `mailfuse pause B%" PRId64 "`",
			  p->batch, where_text(w, p), p->who, p->batch);
}

/* A release at once can join one that is under way; anything else has to wait for it. */
static bool
can_add(const struct store_job *job, const struct work_batch *wb, uint64_t recipients)
{
	const struct store_rings *rings = &job->u.decide.rings;

	return !plan_goes_on(wb->plan) && rings->count == 0 && rings->stop_on < 0 &&
	       job->u.decide.stream_for == 0 && !needs_approval(job, wb, recipients);
}

static enum store_result
fill(struct work *w, const struct store_job *job, struct work_batch *wb, uint64_t total)
{
	struct plan_row *plan;
	struct store_plan *p;

	TRY(plan_make(w, wb, &plan));
	p = &plan->p;
	p->rings = job->u.decide.rings;
	if (p->rings.count == 0)
		p->rings.count = 1; /* of all */
	p->rate_count = job->u.decide.rate_count;
	p->rate_window = job->u.decide.rate_window;
	p->stream_for = job->u.decide.stream_for;
	p->total = total;
	p->created_at = job->u.decide.now;
	p->who = job->u.decide.who;
	p->reason = job->u.decide.reason;
	plan->whole = selection_is_whole(&job->u.decide.selector) && total == wb->row.b.held;
	return STORE_OK;
}

static enum store_result
start(struct work *w, struct store_job *job, struct work_batch *wb, const struct plan_rows *s)
{
	const struct plan_act act = act_of(job);
	const uint64_t size = wb->plan->p.rings.sizes[0];
	struct plan_rows first = *s, later = *s;

	if (size > 0 && size < s->count)
		first.count = (size_t)size;
	later.rows += first.count;
	later.count -= first.count;
	wb->row.alone += s->count;
	plan_set_state(wb, STORE_PLAN_RUNNING, "", act.now);
	TRY(plan_mark(w, wb->plan, &later));
	TRY(plan_begin_ring(w, wb, &first, &act, &job->u.decide.closed));
	job->u.decide.released = first.count;
	return STORE_OK;
}

/* More of the batch goes the same way as what is under way. */
static enum store_result
add(struct work *w, struct store_job *job, struct work_batch *wb, const struct plan_rows *s,
    uint64_t n)
{
	const struct plan_act act = act_of(job);
	struct plan_row *plan = wb->plan;
	const uint32_t count = plan->p.rate_count;
	const int64_t window = plan->p.rate_window;

	plan->p.total += n;
	plan->p.ring_size += n;
	plan->p.rate_count = job->u.decide.rate_count;
	plan->p.rate_window = job->u.decide.rate_window;
	plan->feed_at = 0;
	plan->era = s == NULL ? ++wb->row.era : 0;
	if (s == NULL)
		TRY(plan_feed(w, wb, w->feed_ahead, &act));
	else
		TRY(plan_release(w, plan, s, plan_tag(plan, plan->p.ring), &act));
	if (plan->p.rate_count == 0 && plan_to_feed(plan) == 0) {
		plan->p.rate_count = count;
		plan->p.rate_window = window;
	}
	wb->row.alone += n;
	job->u.decide.released = n;
	if (selection_is_whole(&job->u.decide.selector) && wb->row.b.collecting) {
		wb->row.b.ruling = STORE_RULING_NONE;
		wb->row.b.ruling_until = 0;
		job->u.decide.closed = true;
		return work_batch_end(w, wb, act.due_now);
	}
	return STORE_OK;
}

static void
answer_dry(struct store_job *job, const struct work_batch *wb, uint64_t recipients)
{
	const uint64_t size = job->u.decide.rings.sizes[0];
	struct work_batch then = *wb;

	/* A plan that runs is added to; of one that is replaced, the rest is not released. */
	if (wb->plan == NULL || wb->plan->p.state != STORE_PLAN_RUNNING)
		then.row.alone -= plan_alone_back(wb);
	job->u.decide.asked = needs_approval(job, &then, recipients);
	if (job->u.decide.asked) {
		job->u.decide.approvals_missing = job->u.decide.approvers - 1;
		if (job->u.decide.request_for > 0)
			job->u.decide.request_expires_at =
			    job->u.decide.now + job->u.decide.request_for;
	} else {
		job->u.decide.released = size > 0 && size < recipients ? size : recipients;
	}
	job->u.decide.left = wb->row.b.held - job->u.decide.released;
}

enum store_result
release_batch(struct work *w, struct store_job *job, struct work_batch *wb, struct plan_rows *s)
{
	const struct plan_act act = act_of(job);
	struct plan_row *plan;
	bool joins;

	TRY(check_rings(job));
	s->count = (size_t)release_reach(job, s->count);
	TRY(plan_of(w, wb, &plan));
	joins = plan != NULL && plan->p.state == STORE_PLAN_RUNNING;
	if (joins && !can_add(job, wb, s->count))
		return refuse_running(w, job, &plan->p);
	job->u.decide.recipients = s->count;
	job->u.decide.messages = selection_messages(s, 0);
	if (job->u.decide.dry_run) {
		answer_dry(job, wb, s->count);
		return STORE_OK;
	}
	if (joins)
		return add(w, job, wb, s, s->count);
	if (plan != NULL &&
	    (plan->p.state == STORE_PLAN_ASKED || plan->p.state == STORE_PLAN_PAUSED))
		TRY(plan_end(w, wb, &act, "another release took its place"));
	TRY(fill(w, job, wb, s->count));
	return needs_approval(job, wb, s->count) ? ask(w, job, wb, s) : start(w, job, wb, s);
}

enum store_result
release_whole(struct work *w, struct store_job *job, struct work_batch *wb, uint64_t messages)
{
	const struct plan_act act = act_of(job);
	const uint64_t n = wb->row.b.held;
	struct plan_row *plan;
	struct plan_rows ahead;
	bool joins;

	TRY(plan_look_ahead(w, wb->row.b.id, NULL, &ahead));
	TRY(release_check_holds(w, job, &ahead));
	TRY(check_rings(job));
	TRY(plan_of(w, wb, &plan));
	joins = plan != NULL && plan->p.state == STORE_PLAN_RUNNING;
	if (joins && !can_add(job, wb, n))
		return refuse_running(w, job, &plan->p);
	job->u.decide.recipients = n;
	job->u.decide.messages = messages;
	if (job->u.decide.dry_run) {
		answer_dry(job, wb, n);
		return STORE_OK;
	}
	if (joins)
		return add(w, job, wb, NULL, n);
	if (plan_is_active(plan))
		TRY(plan_end(w, wb, &act, "another release took its place"));
	TRY(fill(w, job, wb, n));
	wb->plan->era = ++wb->row.era;
	if (needs_approval(job, wb, n))
		return ask(w, job, wb, NULL);
	wb->row.alone += n;
	plan_set_state(wb, STORE_PLAN_RUNNING, "", act.now);
	TRY(plan_begin_ring(w, wb, NULL, &act, &job->u.decide.closed));
	job->u.decide.released = wb->plan->p.ring_size;
	return STORE_OK;
}

/* ---- single deliveries ---- */

static enum store_result
check_alone(struct work *w, struct store_job *job, const struct plan_rows *s)
{
	struct work_batch *wb;
	size_t i, k, n;

	for (i = 0; i < s->count; i++) {
		if (s->rows[i].batch == 0 || (i > 0 && s->rows[i].batch == s->rows[i - 1].batch))
			continue;
		TRY(work_batch(w, s->rows[i].batch, &wb));
		if (wb->row.alone + s->count <= job->u.decide.approve_above ||
		    job->u.decide.approve_above == 0)
			continue; /* also if all of them were of this one */
		for (k = n = 0; k < s->count; k++)
			n += s->rows[k].batch == s->rows[i].batch;
		if (needs_approval(job, wb, n))
			return job_refuse(job, STORE_REFUSED,
					  "more than %" PRIu64 " recipients of B%" PRId64
					  " would be released by one person; release the batch "
					  "itself, so that a second person can approve",
					  job->u.decide.approve_above, s->rows[i].batch);
	}
	return STORE_OK;
}

enum store_result
release_ids(struct work *w, struct store_job *job, struct plan_rows *s)
{
	const struct plan_act act = act_of(job);
	struct plan_row rate = {.p.rate_count = job->u.decide.rate_count,
				.p.rate_window = job->u.decide.rate_window};
	struct work_batch *wb;
	size_t i;

	if (job->u.decide.rings.count > 0)
		return job_refuse(job, STORE_REFUSED,
				  "rings are for a whole batch; name the batch, or leave them out");
	TRY(check_alone(w, job, s));
	job->u.decide.released = s->count;
	if (job->u.decide.dry_run)
		return STORE_OK;
	for (i = 0; i < s->count; i++) {
		if (s->rows[i].batch == 0)
			continue;
		TRY(work_batch(w, s->rows[i].batch, &wb));
		wb->row.alone++;
		wb->dirty = true;
	}
	return plan_release(w, &rate, s, 0, &act);
}
