/*
 * The table of keys behind the counters: where a key lies, how many there may be of whom, and which
 * list it is on. Called by counters.c and counters_save.c under the shard's lock, on any thread.
 * A key is freed by a sweep, or with the table.
 */
#include "filters/keys.h"

#include "base/clock.h"
#include "base/mem.h"

/* The finalizer of splitmix64 over a value and the seed. */
static uint64_t
keys_mix(const struct counters *c, uint64_t value)
{
	uint64_t z = value ^ c->seed;

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static atomic_uint *
keys_of_owner(struct counters *c, uint64_t owner)
{
	return &c->owners[keys_mix(c, owner) % KEYS_OWNERS];
}

struct shard *
shard_lock(struct counters *c, uint64_t hash)
{
	struct shard *s = &c->shards[hash >> 58];

	pthread_mutex_lock(&s->lock);
	return s;
}

void
shard_unlock(struct shard *s)
{
	pthread_mutex_unlock(&s->lock);
}

struct key *
key_find(const struct counters *c, struct shard *s, uint64_t hash)
{
	unsigned place = (unsigned)keys_mix(c, hash);
	struct key *k;

	HASH_FIND_BYHASHVALUE(hh, s->keys, &hash, sizeof(hash), place, k);
	return k;
}

bool
key_has_place(struct counters *c, uint64_t owner, bool spare)
{
	size_t cap = atomic_load_explicit(&c->cap, memory_order_relaxed);
	size_t beyond = cap / KEYS_SPARE_PART, share = cap / COUNTERS_SOURCE_PART;

	if (spare)
		return atomic_load_explicit(&c->spare_count, memory_order_relaxed) <
		       (beyond > KEYS_SPARE_MIN ? beyond : KEYS_SPARE_MIN);
	if (atomic_load_explicit(&c->key_count, memory_order_relaxed) >= cap)
		return false;
	return owner == 0 || atomic_load_explicit(keys_of_owner(c, owner), memory_order_relaxed) <
				 (share > 0 ? share : 1);
}

struct key *
key_add(struct counters *c, struct shard *s, uint64_t hash, uint64_t owner, bool spare)
{
	unsigned place = (unsigned)keys_mix(c, hash);
	struct key *k = mem_zalloc(sizeof(*k));

	k->hash = hash;
	k->owner = spare ? 0 : owner;
	k->spare = spare;
	k->idle_at = KEYS_NEVER;
	HASH_ADD_BYHASHVALUE(hh, s->keys, hash, sizeof(hash), place, k);
	atomic_fetch_add_explicit(spare ? &c->spare_count : &c->key_count, 1, memory_order_relaxed);
	if (k->owner != 0)
		atomic_fetch_add_explicit(keys_of_owner(c, k->owner), 1, memory_order_relaxed);
	return k;
}

void
key_free(struct counters *c, struct shard *s, struct key *k)
{
	key_turn(c, s, k, KEY_CALM);
	key_set_saving(s, k, KEY_CLEAN);
	HASH_DEL(s->keys, k);
	atomic_fetch_sub_explicit(k->spare ? &c->spare_count : &c->key_count, 1,
				  memory_order_relaxed);
	if (k->owner != 0)
		atomic_fetch_sub_explicit(keys_of_owner(c, k->owner), 1, memory_order_relaxed);
	window_free(&k->all);
	if (k->head != NULL)
		window_free(k->head);
	free(k->head);
	free(k->trip);
	free(k);
}

enum key_state
key_state(const struct key *k)
{
	return k == NULL || k->trip == NULL ? KEY_CALM : k->trip->state;
}

struct key_trip *
key_trip_part(struct key *k)
{
	if (k->trip == NULL) {
		k->trip = mem_zalloc(sizeof(*k->trip));
		k->trip->key = k;
		k->trip->over_until = KEYS_NEVER;
	}
	return k->trip;
}

void
key_turn(struct counters *c, struct shard *s, struct key *k, enum key_state state)
{
	enum key_state before = key_state(k);

	if (before == state)
		return;
	key_trip_part(k);
	if (before == KEY_CALM)
		LIST_INSERT_HEAD(&s->tripped, k->trip, entry);
	if (state == KEY_CALM)
		LIST_REMOVE(k->trip, entry);
	if (state == KEY_TRIPPED)
		atomic_fetch_add_explicit(&c->tripped, 1, memory_order_relaxed);
	if (before == KEY_TRIPPED)
		atomic_fetch_sub_explicit(&c->tripped, 1, memory_order_relaxed);
	k->trip->state = state;
}

int64_t
key_gone_at(const struct key *k)
{
	/* The time of the last trip is kept for a day, so that the next one differs even if the
	 * wall clock was set back meanwhile. */
	return k->idle_at + (k->trip != NULL && k->trip->tripped_at != 0 ? CLOCK_DAY : 0);
}

void
key_set_saving(struct shard *s, struct key *k, enum key_saving saving)
{
	if (k->saving != KEY_CLEAN)
		LIST_REMOVE(k, saving_entry);
	if (saving == KEY_CHANGED)
		LIST_INSERT_HEAD(&s->changed, k, saving_entry);
	else if (saving == KEY_GIVEN)
		LIST_INSERT_HEAD(&s->given, k, saving_entry);
	k->saving = saving & 3;
}

void
key_changed(struct shard *s, struct key *k)
{
	if (k->saving != KEY_CHANGED &&
	    (k->stored || k->long_all || k->long_head || key_state(k) != KEY_CALM))
		key_set_saving(s, k, KEY_CHANGED);
}

void
shard_sweep(struct counters *c, struct shard *s, int64_t mono)
{
	int64_t next_gone = mono + CLOCK_MINUTE; /* later keys may be gone sooner */
	struct key *k, *next;

	HASH_ITER(hh, s->keys, k, next)
	{
		if (key_state(k) != KEY_CALM)
			continue;
		if (key_gone_at(k) > mono) {
			if (key_gone_at(k) < next_gone)
				next_gone = key_gone_at(k);
			continue;
		}
		if (!k->stored && k->saving != KEY_GIVEN)
			key_free(c, s, k);
		else if (k->saving == KEY_CLEAN)
			key_set_saving(s, k, KEY_CHANGED);
	}
	s->sweep_after = next_gone > mono + CLOCK_SECOND ? next_gone : mono + CLOCK_SECOND;
}
