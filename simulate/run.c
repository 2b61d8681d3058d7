/*
 * The engine: rows come in the order of time, each recipient goes through the gate at its virtual
 * moment, and what the relay and the store would make of the verdict is done here: what passes
 * leaves at once, what waits leaves when its settle time is over, and when a stream trips, what of
 * it still waits joins the batch. Nobody decides on a batch. One thread.
 *
 * At one and the same moment what is due leaves first, then recipients come, those of earlier rows
 * before those of later ones.
 *
 * Memory: what waits, rows whose recipients still come, keys, batches that collect.
 */
#include "simulate/simulate.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "filters/counters.h"
#include "simulate/arrival.h"
#include "simulate/report.h"
#include "simulate/suggest.h"
#include "simulate/waiting.h"

#define uthash_fatal(message) fatal("out of memory")
#include <uthash.h>

/* The wall clock at the trace's start: 2026-01-01T00:00:00Z. Nothing but the identity of trips
 * depends on it. */
#define WALL_START (INT64_C(1767225600) * CLOCK_SECOND)

/* Keys that cool() may look at for each message that came. */
enum { KEYS_A_MESSAGE = 2 };

/* A batch that collects. */
struct open_batch {
	UT_hash_handle hh;
	uint64_t stream;
	int64_t tripped_at;
};

struct simulation {
	struct policy *policy;
	struct counters *counters;
	struct simulation_options options;
	struct report *report;
	struct suggest *suggest; /* NULL where nobody asked */
	struct waiting *waiting;
	struct heap rows; /* arrivals with `over` that still come */
	struct open_batch *batches;
	struct message *message; /* the one that is judged */
	uint64_t row_count;
	int64_t fed_at, cooled_at;
	size_t messages; /* since cooled_at */
};

struct simulation *
simulation_new(struct config *config, const struct simulation_options *options, struct buf *errors)
{
	struct policy *policy = policy_new(config, errors);
	struct simulation *s;

	if (policy == NULL)
		return NULL;
	s = mem_zalloc(sizeof(*s));
	s->policy = policy;
	s->counters = counters_new();
	counters_set_cap(s->counters, config->counter_keys);
	s->options = *options;
	s->report = report_new(config);
	s->suggest = options->suggest ? suggest_new(config) : NULL;
	s->waiting = waiting_new();
	s->message = message_new();
	return s;
}

void
simulation_free(struct simulation *s)
{
	struct open_batch *b, *next;
	struct heap_item *item;

	if (s == NULL)
		return;
	while ((item = heap_first(&s->rows)) != NULL) {
		heap_remove(&s->rows, item);
		arrival_free((struct arrival *)item);
		free(item);
	}
	heap_free(&s->rows);
	HASH_ITER(hh, s->batches, b, next)
	{
		HASH_DEL(s->batches, b);
		free(b);
	}
	/* Its sender is an arrival's. */
	message_free(s->message);
	waiting_free(s->waiting);
	suggest_free(s->suggest);
	report_free(s->report);
	counters_free(s->counters);
	policy_unref(s->policy);
	free(s);
}

/* ---- batches ---- */

static void
batch_cooled(void *context, uint64_t stream)
{
	struct simulation *s = context;
	struct open_batch *b;

	HASH_FIND(hh, s->batches, &stream, sizeof(stream), b);
	if (b == NULL)
		return;
	HASH_DEL(s->batches, b);
	free(b);
}

static void
unleave(void *context, uint64_t stream)
{
	counters_unleave(context, stream, 1);
}

static bool
is_audience(const char *rule)
{
	return strcmp(rule, "audience") == 0;
}

/*
 * What waits of the stream and came within its window is held too; returns how many. As
 * store/recall.c: an audience holds only the surplus, and what does not trip calls nothing back.
 */
static uint64_t
recall(struct simulation *s, const struct verdict *v, const char *environment, int64_t at)
{
	int64_t since = v->stream->window > 0 ? at - v->stream->window : INT64_MIN;
	struct waiter *d;
	uint64_t n = 0;

	if (v->stream->tripped_at == 0 || is_audience(v->rule))
		return 0;
	while ((d = waiting_of_stream(s->waiting, v->stream->hash, since)) != NULL) {
		waiter_streams(d, unleave, s->counters);
		report_hold(s->report, environment, v->rule, at, d->blast);
		waiting_remove(s->waiting, d);
		n++;
	}
	return n;
}

/* How many of the stream had passed by its trip, those that wait among them. */
static uint64_t
passed_before(const struct verdict *v)
{
	const struct verdict_stream *stream = v->stream;

	if (!is_audience(v->rule))
		return stream->counted;
	return stream->counted > stream->limit ? stream->counted - stream->limit : 0;
}

/* A recipient is held: it joins its stream's batch, or opens it. */
static void
batch_join(struct simulation *s, const struct arrival *a, const struct verdict *v, int64_t at)
{
	const char *environment = a->environment->name;
	uint64_t stream = v->stream->hash, passed, recalled;
	struct open_batch *b;

	report_hold(s->report, environment, v->rule, at, a->blast);
	HASH_FIND(hh, s->batches, &stream, sizeof(stream), b);
	if (b != NULL && b->tripped_at == v->stream->tripped_at)
		return;
	if (b == NULL) {
		b = mem_zalloc(sizeof(*b));
		b->stream = stream;
		HASH_ADD(hh, s->batches, stream, sizeof(b->stream), b);
	}
	b->tripped_at = v->stream->tripped_at;
	passed = passed_before(v);
	recalled = recall(s, v, environment, at);
	report_batch(s->report, environment, v->rule, at,
		     passed > recalled ? passed - recalled : 0);
}

/* ---- one message ---- */

static void
tell_verdict(const struct simulation *s, const struct arrival *a, const struct recipient *r)
{
	static const char *const names[] = {[VERDICT_PASS] = "pass",
					    [VERDICT_WAIT] = "wait",
					    [VERDICT_HOLD] = "hold",
					    [VERDICT_DROP] = "drop",
					    [VERDICT_REJECT] = "reject"};
	const struct verdict *v = &r->verdict;
	const char *name = names[v->action];

	if (s->options.verdict == NULL)
		return;
	if (v->action == VERDICT_PASS && strcmp(r->final, r->address.text) != 0)
		name = "rewrite";
	s->options.verdict(s->options.context, a->row, r->address.text, name, v->rule);
}

static void
reject(struct simulation *s, const struct arrival *a, const struct recipient *r)
{
	report_counts(s->report)->rejected++;
	tell_verdict(s, a, r);
}

/* The conversation up to DATA: what is rejected at RCPT is not in the message. */
static void
take_recipients(struct simulation *s, const struct arrival *a, int64_t at)
{
	struct message *m = s->message;
	size_t i, kept = 0;

	for (i = 0; i < m->recipient_count; i++) {
		struct recipient *r = &m->recipients[i];

		report_arrive(s->report, at, a->blast);
		gate_recipient(s->policy, m, r);
		if (a->refused != NULL)
			r->verdict = (struct verdict){
			    .action = VERDICT_REJECT, .rule = "declaration", .reason = a->refused};
		if (r->verdict.action == VERDICT_REJECT)
			reject(s, a, r);
		else
			m->recipients[kept++] = *r;
	}
	m->recipient_count = kept;
}

static void
wait(struct simulation *s, const struct arrival *a, const struct verdict *v, uint64_t pair,
     int64_t at)
{
	struct waiter d = {.item.at = at + v->settle, .at = at, .pair = pair, .blast = a->blast};

	waiting_add(s->waiting, &d, v->keys, v->key_count);
}

static void
carry_out(struct simulation *s, const struct arrival *a, const struct recipient *r, int64_t at)
{
	const struct verdict *v = &r->verdict;
	uint64_t pair = 0;

	if (v->action == VERDICT_PASS || v->action == VERDICT_WAIT)
		pair = copies_pair(r->final, a->subject_key);
	if (v->observed != NULL)
		report_observe(s->report, a->environment->name, v->observed, at);
	tell_verdict(s, a, r);
	switch (v->action) {
	case VERDICT_PASS:
		report_leave(s->report, pair, 0, a->blast);
		return;
	case VERDICT_WAIT:
		wait(s, a, v, pair, at);
		return;
	case VERDICT_HOLD:
		batch_join(s, a, v, at);
		return;
	case VERDICT_DROP:
	case VERDICT_REJECT:
	default:
		report_counts(s->report)->dropped++;
	}
}

/* ---- the clock ---- */

/* Lets leave what is due by `at`. */
static void
let_leave(struct simulation *s, int64_t at)
{
	struct waiter *d;

	while (waiting_next(s->waiting) <= at) {
		d = waiting_first(s->waiting);
		report_leave(s->report, d->pair, d->item.at - d->at, d->blast);
		waiting_remove(s->waiting, d);
	}
}

/*
 * The daemon cools and sweeps once a second. Here so often only where much comes, for a call looks
 * at a 64th of all keys; else once a minute, and never for a silence. That changes no verdict: an
 * arrival looks at the cooldown itself, and sweeps where there is no place for its key.
 */
static void
cool(struct simulation *s, int64_t at)
{
	size_t keys = counters_key_count(s->counters) / COUNTERS_SHARDS;
	bool busy = ++s->messages >= keys / KEYS_A_MESSAGE;

	if (at - s->cooled_at < (busy ? CLOCK_SECOND : CLOCK_MINUTE))
		return;
	counters_cool(s->counters, at, batch_cooled, s);
	s->cooled_at = at;
	s->messages = 0;
}

/* The next message of an arrival comes. */
static void
come(struct simulation *s, struct arrival *a)
{
	struct message *m = s->message;
	int64_t at = arrival_next(a);
	size_t i;

	let_leave(s, at);
	cool(s, at);
	arrival_fill(a, m);
	take_recipients(s, a, at);
	if (m->recipient_count == 0)
		return;
	report_counts(s->report)->messages++;
	gate_judge(s->policy, s->counters, m, at, WALL_START + at, GATE_COUNT);
	if (s->suggest != NULL && !a->blast)
		suggest_count(s->suggest, a->environment, m, at);
	for (i = 0; i < m->recipient_count; i++)
		carry_out(s, a, &m->recipients[i], at);
}

/* All that comes by `at` of the rows that have begun. */
static void
run_rows(struct simulation *s, int64_t at)
{
	struct heap_item *item;

	while ((item = heap_first(&s->rows)) != NULL && item->at <= at) {
		struct arrival *a = (struct arrival *)item; /* its first field */

		come(s, a);
		if (a->done < a->count) {
			heap_delay(&s->rows, item, arrival_next(a));
			continue;
		}
		heap_remove(&s->rows, item);
		arrival_free(a);
		free(a);
	}
}

bool
simulation_feed(struct simulation *s, const struct trace_row *row, struct buf *error)
{
	struct arrival *a;

	s->row_count++;
	if (row->at < s->fed_at) {
		buf_add_text(error, "time: is before the row above; sort the trace by time\n");
		return false;
	}
	a = mem_alloc(sizeof(*a));
	if (!arrival_init(a, s->policy, row, s->row_count, error)) {
		arrival_free(a);
		free(a);
		return false;
	}
	s->fed_at = row->at;
	run_rows(s, row->at);
	if (a->over > 0) {
		a->item.at = a->at;
		heap_add(&s->rows, &a->item);
		return true;
	}
	while (a->done < a->count)
		come(s, a);
	arrival_free(a);
	free(a);
	return true;
}

void
simulation_end(struct simulation *s)
{
	run_rows(s, INT64_MAX);
	let_leave(s, INT64_MAX - 1);
	if (s->suggest != NULL)
		suggest_end(s->suggest);
}

void
simulation_total(const struct simulation *s, struct simulation_total *out)
{
	report_total(s->report, out);
}

void
simulation_rules(const struct simulation *s,
		 void (*row)(void *context, const struct simulation_rule *r), void *context)
{
	report_rules(s->report, row, context);
}

void
simulation_suggest(const struct simulation *s,
		   void (*row)(void *context, const struct simulation_suggestion *r), void *context)
{
	if (s->suggest != NULL)
		suggest_rows(s->suggest, row, context);
}
