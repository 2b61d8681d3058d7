/*
 * A plan at work: its rings, its pauses, its end, with their audit and alert rows. See plan_ring.h
 * for callers and threads, and store.h for the machine.
 */
#include "store/plan_ring.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "store/refusals.h"

/* ---- telling ---- */

enum store_result
plan_audit(struct work *w, struct work_batch *wb, const struct plan_act *act, const char *event,
	   const char *detail)
{
	return work_audit(w, act->now, act->who, event,
			  arena_printf(&w->arena, "B%" PRId64, wb->row.b.id), act->reason,
			  arena_printf(&w->arena, "%s%s%s", work_batch_counts(w, wb),
				       *detail != '\0' ? " " : "", detail));
}

enum store_result
plan_tell(struct work *w, struct work_batch *wb, const struct plan_act *act, const char *event,
	  uint64_t count, const char *detail, const char *text)
{
	const struct store_batch *b = &wb->row.b;

	TRY(plan_audit(w, wb, act, event, detail));
	return work_alert(w, &(struct event_row){
				 .at = act->now,
				 .event = event,
				 .environment = b->environment,
				 .batch = b->id,
				 .count = (int64_t)count,
				 .who = act->who,
				 .reason = act->reason,
				 .text = arena_printf(
				     &w->arena, "%s: %s",
				     *b->environment != '\0' ? b->environment : "mailfuse", text)});
}

const char *
plan_hold_text(struct work *w, const struct store_hold *h)
{
	if (h->scope == HOLD_EVERYTHING)
		return "everything";
	return arena_printf(&w->arena, "%s %s",
			    h->scope == HOLD_ENVIRONMENT ? "environment" : "source", h->name);
}

static const char *
ring_text(struct work *w, const struct plan_row *plan)
{
	if (plan_ring_count(&plan->p) <= 1)
		return "";
	return arena_printf(&w->arena, " in ring %u of %u", plan->p.ring,
			    plan_ring_count(&plan->p));
}

static const char *
ring_detail(struct work *w, const struct plan_row *plan)
{
	const struct store_plan *p = &plan->p;

	return arena_printf(
	    &w->arena,
	    "plan=%" PRId64 " ring=%u/%u size=%" PRIu64 " sent=%" PRIu64 " failed=%" PRIu64
	    " deferred=%" PRIu64 " refused=%" PRIu64 " total=%" PRIu64 " released=%" PRIu64,
	    p->id, p->ring, plan_ring_count(p), p->ring_size, p->ring_sent, p->ring_failed,
	    p->ring_deferred, p->ring_refused, p->total, p->released);
}

/* ---- rings ---- */

enum store_result
plan_find_hold(struct work *w, const struct plan_rows *rows, const struct store_hold **out)
{
	size_t i;

	*out = NULL;
	for (i = 0; i < rows->count && *out == NULL; i++)
		TRY(work_hold_find(w, rows->rows[i].environment_name, rows->rows[i].source, out));
	return STORE_OK;
}

enum store_result
plan_release(struct work *w, struct plan_row *plan, const struct plan_rows *rows, int64_t tag,
	     const struct plan_act *act)
{
	const uint32_t rate = plan->p.rate_count;
	const int64_t from = plan->feed_at > act->due_now ? plan->feed_at : act->due_now;
	struct delivery_row next;
	size_t i;

	for (i = 0; i < rows->count; i++) {
		next = rows->rows[i];
		next.state = STORE_QUEUED;
		next.changed_at = act->now;
		next.due_at = act->due_now;
		if (rate > 0)
			next.due_at = from + (int64_t)((__int128)i * plan->p.rate_window / rate);
		next.queued_at = next.due_at;
		next.ring = tag != PLAN_TAG_KEEP ? tag : plan_tag_again(&next);
		TRY(work_move(w, &rows->rows[i], &next));
	}
	plan->feed_at = 0;
	if (rate > 0)
		plan->feed_at = from + (int64_t)((__int128)i * plan->p.rate_window / rate);
	return STORE_OK;
}

enum store_result
plan_mark(struct work *w, struct plan_row *plan, const struct plan_rows *rows)
{
	size_t i;

	for (i = 0; i < rows->count; i++)
		TRY(work_mark(w, &rows->rows[i], plan_tag(plan, 0)));
	return STORE_OK;
}

/* The oldest of what was decided on and waits, as many as ring number `ring` takes. */
static enum store_result
list_ring(struct work *w, struct plan_row *plan, uint32_t ring, struct plan_rows *out)
{
	const struct store_plan *p = &plan->p;
	uint64_t size = ring <= p->rings.count ? p->rings.sizes[ring - 1] : 0;
	struct delivery_query q = {
	    .batch = p->batch, .states = 1U << STORE_HELD, .ring = plan_query(plan, 0)};

	if (size > 0 && size < UINT32_MAX)
		q.limit = (uint32_t)size;
	return work_list(w, &q, false, &out->rows, &out->count);
}

/* Of what has no tags, the oldest. */
static enum store_result
list_untagged(struct work *w, const struct plan_row *plan, uint64_t limit, struct plan_rows *out)
{
	struct delivery_query q = {.batch = plan->p.batch,
				   .states = 1U << STORE_HELD,
				   .era_before = plan->era,
				   .limit = limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX};

	*out = (struct plan_rows){.count = 0};
	return limit > 0 ? work_list(w, &q, false, &out->rows, &out->count) : STORE_OK;
}

enum store_result
plan_look_ahead(struct work *w, int64_t batch, const struct plan_row *plan, struct plan_rows *out)
{
	struct delivery_query q = {
	    .batch = batch, .states = 1U << STORE_HELD, .limit = PLAN_LOOK_AHEAD};
	bool any;

	*out = (struct plan_rows){.count = 0};
	TRY(work_hold_any(w, &any));
	if (!any)
		return STORE_OK;
	if (plan != NULL && plan->era > 0)
		q.era_before = plan->era;
	else if (plan != NULL)
		q.ring = plan_query(plan, 0);
	return work_list(w, &q, false, &out->rows, &out->count);
}

/* How many the present ring may have queued and unanswered at once. */
static uint64_t
room_of(const struct work *w, const struct store_plan *p)
{
	const uint64_t queued = p->ring_released - p->ring_sent - p->ring_failed;

	return queued < w->feed_ahead ? w->feed_ahead - queued : 0;
}

bool
plan_is_hungry(const struct work *w, const struct plan_row *plan, int64_t due_now)
{
	return plan_to_feed(plan) > 0 && room_of(w, &plan->p) > 0 &&
	       (plan->p.rate_count == 0 || plan->feed_at <= due_now + PLAN_FEED_AHEAD_TIME);
}

static enum store_result
pause_under(struct work *w, struct work_batch *wb, const struct plan_act *act,
	    const struct store_hold *hold)
{
	uint64_t taken;

	return plan_pause(
	    w, wb, act,
	    arena_printf(&w->arena, "%s is on hold by %s", plan_hold_text(w, hold), hold->who),
	    &taken);
}

enum store_result
plan_feed(struct work *w, struct work_batch *wb, uint64_t limit, const struct plan_act *act)
{
	struct plan_row *plan = wb->plan;
	struct store_plan *p = &plan->p;
	uint64_t n = plan_to_feed(plan), room = room_of(w, p);
	const struct store_hold *hold;
	struct plan_rows rows;

	n = n < room ? n : room;
	n = n < limit ? n : limit;
	TRY(list_untagged(w, plan, n, &rows));
	TRY(plan_find_hold(w, &rows, &hold));
	if (hold != NULL)
		return pause_under(w, wb, act, hold);
	wb->dirty = wb->plan_dirty = true;
	if (rows.count == 0 && n > 0) { /* what it was decided on is gone */
		p->total -= p->ring_size - p->ring_released;
		p->ring_size = p->ring_released;
	}
	return plan_release(w, plan, &rows, plan_tag(plan, p->ring), act);
}

/* All that was decided on has left the quarantine: what becomes of the stream now. */
static enum store_result
end_batch(struct work *w, struct work_batch *wb, const struct plan_act *act, bool *closed)
{
	struct store_batch *b = &wb->row.b;

	if (wb->plan->p.stream_for > 0) {
		b->ruling = STORE_RULING_PASS;
		b->ruling_until = act->due_now + wb->plan->p.stream_for;
	} else if (b->held == plan_to_feed(wb->plan) &&
		   (b->collecting || b->ruling != STORE_RULING_NONE)) {
		b->ruling = STORE_RULING_NONE;
		b->ruling_until = 0;
		*closed = true;
		return work_batch_end(w, wb, act->due_now);
	}
	wb->dirty = true;
	return STORE_OK;
}

/* What a ring takes of what is left. */
static uint64_t
ring_target(const struct store_plan *p, uint32_t ring)
{
	const uint64_t size = ring <= p->rings.count ? p->rings.sizes[ring - 1] : 0;
	const uint64_t left = p->total - p->released;

	return size > 0 && size < left ? size : left;
}

enum store_result
plan_begin_ring(struct work *w, struct work_batch *wb, const struct plan_rows *rows,
		const struct plan_act *act, bool *closed)
{
	struct plan_row *plan = wb->plan;
	struct store_plan *p = &plan->p;
	const struct store_hold *hold;
	const uint64_t target = ring_target(p, p->ring + 1);
	struct plan_rows found;

	if (rows == NULL && plan->era > 0)
		TRY(list_untagged(w, plan, target < w->feed_ahead ? target : w->feed_ahead,
				  &found));
	else if (rows == NULL)
		TRY(list_ring(w, plan, p->ring + 1, &found));
	rows = rows != NULL ? rows : &found;
	TRY(plan_find_hold(w, rows, &hold));
	if (hold != NULL)
		return pause_under(w, wb, act, hold);
	p->ring++;
	p->ring_size = plan->era > 0 && rows->count > 0 ? target : rows->count;
	plan->feed_at = 0;
	p->ring_released = p->ring_sent = p->ring_failed = p->ring_deferred = p->ring_refused = 0;
	p->refusals = "";
	p->ring_started_at = act->now;
	p->next_ring_at = 0;
	wb->dirty = wb->plan_dirty = true;
	TRY(plan_release(w, plan, rows, plan_tag(plan, p->ring), act));
	if (rows->count == 0)
		p->total = p->released; /* what it was decided on is gone */
	if (p->ring_size - p->ring_released == p->total - p->released && plan->whole)
		TRY(end_batch(w, wb, act, closed));
	if (p->rings.count <= 1)
		return STORE_OK;
	return plan_audit(w, wb, act, "batch.ring", ring_detail(w, plan));
}

/* ---- pause ---- */

enum store_result
plan_taken_back(struct work *w, struct work_batch *wb, struct plan_rows *out)
{
	const struct store_plan *p = &wb->plan->p;
	const uint64_t n = p->ring_size - p->ring_released;
	struct delivery_query q = {.batch = wb->row.b.id,
				   .states = 1U << STORE_HELD,
				   .ring = plan_query(wb->plan, p->ring),
				   .era_from = wb->plan->era};

	*out = (struct plan_rows){.count = 0};
	if (n == 0)
		return STORE_OK;
	/* They are mostly the oldest: with their number known, the rest of the batch is not read.
	 * Of a plan without tags n has also what was never released, which is of older eras. */
	if (n < UINT32_MAX)
		q.limit = (uint32_t)n;
	return work_list(w, &q, false, &out->rows, &out->count);
}

/* Held again, it belongs to the present ring, whoever released it. */
static void
take_back(const struct plan_row *plan, struct delivery_row *next)
{
	next->state = STORE_HELD;
	next->due_at = 0;
	if (!plan_has(plan, next))
		next->ring = plan_tag(plan, plan->p.ring);
}

enum store_result
plan_hold_again(struct work *w, struct delivery_row *next)
{
	struct plan_row *plan;
	struct work_batch *wb;

	TRY(work_batch(w, next->batch, &wb));
	TRY(plan_of(w, wb, &plan));
	if (plan != NULL && plan->p.state == STORE_PLAN_PAUSED)
		take_back(plan, next);
	return STORE_OK;
}

static const char *
paused_text(struct work *w, const struct work_batch *wb, const struct plan_act *act)
{
	const struct store_plan *p = &wb->plan->p;
	const char *refusals = refusals_describe(w, p->refusals);
	const int64_t id = wb->row.b.id;

	return arena_printf(
	    &w->arena,
	    "the release of B%" PRId64 " is paused%s by %s: %s%s%s (%" PRIu64
	    " of %s were released, %" PRIu64 " are held). Go on with `mailfuse resume B%" PRId64
	    "`, or end it with `mailfuse discard B%" PRId64 "`",
	    id, ring_text(w, wb->plan), act->who, p->why, *refusals != '\0' ? ": " : "", refusals,
	    p->released, work_recipients(w, p->total), wb->row.b.held, id, id);
}

/* Released beside the plan and in a relay's hand: of the present ring too, so that it is held again
 * when it is handed back, and the pause lasts until the last of it has come back or left. */
static enum store_result
take_along(struct work *w, struct work_batch *wb, const struct delivery_row *d)
{
	struct plan_row *plan = wb->plan;
	struct store_plan *p = &plan->p;

	if (plan_has(plan, d))
		return STORE_OK;
	p->total++;
	p->released++;
	p->ring_size++;
	p->ring_released++;
	return work_mark(w, d, plan_tag(plan, p->ring));
}

enum store_result
plan_pause(struct work *w, struct work_batch *wb, const struct plan_act *act, const char *why,
	   uint64_t *taken_back)
{
	struct delivery_query q = {.batch = wb->row.b.id, .states = 1U << STORE_QUEUED};
	struct delivery_row *rows, next;
	size_t i, n;

	plan_set_state(wb, STORE_PLAN_PAUSED, why, act->now);
	*taken_back = 0;
	TRY(work_list(w, &q, false, &rows, &n));
	for (i = 0; i < n; i++) {
		if (rows[i].due_at == 0) {
			TRY(take_along(w, wb, &rows[i]));
			continue;
		}
		next = rows[i];
		take_back(wb->plan, &next);
		next.changed_at = act->now;
		TRY(work_move(w, &rows[i], &next));
		++*taken_back;
	}
	/* Somebody has to look again. */
	wb->row.b.seen_at = 0;
	wb->row.b.seen_by = "";
	wb->row.remind_from = act->now;
	wb->row.reminded = 0;
	return plan_tell(w, wb, act, "batch.paused", *taken_back,
			 arena_printf(&w->arena, "%s why=%s", ring_detail(w, wb->plan), why),
			 paused_text(w, wb, act));
}

/* ---- the end ---- */

uint64_t
plan_alone_back(const struct work_batch *wb)
{
	const struct plan_row *plan = wb->plan;
	uint64_t unreleased;

	if (plan == NULL || plan->p.approvers > 0 ||
	    (plan->p.state != STORE_PLAN_RUNNING && plan->p.state != STORE_PLAN_PAUSED))
		return 0;
	unreleased = plan->p.total - plan->p.released;
	return unreleased < wb->row.alone ? unreleased : wb->row.alone;
}

enum store_result
plan_end(struct work *w, struct work_batch *wb, const struct plan_act *act, const char *why)
{
	const struct store_plan *p = &wb->plan->p;
	const char *was = store_plan_state_name(p->state);

	wb->row.alone -= plan_alone_back(wb);
	plan_set_state(wb, STORE_PLAN_ENDED, why, act->now);
	return plan_audit(
	    w, wb, act, "plan.ended",
	    arena_printf(&w->arena, "plan=%" PRId64 " was=%s why=%s", p->id, was, why));
}

static const char *
over_text(struct work *w, const struct store_plan *p)
{
	return arena_printf(&w->arena,
			    "%" PRIu64 " of %s were refused (%" PRIu64 " for now, %" PRIu64
			    " for good), more than %g %%",
			    p->ring_refused, work_recipients(w, p->ring_size), p->ring_deferred,
			    p->ring_failed, p->rings.stop_on);
}

static const char *
done_text(struct work *w, const struct work_batch *wb)
{
	const struct store_batch *b = &wb->row.b;
	const struct store_plan *p = &wb->plan->p;
	const char *refusals = *p->why != '\0' ? refusals_describe(w, p->refusals) : "";

	return arena_printf(
	    &w->arena,
	    "the release of B%" PRId64 " is through: %s in %u ring%s. Of the batch %" PRIu64
	    " are sent, %" PRIu64 " failed, %" PRIu64 " held%s%s%s%s",
	    b->id, work_recipients(w, p->released), p->ring, p->ring == 1 ? "" : "s", b->sent,
	    b->failed, b->held, *p->why != '\0' ? ". Of its last ring " : "", p->why,
	    *refusals != '\0' ? ": " : "", refusals);
}

static enum store_result
finish(struct work *w, struct work_batch *wb, const struct plan_act *act)
{
	const struct store_plan *p = &wb->plan->p;
	const bool over = plan_is_over_limit(wb->plan);

	/* Over its limit there is nothing left to pause, but people must hear of it. */
	plan_set_state(wb, STORE_PLAN_DONE, over ? over_text(w, p) : "", act->now);
	/* A plain release: that it began was told, and what failed is told of any mail. */
	if (p->rings.count <= 1 && p->approvers == 0 && !over)
		return STORE_OK;
	return plan_tell(w, wb, act, "batch.done", p->released, ring_detail(w, wb->plan),
			 done_text(w, wb));
}

static enum store_result
settle(struct work *w, struct work_batch *wb, int64_t now, int64_t *paused)
{
	const struct plan_act act = {.who = "gate", .reason = "", .now = now};
	struct plan_row *plan = wb->plan;
	bool all = plan->p.released == plan->p.total && plan_ring_is_through(plan);
	uint64_t taken;

	switch (plan->p.state) {
	case STORE_PLAN_ASKED:
		if (plan->p.total > 0)
			return STORE_OK;
		return plan_end(w, wb, &act, "nothing is left of what was asked for");
	case STORE_PLAN_RUNNING:
	case STORE_PLAN_PAUSED:
		if (all)
			return plan->p.released > 0
				   ? finish(w, wb, &act)
				   : plan_end(w, wb, &act, "nothing is left of it");
		if (plan->p.state == STORE_PLAN_PAUSED ||
		    (!plan_is_over_limit(plan) && wb->stopped == NULL))
			return STORE_OK;
		*paused = wb->row.b.id;
		return plan_pause(w, wb, &act,
				  wb->stopped != NULL ? wb->stopped : over_text(w, &plan->p),
				  &taken);
	case STORE_PLAN_NONE:
	case STORE_PLAN_DONE:
	case STORE_PLAN_ENDED:
	case STORE_PLAN_STATE_COUNT:
		break;
	}
	return STORE_OK;
}

enum store_result
plan_settle(struct work *w, int64_t now, int64_t *paused)
{
	struct work_batch *wb;

	SLIST_FOREACH (wb, &w->batches, next)
		if (wb->plan != NULL && wb->plan_dirty)
			TRY(settle(w, wb, now, paused));
	return STORE_OK;
}

/* ---- a start ---- */

static enum store_result
recover_batch(struct work *w, int64_t batch)
{
	struct delivery_query q = {.batch = batch, .states = 1U << STORE_QUEUED};
	struct delivery_row *rows, next;
	size_t i, n;

	TRY(work_list(w, &q, false, &rows, &n));
	for (i = 0; i < n; i++) {
		next = rows[i];
		TRY(plan_hold_again(w, &next));
		TRY(work_move(w, &rows[i], &next));
	}
	return STORE_OK;
}

enum store_result
plan_recover(struct work *w)
{
	int64_t *batches;
	size_t i, n;
	enum store_result r;

	r = plan_list_batches(w, 1U << STORE_PLAN_PAUSED, &batches, &n);
	for (i = 0; i < n && r == STORE_OK; i++)
		r = recover_batch(w, batches[i]);
	if (r == STORE_OK)
		r = work_end_job(w, clock_wall());
	if (r == STORE_OK)
		r = work_flush(w);
	work_drop_job(w);
	return r;
}
