/*
 * What test_store_random.c does to both twins, as the counters of the gate see it: who was judged
 * by which streams, what tripped, and what a batch's leak must therefore be; and whether the twins
 * hold the same. All of it is on the test's thread.
 */
#include "tests/unit/store_world.h"

#include <stdlib.h>
#include <string.h>

/* xorshift32: the same everywhere. */
uint32_t
world_pick(struct world *w, uint32_t below)
{
	w->seed ^= w->seed << 13;
	w->seed ^= w->seed >> 17;
	w->seed ^= w->seed << 5;
	return w->seed % below;
}

static int
by_id(const void *a, const void *b)
{
	const struct judged *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

/* Ids are given in the order of judging. */
static bool
see_place(void *context, const struct store_delivery *d)
{
	struct world *w = context;
	struct judged key = {.id = d->id, .number = d->number}, *found;

	found = bsearch(&key, w->judged, w->judged_count, sizeof(key), by_id);
	if (found != NULL)
		found->batch = d->batch;
	return true;
}

static void
refresh(struct world *w)
{
	struct store_filter all = {.state = -1};

	assert_int_equal(store_view_deliveries(w->twins[0].v, &all, see_place, w), STORE_OK);
}

/* What of a stream was counted before that trip, and leaves or has left as things are now. */
static uint32_t
leak_of(const struct world *w, const struct trip *t)
{
	uint32_t n = 0;
	size_t i;

	for (i = t->first; i < t->end; i++) {
		const struct judged *j = &w->judged[i];

		n += (j->keys >> t->stream & 1) != 0 && j->left && j->batch == 0 &&
		     j->accepted_at >= t->tripped_at - w->streams[t->stream].window;
	}
	return n;
}

void
world_trip(struct world *w, size_t stream)
{
	struct verdict_stream *s = &w->streams[stream];
	struct trip *t = &w->trips[w->trip_count];

	if (w->tripped[stream] || w->trip_count == TRIPS || w->now <= s->tripped_at + CLOCK_SECOND)
		return;
	refresh(w);
	w->trip_count++;
	w->tripped[stream] = true;
	s->tripped_at = w->now;
	*t = (struct trip){s->hash, w->now, stream, w->forgotten[stream], w->judged_count, 0};
	s->counted = t->counted = leak_of(w, t);
}

void
world_judge(struct world *w, struct message *m, size_t number, unsigned mask)
{
	struct verdict *v = &m->recipients[number].verdict;
	struct verdict_key *keys = arena_zalloc(&m->arena, STREAMS * sizeof(*keys));
	struct judged *j = &w->judged[w->judged_count++];
	struct verdict_stream *stream = NULL;
	size_t s;

	*j = (struct judged){m->id, (uint32_t)number + 1, mask, m->accepted_at, false, 0};
	v->rule = "burst volume";
	v->keys = keys;
	for (s = 0; s < STREAMS; s++) {
		if ((mask >> s & 1) == 0)
			continue;
		keys[v->key_count].hash = w->streams[s].hash;
		keys[v->key_count].stamp = world_pick(w, 1000);
		keys[v->key_count++].settles = world_pick(w, 2) == 0;
		if (stream != NULL && w->tripped[stream - w->streams])
			continue;
		if (stream == NULL || w->tripped[s])
			stream = &w->streams[s];
	}
	if (stream == NULL) {
		v->action = world_pick(w, 2) == 0 ? VERDICT_PASS : VERDICT_DROP;
		return;
	}
	v->action = VERDICT_HOLD;
	if (!w->tripped[stream - w->streams]) {
		v->action = world_pick(w, 2) == 0 ? VERDICT_PASS : VERDICT_WAIT;
		j->left = true;
	}
	v->stream = memcpy(arena_alloc(&m->arena, sizeof(*stream)), stream, sizeof(*stream));
}

void
world_calm(struct world *w, uint64_t hash, bool decided)
{
	size_t i;

	for (i = 0; i < STREAMS; i++) {
		if (w->streams[i].hash != hash)
			continue;
		w->tripped[i] = false;
		if (decided)
			w->forgotten[i] = w->judged_count;
	}
	w->now += 2 * CLOCK_SECOND;
}

/* ---- the whole state as text ---- */

/* opened_at is left out: what a result opens is dated by the clock. */
static bool
write_batch(void *context, const struct store_batch *b)
{
	buf_printf(context, "B%d %d %d %d | %s %s %s %s | %d %d %d %d | %d %d %d %d %d | %s %s\n",
		   (int)b->id, (int)b->state, b->collecting, (int)(b->decided_at / CLOCK_SECOND),
		   b->environment, b->rule, b->key, b->source, (int)b->messages, (int)b->recipients,
		   (int)b->leaked, (int)b->bytes, (int)b->held, (int)b->released, (int)b->sent,
		   (int)b->failed, (int)b->discarded, b->decided_by, b->decided_reason);
	return true;
}

/* due_at and changed_at are left out: results and a panic date them by the clock. */
static bool
write_delivery(void *context, const struct store_delivery *d)
{
	buf_printf(context, "%llx.%u %d B%d %s %s %s %s %s %s %s %d %d %d %s\n",
		   (unsigned long long)d->id, d->number, (int)d->state, (int)d->batch,
		   d->environment, d->source, d->recipient, d->final, d->rule, d->reason, d->reply,
		   (int)d->bytes, (int)d->tries, (int)d->notice, d->told);
	return true;
}

/* next_ring_at is left out as due_at is. */
static bool
write_plan(void *context, const struct store_plan *p)
{
	buf_printf(
	    context, "P%d B%d %s ring %u of %u | %d %d | %d %d %d %d %d %d | %s | %s | %s %u %s\n",
	    (int)p->id, (int)p->batch, store_plan_state_name(p->state), p->ring, p->rings.count,
	    (int)p->total, (int)p->released, (int)p->ring_size, (int)p->ring_released,
	    (int)p->ring_sent, (int)p->ring_failed, (int)p->ring_deferred, (int)p->ring_refused,
	    p->why, p->refusals, p->who, p->approvers, p->approved_by);
	assert_true(p->released <= p->total);
	assert_true(p->ring_released <= p->ring_size);
	assert_true(p->ring_sent + p->ring_failed <= p->ring_released);
	assert_true(p->ring_refused <= p->ring_size);
	return true;
}

static bool
write_audit(void *context, const struct store_audit *a)
{
	buf_printf(context, "%d %s %s %s %s %s\n", (int)a->id, a->who, a->action, a->object,
		   a->reason, a->detail);
	return true;
}

static void
write_state(struct fixture *f, struct buf *out)
{
	struct store_filter all = {.state = -1};

	int64_t batch;

	assert_int_equal(store_view_batches(f->v, -1, true, write_batch, out), STORE_OK);
	for (batch = 1; batch <= TRIPS; batch++)
		(void)store_view_plan(f->v, batch, write_plan, out);
	assert_int_equal(store_view_deliveries(f->v, &all, write_delivery, out), STORE_OK);
	assert_int_equal(store_view_audit(f->v, 0, 0, 0, NULL, write_audit, out), STORE_OK);
}

static bool
check_leak(void *context, const struct store_batch *b)
{
	struct world *w = context;
	size_t i;

	for (i = 0; i < w->trip_count; i++) {
		const struct trip *t = &w->trips[i];

		if (t->hash != b->stream_hash || t->tripped_at != b->tripped_at)
			continue;
		if (b->leaked != leak_of(w, t))
			fail_msg("B%d of stream %zu: %d leaked, in truth %u of %u counted",
				 (int)b->id, t->stream, (int)b->leaked, leak_of(w, t), t->counted);
		w->leaks += b->leaked > 0 && b->leaked < t->counted;
	}
	return true;
}

void
world_check_leaks(struct world *w)
{
	refresh(w);
	assert_int_equal(store_view_batches(w->twins[0].v, -1, true, check_leak, w), STORE_OK);
}

/* The first line that differs: the whole is too long to be read. */
static void
assert_same_text(const char *a, const char *b)
{
	size_t line;

	while (*a != '\0' || *b != '\0') {
		line = strcspn(a, "\n");
		if (strcspn(b, "\n") != line || strncmp(a, b, line) != 0)
			fail_msg("sqlite: %.*s\nmemory: %.*s", (int)line, a, (int)strcspn(b, "\n"),
				 b);
		a += line + (a[line] == '\n');
		b += line + (b[line] == '\n');
	}
}

void
world_check(struct world *w)
{
	struct buf a = {0}, b = {0};

	world_check_leaks(w);
	write_state(&w->twins[0], &a);
	write_state(&w->twins[1], &b);
	assert_same_text(buf_text(&a), buf_text(&b));
	buf_free(&a);
	buf_free(&b);
	check_counts(&w->twins[0]);
	check_counts(&w->twins[1]);
}
