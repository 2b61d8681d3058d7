/*
 * STORE_HOLD, the panic button; STORE_CLOSE, a batch whose stream has calmed down; and
 * STORE_PURGE, what has been kept long enough. Runs on the writer's thread inside a transaction.
 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "store/jobs.h"
#include "store/plan_ring.h"
#include "store/recall.h"

static const char *
scope_text(struct work *w, int scope, const char *name)
{
	if (scope == HOLD_EVERYTHING)
		return "everything";
	return arena_printf(&w->arena, "%s %s",
			    scope == HOLD_ENVIRONMENT ? "environment" : "source", name);
}

/* What a hold has stopped. */
struct stopped {
	struct work_batch *batch; /* of the hold; NULL while it holds nothing */
	uint64_t again;           /* held again in the batches that they were released from */
};

/*
 * Everything that could still leave and is covered is held: what was released of a batch in that
 * batch, whose story stays whole and which must be decided again, the rest in the batch of the
 * hold.
 */
static enum store_result
stop_covered(struct work *w, struct store_job *job, const struct store_hold *h, struct stopped *s)
{
	const char *environment = h->scope == HOLD_ENVIRONMENT ? h->name : "";
	const char *again = arena_printf(&w->arena, "stopped after its release: %s", h->reason);
	struct delivery_query q = {.states = 1U << STORE_QUEUED | 1U << STORE_WAITING,
				   .due = DUE_SET};
	struct delivery_row *rows, next;
	size_t i, n, moved = 0;

	if (h->scope == HOLD_SOURCE)
		q.source = h->name;
	if (h->scope == HOLD_ENVIRONMENT) {
		struct work_environment *e;

		TRY(work_environment(w, h->name, true, &e));
		q.environment = e->number;
	}
	TRY(work_list(w, &q, false, &rows, &n));
	for (i = 0; i < n; i++) {
		if (store_is_alert_mail(rows[i].environment_name))
			continue;
		moved++;
		next = rows[i];
		next.state = STORE_HELD;
		next.due_at = 0;
		next.changed_at = h->since;
		if (next.batch == 0) {
			if (s->batch == NULL)
				TRY(work_batch_join(w, work_hold_stream(w, h), environment, "panic",
						    h->since, &s->batch));
			next.batch = s->batch->row.b.id;
			next.rule = "panic";
			next.reason = h->reason;
		} else {
			next.reason = again;
			s->again++;
		}
		TRY(work_move(w, &rows[i], &next));
	}
	job->u.hold.moved = moved;
	return STORE_OK;
}

/* "held as B3, 4 of them again in the batches that they were released from" */
static const char *
where_text(struct work *w, const struct stopped *s)
{
	const char *held = "", *again = "";

	if (s->batch != NULL)
		held = arena_printf(&w->arena, ", held as B%" PRId64, s->batch->row.b.id);
	if (s->again > 0)
		again = arena_printf(&w->arena,
				     ", %" PRIu64 " of them held again in the batches that they "
				     "were released from",
				     s->again);
	return arena_printf(&w->arena, "%s%s", held, again);
}

static enum store_result
tell(struct work *w, const struct store_job *job, const char *event, const struct stopped *s)
{
	const char *scope = scope_text(w, job->u.hold.scope, job->u.hold.name);
	int64_t batch = s->batch != NULL ? s->batch->row.b.id : 0;
	const char *text, *detail = "";

	if (job->u.hold.on) {
		text = arena_printf(
		    &w->arena, "%s is on hold by %s, %" PRIu64 " deliveries stopped%s: %s", scope,
		    job->u.hold.who, job->u.hold.moved, where_text(w, s), job->u.hold.reason);
		detail = arena_printf(&w->arena, "moved=%" PRIu64 " again=%" PRIu64,
				      job->u.hold.moved, s->again);
		if (batch != 0)
			detail = arena_printf(&w->arena, "%s batch=B%" PRId64, detail, batch);
	} else {
		text = arena_printf(&w->arena, "the hold on %s is cleared by %s: %s", scope,
				    job->u.hold.who, job->u.hold.reason);
	}
	TRY(work_audit(w, job->u.hold.now, job->u.hold.who, event, scope, job->u.hold.reason,
		       detail));
	return work_alert(
	    w, &(struct event_row){
		   .at = job->u.hold.now,
		   .event = event,
		   .environment = job->u.hold.scope == HOLD_ENVIRONMENT ? job->u.hold.name : "",
		   .batch = batch,
		   .count = (int64_t)job->u.hold.moved,
		   .who = job->u.hold.who,
		   .reason = job->u.hold.reason,
		   .text = text});
}

/* ---- plans ---- */

/* What the hold has stopped some of, and what it covers as a whole. */
static bool
is_covered(const struct store_hold *h, const struct work_batch *wb)
{
	return h->scope == HOLD_EVERYTHING || wb->plan_dirty ||
	       (h->scope == HOLD_ENVIRONMENT && strcmp(h->name, wb->row.b.environment) == 0) ||
	       (h->scope == HOLD_SOURCE && strcmp(h->name, wb->row.b.source) == 0);
}

/* A release does not go on by itself once the hold is over: somebody has to say so. */
static enum store_result
pause_plans(struct work *w, const struct store_hold *h)
{
	const struct plan_act act = {
	    .who = h->who, .reason = h->reason, .now = h->since, .due_now = h->since};
	struct work_batch *wb;
	int64_t *batches;
	struct plan_row *plan;
	uint64_t taken;
	size_t i, n;

	TRY(plan_list_batches(w, 1U << STORE_PLAN_RUNNING, &batches, &n));
	for (i = 0; i < n; i++) {
		TRY(work_batch(w, batches[i], &wb));
		TRY(plan_of(w, wb, &plan));
		if (is_covered(h, wb))
			TRY(plan_pause(
			    w, wb, &act,
			    arena_printf(&w->arena, "%s is on hold", plan_hold_text(w, h)),
			    &taken));
	}
	return STORE_OK;
}

struct find_hold {
	int scope;
	const char *name;
	int64_t since;
	bool found;
};

static bool
see_hold(void *context, const struct store_hold *h)
{
	struct find_hold *find = context;

	if (h->scope == find->scope && strcmp(h->name, find->name) == 0) {
		find->found = true;
		find->since = h->since;
	}
	return !find->found;
}

static enum store_result
hold_on(struct work *w, struct store_job *job)
{
	struct store_hold h = {.scope = job->u.hold.scope,
			       .name = job->u.hold.name,
			       .reason = job->u.hold.reason,
			       .who = job->u.hold.who,
			       .since = job->u.hold.now};
	struct stopped stopped = {.batch = NULL};

	TRY(w->b->hold_set(w->db, &h));
	work_holds_changed(w);
	TRY(stop_covered(w, job, &h, &stopped));
	TRY(pause_plans(w, &h));
	if (stopped.batch != NULL) {
		stopped.batch->opened = stopped.batch->joined = false; /* told by hold.set */
		stopped.batch->row.alerted = stopped.batch->row.b.recipients;
	}
	return tell(w, job, "hold.set", &stopped);
}

static enum store_result
hold_off(struct work *w, struct store_job *job, int64_t since)
{
	struct store_hold h = {
	    .scope = job->u.hold.scope, .name = job->u.hold.name, .since = since};

	TRY(w->b->hold_delete(w->db, h.scope, h.name));
	work_holds_changed(w);
	TRY(work_batch_close(w, work_hold_stream(w, &h)->hash, 0));
	return tell(w, job, "hold.cleared", &(struct stopped){.batch = NULL});
}

enum store_result
job_hold(struct work *w, struct store_job *job)
{
	struct find_hold find = {.scope = job->u.hold.scope, .name = job->u.hold.name};

	if (find.scope < HOLD_EVERYTHING || find.scope > HOLD_SOURCE)
		return job_refuse(job, STORE_REFUSED,
				  "a hold is on everything, an environment or a source");
	TRY(w->b->hold_list(w->db, see_hold, &find));
	if (find.found == job->u.hold.on)
		return STORE_OK;
	job->u.hold.changed = true;
	return job->u.hold.on ? hold_on(w, job) : hold_off(w, job, find.since);
}

enum store_result
job_close(struct work *w, struct store_job *job)
{
	return work_batch_close(w, job->u.close.stream_hash, 0);
}

/* ---- purge ---- */

/* Batches whose people are forgotten in one step: some 5,000 rows each. */
enum { PEOPLE_STEP = 4 };

/* What of an environment is there to be purged one day. */
struct ended {
	int64_t environment;
	enum store_state state;
};

struct endings {
	struct work *w;
	struct ended *list;
	size_t count, room;
};

static bool
keep_ended(void *context, int64_t environment, const char *name, enum store_state state,
	   uint64_t count)
{
	const unsigned wanted = 1U << STORE_DROPPED | 1U << STORE_FAILED | 1U << STORE_SENT;
	struct endings *all = context;

	(void)name;
	(void)count;
	if ((wanted >> state & 1) == 0)
		return true;
	if (all->count == all->room) {
		struct ended *larger;

		all->room = all->room > 0 ? 2 * all->room : 64;
		larger = arena_alloc(&all->w->arena, all->room * sizeof(*larger));
		if (all->count > 0)
			memcpy(larger, all->list, all->count * sizeof(*larger));
		all->list = larger;
	}
	all->list[all->count++] = (struct ended){environment, state};
	return true;
}

/* Nothing is over before it has come, and an id has its time: younger mail is not looked at. What
 * was discarded (environment 0: of all) is read as its batch says, which has a time of its own. */
static enum store_result
purge_state(struct work *w, struct store_job *job, int64_t environment, enum store_state state,
	    int64_t before)
{
	/* Where the sender waits to be told, the report still needs it. */
	struct delivery_query q = {.environment = environment,
				   .states = 1U << state,
				   .notices = 1U << STORE_NOTICE_NONE | 1U << STORE_NOTICE_TOLD,
				   .id_before = state != STORE_DISCARDED ? work_id_at(before) : 0,
				   .changed_before = before};
	struct delivery_row *rows;
	size_t i, n;

	if (before <= 0 || job->u.purge.purged >= job->u.purge.limit)
		return STORE_OK;
	q.limit = job->u.purge.limit - (uint32_t)job->u.purge.purged;
	TRY(work_list(w, &q, false, &rows, &n));
	for (i = 0; i < n; i++) {
		TRY(work_delete(w, &rows[i]));
		if (i + 1 == n || rows[i + 1].id != rows[i].id)
			TRY(work_delete_message(w, rows[i].id));
	}
	job->u.purge.purged += n;
	return STORE_OK;
}

static bool
see_gone(void *context, const struct batch_row *b)
{
	*(int64_t *)context = b->b.id;
	return false;
}

/* What a decision on a whole batch has purged: it is counted already, only its rows are there. */
static enum store_result
purge_gone(struct work *w, struct store_job *job)
{
	const struct batch_query some = {.gone = true};
	struct delivery_query q = {.gone = true, .unordered = true};
	struct delivery_row *rows;
	struct work_batch *wb;
	size_t i, n;

	while (job->u.purge.purged < job->u.purge.limit) {
		q.batch = 0;
		TRY(w->b->batch_list(w->db, &some, see_gone, &q.batch));
		if (q.batch == 0)
			return STORE_OK;
		TRY(work_batch(w, q.batch, &wb));
		q.limit = job->u.purge.limit - (uint32_t)job->u.purge.purged;
		TRY(work_list(w, &q, false, &rows, &n));
		for (i = 0; i < n; i++) {
			TRY(w->b->delivery_delete(w->db, rows[i].id, rows[i].number));
			TRY(work_delete_message(w, rows[i].id));
		}
		job->u.purge.purged += n;
		if (n == q.limit)
			return STORE_OK;
		wb->row.sweep.gone = 0;
		TRY(w->b->batch_set(w->db, &wb->row));
	}
	return STORE_OK;
}

enum store_result
job_purge(struct work *w, struct store_job *job)
{
	const int64_t dropped = job->u.purge.dropped_before, sent = job->u.purge.sent_before;
	/* The longer of both: people look for it as for what was dropped, and it was counted. */
	const int64_t failed = dropped < sent ? dropped : sent;
	struct endings all = {.w = w};
	size_t i;

	/* Before a batch is read: it changes rows of theirs. */
	TRY(w->b->person_purge(w->db, job_now(job) - CLOCK_DAY, PEOPLE_STEP));
	TRY(purge_gone(w, job));
	TRY(purge_state(w, job, 0, STORE_DISCARDED, job->u.purge.discarded_before));
	TRY(w->b->count_list(w->db, keep_ended, &all));
	for (i = 0; i < all.count; i++) {
		const enum store_state state = all.list[i].state;

		TRY(purge_state(w, job, all.list[i].environment, state,
				state == STORE_DROPPED  ? dropped
				: state == STORE_FAILED ? failed
							: sent));
	}
	TRY(w->b->dictionary_purge(w->db, job_now(job) - CLOCK_DAY));
	/* Alerts are told; the longest of the three times keeps them for a look back. */
	if (job->u.purge.discarded_before > 0)
		TRY(w->b->event_purge(w->db, job->u.purge.discarded_before, job->u.purge.limit));
	return history_purge(w, job);
}
