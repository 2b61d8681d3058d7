/*
 * The inside of the counters, for counters.c and counters_save.c only: the sharded table of keys,
 * and what of it is still to be saved. A shard's lock is held for all that takes a shard or a key.
 *
 * A key:
 *   CALM    -count over the limit (counters_arrive), restored-> TRIPPED
 *   TRIPPED -cooldown passed, seen at an arrival (counters_arrive), or nothing that it held was
 *           accepted (counters_uncount)-> COOLED
 *   TRIPPED, COOLED -reported (counters_cool), decided (counters_forget)-> CALM
 *   COOLED  -count over the limit (counters_arrive)-> TRIPPED, a new trip
 * TRIPPED and COOLED keys are on their shard's `tripped` list.
 *
 * Of a key whose windows are saved, the store has:
 *   CLEAN   what it is -counted, decided (key_changed)-> CHANGED
 *   CHANGED less; on its shard's `changed` list -counters_save()-> GIVEN
 *   GIVEN   it in a save that is being written; on the shard's `given` list
 *           -the next counters_save()-> CLEAN, -counters_save_failed()-> CHANGED
 */
#ifndef FILTERS_KEYS_H
#define FILTERS_KEYS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/log.h"
#include "filters/counters.h"
#include "filters/window.h"

#define uthash_fatal(message) fatal("out of memory")
#include <uthash.h>

/* Times that leave room to add windows and cooldowns of ten years. */
#define KEYS_TIME_MAX (INT64_MAX / 4)
#define KEYS_NEVER (-KEYS_TIME_MAX)

enum {
	KEYS_OWNERS = 4096,  /* sources are told apart by a secret hash: few share a place */
	KEYS_SPARE_MIN = 64, /* overflow keys there may be beyond the cap ... */
	KEYS_SPARE_PART = 16 /* ... or this part of the cap, if that is more */
};

enum key_state { KEY_CALM, KEY_TRIPPED, KEY_COOLED };
enum key_saving { KEY_CLEAN, KEY_CHANGED, KEY_GIVEN };

struct key;

/* Of a key that was over its limit once; most never are. */
struct key_trip {
	LIST_ENTRY(key_trip) entry; /* while TRIPPED or COOLED */
	struct key *key;
	enum key_state state;
	uint32_t counted;   /* not held, before the trip */
	uint32_t since;     /* counted as held from the trip on, and not taken back */
	int64_t unleft;     /* taken back since the trip of what `counted` says, see gate.h */
	int64_t window;     /* of the rule, at the trip */
	int64_t tripped_at; /* wall, of the last trip; 0 = never: trips of a key all differ */
	int64_t
	    over_until;   /* mono: the count is over the limit until then if nothing more arrives */
	int64_t cooldown; /* of the rule, at the last arrival */
};

struct key {
	UT_hash_handle hh;
	LIST_ENTRY(key) saving_entry; /* while CHANGED or GIVEN */
	uint64_t hash;
	uint64_t owner;  /* whose it is; 0 = nobody's, as an overflow key */
	int64_t idle_at; /* mono: nothing of it counts any more */
	struct window all;
	struct window *head;   /* NULL where the rule has none */
	struct key_trip *trip; /* NULL = CALM, and never over its limit */
	uint32_t limit;        /* of an audience: the smallest so far; 0 = none */
	unsigned saving : 2;   /* enum key_saving */
	unsigned stored : 1;   /* the store has something of it, or is about to */
	unsigned spare : 1;    /* an overflow key: beyond the cap */
	/* Window by window: longer than COUNTERS_REPLAY_MAX, and as a save had it. */
	unsigned long_all : 1, long_head : 1;
	unsigned loaded_all : 1, loaded_head : 1;
};

struct shard {
	pthread_mutex_t lock;
	struct key *keys;
	LIST_HEAD(, key_trip) tripped;
	LIST_HEAD(, key) changed, given;
	int64_t sweep_after;   /* mono: before that a sweep would find nothing to free */
	uint32_t stamp;        /* of what arrives now */
	uint32_t loaded_stamp; /* what has a lower one is in the keys that were loaded; 0 = none */
	int64_t loaded_at;     /* mono, when those were saved */
};

struct counters {
	struct shard shards[COUNTERS_SHARDS];
	/* Outsiders choose subjects, so where a key lies in its shard's table is secret. Not so the
	 * hash itself: it is stored. */
	uint64_t seed;
	atomic_size_t cap, key_count, spare_count;
	atomic_size_t tripped; /* keys that are TRIPPED */
	atomic_uint owners[KEYS_OWNERS];
	unsigned next_sweep; /* counters_cool()'s thread only */
	struct holds holds;
};

struct shard *shard_lock(struct counters *c, uint64_t hash);
void shard_unlock(struct shard *s);
/* Frees what no longer counts and is not in the store; what is, is to be saved as gone. O(keys of
 * the shard). */
void shard_sweep(struct counters *c, struct shard *s, int64_t mono);

struct key *key_find(const struct counters *c, struct shard *s, uint64_t hash);
/* True if there is place for one more key of that owner; of a `spare` one (overflow) there is
 * beyond the cap. */
bool key_has_place(struct counters *c, uint64_t owner, bool spare);
/* Adds it, place or not. */
struct key *key_add(struct counters *c, struct shard *s, uint64_t hash, uint64_t owner, bool spare);
void key_free(struct counters *c, struct shard *s, struct key *k);

/* NULL, a key that nobody has seen, is CALM. */
enum key_state key_state(const struct key *k);
/* Its trip part, made if it has none. */
struct key_trip *key_trip_part(struct key *k);
void key_turn(struct counters *c, struct shard *s, struct key *k, enum key_state state);
/* From when on it may be forgotten if it is CALM. */
int64_t key_gone_at(const struct key *k);

/* To be called after anything of it changed that a save holds; nothing if no save holds it. */
void key_changed(struct shard *s, struct key *k);
void key_set_saving(struct shard *s, struct key *k, enum key_saving saving);

#endif
