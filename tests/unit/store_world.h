/* What the random operations of test_store_random.c know: see store_world.c. */
#ifndef TESTS_UNIT_STORE_WORLD_H
#define TESTS_UNIT_STORE_WORLD_H

#include "tests/unit/store_help.h"

enum { CLAIMED = 32, KNOWN = 512, STREAMS = 3, JUDGED = KNOWN * 6, TRIPS = 256 };

/* A delivery as the counters saw it. */
struct judged {
	uint64_t id;
	uint32_t number;
	unsigned keys; /* of 1 << stream */
	int64_t accepted_at;
	bool left;     /* as it was judged */
	int64_t batch; /* refresh() */
};

/* A stream's trip, and which of `judged` were counted before it. */
struct trip {
	uint64_t hash;
	int64_t tripped_at;
	size_t stream, first, end;
	uint32_t counted; /* as the gate said it */
};

struct world {
	struct fixture twins[2];
	uint64_t ids[KNOWN];
	unsigned recipients[KNOWN];
	size_t known, reports;
	int64_t now;
	uint32_t seed;
	struct verdict_stream streams[STREAMS];
	bool tripped[STREAMS];
	size_t forgotten[STREAMS]; /* `judged` from there on count */
	struct judged judged[JUDGED];
	size_t judged_count;
	struct trip trips[TRIPS];
	size_t trip_count;
	struct message *late; /* judged, not stored yet */
	size_t leaks;
	struct store_delivery_id claimed[CLAIMED]; /* lately */
	size_t claimed_count;
	int64_t last[3]; /* a batch that was asked for, released in rings, paused */
};

/* A number below that; the same everywhere. */
uint32_t world_pick(struct world *w, uint32_t below);

/* The stream trips now, as the counters would say it; not twice within a second. */
void world_trip(struct world *w, size_t stream);

/*
 * The verdict on one recipient, of the streams in `mask` (1 << stream): the first stream that is
 * tripped holds; else it leaves now, or waits.
 */
void world_judge(struct world *w, struct message *m, size_t number, unsigned mask);

/* That stream counts afresh after a decision, and goes on counting after a cooldown. */
void world_calm(struct world *w, uint64_t hash, bool decided);

/* Each batch's leak is what was counted before its trip and has left or may still leave. */
void world_check_leaks(struct world *w);

/* Both twins hold the same, and their counters count it. */
void world_check(struct world *w);

#endif
