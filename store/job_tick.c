/*
 * STORE_TICK: what time brings. Rings that begin, requests that lapse, rulings that end, reminders;
 * and whether a purge has left rows to delete. Once a second, on the writer's thread inside a
 * transaction. It costs what is active: plans, rulings, and batches that nobody has looked at, each
 * by an index of its own; it reads no delivery and writes nothing while nothing is due.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "store/jobs.h"
#include "store/plan_ring.h"

/* Batches to look at: a list's callback must not change anything. */
struct todo {
	struct store_job *job;
	struct work *w;
	int64_t *batches;
	size_t count, cap;
};

static void
todo_add(struct todo *t, int64_t batch)
{
	int64_t *more;

	if (t->count == t->cap) {
		t->cap = t->cap > 0 ? t->cap * 2 : 16;
		more = arena_alloc(&t->w->arena, t->cap * sizeof(*more));
		if (t->count > 0)
			memcpy(more, t->batches, t->count * sizeof(*more));
		t->batches = more;
	}
	t->batches[t->count++] = batch;
}

static struct plan_act
act_of(const struct store_job *job)
{
	return (struct plan_act){.who = "gate",
				 .reason = "",
				 .now = job->u.tick.now,
				 .due_now = job->u.tick.due_now != 0 ? job->u.tick.due_now
								     : job->u.tick.now};
}

static void
forget(struct store_job *job, uint64_t stream)
{
	size_t n = job->u.tick.forget_count++;

	job->u.tick.forget = mem_resize_array(job->u.tick.forget, n + 1, sizeof(stream));
	job->u.tick.forget[n] = stream;
}

/* ---- plans ---- */

static bool
is_due(const struct work *w, const struct store_job *job, const struct plan_row *plan)
{
	const struct store_plan *p = &plan->p;

	if (p->state == STORE_PLAN_ASKED)
		return p->expires_at != 0 && p->expires_at <= job->u.tick.now;
	if (plan_is_hungry(w, plan, act_of(job).due_now))
		return true;
	return plan_ring_is_through(plan) &&
	       (p->next_ring_at == 0 || p->next_ring_at <= act_of(job).due_now);
}

static bool
see_plan(void *context, const struct plan_row *plan)
{
	struct todo *t = context;

	/* Also while its queue is full: the relay may empty it within a second. */
	if (plan_to_feed(plan) > 0 && plan->p.rate_count == 0)
		t->job->u.tick.more = true;
	if (is_due(t->w, t->job, plan))
		todo_add(t, plan->p.batch);
	return true;
}

static enum store_result
lapse(struct work *w, struct work_batch *wb, const struct plan_act *act)
{
	const struct store_plan *p = &wb->plan->p;

	plan_set_state(wb, STORE_PLAN_ENDED, "nobody approved it in time", act->now);
	return plan_tell(
	    w, wb, act, "batch.lapsed", p->total,
	    arena_printf(&w->arena, "plan=%" PRId64 " recipients=%" PRIu64 " asked_by=%s", p->id,
			 p->total, p->who),
	    arena_printf(&w->arena,
			 "nobody approved in time what %s asked for: B%" PRId64
			 " stays held (%s). Ask again with `mailfuse release B%" PRId64
			 "`, or run `mailfuse discard B%" PRId64 "`",
			 p->who, p->batch, work_recipients(w, wb->row.b.held), p->batch, p->batch));
}

/* A step of a release that goes on by itself: a fifth of what may be queued ahead. */
static enum store_result
feed(struct work *w, struct store_job *job, struct work_batch *wb, const struct plan_act *act)
{
	const struct store_plan *p = &wb->plan->p;
	const uint64_t before = p->released;

	TRY(plan_feed(w, wb, 1 + w->feed_ahead / 5, act));
	job->u.tick.released = job->u.tick.released || p->released > before;
	return STORE_OK;
}

static enum store_result
go_on(struct work *w, struct store_job *job, struct work_batch *wb, const struct plan_act *act)
{
	struct store_plan *p = &wb->plan->p;
	bool closed = false;
	uint64_t before = p->released;

	if (plan_goes_on(wb->plan) && p->next_ring_at == 0 && p->rings.wait > 0) {
		p->next_ring_at = act->due_now + p->rings.wait;
		wb->dirty = wb->plan_dirty = true;
		return STORE_OK;
	}
	if (!plan_goes_on(wb->plan)) {
		wb->plan_dirty = true; /* plan_settle() ends it */
		return STORE_OK;
	}
	TRY(plan_begin_ring(w, wb, NULL, act, &closed));
	job->u.tick.released = job->u.tick.released || p->released > before;
	if (closed)
		forget(job, wb->row.b.stream_hash);
	return STORE_OK;
}

static enum store_result
tick_plans(struct work *w, struct store_job *job)
{
	const struct plan_act act = act_of(job);
	struct todo t = {.job = job, .w = w};
	struct work_batch *wb;
	struct plan_row *plan;
	size_t i;

	TRY(w->b->plan_list(w->db, 0, 1U << STORE_PLAN_ASKED | 1U << STORE_PLAN_RUNNING, see_plan,
			    &t));
	for (i = 0; i < t.count; i++) {
		TRY(work_batch(w, t.batches[i], &wb));
		TRY(plan_of(w, wb, &plan));
		if (plan->p.state == STORE_PLAN_ASKED)
			TRY(lapse(w, wb, &act));
		else if (plan_to_feed(plan) > 0)
			TRY(feed(w, job, wb, &act));
		else
			TRY(go_on(w, job, wb, &act));
		/* What was told here, and what plan_settle() is about to tell. */
		job->u.tick.told =
		    job->u.tick.told || (plan->p.next_ring_at == 0 && plan_to_feed(plan) == 0);
	}
	return STORE_OK;
}

/* ---- rulings ---- */

static bool
see_ruled(void *context, const struct batch_row *b)
{
	struct todo *t = context;

	if (b->b.ruling_until <= act_of(t->job).due_now)
		todo_add(t, b->b.id);
	return true;
}

static enum store_result
tick_rulings(struct work *w, struct store_job *job)
{
	const struct batch_query ruled = {.ruled = true};
	const struct plan_act act = act_of(job);
	struct todo t = {.job = job, .w = w};
	struct work_batch *wb;
	size_t i;

	TRY(w->b->batch_list(w->db, &ruled, see_ruled, &t));
	for (i = 0; i < t.count; i++) {
		const char *goes;

		TRY(work_batch(w, t.batches[i], &wb));
		goes = wb->row.b.ruling == STORE_RULING_PASS ? "pass" : "discard";
		wb->row.b.ruling = STORE_RULING_NONE;
		wb->row.b.ruling_until = 0;
		TRY(work_batch_end(w, wb, act.due_now));
		forget(job, wb->row.b.stream_hash);
		TRY(plan_audit(w, wb, &act, "batch.closed",
			       arena_printf(&w->arena, "ruling=%s", goes)));
	}
	return STORE_OK;
}

/* ---- reminders ---- */

static int64_t
since_of(const struct batch_row *b)
{
	return b->remind_from != 0 ? b->remind_from : b->b.opened_at;
}

/* How many reminders are due by now: the times given, then one a day. */
static uint32_t
reminders_due(const struct store_job *job, const struct batch_row *b)
{
	const int64_t *after = job->u.tick.remind_after, last = job->u.tick.now - since_of(b);
	uint32_t n = 0;

	if (after == NULL || *after == 0)
		return 0;
	while (after[n] != 0 && after[n] <= last)
		n++;
	if (after[n] == 0)
		n += (uint32_t)((last - after[n - 1]) / CLOCK_DAY);
	return n;
}

static bool
see_unseen(void *context, const struct batch_row *b)
{
	struct todo *t = context;

	if (b->b.decided_at <= since_of(b) && reminders_due(t->job, b) > b->reminded)
		todo_add(t, b->b.id);
	return true;
}

static const char *
waiting_text(struct work *w, const struct work_batch *wb, int64_t waited)
{
	const struct store_batch *b = &wb->row.b;
	const char *held = work_recipients(w, b->held);
	char duration[UNITS_BYTES];

	/* whole minutes: nobody wants to read microseconds */
	units_format_duration(waited / CLOCK_MINUTE * CLOCK_MINUTE, duration);
	if (b->state == STORE_BATCH_PAUSED)
		return arena_printf(&w->arena,
				    "the release of B%" PRId64
				    " has been paused for %s, with %s held, and nobody has looked "
				    "at it: `mailfuse show B%" PRId64
				    "`, then `mailfuse resume B%" PRId64
				    "` or `mailfuse discard B%" PRId64 "`",
				    b->id, duration, held, b->id, b->id, b->id);
	return arena_printf(
	    &w->arena,
	    "B%" PRId64
	    " has waited for %s, with %s held, and nobody has looked at it: `mailfuse show "
	    "B%" PRId64 "`, then `mailfuse release B%" PRId64 "` or `mailfuse discard B%" PRId64
	    "`",
	    b->id, duration, held, b->id, b->id, b->id);
}

static enum store_result
tick_reminders(struct work *w, struct store_job *job)
{
	const struct batch_query unseen = {.unseen = true};
	const struct plan_act act = act_of(job);
	struct todo t = {.job = job, .w = w};
	struct work_batch *wb;
	size_t i;

	TRY(w->b->batch_list(w->db, &unseen, see_unseen, &t));
	for (i = 0; i < t.count; i++) {
		int64_t waited;

		TRY(work_batch(w, t.batches[i], &wb));
		waited = act.now - since_of(&wb->row);
		wb->row.reminded = reminders_due(job, &wb->row);
		wb->dirty = true;
		TRY(plan_tell(w, wb, &act, "batch.waiting", wb->row.b.held,
			      arena_printf(&w->arena, "reminder=%u", wb->row.reminded),
			      waiting_text(w, wb, waited)));
		job->u.tick.told = true;
	}
	return STORE_OK;
}

/* ---- what is gone ---- */

static bool
see_gone(void *context, const struct batch_row *b)
{
	(void)b;
	*(bool *)context = true;
	return false;
}

enum store_result
job_tick(struct work *w, struct store_job *job)
{
	const struct batch_query gone = {.gone = true};

	TRY(w->b->batch_list(w->db, &gone, see_gone, &job->u.tick.gone));
	TRY(tick_plans(w, job));
	TRY(tick_rulings(w, job));
	return tick_reminders(w, job);
}
