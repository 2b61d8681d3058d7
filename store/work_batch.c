/*
 * Batches within one transaction: opened or joined, counted, announced, closed; and the panic
 * buttons, which hold into a batch of their own. Called by work.c and the job_*.c files on the
 * writer's thread; everything lives in the job's arena, but the holds, which work.c forgets.
 *
 * A batch's counters: recipients = held + released + discarded; released = queued + sent + failed.
 * A delivery never leaves its batch. Purged deliveries stay counted where they ended.
 */
#include "store/work_batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/units.h"
#include "store/people.h"
#include "store/plan_ring.h"
#include "store/recall.h"

uint64_t
work_batch_queued(const struct store_batch *b)
{
	return b->released - b->sent - b->failed;
}

/* Out of the counters and the plan alone, so that it cannot disagree with them. A plan that this
 * job has not read is as it was, which the state of then says. */
static enum store_batch_state
state_of(const struct work_batch *wb)
{
	const struct store_batch *b = &wb->row.b, *before = &wb->before;
	bool paused = before->state == STORE_BATCH_PAUSED;
	bool goes_on = before->state == STORE_BATCH_RELEASING && before->held > 0;

	if (wb->plan_known) {
		paused = wb->plan != NULL && wb->plan->p.state == STORE_PLAN_PAUSED;
		goes_on = wb->plan != NULL && plan_goes_on(wb->plan);
	}
	if (paused)
		return STORE_BATCH_PAUSED;
	if (b->held > 0)
		return goes_on ? STORE_BATCH_RELEASING : STORE_BATCH_HELD;
	if (work_batch_queued(b) > 0)
		return STORE_BATCH_RELEASING;
	return b->discarded > 0 ? STORE_BATCH_DISCARDED : STORE_BATCH_RELEASED;
}

/* ---- reading ---- */

struct reading {
	struct work *w;
	struct work_batch *batch;
};

static bool
read_batch(void *context, const struct batch_row *row)
{
	struct reading *r = context;
	struct work_batch *wb = arena_zalloc(&r->w->arena, sizeof(*wb));
	struct store_batch *b = &wb->row.b;

	wb->row = *row;
	b->environment = work_copy(r->w, row->b.environment);
	b->rule = work_copy(r->w, row->b.rule);
	b->key = work_copy(r->w, row->b.key);
	b->source = work_copy(r->w, row->b.source);
	b->sender = work_copy(r->w, row->b.sender);
	b->subject = work_copy(r->w, row->b.subject);
	b->decided_by = work_copy(r->w, row->b.decided_by);
	b->decided_reason = work_copy(r->w, row->b.decided_reason);
	b->seen_by = work_copy(r->w, row->b.seen_by);
	wb->before = *b;
	r->batch = wb;
	return false;
}

enum store_result
work_batch(struct work *w, int64_t id, struct work_batch **out)
{
	struct batch_query q = {.id = id};
	struct reading reading = {.w = w};

	SLIST_FOREACH (*out, &w->batches, next)
		if ((*out)->row.b.id == id)
			return STORE_OK;
	TRY(w->b->batch_list(w->db, &q, read_batch, &reading));
	if (reading.batch == NULL)
		return STORE_MISSING;
	*out = reading.batch;
	SLIST_INSERT_HEAD(&w->batches, *out, next);
	return STORE_OK;
}

struct found {
	int64_t ids[16]; /* one is the rule, two is a race; more cannot collect at once */
	size_t count;
};

static bool
find_batch(void *context, const struct batch_row *row)
{
	struct found *f = context;

	f->ids[f->count++] = row->b.id;
	return f->count < sizeof(f->ids) / sizeof(f->ids[0]);
}

enum store_result
work_batch_close(struct work *w, uint64_t stream, int64_t but)
{
	struct batch_query q = {.stream = stream, .collecting = true};
	struct found found = {.count = 0};
	struct work_batch *wb;
	size_t i;

	TRY(w->b->batch_list(w->db, &q, find_batch, &found));
	for (i = 0; i < found.count; i++) {
		TRY(work_batch(w, found.ids[i], &wb));
		if (but != 0 && wb->row.b.tripped_at == but)
			continue;
		wb->row.b.collecting = false;
		wb->dirty = true;
	}
	return STORE_OK;
}

static bool
see_newest(void *context, const struct batch_row *row)
{
	*(int64_t *)context = row->b.id;
	return false;
}

enum store_result
work_batch_end(struct work *w, struct work_batch *wb, int64_t at)
{
	struct batch_query q = {.stream = wb->row.b.stream_hash};
	int64_t newest = 0;

	wb->row.b.collecting = false;
	wb->row.b.ended_at = at;
	wb->dirty = true;
	TRY(w->b->batch_list(w->db, &q, see_newest, &newest));
	if (newest == 0 || newest == wb->row.b.id)
		return STORE_OK;
	TRY(work_batch(w, newest, &wb));
	wb->row.b.collecting = false;
	wb->row.b.ended_at = at;
	wb->dirty = true;
	return STORE_OK;
}

/* ---- counters ---- */

static void
count(struct store_batch *b, enum store_state state, int64_t n)
{
	switch (state) {
	case STORE_HELD:
		b->held += (uint64_t)n;
		break;
	case STORE_SENT:
		b->sent += (uint64_t)n;
		b->released += (uint64_t)n;
		break;
	case STORE_FAILED:
		b->failed += (uint64_t)n;
		b->released += (uint64_t)n;
		break;
	case STORE_QUEUED:
		b->released += (uint64_t)n;
		break;
	case STORE_DISCARDED:
		b->discarded += (uint64_t)n;
		break;
	case STORE_WAITING:
	case STORE_DROPPED:
	case STORE_STATE_COUNT:
		break;
	}
}

static bool
see_row(void *context, const struct delivery_row *d)
{
	(void)d;
	*(bool *)context = true;
	return false;
}

/* True if a delivery of the message stands in the batch as the table is now. */
static enum store_result
has_message(struct work *w, int64_t batch, uint64_t message, bool *out)
{
	struct delivery_query q = {
	    .batch = batch, .message = message, .unordered = true, .limit = 1};

	*out = false;
	return w->b->delivery_list(w->db, &q, see_row, out);
}

static bool
see_environment(void *context, const struct delivery_row *d)
{
	*(int64_t *)context = d->environment;
	return false;
}

/* Whether mail of two environments stands in it, or of another than its own. That of a panic button
 * over more than one environment has none, and one row says whose is there. */
static enum store_result
mix(struct work *w, struct work_batch *wb, const struct delivery_row *d)
{
	const struct store_batch *b = &wb->row.b;
	struct delivery_query q = {.batch = b->id, .unordered = true, .limit = 1};

	if (wb->row.mixed)
		return STORE_OK;
	if (*b->environment != '\0') {
		wb->row.mixed = strcmp(b->environment, d->environment_name) != 0;
		return STORE_OK;
	}
	if (wb->environment == 0)
		TRY(w->b->delivery_list(w->db, &q, see_environment, &wb->environment));
	if (wb->environment == 0)
		wb->environment = d->environment; /* the first */
	wb->row.mixed = wb->environment != d->environment;
	return STORE_OK;
}

enum store_result
work_batch_enter(struct work *w, const struct delivery_row *d)
{
	struct work_batch *wb;
	bool seen;

	TRY(work_batch(w, d->batch, &wb));
	TRY(mix(w, wb, d));
	if (wb->last_message != d->id) {
		seen = false;
		if (w->new_message != d->id)
			TRY(has_message(w, d->batch, d->id, &seen));
		if (!seen) {
			wb->row.b.messages++;
			wb->row.b.bytes += d->bytes;
		}
		wb->last_message = d->id;
	}
	wb->row.b.recipients++;
	if (wb->row.first == 0 || d->id < wb->row.first)
		wb->row.first = d->id;
	if (d->id > wb->row.last)
		wb->row.last = d->id;
	TRY(people_enter(w, &wb->row, d->recipient));
	if (d->changed_at > wb->row.b.last_at)
		wb->row.b.last_at = d->changed_at;
	count(&wb->row.b, d->state, 1);
	wb->dirty = wb->joined = true;
	return STORE_OK;
}

enum store_result
work_batch_change(struct work *w, int64_t id, enum store_state from, enum store_state to)
{
	struct work_batch *wb;

	TRY(work_batch(w, id, &wb));
	count(&wb->row.b, from, -1);
	count(&wb->row.b, to, 1);
	wb->dirty = true;
	return STORE_OK;
}

void
work_batch_sweep(struct work_batch *wb, enum store_state from, enum store_state to, uint64_t n)
{
	count(&wb->row.b, from, -(int64_t)n);
	count(&wb->row.b, to, (int64_t)n);
	wb->dirty = true;
}

/* ---- open or join ---- */

/* An audience lets its declared number through: a leak is only what went beyond it, before it was
 * declared that small. */
static uint64_t
leaked_at(const struct work *w, const struct verdict_stream *stream, const char *rule)
{
	uint64_t left = recall_left_before(w, stream);

	if (strcmp(rule, "audience") != 0)
		return left;
	return left > stream->limit ? left - stream->limit : 0;
}

static enum store_result
open_batch(struct work *w, const struct verdict_stream *stream, const char *environment,
	   const char *rule, int64_t now, struct work_batch **out)
{
	struct work_batch *wb = arena_zalloc(&w->arena, sizeof(*wb));

	wb->row.b = (struct store_batch){
	    .state = STORE_BATCH_HELD,
	    .collecting = true,
	    .stream_hash = stream->hash,
	    .tripped_at = stream->tripped_at,
	    .opened_at = now,
	    .last_at = now,
	    .environment = work_copy(w, environment),
	    .rule = work_copy(w, rule),
	    .key = work_copy(w, stream->key),
	    .source = work_copy(w, stream->source),
	    .sender = work_copy(w, stream->sender),
	    .subject = work_copy(w, stream->subject),
	    .limit = stream->limit,
	    .window = stream->window,
	    .leaked = leaked_at(w, stream, rule),
	    .decided_by = "",
	    .decided_reason = "",
	    .seen_by = "",
	};
	TRY(w->b->batch_add(w->db, &wb->row));
	work_count_leak(w, &wb->row.b, (int64_t)wb->row.b.leaked);
	wb->opened = wb->dirty = true;
	wb->why = "";
	SLIST_INSERT_HEAD(&w->batches, wb, next);
	*out = wb;
	return STORE_OK;
}

/* One trip is one batch, also for what was under way while it was decided or closed. A stream that
 * never trips (its rule holds by its nature) opens another one. */
static bool
takes_in(const struct store_batch *b, const struct verdict_stream *stream)
{
	if (b->stream_hash == stream->hash && b->ruling != STORE_RULING_NONE)
		return true;
	return b->stream_hash == stream->hash && b->tripped_at == stream->tripped_at &&
	       (b->collecting || stream->tripped_at != 0);
}

enum store_result
work_batch_join(struct work *w, const struct verdict_stream *stream, const char *environment,
		const char *rule, int64_t now, struct work_batch **out)
{
	struct batch_query q = {.stream = stream->hash,
				.tripped_at = stream->tripped_at,
				.collecting = stream->tripped_at == 0};
	struct found found = {.count = 0};

	SLIST_FOREACH (*out, &w->batches, next)
		if (takes_in(&(*out)->row.b, stream))
			return STORE_OK;
	TRY(w->b->batch_list(w->db, &q, find_batch, &found));
	if (found.count > 0)
		return work_batch(w, found.ids[0], out);
	/* Another trip of a stream on which somebody has ruled already. */
	TRY(recall_find_ruled(w, stream->hash, out));
	if (*out != NULL)
		return STORE_OK;
	TRY(work_batch_close(w, stream->hash, stream->tripped_at));
	TRY(open_batch(w, stream, environment, rule, now, out));
	return recall_pull(w, *out, now);
}

/* ---- the end of a job ---- */

static bool
is_audience(const struct store_batch *b)
{
	return strcmp(b->rule, "audience") == 0;
}

/* Of an audience only the surplus is held: the declared ones came before it. */
static uint64_t
audience_seen(const struct store_batch *b)
{
	return b->limit + b->leaked + b->recipients;
}

static const char *
text_count(struct work *w, uint64_t recipients)
{
	return arena_printf(&w->arena, "%" PRIu64 " recipient%s", recipients,
			    recipients == 1 ? "" : "s");
}

/* Of a stream that may leave up to a limit; "up to": loops may still give some of it back. */
static const char *
text_left(struct work *w, const struct store_batch *b)
{
	if (b->limit == 0)
		return "";
	if (b->leaked == 0)
		return ", none left before";
	return arena_printf(&w->arena, ", up to %" PRIu64 " left before", b->leaked);
}

static const char *
opened_text(struct work *w, const struct work_batch *wb)
{
	const struct store_batch *b = &wb->row.b;
	const char *environment = *b->environment != '\0' ? b->environment : "mailfuse";
	const char *from = *b->source != '\0' ? b->source : b->key, *subject = "";
	const char *seen = text_count(w, b->recipients + b->leaked);
	char window[UNITS_BYTES];

	if (is_audience(b))
		return arena_printf(&w->arena,
				    "%s: declared %u, seen %" PRIu64
				    " and rising (%s): %s held as B%" PRId64,
				    environment, b->limit, audience_seen(b), b->key,
				    text_count(w, b->recipients), b->id);
	if (strncmp(b->rule, "content ", 8) == 0)
		return arena_printf(&w->arena,
				    "%s: %s from %s by rule %s%s%s: held as B%" PRId64 "%s",
				    environment, seen, from, b->rule, *wb->why != '\0' ? ": " : "",
				    wb->why, b->id, text_left(w, b));
	if (b->limit == 0)
		return arena_printf(&w->arena, "%s: %s by rule %s (%s): held as B%" PRId64,
				    environment, text_count(w, b->recipients), b->rule, b->key,
				    b->id);
	if (*b->source != '\0' && *b->subject != '\0')
		subject = arena_printf(&w->arena, ", \"%s\"", b->subject);
	return arena_printf(&w->arena, "%s: %s in %s from %s%s (limit %u): held as B%" PRId64 "%s",
			    environment, seen, units_format_duration(b->window, window), from,
			    subject, b->limit, b->id, text_left(w, b));
}

static const char *
grown_text(struct work *w, const struct store_batch *b)
{
	const char *environment = *b->environment != '\0' ? b->environment : "mailfuse";

	if (is_audience(b))
		return arena_printf(&w->arena,
				    "%s: declared %u, seen %" PRIu64 " and rising (%s): B%" PRId64
				    " has grown to %" PRIu64 " recipients",
				    environment, b->limit, audience_seen(b), b->key, b->id,
				    b->recipients);
	return arena_printf(&w->arena,
			    "%s: B%" PRId64 " has grown to %" PRIu64 " recipients, and collects on",
			    environment, b->id, b->recipients);
}

const char *
work_batch_counts(struct work *w, const struct work_batch *wb)
{
	const struct store_batch *b = &wb->row.b, *before = &wb->before;

	return arena_printf(
	    &w->arena,
	    "held=%" PRIu64 "->%" PRIu64 " released=%" PRIu64 "->%" PRIu64 " discarded=%" PRIu64
	    "->%" PRIu64 "%s",
	    before->held, b->held, before->released, b->released, before->discarded, b->discarded,
	    b->purged == before->purged ? ""
					: arena_printf(&w->arena, " purged=%" PRIu64 "->%" PRIu64,
						       before->purged, b->purged));
}

/* What came while it was decided has to be decided too, by whoever is reminded of it. */
static bool
holds_again(const struct work_batch *wb)
{
	return wb->row.b.state == STORE_BATCH_HELD && wb->before.state != STORE_BATCH_HELD &&
	       wb->row.b.decided_at != 0;
}

/* What came while a release of all went on, once nothing of that is left to release. */
static bool
is_left_behind(const struct work_batch *wb)
{
	return wb->before.state == STORE_BATCH_RELEASING && wb->before.held > 0 &&
	       wb->row.b.state == STORE_BATCH_HELD && wb->plan_known && wb->plan != NULL &&
	       wb->plan->whole;
}

static enum store_result
announce(struct work *w, struct work_batch *wb, int64_t now)
{
	const struct store_batch *b = &wb->row.b;
	const char *object = arena_printf(&w->arena, "B%" PRId64, b->id);
	struct event_row e = {.at = now,
			      .batch = b->id,
			      .count = (int64_t)b->recipients,
			      .environment = b->environment,
			      .who = "gate",
			      .reason = b->rule};

	if (wb->opened) {
		e.event = "batch.opened";
		e.text = opened_text(w, wb);
		TRY(work_audit(w, now, "gate", e.event, object, b->rule,
			       arena_printf(&w->arena,
					    "recipients=%" PRIu64 " leaked=%" PRIu64 " key=%s",
					    b->recipients, b->leaked, b->key)));
		log_info(
		    "%s batch.opened environment=%s rule=%s recipients=%" PRIu64 " leaked=%" PRIu64,
		    object, log_safe(b->environment), log_safe(b->rule), b->recipients, b->leaked);
	} else if (holds_again(wb)) {
		wb->row.b.seen_at = 0;
		wb->row.remind_from = now;
		wb->row.reminded = 0;
		e.event = "batch.grown";
		e.text = arena_printf(&w->arena,
				      "%s: B%" PRId64 " holds %" PRIu64
				      " recipients again, which came while it was decided",
				      *b->environment != '\0' ? b->environment : "mailfuse", b->id,
				      b->held);
	} else if (b->recipients >= 10 * (wb->row.alerted > 0 ? wb->row.alerted : 1)) {
		e.event = "batch.grown";
		e.text = grown_text(w, b);
	} else {
		return STORE_OK;
	}
	wb->row.alerted = b->recipients;
	wb->dirty = true;
	return work_alert(w, &e);
}

enum store_result
work_end_job(struct work *w, int64_t now)
{
	struct work_batch *wb;
	int64_t paused = 0;

	TRY(plan_settle(w, now, &paused));
	SLIST_FOREACH (wb, &w->batches, next) {
		if (wb->plan_dirty)
			TRY(w->b->plan_set(w->db, wb->plan));
		if (wb->dirty)
			wb->row.b.state = state_of(wb);
		if (wb->opened || wb->joined || is_left_behind(wb))
			TRY(announce(w, wb, now));
		if (!wb->dirty)
			continue;
		TRY(w->b->batch_set(w->db, &wb->row));
	}
	work_drop_job(w);
	return STORE_OK;
}

/* ---- panic buttons ---- */

void
work_holds_changed(struct work *w)
{
	size_t i;

	for (i = 0; i < w->hold_count; i++) {
		free((char *)w->holds[i].name);
		free((char *)w->holds[i].reason);
		free((char *)w->holds[i].who);
	}
	free(w->holds);
	w->holds = NULL;
	w->hold_count = 0;
	w->holds_known = false;
}

static bool
keep_hold(void *context, const struct store_hold *h)
{
	struct work *w = context;
	struct store_hold *to;

	w->holds = mem_resize_array(w->holds, w->hold_count + 1, sizeof(*to));
	to = &w->holds[w->hold_count++];
	*to = *h;
	to->name = mem_strdup(h->name);
	to->reason = mem_strdup(h->reason);
	to->who = mem_strdup(h->who);
	return true;
}

enum store_result
work_hold_any(struct work *w, bool *out)
{
	if (!w->holds_known) {
		TRY(w->b->hold_list(w->db, keep_hold, w));
		w->holds_known = true;
	}
	*out = w->hold_count > 0;
	return STORE_OK;
}

enum store_result
work_hold_find(struct work *w, const char *environment, const char *source,
	       const struct store_hold **out)
{
	bool any;
	size_t i;

	*out = NULL;
	if (store_is_alert_mail(environment))
		return STORE_OK;
	TRY(work_hold_any(w, &any));
	for (i = 0; i < w->hold_count && *out == NULL; i++) {
		const struct store_hold *h = &w->holds[i];

		if (h->scope == HOLD_EVERYTHING ||
		    (h->scope == HOLD_ENVIRONMENT && strcmp(h->name, environment) == 0) ||
		    (h->scope == HOLD_SOURCE && strcmp(h->name, source) == 0))
			*out = h;
	}
	return STORE_OK;
}

/* The same hash as filters/ gives the stream of a hold: both sides must change together. */
static uint64_t
hold_hash(const struct store_hold *h)
{
	int32_t scope = h->scope;
	uint64_t hash = text_hash(TEXT_HASH_START, "panic", 6);

	hash = text_hash(hash, &scope, sizeof(scope));
	hash = text_hash(hash, h->name, strlen(h->name));
	return hash != 0 ? hash : 1;
}

struct verdict_stream *
work_hold_stream(struct work *w, const struct store_hold *h)
{
	struct verdict_stream *s = arena_zalloc(&w->arena, sizeof(*s));

	s->hash = hold_hash(h);
	s->tripped_at = h->since;
	s->key =
	    h->scope == HOLD_EVERYTHING
		? "everything"
		: arena_printf(&w->arena, "%s=%s",
			       h->scope == HOLD_ENVIRONMENT ? "environment" : "source", h->name);
	s->source = h->scope == HOLD_SOURCE ? work_copy(w, h->name) : "";
	s->sender = s->subject = "";
	return s;
}
