/*
 * The table of burst counters: a key's stream hash -> its windows and whether it has tripped.
 * Shared by all threads; a mutex a shard, held for one key at a time. The public half is in gate.h.
 */
#ifndef FILTERS_COUNTERS_H
#define FILTERS_COUNTERS_H

#include "filters/gate.h"
#include "filters/holds.h"

enum {
	/* Keys in all. One costs about 300 bytes while quiet and at most 2.3 KB, so 460 MB if every
	 * one of them is busy in every slice. Beyond it new keys share one overflow key a rule,
	 * which trips at the same limit. */
	COUNTERS_KEYS_MAX = 200000
};

enum counters_mode {
	COUNTERS_COUNT,
	COUNTERS_PEEK,  /* what would be; nothing changes */
	COUNTERS_REPLAY /* counted, but nothing trips */
};

struct counters_key {
	uint64_t hash;     /* of the stream */
	uint64_t overflow; /* of the rule's overflow key */
};

struct counters_seen {
	uint64_t hash;        /* what was counted: the stream, or the overflow key */
	uint32_t before;      /* arrivals in the window; exact up to the rule's limit + 1 */
	uint32_t head_before; /* in the head's window; exact up to head + 1 */
	uint32_t counted;     /* not held, in the window, before it tripped or this message */
	bool trips;           /* over the limit now, or still tripped */
	int64_t tripped_at;   /* if trips */
};

/*
 * `n` recipients arrive under a key of `rule`; `left` of them are not held by what the caller knows
 * so far (REPLAY only; else all, unless the rule itself holds them). One lock. O(1) in the mean.
 */
void counters_arrive(struct counters *c, const struct config_burst *rule, struct counters_key key,
		     uint32_t n, uint32_t left, int64_t mono, int64_t wall, enum counters_mode mode,
		     struct counters_seen *seen);

/* `n` of the last arrivals are held after all, by another rule: they are no leak of this stream. */
void counters_unleave(struct counters *c, uint64_t hash, uint32_t n);

struct holds *counters_holds(struct counters *c);

/* How many keys there are: for tests and status. */
size_t counters_key_count(struct counters *c);
/* Another cap than COUNTERS_KEYS_MAX, for tests; before any thread uses it. */
void counters_set_cap(struct counters *c, size_t cap);

#endif
