/*
 * STORE_DECIDE: somebody releases, discards, restores or purges a batch, a part of it, or single
 * deliveries. Runs on the writer's thread inside a transaction. First everything is selected and
 * checked, then changed: what is refused has changed nothing. Releases are in job_release.c.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/units.h"
#include "store/page.h"
#include "store/selection.h"

/* Messages that a decision on a whole batch counts one by one. */
enum { COUNT_MESSAGES = 5000 };

static const struct {
	const char *done, *event;
} decisions[] = {
    [STORE_RELEASE] = {"released", "batch.released"},
    [STORE_DISCARD] = {"discarded", "batch.discarded"},
    [STORE_RESTORE] = {"restored", "batch.restored"},
    [STORE_PURGE_NOW] = {"purged", "batch.purged"},
};

/* ---- why not ---- */

static enum store_result
refuse_discarded(struct store_job *job, const struct store_batch *b)
{
	const char *verb = job->u.decide.decision == STORE_RESTORE ? "restore" : "purge";

	if (b->discarded == 0)
		return job_refuse(job, STORE_REFUSED,
				  "B%" PRId64
				  " has no discarded deliveries: there is nothing to %s",
				  b->id, verb);
	if (job->u.decide.selector.match == NULL)
		return job_refuse(job, STORE_REFUSED,
				  "what was discarded of B%" PRId64
				  " is purged: there is nothing to %s",
				  b->id, verb);
	return job_refuse(job, STORE_REFUSED, "nothing that was discarded of B%" PRId64 " matches",
			  b->id);
}

static enum store_result
refuse_batch(struct work *w, struct store_job *job, const struct store_batch *b)
{
	enum store_decision decision = job->u.decide.decision;
	const char *hint = "";
	char at[CLOCK_ISO_BYTES];

	if (decision == STORE_RESTORE || decision == STORE_PURGE_NOW)
		return refuse_discarded(job, b);
	if (b->held > 0)
		return job_refuse(job, STORE_REFUSED,
				  "nothing that B%" PRId64
				  " holds matches; see `mailfuse messages B%" PRId64 "`",
				  b->id, b->id);
	if (*b->decided_by == '\0')
		return job_refuse(job, STORE_REFUSED, "B%" PRId64 " holds nothing", b->id);
	clock_format_iso(b->decided_at, at);
	if (decision == STORE_RELEASE && b->discarded > 0)
		hint = arena_printf(&w->arena,
				    "; `mailfuse restore B%" PRId64 "` brings back what was "
				    "discarded",
				    b->id);
	return job_refuse(
	    job, STORE_REFUSED, "B%" PRId64 " holds nothing; it was %s by %.60s at %s%s", b->id,
	    b->state == STORE_BATCH_DISCARDED ? "discarded" : "released", b->decided_by, at, hint);
}

/* ---- the change ---- */

static enum store_result
move_rows(struct work *w, const struct store_job *job, const struct plan_rows *s,
	  enum store_state to)
{
	struct delivery_row next;
	size_t i;

	for (i = 0; i < s->count; i++) {
		next = s->rows[i];
		next.state = to;
		next.changed_at = job->u.decide.now;
		next.due_at = 0;
		next.ring = 0; /* no plan is about it any more */
		TRY(work_move(w, &s->rows[i], &next));
	}
	return STORE_OK;
}

static enum store_result
purge_rows(struct work *w, const struct plan_rows *s)
{
	size_t i;

	for (i = 0; i < s->count; i++) {
		TRY(work_delete(w, &s->rows[i]));
		if (i + 1 == s->count || s->rows[i + 1].id != s->rows[i].id)
			TRY(work_delete_message(w, s->rows[i].id));
	}
	return STORE_OK;
}

/* A decision on the whole rules what still comes of its stream, or ends the batch; the ruling that
 * was in force is over. */
static enum store_result
end_batch(struct work *w, struct store_job *job, struct work_batch *wb)
{
	const int64_t now = job->u.decide.due_now != 0 ? job->u.decide.due_now : job->u.decide.now;
	struct store_batch *b = &wb->row.b;
	bool open = b->collecting || b->ruling != STORE_RULING_NONE;

	wb->dirty = true;
	if (job->u.decide.decision == STORE_RESTORE && b->ruling != STORE_RULING_DISCARD)
		return STORE_OK;
	b->ruling = STORE_RULING_NONE;
	b->ruling_until = 0;
	if (job->u.decide.decision == STORE_RESTORE)
		return STORE_OK; /* what still comes of it is held beside what is held again */
	if (job->u.decide.stream_for > 0) {
		b->ruling = job->u.decide.decision == STORE_RELEASE ? STORE_RULING_PASS
								    : STORE_RULING_DISCARD;
		b->ruling_until = now + job->u.decide.stream_for;
	} else if (open) {
		job->u.decide.closed = true;
		return work_batch_end(w, wb, now);
	}
	return STORE_OK;
}

static enum store_result
change(struct work *w, struct store_job *job, struct work_batch *wb, struct plan_rows *s)
{
	switch (job->u.decide.decision) {
	case STORE_RELEASE:
		return wb != NULL ? release_batch(w, job, wb, s) : release_ids(w, job, s);
	case STORE_DISCARD:
		TRY(move_rows(w, job, s, STORE_DISCARDED));
		break;
	case STORE_RESTORE:
		TRY(move_rows(w, job, s, STORE_HELD));
		break;
	case STORE_PURGE_NOW:
		return purge_rows(w, s);
	}
	if (wb != NULL && selection_is_whole(&job->u.decide.selector))
		TRY(end_batch(w, job, wb));
	return STORE_OK;
}

/* ---- a whole batch, no row of which is read ---- */

static uint64_t
left_after(const struct store_job *job, const struct store_batch *b, uint64_t touched)
{
	switch (job->u.decide.decision) {
	case STORE_RESTORE:
		return b->held + touched;
	case STORE_PURGE_NOW:
		return b->held;
	case STORE_RELEASE:
	case STORE_DISCARD:
		break;
	}
	return b->held - touched;
}

/* Different messages among so many of its deliveries in that state: all of them, as it has counted
 * them; of a few, as they are; else at most. */
static enum store_result
count_messages(struct work *w, const struct store_batch *b, enum store_state state, uint64_t n,
	       uint64_t *out)
{
	struct delivery_query q = {.batch = b->id, .states = 1U << state};
	struct plan_rows rows = {.count = 0};

	*out = n < b->messages ? n : b->messages;
	if (n == b->recipients || n > COUNT_MESSAGES)
		return STORE_OK;
	TRY(work_list(w, &q, false, &rows.rows, &rows.count));
	*out = selection_messages(&rows, 0);
	return STORE_OK;
}

static bool
see_row(void *context, const struct delivery_row *d)
{
	(void)d;
	*(bool *)context = true;
	return false;
}

/* All that was discarded can go at once where nothing is held, or nothing was discarded but by the
 * last decision on the whole. */
static enum store_result
can_sweep_away(struct work *w, const struct work_batch *wb, bool *out)
{
	const struct sweep *sweep = &wb->row.sweep;
	struct delivery_query q = {.batch = wb->row.b.id,
				   .states = 1U << STORE_DISCARDED,
				   .era_from = sweep->before,
				   .unordered = true,
				   .limit = 1};
	bool later = false;

	*out = wb->row.b.held == 0;
	if (*out || sweep->state != STORE_DISCARDED || sweep->before == 0)
		return STORE_OK;
	TRY(w->b->delivery_list(w->db, &q, see_row, &later));
	*out = !later;
	return STORE_OK;
}

/* Whether a decision is one on the batch's row alone. What comes back while a plan is under way has
 * to be told from what that is about; then each row is written, as in a mixed batch. */
static enum store_result
is_sweep(struct work *w, const struct store_job *job, struct work_batch *wb, bool *out)
{
	struct plan_row *plan;

	*out = false;
	if (!selection_is_whole(&job->u.decide.selector))
		return STORE_OK;
	TRY(plan_of(w, wb, &plan));
	switch (job->u.decide.decision) {
	case STORE_RELEASE:
		*out = release_reach(job, wb->row.b.held) == wb->row.b.held;
		return STORE_OK;
	case STORE_DISCARD:
		*out = !wb->row.mixed;
		return STORE_OK;
	case STORE_RESTORE:
		*out = !wb->row.mixed && !plan_is_active(plan);
		return STORE_OK;
	case STORE_PURGE_NOW:
		return wb->row.mixed ? STORE_OK : can_sweep_away(w, wb, out);
	}
	return STORE_OK;
}

static enum store_result
sweep(struct work *w, struct store_job *job, struct work_batch *wb)
{
	struct plan_rows back = {.count = 0};

	switch (job->u.decide.decision) {
	case STORE_DISCARD:
		if (plan_is_active(wb->plan) && wb->plan->p.total > wb->plan->p.released) {
			TRY(plan_taken_back(w, wb, &back));
			plan_drop_rest(wb, back.rows, back.count);
		}
		TRY(work_sweep(w, wb, STORE_DISCARDED, job->u.decide.now));
		return end_batch(w, job, wb);
	case STORE_RESTORE:
		TRY(work_sweep(w, wb, STORE_HELD, job->u.decide.now));
		return end_batch(w, job, wb);
	case STORE_PURGE_NOW:
		return work_sweep_away(w, wb);
	case STORE_RELEASE:
		break;
	}
	return STORE_OK;
}

static enum store_result record(struct work *w, struct store_job *job, int64_t batch,
				uint64_t recipients, uint64_t messages);

/* `n`: what it is about, more than 0. */
static enum store_result
decide_whole(struct work *w, struct store_job *job, struct work_batch *wb, uint64_t n)
{
	const struct store_batch *b = &wb->row.b;
	uint64_t messages;

	TRY(count_messages(w, b, selection_from(job), n, &messages));
	if (job->u.decide.decision == STORE_RELEASE) {
		TRY(release_whole(w, job, wb, messages));
		if (job->u.decide.dry_run || job->u.decide.asked)
			return STORE_OK;
		return record(w, job, b->id, n, messages);
	}
	job->u.decide.recipients = n;
	job->u.decide.messages = messages;
	if (job->u.decide.dry_run) {
		job->u.decide.left = left_after(job, b, n);
		return STORE_OK;
	}
	TRY(sweep(w, job, wb));
	return record(w, job, b->id, n, messages);
}

/* ---- the record ---- */

/* What stays in the quarantine: not what a release that has begun has still to take out. */
static uint64_t
held_of(const struct work_batch *wb)
{
	return wb->row.b.held - plan_to_feed(wb->plan);
}

static void
describe_release(struct buf *text, const struct store_job *job)
{
	const struct store_rings *rings = &job->u.decide.rings;
	char duration[UNITS_BYTES];
	uint32_t i;

	if (job->u.decide.rate_count > 0)
		buf_printf(text, " rate=%u/%" PRId64 "s", job->u.decide.rate_count,
			   job->u.decide.rate_window / CLOCK_SECOND);
	for (i = 0; i < rings->count; i++) {
		buf_add_text(text, i == 0 ? " rings=" : ",");
		if (rings->sizes[i] == 0)
			buf_add_text(text, "all");
		else
			buf_printf(text, "%" PRIu64, rings->sizes[i]);
	}
	if (rings->wait > 0)
		buf_printf(text, " wait=%s", units_format_duration(rings->wait, duration));
	if (rings->stop_on >= 0 && job->u.decide.decision == STORE_RELEASE)
		buf_printf(text, " stop_on=%g%%", rings->stop_on);
}

static const char *
describe(struct work *w, const struct store_job *job, const struct work_batch *wb,
	 uint64_t recipients, uint64_t messages)
{
	const struct store_selector *by = &job->u.decide.selector;
	struct buf text = {0};
	char duration[UNITS_BYTES];
	const char *copy;

	buf_printf(&text, "recipients=%" PRIu64 " messages=%" PRIu64 " left=%" PRIu64, recipients,
		   messages, wb != NULL ? held_of(wb) : 0);
	if (wb != NULL)
		buf_printf(&text, " %s", work_batch_counts(w, wb));
	if (by->first > 0)
		buf_printf(&text, " first=%" PRIu64, by->first);
	if (by->percent > 0)
		buf_printf(&text, " percent=%g", by->percent);
	if (by->match != NULL)
		buf_add_text(&text, " by=pattern");
	if (by->batch == 0)
		buf_add_text(&text, " by=id");
	if (by->batch != 0)
		describe_release(&text, job);
	if (job->u.decide.stream_for > 0)
		buf_printf(&text, " stream=%s",
			   units_format_duration(job->u.decide.stream_for, duration));
	copy = work_copy(w, buf_text(&text));
	buf_free(&text);
	return copy;
}

/* Of a decision that is about the stream alone. */
static const char *
ruled_text(struct work *w, const struct store_job *job, const struct store_batch *b)
{
	char until[CLOCK_ISO_BYTES];

	if (b->ruling == STORE_RULING_NONE)
		return arena_printf(&w->arena,
				    "%s: the stream of B%" PRId64 " is counted afresh, by %s: %s",
				    b->environment, b->id, job->u.decide.who, job->u.decide.reason);
	clock_format_iso(job->u.decide.now + job->u.decide.stream_for, until);
	return arena_printf(
	    &w->arena, "%s: what still comes of the stream of B%" PRId64 " %s until %s, by %s: %s",
	    b->environment, b->id, b->ruling == STORE_RULING_PASS ? "passes" : "is discarded",
	    until, job->u.decide.who, job->u.decide.reason);
}

/* "10 of 1000 recipients of B17 released by kim in ring 1 of 3 (990 still held)" */
static const char *
done_text(struct work *w, const struct store_job *job, const struct work_batch *wb,
	  uint64_t recipients)
{
	const struct store_batch *b = &wb->row.b;
	const struct plan_row *plan = wb->plan;
	const char *done = decisions[job->u.decide.decision].done, *of = "", *ring = "";

	if (job->u.decide.decision == STORE_RELEASE && job->u.decide.selector.batch != 0 &&
	    plan != NULL && plan_ring_count(&plan->p) > 1 && plan->p.ring == 1) {
		of = arena_printf(&w->arena, "%" PRIu64 " of ", plan->p.ring_size);
		ring = arena_printf(&w->arena, " in ring 1 of %u", plan_ring_count(&plan->p));
	}
	return arena_printf(&w->arena,
			    "%s: %s%s of B%" PRId64 " %s by %s%s (%" PRIu64 " still held): %s",
			    *b->environment != '\0' ? b->environment : "mailfuse", of,
			    work_recipients(w, recipients), b->id, done, job->u.decide.who, ring,
			    held_of(wb), job->u.decide.reason);
}

/* One batch of the decision: who decided, an audit row, an alert row. */
static enum store_result
record(struct work *w, struct store_job *job, int64_t batch, uint64_t recipients, uint64_t messages)
{
	const char *event = decisions[job->u.decide.decision].event;
	const char *who = job->u.decide.who, *reason = job->u.decide.reason;
	int64_t now = job->u.decide.now;
	struct work_batch *wb;
	struct store_batch *b;

	TRY(work_batch(w, batch, &wb));
	b = &wb->row.b;
	job->u.decide.left += held_of(wb);
	if (job->u.decide.decision != STORE_PURGE_NOW) {
		b->decided_at = now;
		b->decided_by = who;
		b->decided_reason = reason;
		wb->dirty = true;
	}
	TRY(work_audit(w, now, who, event, arena_printf(&w->arena, "B%" PRId64, batch), reason,
		       describe(w, job, wb, recipients, messages)));
	return work_alert(w, &(struct event_row){.at = now,
						 .event = event,
						 .environment = b->environment,
						 .batch = batch,
						 .count = (int64_t)recipients,
						 .who = who,
						 .reason = reason,
						 .text = recipients > 0
							     ? done_text(w, job, wb, recipients)
							     : ruled_text(w, job, b)});
}

/* Dropped mail stands in no batch. `d`: the first of it. */
static enum store_result
record_dropped(struct work *w, struct store_job *job, const struct delivery_row *d, uint64_t n)
{
	char id[ID_DELIVERY_BYTES];

	id_format_delivery(d->id, d->number, id);
	TRY(work_audit(w, job->u.decide.now, job->u.decide.who, "dropped.released", id,
		       job->u.decide.reason, describe(w, job, NULL, n, n)));
	return work_alert(
	    w, &(struct event_row){
		   .at = job->u.decide.now,
		   .event = "dropped.released",
		   .environment = d->environment_name,
		   .count = (int64_t)n,
		   .who = job->u.decide.who,
		   .reason = job->u.decide.reason,
		   .text = arena_printf(
		       &w->arena,
		       "%s: %" PRIu64 " deliveries that were dropped, %s first, released by %s: %s",
		       d->environment_name, n, id, job->u.decide.who, job->u.decide.reason)});
}

static int
by_batch(const void *a, const void *b)
{
	const struct delivery_row *const *x = a, *const *y = b;

	if ((*x)->batch != (*y)->batch)
		return (*x)->batch < (*y)->batch ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

/* Each batch that the selection touched, once. */
static enum store_result
record_all(struct work *w, struct store_job *job, const struct plan_rows *s)
{
	const struct delivery_row **rows = arena_alloc(&w->arena, s->count * sizeof(*rows));
	size_t i, n;

	for (i = 0; i < s->count; i++)
		rows[i] = &s->rows[i];
	qsort(rows, s->count, sizeof(*rows), by_batch);
	for (i = 0; i < s->count; i += n) {
		for (n = 1; i + n < s->count && rows[i + n]->batch == rows[i]->batch; n++)
			;
		if (rows[i]->batch == 0)
			TRY(record_dropped(w, job, rows[i], n));
		else
			TRY(record(w, job, rows[i]->batch, n,
				   selection_messages(s, rows[i]->batch)));
	}
	return STORE_OK;
}

/* ---- the job ---- */

static enum store_result
check_stream(struct store_job *job)
{
	if (job->u.decide.stream_for <= 0 || selection_is_whole(&job->u.decide.selector))
		return STORE_OK;
	return job_refuse(job, STORE_REFUSED,
			  "what becomes of the rest of a stream is said with a whole batch; leave "
			  "out --stream, or the selection");
}

/* Nothing is held, but what still comes passes or is discarded: a decision on the whole ends that,
 * or turns it around, whatever was decided first. */
static bool
is_about_ruling(const struct store_job *job, const struct work_batch *wb)
{
	const enum store_decision decision = job->u.decide.decision;

	return wb->row.b.held == 0 && wb->row.b.ruling != STORE_RULING_NONE &&
	       selection_is_whole(&job->u.decide.selector) &&
	       (decision == STORE_RELEASE || decision == STORE_DISCARD);
}

/* A release of all must be of what was seen; the others may go on beside what comes. */
static enum store_result
check_page(struct work *w, struct store_job *job, struct work_batch *wb)
{
	unsigned leave = PAGE_LEAVE_PROGRESS;

	if (job->u.decide.decision == STORE_RELEASE && selection_is_whole(&job->u.decide.selector))
		leave = 0;
	if (job->u.decide.decision == STORE_PURGE_NOW)
		leave |= PAGE_KEEP_DISCARDED;
	return page_check(w, job, wb, job->u.decide.page, leave);
}

/* *whole: how many it is about, where it is one decision for all of them; else 0, and `s`. */
static enum store_result
choose(struct work *w, struct store_job *job, struct work_batch **wb, struct plan_rows *s,
       uint64_t *whole)
{
	const int64_t batch = job->u.decide.selector.batch;
	bool sweeps;
	enum store_result r;

	TRY(check_stream(job));
	if (batch == 0)
		return selection_of_ids(w, job, s);
	r = work_batch(w, batch, wb);
	if (r == STORE_MISSING)
		return job_refuse(
		    job, r, "there is no batch B%" PRId64 "; see `mailfuse batches --all`", batch);
	TRY(r);
	job->u.decide.stream_hash = (*wb)->row.b.stream_hash;
	TRY(check_page(w, job, *wb));
	*whole = selection_from(job) == STORE_HELD ? (*wb)->row.b.held
						   : (*wb)->row.b.discarded - (*wb)->row.b.purged;
	if (*whole > 0) {
		TRY(is_sweep(w, job, *wb, &sweeps));
		if (sweeps)
			return STORE_OK;
		*whole = 0;
		TRY(selection_of_batch(w, job, s));
	}
	if (s->count > 0 || is_about_ruling(job, *wb))
		return STORE_OK;
	return refuse_batch(w, job, &(*wb)->row.b);
}

/* Decides on what still comes alone: see is_about_ruling(). */
static enum store_result
rule_anew(struct work *w, struct store_job *job, struct work_batch *wb)
{
	TRY(release_check_ruling(job, wb));
	if (job->u.decide.dry_run)
		return STORE_OK;
	TRY(end_batch(w, job, wb));
	return record(w, job, wb->row.b.id, 0, 0);
}

enum store_result
job_decide(struct work *w, struct store_job *job)
{
	struct plan_rows s = {.count = 0};
	struct work_batch *wb = NULL;
	uint64_t whole = 0;

	TRY(choose(w, job, &wb, &s, &whole));
	if (whole > 0)
		return decide_whole(w, job, wb, whole);
	if (s.count == 0)
		return rule_anew(w, job, wb);
	if (job->u.decide.decision == STORE_RELEASE)
		TRY(release_check_holds(w, job, &s));
	job->u.decide.recipients = s.count;
	job->u.decide.messages = selection_messages(&s, 0);
	if (job->u.decide.dry_run && job->u.decide.decision != STORE_RELEASE) {
		if (wb != NULL)
			job->u.decide.left = left_after(job, &wb->row.b, s.count);
		return STORE_OK;
	}
	TRY(change(w, job, wb, &s));
	if (job->u.decide.dry_run || job->u.decide.asked)
		return STORE_OK;
	return record_all(w, job, &s);
}
