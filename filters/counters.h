/*
 * The table of burst counters: a key's stream hash -> its windows and whether it has tripped.
 * Shared by all threads; a mutex a shard, held for one key at a time. The public half is in gate.h.
 *
 * Memory of a key on 64 bits, with malloc's and the table's overhead (tests/bench/keys.c measures
 * it): about 180 bytes quiet, 2.4 KB at the busiest (two windows of 62 slices).
 */
#ifndef FILTERS_COUNTERS_H
#define FILTERS_COUNTERS_H

#include "filters/gate.h"
#include "filters/holds.h"

enum {
	/* Keys in all where nobody says otherwise (counter_keys). */
	COUNTERS_KEYS_MAX = 1000000,
	/* One source has at most this part of them: its flood of new keys never takes the place of
	 * other sources' keys. */
	COUNTERS_SOURCE_PART = 4
};

/* What the counters need to know of a rule. */
struct counters_rule {
	uint32_t limit;
	int64_t window;
	uint32_t head; /* 0 = none */
	int64_t head_window;
	int64_t cooldown;
	bool holds; /* else it only observes */
	/* An audience: the key keeps the smallest limit that was ever asked of it, what is under it
	 * leaves though the message goes beyond it, and the window is always kept in slices. */
	bool audience;
};

struct counters_rule counters_rule_of(const struct config_burst *burst);

enum counters_mode {
	COUNTERS_COUNT,
	COUNTERS_HELD,  /* the same, but other rules hold all of it: it makes nothing trip */
	COUNTERS_PEEK,  /* what would be; nothing changes */
	COUNTERS_REPLAY /* counted, but nothing trips */
};

struct counters_key {
	uint64_t hash; /* of the stream */
	/* Where there is no place for it: one key for all such of this rule and source, which trips
	 * at the same limit; and where there is none for that either, one for the rule. 0 = there
	 * is no such key: the one before it always finds a place. Overflow keys are nobody's share,
	 * and lie beyond the cap: a 16th of it, at least 64; those of `overflow_all` always. */
	uint64_t overflow, overflow_all;
	uint64_t owner; /* of environment and source: whose keys are bounded together; 0 = nobody */
	/* REPLAY: as seen.stamp was when it was counted (struct verdict_key), 0 = not known. What
	 * is below the stamp of the loaded save of this key is in its saved windows; windows of at
	 * most COUNTERS_REPLAY_MAX count it in any case. */
	uint32_t stamp;
};

struct counters_seen {
	uint64_t hash;        /* what was counted: the stream, or the overflow key */
	uint32_t before;      /* arrivals in the window; exact up to the rule's limit + 1 */
	uint32_t head_before; /* in the head's window; exact up to head + 1 */
	uint32_t counted;     /* not held, in the window, before it tripped or this message */
	uint32_t limit;       /* the rule's, or the smallest of the key's (audience) */
	uint32_t stamp;       /* for struct verdict_key; COUNT and REPLAY */
	bool trips;           /* over the limit now, or still tripped */
	bool trips_now;       /* it was not before */
	int64_t tripped_at;   /* if trips */
};

/*
 * `n` recipients arrive under a key of `rule`; `left` of them are not held by what the caller knows
 * so far (REPLAY only; else all, unless the rule itself holds them). One lock. O(1) in the mean.
 */
void counters_arrive(struct counters *c, const struct counters_rule *rule, struct counters_key key,
		     uint32_t n, uint32_t left, int64_t mono, int64_t wall, enum counters_mode mode,
		     struct counters_seen *seen);

/*
 * Trips a key that had tripped before this start. To be called after the replay, which knows since
 * when it was not over its limit any more; where that is too long ago, `mono_last` counts.
 */
void counters_restore(struct counters *c, const struct counters_rule *rule, uint64_t hash,
		      int64_t tripped_at, int64_t mono_last);

struct holds *counters_holds(struct counters *c);

/* How many keys there are: for tests and status. */
size_t counters_key_count(struct counters *c);

#endif
