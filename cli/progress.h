/*
 * How far a release in rings has got, as one line for each ring: with a bar on a terminal, as plain
 * lines elsewhere. Nothing is asked or printed here.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"

/* The daemon allows 20; a list that is longer is cut. */
enum { PROGRESS_RINGS_MAX = 20 };

/* Recipients. What is not known yet is 0. */
struct progress_ring {
	int64_t size, sent;
	int64_t deferred, failed; /* refused for now (4xx) and for good (5xx) */
	bool rest;                /* it takes all that is left */
};

/*
 * Zero-initialised is nothing. Rings that are over keep what was last seen of them, until another
 * plan takes the place of theirs.
 */
struct progress {
	int64_t id; /* of the plan */
	char state[16], batch[24];
	struct progress_ring rings[PROGRESS_RINGS_MAX];
	size_t count, ring;               /* ring: the present one from 1; 0 = none has begun */
	int64_t total, released, next_at; /* next_at: seconds since 1970; 0 = not known */
	char why[256];                    /* harmless text */
};

/* Takes in a batch with its plan, as GET /v1/batches/B17 has it. False if it has no plan. */
bool progress_update(struct progress *p, const json_t *batch);
/* True if it goes on by itself, or waits for somebody's approval. */
bool progress_is_live(const struct progress *p);

/*
 * The sizes of rings as they will be, of `total` recipients: 10, 100 and "all" of 50 are 10 and 40.
 * Returns how many there are.
 */
size_t progress_plan(const json_t *rings, int64_t total,
		     struct progress_ring out[PROGRESS_RINGS_MAX]);

/*
 * A line with a bar for each ring and one that says what comes next, each narrower than `columns`
 * and ended by "\n"; at most `rows` lines, those around the present ring. Returns how many.
 */
size_t progress_draw(const struct progress *p, int64_t now, size_t columns, size_t rows,
		     struct buf *out);
/* "ring 2 of 4: 45 of 100 sent; ...", without line end; the same as long as nothing changes. */
void progress_describe(const struct progress *p, struct buf *out);

#endif
