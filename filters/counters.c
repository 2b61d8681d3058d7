/*
 * The burst counters, one object for the daemon's life. Relay loops count, the control thread
 * forgets, the main thread cools and sweeps; each locks one shard at a time. What a rule says is
 * looked up at each arrival, so a reload needs nothing here.
 *
 * A key:
 *   CALM    -count over the limit (counters_arrive), restored-> TRIPPED
 *   TRIPPED -cooldown passed, seen at an arrival (counters_arrive)-> COOLED
 *   TRIPPED, COOLED -reported (counters_cool), decided (counters_forget)-> CALM
 *   COOLED  -count over the limit (counters_arrive)-> TRIPPED, a new trip
 * TRIPPED and COOLED keys are on their shard's `tripped` list.
 */
#include "filters/counters.h"

#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "filters/policy.h"
#include "filters/stream.h"
#include "filters/window.h"

#define uthash_fatal(message) fatal("out of memory")
#include <uthash.h>

enum { SHARDS = COUNTERS_SHARDS };

/* Times that leave room to add windows and cooldowns of ten years. */
#define TIME_MAX (INT64_MAX / 4)

enum key_state { KEY_CALM, KEY_TRIPPED, KEY_COOLED };

struct key {
	UT_hash_handle hh;
	LIST_ENTRY(key) tripped; /* while TRIPPED or COOLED */
	uint64_t hash;
	struct window all, head;
	enum key_state state;
	uint32_t counted;   /* not held, before the trip */
	int64_t tripped_at; /* wall, of the last trip; 0 = never: trips of a key all differ */
	int64_t
	    over_until;   /* mono: the count is over the limit until then if nothing more arrives */
	int64_t cooldown; /* of the rule, at the last arrival */
	int64_t idle_at;  /* mono: nothing of it counts any more */
};

struct shard {
	pthread_mutex_t lock;
	struct key *keys;
	LIST_HEAD(, key) tripped;
	int64_t swept_at;
};

struct counters {
	struct shard shards[SHARDS];
	/* Outsiders choose subjects, so where a key lies in the table is secret. Not so the hash
	 * itself: it is stored. */
	uint64_t seed;
	atomic_size_t key_count;
	size_t key_cap;
	unsigned next_sweep; /* counters_cool()'s thread only */
	struct holds holds;
};

struct counters *
counters_new(void)
{
	struct counters *c = mem_zalloc(sizeof(*c));
	int i;

	if (getrandom(&c->seed, sizeof(c->seed), 0) != (ssize_t)sizeof(c->seed))
		c->seed = (uint64_t)clock_wall() ^ (uint64_t)(uintptr_t)c;
	c->key_cap = COUNTERS_KEYS_MAX;
	for (i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&c->shards[i].lock, NULL);
		LIST_INIT(&c->shards[i].tripped);
		c->shards[i].swept_at = -TIME_MAX;
	}
	holds_init(&c->holds);
	return c;
}

static void
key_free(struct counters *c, struct shard *s, struct key *k)
{
	if (k->state != KEY_CALM)
		LIST_REMOVE(k, tripped);
	HASH_DEL(s->keys, k);
	window_free(&k->all);
	window_free(&k->head);
	free(k);
	atomic_fetch_sub_explicit(&c->key_count, 1, memory_order_relaxed);
}

void
counters_free(struct counters *c)
{
	struct key *k, *next;
	int i;

	if (c == NULL)
		return;
	for (i = 0; i < SHARDS; i++) {
		HASH_ITER(hh, c->shards[i].keys, k, next)
		key_free(c, &c->shards[i], k);
		pthread_mutex_destroy(&c->shards[i].lock);
	}
	holds_free(&c->holds);
	free(c);
}

struct holds *
counters_holds(struct counters *c)
{
	return &c->holds;
}

size_t
counters_key_count(struct counters *c)
{
	return atomic_load_explicit(&c->key_count, memory_order_relaxed);
}

void
counters_set_cap(struct counters *c, size_t cap)
{
	c->key_cap = cap;
}

/* Where the hash lies in the table: the finalizer of splitmix64 over hash and seed. */
static uint64_t
counters_mix(const struct counters *c, uint64_t hash)
{
	uint64_t z = hash ^ c->seed;

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static struct shard *
shard_lock(struct counters *c, uint64_t hash)
{
	struct shard *s = &c->shards[counters_mix(c, hash) >> 58];

	pthread_mutex_lock(&s->lock);
	return s;
}

static void
shard_unlock(struct shard *s)
{
	pthread_mutex_unlock(&s->lock);
}

static struct key *
key_find(const struct counters *c, struct shard *s, uint64_t hash)
{
	unsigned place = (unsigned)counters_mix(c, hash);
	struct key *k;

	HASH_FIND_BYHASHVALUE(hh, s->keys, &hash, sizeof(hash), place, k);
	return k;
}

static struct key *
key_add(struct counters *c, struct shard *s, uint64_t hash)
{
	unsigned place = (unsigned)counters_mix(c, hash);
	struct key *k = mem_zalloc(sizeof(*k));

	k->hash = hash;
	k->over_until = -TIME_MAX;
	k->idle_at = -TIME_MAX;
	HASH_ADD_BYHASHVALUE(hh, s->keys, hash, sizeof(hash), place, k);
	atomic_fetch_add_explicit(&c->key_count, 1, memory_order_relaxed);
	return k;
}

/* Frees what no longer counts. O(keys of the shard). */
static void
shard_sweep(struct counters *c, struct shard *s, int64_t mono)
{
	struct key *k, *next;

	s->swept_at = mono;
	HASH_ITER(hh, s->keys, k, next)
	{
		/* The time of the last trip is kept for a day, so that the next one differs even
		 * if the wall clock was set back meanwhile. */
		int64_t keep = k->tripped_at != 0 ? CLOCK_DAY : 0;

		if (k->state == KEY_CALM && k->idle_at + keep <= mono)
			key_free(c, s, k);
	}
}

/* True if there is place for one more key; sweeps at most once a second. */
static bool
counters_has_place(struct counters *c, struct shard *s, int64_t mono)
{
	if (counters_key_count(c) < c->key_cap)
		return true;
	if (mono - s->swept_at >= CLOCK_SECOND)
		shard_sweep(c, s, mono);
	return counters_key_count(c) < c->key_cap;
}

static int64_t
clamp_time(int64_t mono)
{
	return mono > TIME_MAX ? TIME_MAX : mono < -TIME_MAX ? -TIME_MAX : mono;
}

static uint32_t
clamp_count(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static int64_t
later(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

/* An alert has no batch that anybody could decide on: without a cooldown its trip ends with the
 * blast. */
static int64_t
rule_cooldown(const struct counters_rule *rule)
{
	return rule->cooldown == 0 && !rule->holds ? 1 : rule->cooldown;
}

static bool
key_is_cool(const struct key *k, int64_t cooldown, int64_t mono)
{
	return cooldown > 0 && mono >= k->over_until && mono - k->over_until >= cooldown;
}

static void
key_trip(struct shard *s, struct key *k, int64_t tripped_at, uint32_t counted)
{
	if (k->state == KEY_CALM)
		LIST_INSERT_HEAD(&s->tripped, k, tripped);
	k->state = KEY_TRIPPED;
	k->tripped_at = tripped_at;
	k->counted = counted;
}

static void
key_calm(struct key *k)
{
	if (k->state != KEY_CALM)
		LIST_REMOVE(k, tripped);
	k->state = KEY_CALM;
}

/* A window kept with another granularity says little about this rule: it starts afresh. */
static void
key_fit(struct key *k, const struct counters_rule *rule)
{
	int64_t width = window_width(rule->limit, rule->window);
	int64_t head_width = window_width(rule->head, rule->head_window);

	if (k->all.width != width)
		window_reset(&k->all, width);
	if (k->head.width != head_width)
		window_reset(&k->head, head_width);
	k->cooldown = rule_cooldown(rule);
}

/* What n more would do; k NULL = a key that nobody has seen. Changes nothing. */
static void
key_look(const struct key *k, const struct counters_rule *rule, uint32_t n, int64_t mono,
	 int64_t wall, struct counters_seen *seen)
{
	uint64_t count = 0, left = 0, head = 0, unused;
	bool tripped = false;

	if (k != NULL && k->all.width == window_width(rule->limit, rule->window))
		window_read(&k->all, rule->window, mono, &count, &left);
	if (k != NULL && rule->head > 0 &&
	    k->head.width == window_width(rule->head, rule->head_window))
		window_read(&k->head, rule->head_window, mono, &head, &unused);
	if (k != NULL)
		tripped = k->state == KEY_TRIPPED && !key_is_cool(k, rule_cooldown(rule), mono);
	seen->before = clamp_count(count);
	seen->head_before = clamp_count(head);
	seen->trips = tripped || count + n > rule->limit;
	seen->counted = tripped ? k->counted : clamp_count(left);
	seen->tripped_at = 0;
	if (tripped)
		seen->tripped_at = k->tripped_at;
	else if (seen->trips)
		seen->tripped_at = k == NULL ? wall : later(wall, k->tripped_at + 1);
}

static void
key_count(struct shard *s, struct key *k, const struct counters_rule *rule, uint32_t n,
	  uint32_t left, int64_t mono, enum counters_mode mode, const struct counters_seen *seen)
{
	int64_t over;

	key_fit(k, rule);
	if (k->state == KEY_TRIPPED && key_is_cool(k, rule_cooldown(rule), mono))
		k->state = KEY_COOLED;
	if (mode == COUNTERS_COUNT) {
		left = seen->trips && rule->holds ? 0 : n;
		if (seen->trips && k->state != KEY_TRIPPED)
			key_trip(s, k, seen->tripped_at, seen->counted);
	}
	window_add(&k->all, rule->limit, rule->window, mono, n, left);
	if (rule->head > 0)
		window_add(&k->head, rule->head, rule->head_window, mono, n, 0);
	over = window_over_until(&k->all, rule->limit, rule->window);
	if (over != INT64_MIN)
		k->over_until = later(k->over_until, over);
	k->idle_at = later(window_empty_at(&k->all, rule->window),
			   window_empty_at(&k->head, rule->head_window));
}

void
counters_arrive(struct counters *c, const struct counters_rule *rule, struct counters_key key,
		uint32_t n, uint32_t left, int64_t mono, int64_t wall, enum counters_mode mode,
		struct counters_seen *seen)
{
	struct shard *s = shard_lock(c, key.hash);
	struct key *k = key_find(c, s, key.hash);

	mono = clamp_time(mono);
	seen->hash = key.hash;
	if (k == NULL && mode == COUNTERS_PEEK && counters_key_count(c) >= c->key_cap)
		seen->hash = key.overflow;
	else if (k == NULL && mode != COUNTERS_PEEK && !counters_has_place(c, s, mono))
		seen->hash = key.overflow;
	else if (k == NULL && mode != COUNTERS_PEEK)
		k = key_add(c, s, key.hash);
	if (seen->hash != key.hash) {
		shard_unlock(s);
		s = shard_lock(c, seen->hash);
		k = key_find(c, s, seen->hash);
		if (k == NULL && mode != COUNTERS_PEEK)
			k = key_add(c, s, seen->hash);
	}
	key_look(k, rule, n, mono, wall, seen);
	if (mode != COUNTERS_PEEK)
		key_count(s, k, rule, n, left, mono, mode, seen);
	shard_unlock(s);
}

void
counters_unleave(struct counters *c, uint64_t hash, uint32_t n)
{
	struct shard *s = shard_lock(c, hash);
	struct key *k = key_find(c, s, hash);

	if (k != NULL)
		window_unleave(&k->all, n);
	shard_unlock(s);
}

struct counters_rule
counters_rule_of(const struct config_burst *b)
{
	return (struct counters_rule){.limit = b->limit,
				      .window = b->window,
				      .head = b->head,
				      .head_window = b->head_window,
				      .cooldown = b->cooldown,
				      .holds = b->action == CONFIG_BURST_HOLD};
}

void
counters_uncount(struct counters *c, uint64_t hash, uint32_t n, uint32_t left)
{
	struct shard *s = shard_lock(c, hash);
	struct key *k = key_find(c, s, hash);

	/* The head's window keeps them: at worst somebody waits who need not. */
	if (k != NULL && k->state == KEY_CALM)
		window_take_back(&k->all, n, left);
	shard_unlock(s);
}

const struct verdict_key *
counters_find_trip(struct counters *c, const struct verdict_key *keys, size_t count, bool settling,
		   int64_t *tripped_at)
{
	bool tripped = false;
	size_t i;

	for (i = 0; i < count && !tripped; i++) {
		struct shard *s;
		struct key *k;

		if (settling && !keys[i].settles)
			continue;
		s = shard_lock(c, keys[i].hash);
		k = key_find(c, s, keys[i].hash);
		tripped = k != NULL && k->state == KEY_TRIPPED;
		if (tripped)
			*tripped_at = k->tripped_at;
		shard_unlock(s);
	}
	return tripped ? &keys[i - 1] : NULL;
}

void
counters_forget(struct counters *c, uint64_t stream_hash)
{
	struct shard *s = shard_lock(c, stream_hash);
	struct key *k = key_find(c, s, stream_hash);

	if (k != NULL) {
		key_calm(k);
		k->over_until = -TIME_MAX;
		window_reset(&k->all, k->all.width);
		window_reset(&k->head, k->head.width);
	}
	shard_unlock(s);
}

void
counters_restore_trip(struct counters *c, const struct policy *p, const char *environment,
		      const char *rule, uint64_t stream_hash, int64_t tripped_at, int64_t mono_last)
{
	const struct policy_rule *found = policy_find_rule(p, environment, rule);
	struct shard *s;
	struct key *k;

	if (found == NULL)
		return; /* no such rule's batch, or it is gone: nothing will join it */
	s = shard_lock(c, stream_hash);
	k = key_find(c, s, stream_hash);
	if (k == NULL)
		k = key_add(c, s, stream_hash);
	key_fit(k, &found->counted);
	key_trip(s, k, tripped_at, 0);
	k->over_until = later(k->over_until, clamp_time(mono_last));
	shard_unlock(s);
}

/* Collects the hashes of one shard's cooled keys into *list. */
static size_t
shard_cool(struct shard *s, int64_t mono, uint64_t **list)
{
	struct key *k = LIST_FIRST(&s->tripped), *next;
	size_t count = 0;

	for (; k != NULL; k = next) {
		next = LIST_NEXT(k, tripped);
		if (k->state == KEY_TRIPPED && !key_is_cool(k, k->cooldown, mono))
			continue;
		key_calm(k);
		*list = mem_resize_array(*list, count + 1, sizeof(**list));
		(*list)[count++] = k->hash;
	}
	return count;
}

void
counters_cool(struct counters *c, int64_t mono, void (*cooled)(void *context, uint64_t stream_hash),
	      void *context)
{
	unsigned sweep = c->next_sweep++ % SHARDS;
	unsigned i;

	mono = clamp_time(mono);
	for (i = 0; i < SHARDS; i++) {
		struct shard *s = &c->shards[i];
		uint64_t *list = NULL;
		size_t count, j;

		pthread_mutex_lock(&s->lock);
		count = shard_cool(s, mono, &list);
		/* One shard a call: each is swept about once a minute. */
		if (i == sweep)
			shard_sweep(c, s, mono);
		shard_unlock(s);
		/* Without the lock, so that the callback may do what it likes. */
		for (j = 0; j < count; j++)
			cooled(context, list[j]);
		free(list);
	}
}

void
counters_set_holds(struct counters *c, const struct gate_hold *holds, size_t count)
{
	holds_set(&c->holds, holds, count);
}

bool
counters_is_held(struct counters *c, const char *environment, const char *source)
{
	return holds_find(&c->holds, environment, source, NULL, NULL);
}
