/*
 * Saving the burst counters of long windows, and taking them up again after a start (see gate.h for
 * the contract, keys.h for what is saved when). counters_save() and counters_save_failed() run on
 * the one thread that saves, the rest before the relay starts.
 *
 * A saved key, all numbers little-endian:
 *   version (1 byte), flags (1), owner (8), limit (4), saved at (8), idle at (8)
 *   FLAG_TRIP: tripped at (8, wall clock), over until (8)
 *   FLAG_ALL, FLAG_HEAD, each: width (8), cells (1), of each: start (8), count (4), left (4)
 * Times but `tripped at` are monotonic, microseconds.
 */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "filters/keys.h"

enum { RECORD_VERSION = 1, FLAG_ALL = 1, FLAG_HEAD = 2, FLAG_TRIP = 4, FLAG_SPARE = 8 };
enum { WINDOW_BYTES = 9 + WINDOW_CELLS_MAX * 16, RECORD_BYTES = 30 + 16 + 2 * WINDOW_BYTES };

/* ---- writing */

struct record {
	unsigned char data[RECORD_BYTES];
	size_t len;
};

static void
record_put(struct record *r, uint64_t value, unsigned bytes)
{
	for (; bytes > 0; bytes--, value >>= 8)
		r->data[r->len++] = value & 0xff;
}

/* What is worked out from the last time there is may lie behind it; nothing that is read may. */
static void
record_put_time(struct record *r, int64_t time)
{
	record_put(r, (uint64_t)(time < KEYS_TIME_MAX ? time : KEYS_TIME_MAX), 8);
}

static void
record_put_window(struct record *r, const struct window *w)
{
	const struct window_cell *cells = window_cells(w);
	/* A limit that a reload lowered leaves more than it takes until the next arrival. */
	uint32_t i = w->used > WINDOW_CELLS_MAX ? w->used - WINDOW_CELLS_MAX : 0;

	record_put(r, (uint64_t)w->width, 8);
	record_put(r, w->used - i, 1);
	for (; i < w->used; i++) {
		record_put(r, (uint64_t)cells[i].start, 8);
		record_put(r, cells[i].count, 4);
		record_put(r, cells[i].left, 4);
	}
}

static int64_t
window_newest(const struct window *w, int64_t otherwise)
{
	int64_t start = w->used > 0 ? window_cells(w)[w->used - 1].start : otherwise;

	return start > otherwise ? start : otherwise;
}

static void
record_fill(struct record *r, const struct key *k, int64_t mono)
{
	/* An arrival's time is taken before the lock: it may be after that of the save. */
	int64_t saved_at = window_newest(&k->all, mono);

	if (k->head != NULL)
		saved_at = window_newest(k->head, saved_at);
	r->len = 0;
	record_put(r, RECORD_VERSION, 1);
	record_put(r,
		   (k->long_all ? FLAG_ALL : 0U) | (k->long_head ? FLAG_HEAD : 0U) |
		       (k->trip != NULL ? FLAG_TRIP : 0U) | (k->spare ? FLAG_SPARE : 0U),
		   1);
	record_put(r, k->owner, 8);
	record_put(r, k->limit, 4);
	record_put(r, (uint64_t)saved_at, 8);
	record_put_time(r, k->idle_at);
	if (k->trip != NULL) {
		record_put_time(r, k->trip->tripped_at);
		record_put_time(r, k->trip->over_until);
	}
	if (k->long_all)
		record_put_window(r, &k->all);
	if (k->long_head)
		record_put_window(r, k->head);
}

/* True if something of it would be missed after a restart. */
static bool
key_is_worth_saving(const struct key *k, int64_t mono)
{
	if (key_state(k) != KEY_CALM)
		return true;
	return (k->long_all || k->long_head) && key_gone_at(k) > mono;
}

/* What the last save gave is in the store. It may be much: others get the lock in between. */
static void
shard_saved(struct shard *s)
{
	struct key *k;
	unsigned n = 0;

	while ((k = LIST_FIRST(&s->given)) != NULL) {
		key_set_saving(s, k, KEY_CLEAN);
		if (++n % 256 == 0) {
			pthread_mutex_unlock(&s->lock);
			pthread_mutex_lock(&s->lock);
		}
	}
}

uint32_t
counters_save(struct counters *c, unsigned shard, int64_t mono,
	      void (*row)(void *context, uint64_t hash, int64_t idle_at, const char *data,
			  size_t len),
	      void *context)
{
	struct shard *s = &c->shards[shard];
	struct record record;
	struct key *k;
	uint32_t stamp;

	pthread_mutex_lock(&s->lock);
	shard_saved(s);
	/* From here on in one step: what is counted is in this save, or has its stamp. */
	stamp = ++s->stamp;
	while ((k = LIST_FIRST(&s->changed)) != NULL) {
		bool worth = key_is_worth_saving(k, mono);

		record.len = 0;
		if (worth)
			record_fill(&record, k, mono);
		if (worth || k->stored)
			row(context, k->hash, key_gone_at(k), (const char *)record.data,
			    record.len);
		key_set_saving(s, k, worth || k->stored ? KEY_GIVEN : KEY_CLEAN);
		k->stored = worth;
	}
	shard_unlock(s);
	return stamp;
}

void
counters_save_failed(struct counters *c, unsigned shard)
{
	struct shard *s = &c->shards[shard];
	struct key *k;

	pthread_mutex_lock(&s->lock);
	while ((k = LIST_FIRST(&s->given)) != NULL) {
		key_set_saving(s, k, KEY_CHANGED);
		k->stored = 1; /* perhaps as it was before */
	}
	shard_unlock(s);
}

/* ---- reading */

struct reader {
	const unsigned char *at;
	size_t left;
	int64_t shift;
	bool bad;
};

static uint64_t
read_number(struct reader *r, unsigned bytes)
{
	uint64_t value = 0;
	unsigned i;

	if (r->bad || r->left < bytes) {
		r->bad = true;
		return 0;
	}
	for (i = 0; i < bytes; i++)
		value |= (uint64_t)r->at[i] << (8 * i);
	r->at += bytes;
	r->left -= bytes;
	return value;
}

/* A monotonic time, as this process counts it. */
static int64_t
read_time(struct reader *r)
{
	int64_t time = (int64_t)read_number(r, 8);

	if (time < KEYS_NEVER || time > KEYS_TIME_MAX || r->shift < KEYS_NEVER ||
	    r->shift > KEYS_TIME_MAX) {
		r->bad = true;
		return 0;
	}
	if (time == KEYS_NEVER)
		return time;
	time += r->shift;
	return time < KEYS_NEVER ? KEYS_NEVER : time > KEYS_TIME_MAX ? KEYS_TIME_MAX : time;
}

/* None of its arrivals can be later than the save. */
static void
read_window(struct reader *r, int64_t saved_at, struct window *w)
{
	int64_t width = (int64_t)read_number(r, 8), before = INT64_MIN;
	uint64_t cells = read_number(r, 1), i;

	if (width < 0 || width > KEYS_TIME_MAX || cells > WINDOW_CELLS_MAX)
		r->bad = true;
	window_reset(w, width);
	for (i = 0; !r->bad && i < cells; i++) {
		struct window_cell cell = {.start = read_time(r)};

		cell.count = (uint32_t)read_number(r, 4);
		cell.left = (uint32_t)read_number(r, 4);
		if (cell.start <= before || cell.start > saved_at || cell.left > cell.count)
			r->bad = true;
		else
			window_append(w, cell);
		before = cell.start;
	}
}

/* What a record says; the windows are the caller's then, also when it is bad. */
struct loaded {
	unsigned flags;
	uint64_t owner;
	uint32_t limit;
	int64_t saved_at, idle_at, tripped_at, over_until;
	struct window all, head;
};

static bool
record_read(struct reader *r, struct loaded *l)
{
	if (read_number(r, 1) != RECORD_VERSION)
		return false;
	l->flags = (unsigned)read_number(r, 1);
	if (l->flags > (FLAG_ALL | FLAG_HEAD | FLAG_TRIP | FLAG_SPARE))
		return false;
	l->owner = read_number(r, 8);
	l->limit = (uint32_t)read_number(r, 4);
	l->saved_at = read_time(r);
	l->idle_at = read_time(r);
	if (l->flags & FLAG_TRIP) {
		l->tripped_at = (int64_t)read_number(r, 8);
		l->over_until = read_time(r);
		if (l->tripped_at < 0 || l->tripped_at > KEYS_TIME_MAX)
			return false;
	}
	if (l->flags & FLAG_ALL)
		read_window(r, l->saved_at, &l->all);
	if (l->flags & FLAG_HEAD)
		read_window(r, l->saved_at, &l->head);
	return !r->bad && r->left == 0;
}

/* Gives the windows to the key. */
static void
key_take(struct key *k, struct loaded *l)
{
	k->idle_at = l->idle_at;
	k->limit = l->limit;
	k->stored = 1;
	if (l->flags & FLAG_ALL) {
		k->all = l->all;
		k->long_all = k->loaded_all = 1;
	}
	if (l->flags & FLAG_HEAD) {
		k->head = mem_zalloc(sizeof(*k->head));
		*k->head = l->head;
		k->long_head = k->loaded_head = 1;
	}
	if (l->flags & FLAG_TRIP) {
		key_trip_part(k)->tripped_at = l->tripped_at;
		k->trip->over_until = l->over_until;
	}
}

bool
counters_load(struct counters *c, uint64_t hash, const char *data, size_t len, int64_t shift)
{
	struct reader reader = {.at = (const unsigned char *)data, .left = len, .shift = shift};
	struct loaded l = {0};
	struct shard *s;
	struct key *k;

	if (!record_read(&reader, &l)) {
		window_free(&l.all);
		window_free(&l.head);
		return false;
	}
	s = shard_lock(c, hash);
	k = key_find(c, s, hash);
	if (k != NULL)
		key_free(c, s, k);
	k = key_add(c, s, hash, l.owner, (l.flags & FLAG_SPARE) != 0);
	key_take(k, &l);
	if (l.saved_at > s->loaded_at)
		s->loaded_at = l.saved_at;
	if (shift != 0)
		key_set_saving(s, k, KEY_CHANGED);
	shard_unlock(s);
	return true;
}

void
counters_load_stamp(struct counters *c, unsigned shard, uint32_t stamp)
{
	struct shard *s = &c->shards[shard];

	pthread_mutex_lock(&s->lock);
	s->loaded_stamp = stamp;
	if (stamp > s->stamp)
		s->stamp = stamp;
	shard_unlock(s);
}

void
counters_replay_forget(struct counters *c, uint64_t stream_hash, int64_t mono_then)
{
	struct shard *s = shard_lock(c, stream_hash);
	struct key *k = key_find(c, s, stream_hash);
	bool later = mono_then > s->loaded_at;

	if (k != NULL && (later || !k->loaded_all))
		window_reset(&k->all, k->all.width);
	if (k != NULL && k->head != NULL && (later || !k->loaded_head))
		window_reset(k->head, k->head->width);
	if (k != NULL && k->trip != NULL && (later || !k->stored))
		k->trip->over_until = KEYS_NEVER;
	if (k != NULL)
		key_changed(s, k);
	shard_unlock(s);
}
