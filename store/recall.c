/*
 * The index of members (stream -> deliveries) and what it is for. Writer's thread; memory is the
 * job's arena.
 *
 * A delivery has a row in the index for each of its keys only while it is open: waiting, or queued
 * with a due time. Mail that is taken at once, nearly all of it, has none and costs nothing here.
 * What waits costs an insert and, when it is claimed, a removal for each key: as its keys stand in
 * its own row, both go straight to their place and nothing is searched. A trip costs what it pulls
 * in. So also when an upstream is down and a million deliveries are due: the trip of one stream
 * reads none of the others.
 *
 * What somebody has released stands in its batch and is never open again: no rule holds the same
 * delivery twice, nor a decision of another rule's. Its keys stay in its row, for the counters'
 * replay. The audience rule holds a surplus only: what its stream has let through is declared mail,
 * and is never called back.
 */
#include "store/recall.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/keys.h"

static bool
recalls(const struct store_batch *b)
{
	return b->tripped_at != 0 && strcmp(b->rule, "audience") != 0;
}

const struct verdict_key *
recall_keys(struct work *w, const struct delivery_row *d, size_t *count)
{
	struct verdict_key *keys;

	*count = 0;
	if (d->keys_len > 0) {
		keys = arena_alloc(&w->arena, d->keys_len / KEYS_BYTES_MIN * sizeof(*keys));
		*count = keys_unpack(d->keys, d->keys_len, keys);
		return keys;
	}
	if (d->state != STORE_WAITING || d->stream == 0)
		return NULL;
	/* Stored before there were keys: of the stream that it waits for. */
	keys = arena_zalloc(&w->arena, sizeof(*keys));
	keys->hash = d->stream;
	keys->settles = true;
	*count = 1;
	return keys;
}

bool
recall_is_open(const struct delivery_row *d)
{
	return d->batch == 0 && d->due_at != 0 &&
	       (d->state == STORE_WAITING || d->state == STORE_QUEUED);
}

enum store_result
recall_index(struct work *w, const struct delivery_row *d, const struct delivery_row *next)
{
	bool was = d != NULL && recall_is_open(d), is = next != NULL && recall_is_open(next);
	const struct verdict_key *keys;
	size_t i, n;

	if (was == is)
		return STORE_OK;
	keys = recall_keys(w, was ? d : next, &n);
	for (i = 0; i < n; i++)
		TRY(is ? w->b->member_add(w->db, keys[i].hash, next->id, next->number)
		       : w->b->member_delete(w->db, keys[i].hash, d->id, d->number));
	return STORE_OK;
}

/* ---- leaks ---- */

/* On the clock of trips, which never jumps. */
static int64_t
counted_at(const struct delivery_row *d)
{
	return keys_time(d->keys, d->keys_len, d->accepted_at);
}

static bool
is_within(const struct store_batch *b, int64_t at)
{
	return b->window == 0 || at >= b->tripped_at - b->window;
}

/* Whether a delivery was counted before that trip. Times of a message are read before the counters'
 * lock is taken: a second of slack, but not beyond a decision that ended it. */
static bool
is_before(const struct store_batch *b, int64_t at)
{
	if (b->ended_at != 0 && at > b->ended_at)
		return false;
	return at <= b->tripped_at + CLOCK_SECOND && is_within(b, at);
}

struct trip {
	int64_t batch, tripped_at;
};

struct trips {
	int64_t counted_at;
	struct trip rows[8]; /* within one window; a trip is followed by a cooldown */
	size_t count;
};

/* Newest first. A decision that ended a batch made the counters begin anew: what was counted before
 * it is in no later trip's leak. */
static bool
keep_trip(void *context, const struct batch_row *row)
{
	const struct store_batch *b = &row->b;
	struct trips *t = context;

	if (b->ended_at >= t->counted_at)
		while (t->count > 0 && t->rows[0].tripped_at >= b->ended_at)
			memmove(t->rows, t->rows + 1, --t->count * sizeof(*t->rows));
	if (is_before(b, t->counted_at))
		t->rows[t->count++] = (struct trip){b->id, b->tripped_at};
	return b->tripped_at + CLOCK_SECOND >= t->counted_at &&
	       t->count < sizeof(t->rows) / sizeof(t->rows[0]);
}

static enum store_result
unleak(struct work *w, uint64_t stream, int64_t at)
{
	struct batch_query q = {.stream = stream};
	struct trips t = {.counted_at = at};
	struct work_batch *wb;
	size_t i;

	TRY(w->b->batch_list(w->db, &q, keep_trip, &t));
	for (i = 0; i < t.count; i++) {
		TRY(work_batch(w, t.rows[i].batch, &wb));
		if (wb->row.b.leaked > 0)
			work_count_leak(w, &wb->row.b, -1);
		wb->row.b.leaked -= wb->row.b.leaked > 0;
		wb->dirty = true;
	}
	return STORE_OK;
}

/* At once: a trip that was judged before this, and comes to the store after it, has counted it as
 * left, and open_batch() must know (recall_left_before()). */
static void
tell(struct work *w, uint64_t stream, int64_t at)
{
	if (w->counters.unleave == NULL)
		return;
	w->counters.unleave(w->counters.context, stream, at);
	if (w->told_count == w->told_cap) {
		w->told_cap = w->told_cap > 0 ? w->told_cap * 2 : 64;
		w->told = mem_resize_array(w->told, w->told_cap, sizeof(*w->told));
	}
	w->told[w->told_count++] = (struct work_told){stream, at};
}

enum store_result
recall_count(struct work *w, const struct delivery_row *d)
{
	const struct verdict_key *keys;
	size_t i, n;

	keys = recall_keys(w, d, &n);
	for (i = 0; i < n; i++) {
		TRY(unleak(w, keys[i].hash, counted_at(d)));
		tell(w, keys[i].hash, counted_at(d));
	}
	return STORE_OK;
}

void
recall_committed(struct work *w)
{
	free(w->told);
	w->told = NULL;
	w->told_count = w->told_cap = 0;
}

void
recall_rolled_back(struct work *w)
{
	size_t i;

	for (i = w->told_count; i > 0; i--)
		w->counters.releave(w->counters.context, w->told[i - 1].stream,
				    w->told[i - 1].counted_at);
	recall_committed(w);
}

uint64_t
recall_left_before(const struct work *w, const struct verdict_stream *stream)
{
	int64_t left = stream->counted;

	if (w->counters.unleft != NULL && stream->tripped_at != 0)
		left -= w->counters.unleft(w->counters.context, stream->hash, stream->tripped_at);
	return left > 0 ? (uint64_t)left : 0;
}

/* ---- a trip ---- */

void
recall_hold(struct delivery_row *next, const struct work_batch *wb)
{
	next->state = STORE_HELD;
	next->due_at = 0;
	next->batch = wb->row.b.id;
	next->rule = wb->row.b.rule;
	next->reason = "its stream tripped before it had left";
}

enum store_result
recall_pull(struct work *w, struct work_batch *wb, int64_t now)
{
	struct delivery_query q = {.stream = wb->row.b.stream_hash};
	struct delivery_row *rows, next;
	size_t n, i;

	if (!recalls(&wb->row.b))
		return STORE_OK;
	TRY(work_list(w, &q, false, &rows, &n));
	for (i = 0; i < n; i++) {
		/* What waits was accepted just now, whatever the wall clock says. */
		if (rows[i].state != STORE_WAITING && !is_within(&wb->row.b, counted_at(&rows[i])))
			continue;
		next = rows[i];
		recall_hold(&next, wb);
		next.changed_at = now;
		TRY(work_move(w, &rows[i], &next));
	}
	return STORE_OK;
}

struct find {
	int64_t counted_at, id;
	bool is_new;
};

static bool
see_tripped(void *context, const struct batch_row *row)
{
	struct find *find = context;

	if (recalls(&row->b) && find->counted_at <= row->b.tripped_at + CLOCK_SECOND &&
	    (find->is_new || is_within(&row->b, find->counted_at)))
		find->id = row->b.id;
	return find->id == 0;
}

enum store_result
recall_find(struct work *w, const struct delivery_row *d, struct work_batch **out)
{
	struct find find = {.counted_at = counted_at(d), .is_new = w->new_message == d->id};
	const struct verdict_key *keys;
	size_t i, n;

	*out = NULL;
	keys = recall_keys(w, d, &n);
	for (i = 0; i < n && find.id == 0; i++) {
		struct batch_query q = {.stream = keys[i].hash, .collecting = true};

		TRY(w->b->batch_list(w->db, &q, see_tripped, &find));
		if (find.id == 0)
			continue;
		TRY(work_batch(w, find.id, out));
		if ((*out)->row.b.collecting)
			return STORE_OK;
		*out = NULL; /* closed by this very job */
		find.id = 0;
	}
	return STORE_OK;
}

static bool
see_ruled(void *context, const struct batch_row *row)
{
	*(int64_t *)context = row->b.id;
	return false;
}

enum store_result
recall_find_ruled(struct work *w, uint64_t stream, struct work_batch **out)
{
	struct batch_query q = {.stream = stream, .ruled = true};
	int64_t id = 0;

	*out = NULL;
	if (stream == 0)
		return STORE_OK;
	TRY(w->b->batch_list(w->db, &q, see_ruled, &id));
	return id != 0 ? work_batch(w, id, out) : STORE_OK;
}

enum store_result
recall_recover(struct work *w)
{
	struct delivery_query q = {.states = 1U << STORE_QUEUED, .due = DUE_TAKEN};
	struct delivery_row *rows, next;
	size_t i, n;
	enum store_result r = work_list(w, &q, false, &rows, &n);

	for (i = 0; i < n && r == STORE_OK; i++) {
		next = rows[i];
		next.due_at = 1; /* whenever: it is set */
		r = recall_index(w, &rows[i], &next);
	}
	work_drop_job(w);
	return r;
}
