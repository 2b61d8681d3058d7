/*
 * STORE_RESULTS, STORE_CLAIM and STORE_EXPIRE: deliveries on their way out. Runs on the writer's
 * thread inside a transaction; what a claim hands out is freed by its caller with store_due_free().
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/failures.h"
#include "store/jobs.h"
#include "store/keys.h"
#include "store/plan_ring.h"
#include "store/recall.h"

/* See "When a sender has to be told" in store.h. */
static enum store_notice_state
notice_of(const struct delivery_row *d, enum store_state end, bool relayed)
{
	unsigned notify = d->notify != 0 ? d->notify : DSN_FAILURE;
	bool wanted = (end == STORE_FAILED && (notify & DSN_FAILURE) != 0) ||
		      (end == STORE_SENT && relayed && (notify & DSN_SUCCESS) != 0);

	return wanted && *d->sender != '\0' && !d->report ? STORE_NOTICE_PENDING
							  : STORE_NOTICE_NONE;
}

/* Under the panic button nothing is queued again: it is held with the rest, what was released of a
 * batch in that one (see stop_covered() in job_hold.c). So is what a paused release gets back. */
static enum store_result
hold_again(struct work *w, struct delivery_row *next, int64_t now)
{
	const struct store_hold *hold;
	struct work_batch *wb;

	TRY(work_hold_find(w, next->environment_name, next->source, &hold));
	if (hold == NULL)
		return next->batch != 0 ? plan_hold_again(w, next) : STORE_OK;
	next->state = STORE_HELD;
	next->due_at = 0;
	if (next->batch != 0) {
		next->reason =
		    arena_printf(&w->arena, "stopped after its release: %s", hold->reason);
		TRY(work_batch(w, next->batch, &wb));
		wb->stopped = arena_printf(&w->arena, "%s is on hold", plan_hold_text(w, hold));
		return STORE_OK;
	}
	TRY(work_batch_join(w, work_hold_stream(w, hold),
			    hold->scope == HOLD_ENVIRONMENT ? hold->name : "", "panic", now, &wb));
	next->batch = wb->row.b.id;
	next->rule = "panic";
	next->reason = work_copy(w, hold->reason);
	return STORE_OK;
}

struct trip {
	int64_t id;
};

static bool
see_trip(void *context, const struct batch_row *row)
{
	((struct trip *)context)->id = row->b.id;
	return false;
}

/* A loop found that a stream of it has tripped. What was released stays so. One trip is one batch,
 * also if that was closed meanwhile; if it is not there yet, the trip will pull it in. */
static enum store_result
hold_tripped(struct work *w, const struct store_delivery_result *result, struct delivery_row *next)
{
	struct batch_query q = {.stream = result->stream, .tripped_at = result->tripped_at};
	struct trip trip = {.id = 0};
	struct work_batch *wb;

	if (next->batch == 0 && q.stream != 0 && q.tripped_at != 0)
		TRY(w->b->batch_list(w->db, &q, see_trip, &trip));
	if (trip.id != 0) {
		TRY(work_batch(w, trip.id, &wb));
		recall_hold(next, wb);
		return STORE_OK;
	}
	if (next->batch == 0) {
		TRY(recall_find_ruled(w, result->stream, &wb));
		if (wb != NULL && wb->row.b.ruling == STORE_RULING_DISCARD) {
			recall_hold(next, wb);
			return STORE_OK;
		}
		/* Its stream passes: it is in the batch, where no trip holds it any more. */
		if (wb != NULL)
			next->batch = wb->row.b.id;
	}
	next->state = STORE_QUEUED;
	next->due_at = result->due_at > 0 ? result->due_at : clock_steady() + CLOCK_SECOND;
	return STORE_OK;
}

/* Queued again: it is held instead where a stream of it tripped meanwhile, or under the panic
 * button. */
static enum store_result
catch_up(struct work *w, struct delivery_row *next, int64_t now)
{
	struct work_batch *wb = NULL;

	if (recall_is_open(next))
		TRY(recall_find(w, next, &wb));
	if (wb == NULL)
		return hold_again(w, next, now);
	recall_hold(next, wb);
	return STORE_OK;
}

static enum store_result
take_result(struct work *w, const struct store_delivery_result *result,
	    const struct delivery_row *d, int64_t now)
{
	struct delivery_row next = *d;

	next.changed_at = now;
	next.state = result->state;
	next.due_at = 0;
	if (result->state == STORE_HELD)
		TRY(hold_tripped(w, result, &next));
	if (result->state == STORE_QUEUED)
		next.due_at = result->due_at > 0 ? result->due_at : clock_steady();
	if (next.state == STORE_QUEUED)
		TRY(catch_up(w, &next, now));
	if (result->tried)
		next.tries++;
	if (result->reply != NULL && *result->reply != '\0') {
		next.reply = result->reply;
		next.remote_mta = result->remote_mta; /* who said it; NULL keeps the last */
	}
	next.notice = notice_of(d, next.state, result->relayed);
	return work_move(w, d, &next);
}

static bool
is_result(enum store_state state)
{
	return state == STORE_SENT || state == STORE_FAILED || state == STORE_QUEUED ||
	       state == STORE_HELD;
}

/* What nearly all mail comes to. STORE_MISSING: it has to be looked at. */
static enum store_result
take_sent(struct work *w, const struct store_delivery_result *result, int64_t now)
{
	bool said = result->reply != NULL && *result->reply != '\0';
	struct delivery_sent sent = {.id = result->id,
				     .number = result->number,
				     .changed_at = now,
				     .tried = result->tried,
				     .reply = said ? result->reply : NULL,
				     .remote_mta = said ? result->remote_mta : NULL};

	if (result->state != STORE_SENT || result->relayed || result->environment == NULL)
		return STORE_MISSING;
	return work_sent(w, result->environment, &sent);
}

enum store_result
job_results(struct work *w, struct store_job *job)
{
	struct failures_list failures = SLIST_HEAD_INITIALIZER(failures);
	int64_t now = clock_wall();
	struct delivery_row *rows;
	size_t i, n;

	for (i = 0; i < job->u.results.count; i++)
		if (!is_result(job->u.results.results[i].state))
			return job_refuse(job, STORE_REFUSED, "%s is no result of a try",
					  store_state_name(job->u.results.results[i].state));
	for (i = 0; i < job->u.results.count; i++) {
		const struct store_delivery_result *result = &job->u.results.results[i];
		struct delivery_query q = {.message = result->id, .number = result->number};
		char id[ID_DELIVERY_BYTES];
		enum store_result r = take_sent(w, result, now);

		if (r == STORE_OK)
			continue;
		if (r != STORE_MISSING)
			return r;
		TRY(work_list(w, &q, false, &rows, &n));
		if (n == 0 || rows[0].state != STORE_QUEUED) {
			/* The others of the job count all the same. */
			log_warn("%s result.ignored result=%s state=%s",
				 id_format_delivery(result->id, result->number, id),
				 store_state_name(result->state),
				 n == 0 ? "gone" : store_state_name(rows[0].state));
			continue;
		}
		if (result->state == STORE_FAILED)
			failures_add(w, &failures, &rows[0],
				     result->reply != NULL ? result->reply : "");
		TRY(take_result(w, result, &rows[0], now));
	}
	TRY(failures_tell(w, &failures, now));
	TRY(plan_settle(w, now, &job->u.results.paused));
	return STORE_OK;
}

/* ---- claim ---- */

struct claim {
	struct delivery_row *rows;
	size_t count;
};

/* Up to `limit` due deliveries of one environment become taken. */
static enum store_result
claim_environment(struct work *w, const char *name, int64_t now, uint32_t limit, struct claim *c)
{
	struct delivery_query q = {.states = 1U << STORE_QUEUED | 1U << STORE_WAITING,
				   .due = DUE_SET,
				   .due_before = now,
				   .order_due = true,
				   .limit = limit};
	struct work_environment *environment;
	struct delivery_row *rows, next;
	enum store_result r = work_environment(w, name, false, &environment);
	size_t i, n;

	if (r == STORE_MISSING || limit == 0)
		return STORE_OK;
	TRY(r);
	q.environment = environment->number;
	TRY(work_list(w, &q, true, &rows, &n));
	for (i = 0; i < n; i++) {
		next = rows[i];
		next.due_at = 0;
		if (next.state == STORE_WAITING) {
			next.state = STORE_QUEUED;
			next.changed_at = clock_wall();
		}
		TRY(work_move(w, &rows[i], &next));
		c->rows[c->count++] = next;
	}
	return STORE_OK;
}

static int
by_id(const void *a, const void *b)
{
	const struct delivery_row *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static void
hand_out_keys(const struct delivery_row *d, struct store_due_delivery *to)
{
	/* What somebody has released is of no stream any more. */
	if (d->batch != 0 || d->keys_len == 0)
		return;
	to->keys = mem_alloc(d->keys_len / KEYS_BYTES_MIN * sizeof(*to->keys));
	to->key_count = keys_unpack(d->keys, d->keys_len, to->keys);
}

static void
hand_out(struct store_job *job, struct claim *c)
{
	struct store_due *due = NULL;
	size_t i;

	if (c->count == 0)
		return;
	qsort(c->rows, c->count, sizeof(*c->rows), by_id);
	job->u.claim.due = mem_zalloc(c->count * sizeof(*due));
	for (i = 0; i < c->count; i++) {
		const struct delivery_row *d = &c->rows[i];

		if (due == NULL || due->id != d->id) {
			due = &job->u.claim.due[job->u.claim.due_count++];
			due->id = d->id;
			due->accepted_at = d->accepted_at;
			due->environment = mem_strdup(d->environment_name);
			due->source = mem_strdup(d->source);
		}
		due->deliveries =
		    mem_resize_array(due->deliveries, due->count + 1, sizeof(*due->deliveries));
		due->deliveries[due->count++] =
		    (struct store_due_delivery){.number = d->number,
						.tries = d->tries,
						.queued_at = d->queued_at,
						.address = mem_strdup(d->final),
						.rewritten = strcmp(d->final, d->recipient) != 0,
						.notify = d->notify,
						.batch = d->batch,
						.orcpt = mem_strdup(d->orcpt)};
		hand_out_keys(d, &due->deliveries[due->count - 1]);
	}
}

struct next_due {
	int64_t at;
};

static bool
see_due(void *context, const struct delivery_row *d)
{
	struct next_due *next = context;

	if (next->at == 0 || d->due_at < next->at)
		next->at = d->due_at;
	return false;
}

static enum store_result
find_next_due(struct work *w, const char *name, struct next_due *next)
{
	struct delivery_query q = {.due = DUE_SET, .order_due = true, .limit = 1};
	struct work_environment *environment;
	enum store_result r = work_environment(w, name, false, &environment);

	if (r == STORE_MISSING)
		return STORE_OK;
	TRY(r);
	q.environment = environment->number;
	return w->b->delivery_list(w->db, &q, see_due, next);
}

enum store_result
job_claim(struct work *w, struct store_job *job)
{
	size_t i, n = job->u.claim.environment_count;
	uint32_t limit = job->u.claim.limit;
	struct claim c = {.count = 0};
	struct next_due next = {0};
	uint32_t share;

	if (n > 0 && limit > 0) {
		c.rows = arena_alloc(&w->arena, limit * sizeof(*c.rows));
		/* A fair share each first, so that one long queue starves nobody. */
		share = limit / (uint32_t)n > 0 ? limit / (uint32_t)n : 1;
		for (i = 0; i < n && c.count < limit; i++)
			TRY(claim_environment(
			    w, job->u.claim.environments[i], job->u.claim.now,
			    share < limit - c.count ? share : limit - (uint32_t)c.count, &c));
		for (i = 0; i < n && c.count < limit; i++)
			TRY(claim_environment(w, job->u.claim.environments[i], job->u.claim.now,
					      limit - (uint32_t)c.count, &c));
	}
	for (i = 0; i < n; i++)
		TRY(find_next_due(w, job->u.claim.environments[i], &next));
	hand_out(job, &c);
	job->u.claim.next_due_at = next.at;
	return STORE_OK;
}

/* ---- expire ---- */

enum store_result
job_expire(struct work *w, struct store_job *job)
{
	struct delivery_query q = {.states = 1U << STORE_QUEUED,
				   .due = DUE_SET,
				   .queued_before = job->u.expire.queued_before};
	struct work_environment *environment;
	struct failures_list failures = SLIST_HEAD_INITIALIZER(failures);
	struct delivery_row *rows, next;
	size_t i, n;
	enum store_result r;

	if (job->u.expire.queued_before <= 0)
		return STORE_OK;
	r = work_environment(w, job->u.expire.environment, false, &environment);
	if (r == STORE_MISSING)
		return STORE_OK;
	TRY(r);
	q.environment = environment->number;
	TRY(work_list(w, &q, false, &rows, &n));
	for (i = 0; i < n; i++) {
		next = rows[i];
		next.state = STORE_FAILED;
		next.due_at = 0;
		next.changed_at = job->u.expire.now;
		next.reply = job->u.expire.reason;
		next.notice = notice_of(&rows[i], STORE_FAILED, false);
		TRY(work_move(w, &rows[i], &next));
		failures_add(w, &failures, &rows[i], job->u.expire.reason);
	}
	TRY(failures_tell(w, &failures, job->u.expire.now));
	TRY(plan_settle(w, job->u.expire.now, &job->u.expire.paused));
	job->u.expire.expired = n;
	return STORE_OK;
}
