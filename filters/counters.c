/*
 * The burst counters, one object for the daemon's life. Relay loops count, the control thread
 * forgets, the main thread cools and sweeps; each locks one shard at a time. What a rule says is
 * looked up at each arrival, so a reload needs nothing here. The table and a key's states are in
 * keys.h, saving is in counters_save.c.
 */
#include "filters/counters.h"

#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"
#include "filters/keys.h"
#include "filters/policy.h"
#include "filters/window.h"

struct counters *
counters_new(void)
{
	struct counters *c = mem_zalloc(sizeof(*c));
	int i;

	if (getrandom(&c->seed, sizeof(c->seed), 0) != (ssize_t)sizeof(c->seed))
		c->seed = (uint64_t)clock_wall() ^ (uint64_t)(uintptr_t)c;
	atomic_init(&c->cap, COUNTERS_KEYS_MAX);
	for (i = 0; i < COUNTERS_SHARDS; i++) {
		struct shard *s = &c->shards[i];

		pthread_mutex_init(&s->lock, NULL);
		LIST_INIT(&s->tripped);
		LIST_INIT(&s->changed);
		LIST_INIT(&s->given);
		s->sweep_after = KEYS_NEVER;
		s->stamp = 1; /* 0 = not known */
		s->loaded_at = KEYS_NEVER;
	}
	holds_init(&c->holds);
	return c;
}

void
counters_free(struct counters *c)
{
	struct key *k, *next;
	int i;

	if (c == NULL)
		return;
	for (i = 0; i < COUNTERS_SHARDS; i++) {
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
	return atomic_load_explicit(&c->key_count, memory_order_relaxed) +
	       atomic_load_explicit(&c->spare_count, memory_order_relaxed);
}

void
counters_set_cap(struct counters *c, size_t cap)
{
	atomic_store_explicit(&c->cap, cap, memory_order_relaxed);
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

static int64_t
clamp_time(int64_t mono)
{
	return mono > KEYS_TIME_MAX ? KEYS_TIME_MAX : mono < KEYS_NEVER ? KEYS_NEVER : mono;
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

/* An audience's limit may fall at any message, so it is never kept to the limit. */
static int64_t
rule_width(const struct counters_rule *rule)
{
	return window_width(rule->audience ? UINT32_MAX : rule->limit, rule->window);
}

/* An alert has no batch that anybody could decide on: without a cooldown its trip ends with the
 * blast. */
static int64_t
rule_cooldown(const struct counters_rule *rule)
{
	return rule->cooldown == 0 && !rule->holds ? 1 : rule->cooldown;
}

static uint32_t
key_limit(const struct key *k, const struct counters_rule *rule)
{
	if (k != NULL && rule->audience && k->limit > 0 && k->limit < rule->limit)
		return k->limit;
	return rule->limit;
}

static bool
key_is_cool(const struct key *k, int64_t cooldown, int64_t mono)
{
	return cooldown > 0 && mono >= k->trip->over_until &&
	       mono - k->trip->over_until >= cooldown;
}

static void
key_trip(struct counters *c, struct shard *s, struct key *k, const struct counters_rule *rule,
	 int64_t tripped_at, uint32_t counted)
{
	key_turn(c, s, k, KEY_TRIPPED);
	k->trip->since = 0;
	k->trip->unleft = 0;
	k->trip->tripped_at = tripped_at;
	k->trip->counted = counted;
	k->trip->window = rule->window;
	k->trip->cooldown = rule_cooldown(rule);
}

/* The key as the rule wants it now: after a reload its windows go on in another granularity. */
static void
key_fit(struct key *k, const struct counters_rule *rule, int64_t mono)
{
	window_fit(&k->all, rule_width(rule), mono);
	if (rule->head > 0) {
		if (k->head == NULL)
			k->head = mem_zalloc(sizeof(*k->head));
		window_fit(k->head, window_width(rule->head, rule->head_window), mono);
	} else if (k->head != NULL) {
		window_free(k->head);
		free(k->head);
		k->head = NULL;
		k->loaded_head = 0;
	}
	k->long_all = rule->window > COUNTERS_REPLAY_MAX;
	k->long_head = rule->head > 0 && rule->head_window > COUNTERS_REPLAY_MAX;
	if (rule->audience)
		k->limit = key_limit(k, rule);
	if (k->trip != NULL)
		k->trip->cooldown = rule_cooldown(rule);
}

/* What n more would do; k NULL = a key that nobody has seen. Changes nothing. */
static void
key_look(const struct key *k, const struct counters_rule *rule, uint32_t n, int64_t mono,
	 int64_t wall, struct counters_seen *seen)
{
	uint64_t count = 0, left = 0, head = 0, unused;
	bool tripped = key_state(k) == KEY_TRIPPED && !key_is_cool(k, rule_cooldown(rule), mono);

	if (k != NULL)
		window_read(&k->all, rule->window, mono, &count, &left);
	if (k != NULL && k->head != NULL && rule->head > 0)
		window_read(k->head, rule->head_window, mono, &head, &unused);
	seen->before = clamp_count(count);
	seen->head_before = clamp_count(head);
	seen->limit = key_limit(k, rule);
	seen->trips = tripped || count + n > seen->limit;
	seen->trips_now = seen->trips && !tripped;
	seen->counted = tripped ? k->trip->counted : clamp_count(left);
	seen->tripped_at = 0;
	if (tripped)
		seen->tripped_at = k->trip->tripped_at;
	else if (seen->trips)
		seen->tripped_at =
		    k == NULL || k->trip == NULL ? wall : later(wall, k->trip->tripped_at + 1);
}

/*
 * True if a window of this length has to count it. In a replay the short ones are empty until they
 * are replayed, whatever they were when they were saved; the long ones may have it already.
 */
static bool
window_wants(const struct shard *s, struct window *w, int64_t length, bool loaded,
	     enum counters_mode mode, uint32_t stamp)
{
	if (mode != COUNTERS_REPLAY || !loaded)
		return true;
	if (length > COUNTERS_REPLAY_MAX)
		return stamp >= s->loaded_stamp;
	window_reset(w, w->width);
	return true;
}

static void
key_add_to_windows(struct shard *s, struct key *k, const struct counters_rule *rule, uint32_t n,
		   uint32_t left, int64_t mono, enum counters_mode mode, uint32_t stamp)
{
	int64_t idle;

	if (window_wants(s, &k->all, rule->window, k->loaded_all, mode, stamp))
		window_add(&k->all, rule->limit, rule->window, mono, n, left);
	k->loaded_all &= k->long_all;
	idle = window_empty_at(&k->all, rule->window);
	if (k->head != NULL) {
		if (window_wants(s, k->head, rule->head_window, k->loaded_head, mode, stamp))
			window_add(k->head, rule->head, rule->head_window, mono, n, 0);
		k->loaded_head &= k->long_head;
		idle = later(idle, window_empty_at(k->head, rule->head_window));
	}
	if (idle != INT64_MIN)
		k->idle_at = idle;
}

static void
key_count(struct counters *c, struct shard *s, struct key *k, const struct counters_rule *rule,
	  uint32_t n, uint32_t left, int64_t mono, enum counters_mode mode, uint32_t stamp,
	  const struct counters_seen *seen)
{
	uint32_t room = seen->limit > seen->before ? seen->limit - seen->before : 0;
	int64_t over;

	if (key_state(k) == KEY_TRIPPED && key_is_cool(k, k->trip->cooldown, mono))
		key_turn(c, s, k, KEY_COOLED);
	if (mode == COUNTERS_HELD)
		left = 0;
	if (mode == COUNTERS_COUNT) {
		left = n;
		if (seen->trips && rule->holds)
			left = !rule->audience ? 0 : n < room ? n : room;
		if (seen->trips_now)
			key_trip(c, s, k, rule, seen->tripped_at, seen->counted);
	}
	if (key_state(k) == KEY_TRIPPED)
		k->trip->since = clamp_count((uint64_t)k->trip->since + n - left);
	key_add_to_windows(s, k, rule, n, left, mono, mode, stamp);
	over = window_over_until(&k->all, seen->limit, rule->window);
	if (over != INT64_MIN)
		key_trip_part(k)->over_until = later(key_trip_part(k)->over_until, over);
	key_changed(s, k);
}

/* True if the key may be added; sweeps the shard for that at most once a second. */
static bool
counters_has_place(struct counters *c, struct shard *s, uint64_t owner, bool spare, int64_t mono,
		   enum counters_mode mode)
{
	if (key_has_place(c, owner, spare))
		return true;
	if (mode == COUNTERS_PEEK || mono < s->sweep_after)
		return false;
	shard_sweep(c, s, mono);
	return key_has_place(c, owner, spare);
}

/* The key to be counted, or one that it shares with others, added if need be; its shard locked. In
 * a PEEK NULL stands for one that would be added. */
static struct key *
counters_find(struct counters *c, const struct counters_key *key, int64_t mono,
	      enum counters_mode mode, struct shard **shard, uint64_t *hash)
{
	const uint64_t hashes[] = {key->hash, key->overflow, key->overflow_all, 0};
	bool spare, last;
	struct key *k;
	int i;

	for (i = 0;; i++) {
		/* What is replayed may have been counted under an overflow key at once. */
		spare = hashes[i] == key->overflow || hashes[i] == key->overflow_all;
		last = hashes[i + 1] == 0 || hashes[i] == key->overflow_all;
		*hash = hashes[i];
		*shard = shard_lock(c, *hash);
		k = key_find(c, *shard, *hash);
		if (k != NULL)
			return k;
		if (last || counters_has_place(c, *shard, key->owner, spare, mono, mode))
			break;
		shard_unlock(*shard);
	}
	return mode == COUNTERS_PEEK ? NULL : key_add(c, *shard, *hash, key->owner, spare);
}

void
counters_arrive(struct counters *c, const struct counters_rule *rule, struct counters_key key,
		uint32_t n, uint32_t left, int64_t mono, int64_t wall, enum counters_mode mode,
		struct counters_seen *seen)
{
	struct shard *s;
	struct key *k;

	mono = clamp_time(mono);
	k = counters_find(c, &key, mono, mode, &s, &seen->hash);
	if (mode != COUNTERS_PEEK)
		key_fit(k, rule, mono);
	key_look(k, rule, n, mono, wall, seen);
	/* A save must be newer than all that is replayed, also than one that was never written. */
	if (mode == COUNTERS_REPLAY && key.stamp > s->stamp)
		s->stamp = key.stamp;
	seen->stamp = s->stamp;
	if (mode != COUNTERS_PEEK)
		key_count(c, s, k, rule, n, left, mono, mode, key.stamp, seen);
	shard_unlock(s);
}

/*
 * True if arrivals can be taken out of it again. A trip they made stays; and an exact window that
 * was over its limit has forgotten older ones for them, though it did not trip where other rules
 * held all.
 */
static bool
key_takes_back(const struct key *k)
{
	const struct window *w = &k->all;

	if (key_state(k) != KEY_CALM)
		return false;
	return w->width > 0 || w->used == 0 || k->trip == NULL ||
	       k->trip->over_until <= window_cells(w)[w->used - 1].start;
}

/* Of what a trip has held: if nothing is left, no batch was opened that anybody could decide on,
 * and what waits or is queued must not wait for it. */
static void
key_take_back_held(struct counters *c, struct shard *s, struct key *k, uint32_t n)
{
	if (key_state(k) != KEY_TRIPPED || n == 0)
		return;
	k->trip->since -= n < k->trip->since ? n : k->trip->since;
	if (k->trip->since == 0)
		key_turn(c, s, k, KEY_COOLED);
}

void
counters_uncount(struct counters *c, uint64_t hash, uint32_t n, uint32_t left)
{
	struct shard *s = shard_lock(c, hash);
	struct key *k = key_find(c, s, hash);

	if (k != NULL)
		key_take_back_held(c, s, k, n - left);
	if (k != NULL && k->trip != NULL)
		k->trip->unleft += left;

	/* The head's window keeps them: at worst somebody waits who need not. */
	if (k != NULL && key_takes_back(k)) {
		window_take_back(&k->all, n, left);
		key_changed(s, k);
	}
	shard_unlock(s);
}

void
counters_unleave(struct counters *c, uint64_t hash, uint32_t n)
{
	struct shard *s = shard_lock(c, hash);
	struct key *k = key_find(c, s, hash);

	if (k != NULL) {
		window_unleave(&k->all, n);
		if (k->trip != NULL)
			k->trip->unleft += n;
		key_changed(s, k);
	}
	shard_unlock(s);
}

/* True if the count of its last trip has what was counted then. Times of a message are read before
 * the lock is taken: a second of slack, as in store/recall.c. */
static bool
key_trip_has(const struct key *k, int64_t counted_at)
{
	const struct key_trip *t = k->trip;

	return t != NULL && counted_at >= t->tripped_at - t->window &&
	       counted_at <= t->tripped_at + CLOCK_SECOND;
}

void
counters_recall(struct counters *c, uint64_t hash, int64_t counted_at)
{
	struct shard *s = shard_lock(c, hash);
	struct key *k = key_find(c, s, hash);

	if (k != NULL) {
		window_unleave(&k->all, 1);
		if (key_trip_has(k, counted_at))
			k->trip->unleft += 1;
		key_changed(s, k);
	}
	shard_unlock(s);
}

void
counters_unrecall(struct counters *c, uint64_t hash, int64_t counted_at)
{
	struct shard *s = shard_lock(c, hash);
	struct key *k = key_find(c, s, hash);

	if (k != NULL) {
		window_releave(&k->all, 1);
		if (key_trip_has(k, counted_at))
			k->trip->unleft -= 1;
		key_changed(s, k);
	}
	shard_unlock(s);
}

int64_t
counters_unleft(struct counters *c, uint64_t hash, int64_t tripped_at)
{
	struct shard *s = shard_lock(c, hash);
	const struct key *k = key_find(c, s, hash);
	int64_t unleft = 0;

	if (k != NULL && k->trip != NULL && k->trip->tripped_at == tripped_at)
		unleft = k->trip->unleft;
	shard_unlock(s);
	return unleft;
}

void
counters_forget(struct counters *c, uint64_t stream_hash)
{
	struct shard *s = shard_lock(c, stream_hash);
	struct key *k = key_find(c, s, stream_hash);

	if (k != NULL) {
		key_turn(c, s, k, KEY_CALM);
		if (k->trip != NULL)
			k->trip->over_until = KEYS_NEVER;
		window_reset(&k->all, k->all.width);
		if (k->head != NULL)
			window_reset(k->head, k->head->width);
		key_changed(s, k);
	}
	shard_unlock(s);
}

bool
counters_rate(struct counters *c, uint64_t stream_hash, int64_t mono, uint32_t *count,
	      int64_t *window, int64_t *last)
{
	struct shard *s = shard_lock(c, stream_hash);
	const struct key *k = key_find(c, s, stream_hash);
	bool known = k != NULL && k->all.used > 0;

	if (known) {
		const struct window_cell *cells = window_cells(&k->all);
		uint64_t n = 0;

		for (uint32_t i = 0; i < k->all.used; i++)
			n += cells[i].count;
		*count = clamp_count(n);
		*window = mono - cells[0].start;
		*last = cells[k->all.used - 1].start + k->all.width;
		if (*last > mono)
			*last = mono;
	}
	shard_unlock(s);
	return known;
}

const struct verdict_key *
counters_find_trip(struct counters *c, const struct verdict_key *keys, size_t count, bool settling,
		   int64_t *tripped_at)
{
	size_t i;

	if (atomic_load_explicit(&c->tripped, memory_order_relaxed) == 0)
		return NULL;
	for (i = 0; i < count; i++) {
		struct shard *s;
		struct key *k;
		bool found;

		if (settling && !keys[i].settles)
			continue;
		s = shard_lock(c, keys[i].hash);
		k = key_find(c, s, keys[i].hash);
		/* What an audience let through is declared mail: it only holds the surplus. */
		found = key_state(k) == KEY_TRIPPED && k->limit == 0;
		if (found)
			*tripped_at = k->trip->tripped_at;
		shard_unlock(s);
		if (found)
			return &keys[i];
	}
	return NULL;
}

void
counters_restore(struct counters *c, const struct counters_rule *rule, uint64_t hash,
		 int64_t tripped_at, int64_t mono_last)
{
	struct shard *s = shard_lock(c, hash);
	struct key *k = key_find(c, s, hash);

	if (k == NULL) {
		k = key_add(c, s, hash, 0, false);
		key_fit(k, rule, 0);
	}
	key_trip(c, s, k, rule, tripped_at, 0);
	k->trip->since = 1; /* in its batch */
	if (k->trip->over_until == KEYS_NEVER)
		k->trip->over_until = clamp_time(mono_last);
	key_changed(s, k);
	shard_unlock(s);
}

void
counters_restore_trip(struct counters *c, const struct policy *p, const char *environment,
		      const char *rule, uint64_t stream_hash, int64_t tripped_at, int64_t mono_last)
{
	const struct policy_rule *found = policy_find_rule(p, environment, rule);

	/* Else it is no rule's batch, or the rule is gone: nothing will join it. */
	if (found != NULL)
		counters_restore(c, &found->counted, stream_hash, tripped_at, mono_last);
}

/* Collects the hashes of one shard's cooled keys into *list. */
static size_t
shard_cool(struct counters *c, struct shard *s, int64_t mono, uint64_t **list)
{
	struct key_trip *t = LIST_FIRST(&s->tripped), *next;
	size_t count = 0;

	for (; t != NULL; t = next) {
		next = LIST_NEXT(t, entry);
		if (t->state == KEY_TRIPPED && !key_is_cool(t->key, t->cooldown, mono))
			continue;
		key_turn(c, s, t->key, KEY_CALM);
		key_changed(s, t->key);
		*list = mem_resize_array(*list, count + 1, sizeof(**list));
		(*list)[count++] = t->key->hash;
	}
	return count;
}

void
counters_cool(struct counters *c, int64_t mono, void (*cooled)(void *context, uint64_t stream_hash),
	      void *context)
{
	unsigned sweep = c->next_sweep++ % COUNTERS_SHARDS;
	unsigned i;

	mono = clamp_time(mono);
	for (i = 0; i < COUNTERS_SHARDS; i++) {
		struct shard *s = &c->shards[i];
		uint64_t *list = NULL;
		size_t count, j;

		pthread_mutex_lock(&s->lock);
		count = shard_cool(c, s, mono, &list);
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
