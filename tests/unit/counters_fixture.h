/*
 * The burst counters by themselves, without a policy: for the tests of their table and of saving.
 */
#ifndef TESTS_UNIT_COUNTERS_FIXTURE_H
#define TESTS_UNIT_COUNTERS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "filters/counters.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Spread over all shards, never 0: what stream hashes look like. */
static inline uint64_t
hash_of(uint64_t number)
{
	uint64_t z = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	return z ^ (z >> 27) ? z ^ (z >> 27) : 1;
}

static inline uint64_t
random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline uint64_t
random_below(uint64_t *state, uint64_t n)
{
	return (random_next(state) >> 11) % n;
}

static inline struct counters_seen
arrive(struct counters *c, const struct counters_rule *rule, uint64_t hash, uint32_t n,
       int64_t mono)
{
	struct counters_seen seen;

	counters_arrive(c, rule, (struct counters_key){.hash = hash}, n, 0, mono, mono + 1000,
			COUNTERS_COUNT, &seen);
	return seen;
}

static inline struct counters_seen
peek(struct counters *c, const struct counters_rule *rule, uint64_t hash, int64_t mono)
{
	struct counters_seen seen;

	counters_arrive(c, rule, (struct counters_key){.hash = hash}, 0, 0, mono, mono + 1000,
			COUNTERS_PEEK, &seen);
	return seen;
}

/* ---- a store of saved counters, in memory */

struct saved_row {
	uint64_t hash;
	unsigned shard;
	char *data;
	size_t len;
};

struct saved {
	struct saved_row *rows;
	size_t count;
	uint32_t stamps[COUNTERS_SHARDS];
	/* What the monotonic clock of this start of the machine is ahead, now and at each save. */
	int64_t clock, clocks[COUNTERS_SHARDS];
	/* What a save that is not yet committed gives. */
	struct saved_row *given;
	size_t given_count;
};

static inline void
saved_note(void *context, uint64_t hash, int64_t idle_at, const char *data, size_t len)
{
	struct saved *s = context;
	char *copy = mem_alloc(len + 1);

	(void)idle_at;
	assert_true(hash != 0);
	memcpy(copy, data, len);
	s->given = mem_resize_array(s->given, s->given_count + 1, sizeof(*s->given));
	s->given[s->given_count++] = (struct saved_row){hash, (unsigned)(hash >> 58), copy, len};
}

static inline struct saved_row *
saved_find(struct saved *s, uint64_t hash)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		if (s->rows[i].hash == hash)
			return &s->rows[i];
	return NULL;
}

static inline void
saved_put(struct saved *s, struct saved_row *row)
{
	struct saved_row *old = saved_find(s, row->hash);

	if (old != NULL) {
		free(old->data);
		*old = *row;
		if (row->len == 0) {
			free(row->data);
			*old = s->rows[--s->count];
		}
	} else if (row->len > 0) {
		s->rows = mem_resize_array(s->rows, s->count + 1, sizeof(*s->rows));
		s->rows[s->count++] = *row;
	} else {
		free(row->data);
	}
}

/* One shard's save, written or not. */
static inline size_t
saved_shard(struct saved *s, struct counters *c, unsigned shard, int64_t mono, bool commit)
{
	uint32_t stamp = counters_save(c, shard, mono, saved_note, s);
	size_t i, given = s->given_count;

	for (i = 0; i < given; i++) {
		assert_int_equal(s->given[i].shard, shard);
		if (commit)
			saved_put(s, &s->given[i]);
		else
			free(s->given[i].data);
	}
	if (commit) {
		s->stamps[shard] = stamp;
		s->clocks[shard] = s->clock;
	} else {
		counters_save_failed(c, shard);
	}
	free(s->given);
	s->given = NULL;
	s->given_count = 0;
	return given;
}

static inline void
saved_all(struct saved *s, struct counters *c, int64_t mono)
{
	unsigned i;

	for (i = 0; i < COUNTERS_SHARDS; i++)
		saved_shard(s, c, i, mono, true);
}

/* Another start of the daemon, in s->clock. */
static inline struct counters *
saved_load(const struct saved *s)
{
	struct counters *c = counters_new();
	unsigned i;
	size_t k;

	for (i = 0; i < COUNTERS_SHARDS; i++)
		if (s->stamps[i] != 0)
			counters_load_stamp(c, i, s->stamps[i]);
	for (k = 0; k < s->count; k++)
		assert_true(counters_load(c, s->rows[k].hash, s->rows[k].data, s->rows[k].len,
					  s->clock - s->clocks[s->rows[k].shard]));
	return c;
}

static inline void
saved_free(struct saved *s)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		free(s->rows[i].data);
	free(s->rows);
	*s = (struct saved){0};
}

#endif
