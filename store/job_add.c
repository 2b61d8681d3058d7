/*
 * STORE_BEGIN, STORE_CHUNK, STORE_ABANDON and STORE_ADD: a message comes in, with a delivery for
 * each recipient in the state that its verdict says. Runs on the writer's thread inside a
 * transaction; the message belongs to the caller.
 *
 * Bodies stay until STORE_PURGE takes the message's last delivery, also when all are sent: freeing
 * them sooner would cost an index or a look at all of a message's deliveries for each result, and
 * keep_sent bounds what it costs in space.
 */
#include <inttypes.h>
#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "base/units.h"
#include "store/jobs.h"
#include "store/keys.h"
#include "store/recall.h"

static void
saw_id(struct work *w, uint64_t id)
{
	if (id > w->highest_id)
		w->highest_id = id;
}

enum store_result
job_begin(struct work *w, struct store_job *job)
{
	saw_id(w, job->u.body.id);
	return w->b->message_begin(w->db, job->u.body.id);
}

/* The job's bytes as one chunk, however many pieces they came in; NULL if they are one already. */
static struct chunk *
join_chunks(const struct chunks *c)
{
	const struct chunk *piece;
	struct chunk *whole;
	size_t at = 0;

	if (!STAILQ_EMPTY(&c->list) && STAILQ_NEXT(STAILQ_FIRST(&c->list), next) == NULL)
		return NULL;
	STAILQ_FOREACH (piece, &c->list, next)
		at += piece->len;
	whole = backend_chunk(NULL, at);
	at = 0;
	STAILQ_FOREACH (piece, &c->list, next) {
		memcpy(whole->data + at, piece->data, piece->len);
		at += piece->len;
	}
	return whole;
}

enum store_result
job_chunk(struct work *w, struct store_job *job)
{
	struct chunk *whole = join_chunks(&job->u.body.chunks);
	const struct chunk *chunk = whole != NULL ? whole : STAILQ_FIRST(&job->u.body.chunks.list);
	enum store_result r = w->b->chunk_add(w->db, job->u.body.id, job->u.body.number, chunk);

	if (whole != NULL)
		chunk_unref(whole);
	if (r == STORE_MISSING)
		return job_refuse(job, r, "the message was not begun, or was abandoned");
	return r;
}

enum store_result
job_abandon(struct work *w, struct store_job *job)
{
	return w->b->message_abandon(w->db, job->u.body.id);
}

/* Whether the burst counters count it: what was held or dropped before they saw it is not. */
static bool
is_counted(const struct verdict *v)
{
	static const char *const uncounted[] = {"recipients", "unknown", "panic", "capture",
						"alert"};
	size_t i;

	if (v->action == VERDICT_DROP || v->action == VERDICT_REJECT)
		return false;
	for (i = 0; v->rule != NULL && i < sizeof(uncounted) / sizeof(uncounted[0]); i++)
		if (strcmp(v->rule, uncounted[i]) == 0)
			return false;
	return true;
}

struct adding {
	const struct message *m;
	struct work_environment environment; /* a copy: the table may move */
	int64_t now, due_now;
	uint64_t bytes;
	bool taken;
	bool *released; /* a ruling let something through */
};

/* A person has ruled on the rest of the stream. The panic button, and a pause, are above that. */
static enum store_result
rule(struct work *w, const struct adding *a, const struct work_batch *wb, struct delivery_row *d)
{
	const struct store_batch *b = &wb->row.b;
	const struct store_hold *hold;

	if (b->ruling == STORE_RULING_NONE || b->ruling_until <= a->due_now)
		return STORE_OK;
	TRY(work_hold_find(w, a->environment.name, a->m->source, &hold));
	if (hold != NULL || b->state == STORE_BATCH_PAUSED)
		return STORE_OK;
	if (b->ruling == STORE_RULING_DISCARD) {
		d->state = STORE_DISCARDED;
		return STORE_OK;
	}
	d->state = STORE_QUEUED;
	d->due_at = a->due_now;
	*a->released = true;
	return STORE_OK;
}

static enum store_result
hold_in(struct work *w, const struct adding *a, const struct verdict_stream *stream,
	struct delivery_row *d)
{
	struct work_batch *wb;

	TRY(work_batch_join(w, stream, a->environment.name, d->rule, a->now, &wb));
	d->state = STORE_HELD;
	d->due_at = 0;
	d->batch = wb->row.b.id;
	TRY(rule(w, a, wb, d));
	if (wb->opened && *wb->why == '\0')
		wb->why = work_copy(w, d->reason);
	return STORE_OK;
}

static enum store_result
set_state(struct work *w, const struct adding *a, const struct verdict *v, struct delivery_row *d)
{
	switch (v->action) {
	case VERDICT_PASS:
		d->state = STORE_QUEUED;
		d->due_at = a->taken ? 0 : a->due_now;
		return STORE_OK;
	case VERDICT_WAIT:
		d->state = STORE_WAITING;
		d->due_at = a->due_now + v->settle;
		return STORE_OK;
	case VERDICT_HOLD:
		return hold_in(w, a, v->stream, d);
	case VERDICT_DROP:
	case VERDICT_REJECT:
		d->state = STORE_DROPPED;
		return STORE_OK;
	}
	panic("verdict %d", (int)v->action);
}

/* The streams that counted it; what waits is of its stream at least. */
static void
set_keys(struct work *w, const struct verdict *v, int64_t at, struct delivery_row *d)
{
	struct verdict_key waits = {.settles = true};
	const struct verdict_key *keys = v->keys;
	size_t count = v->key_count;

	if (count == 0 && v->action == VERDICT_WAIT && v->stream != NULL) {
		waits.hash = v->stream->hash;
		keys = &waits;
		count = 1;
	}
	d->keys = keys_pack(&w->arena, keys, count, at, &d->keys_len);
}

/* Judged before a stream of it tripped, or before the panic button was pressed, and stored after
 * it: it is held with the rest. What is taken comes back through STORE_RESULTS. */
static enum store_result
catch_up(struct work *w, const struct adding *a, struct delivery_row *d)
{
	const struct store_hold *hold;
	struct work_batch *wb;

	if (!recall_is_open(d))
		return STORE_OK;
	TRY(recall_find(w, d, &wb));
	if (wb != NULL) {
		recall_hold(d, wb);
		return recall_count(w, d);
	}
	TRY(work_hold_find(w, a->environment.name, a->m->source, &hold));
	if (hold == NULL)
		return STORE_OK;
	d->rule = "panic";
	d->reason = work_copy(w, hold->reason);
	TRY(hold_in(w, a, work_hold_stream(w, hold), d));
	return recall_count(w, d);
}

static enum store_result
add_delivery(struct work *w, const struct adding *a, uint32_t number, const struct recipient *to)
{
	const struct verdict *v = &to->verdict;
	struct delivery_row d = {
	    .id = a->m->id,
	    .number = number,
	    .environment = a->environment.number,
	    .environment_name = a->environment.name,
	    .queued_at = a->due_now,
	    .changed_at = a->now,
	    .stream = v->stream != NULL ? v->stream->hash : 0,
	    .counted = is_counted(v),
	    .notify = to->notify,
	    .recipient = to->address.text,
	    .final = to->final != NULL ? to->final : to->address.text,
	    .orcpt = to->orcpt != NULL ? to->orcpt : "",
	    .rule = v->rule != NULL ? v->rule : "",
	    .reason = v->reason != NULL ? v->reason : "",
	    .reply = "",
	    .bytes = a->bytes,
	    .accepted_at = a->now,
	};

	set_keys(w, v, a->m->counted_at, &d);
	TRY(set_state(w, a, v, &d));
	TRY(catch_up(w, a, &d));
	return work_add(w, &d);
}

/* A rule that only observes: one alert for each trip of a stream. */
static enum store_result
observe(struct work *w, const struct adding *a, size_t first)
{
	const struct message *m = a->m;
	const struct verdict *v = &m->recipients[first].verdict;
	const struct verdict_stream *s = v->observed_stream;
	int64_t at = 0, count = 0;
	char window[UNITS_BYTES];
	enum store_result r;
	uint64_t total = s->counted;
	size_t i;

	for (i = 0; i < m->recipient_count; i++) {
		const struct verdict_stream *other = m->recipients[i].verdict.observed_stream;

		if (m->recipients[i].verdict.observed == NULL || other == NULL ||
		    other->hash != s->hash)
			continue;
		if (i < first)
			return STORE_OK; /* done with that recipient */
		total++;
	}
	r = w->b->notice_get(w->db, NOTICE_OBSERVED, s->hash, &at, &count);
	if (r != STORE_OK && r != STORE_MISSING)
		return r;
	if (r == STORE_OK && at == s->tripped_at)
		return STORE_OK;
	TRY(w->b->notice_set(w->db, &(struct notice_row){.kind = NOTICE_OBSERVED,
							 .key = s->hash,
							 .at = s->tripped_at,
							 .count = 1,
							 .text = ""}));
	return work_alert(w,
			  &(struct event_row){
			      .at = a->now,
			      .event = "batch.observed",
			      .environment = a->environment.name,
			      .count = (int64_t)total,
			      .who = "gate",
			      .reason = v->observed,
			      .text = arena_printf(
				  &w->arena,
				  "%s: %s in %s from %s (limit %u): rule %s would have held them "
				  "(action = alert)",
				  a->environment.name, work_recipients(w, total),
				  units_format_duration(s->window, window),
				  *s->source != '\0' ? s->source : s->key, s->limit, v->observed)});
}

/* A report, and that it tells of these deliveries: both or neither. */
static enum store_result
tell(struct work *w, struct store_job *job)
{
	char id[ID_TEXT_BYTES];
	size_t settled;

	if (job->u.add.told_id == 0)
		return STORE_OK;
	return notice_settle(w, job->u.add.told_id, job->u.add.told, job->u.add.told_count,
			     STORE_NOTICE_TOLD, id_format(job->u.add.message->id, id), &settled);
}

/* Nobody waits for it but a person: nothing of it leaves before a decision. */
static bool
stays(const struct message *m)
{
	size_t i;

	for (i = 0; i < m->recipient_count; i++)
		if (m->recipients[i].verdict.action == VERDICT_PASS ||
		    m->recipients[i].verdict.action == VERDICT_WAIT)
			return false;
	return true;
}

enum store_result
job_add(struct work *w, struct store_job *job)
{
	struct message *m = job->u.add.message;
	struct adding a = {
	    .m = m,
	    .now = m->accepted_at,
	    .due_now = job->u.add.due_now != 0 ? job->u.add.due_now : m->accepted_at,
	    .bytes = m->header.len + m->body_bytes,
	    .taken = job->u.add.taken,
	    .released = &job->u.add.released,
	};
	bool begun = m->chunks_stored > 0;
	struct work_environment *environment;
	enum store_result r;
	size_t i;

	if (m->recipient_count == 0)
		return job_refuse(job, STORE_REFUSED, "the message has no recipients");
	TRY(work_environment(w, m->environment, true, &environment));
	a.environment = *environment;
	r = w->b->message_add(w->db, m, a.environment.number, begun, stays(m));
	if (r == STORE_MISSING)
		return job_refuse(job, r, "the message's body is not complete in the store");
	TRY(r);
	saw_id(w, m->id);
	w->new_message = m->id;
	for (i = 0; i < m->recipient_count; i++)
		TRY(add_delivery(w, &a, (uint32_t)i + 1, &m->recipients[i]));
	for (i = 0; i < m->recipient_count; i++)
		if (m->recipients[i].verdict.observed != NULL &&
		    m->recipients[i].verdict.observed_stream != NULL)
			TRY(observe(w, &a, i));
	TRY(tell(w, job));
	return STORE_OK;
}
