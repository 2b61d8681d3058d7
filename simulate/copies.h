/*
 * How many copies of one subject the same person got. Bounded: of at most COPIES_MAX pairs of a
 * person and a subject; where there are more, each loses one copy and those that had one are
 * forgotten (lossy counting), so that the most is still found and is never said too high.
 */
#ifndef SIMULATE_COPIES_H
#define SIMULATE_COPIES_H

#include <stddef.h>
#include <stdint.h>

enum { COPIES_MAX = 1 << 22 };

struct copies {
	struct copies_cell {
		uint64_t pair; /* 0 = empty */
		uint64_t count;
	} * cells;
	size_t size, used; /* size is a power of two */
	uint64_t most;
};

/* Zero-initialised is empty. */
void copies_free(struct copies *c);
/* What names a pair; never 0. */
uint64_t copies_pair(const char *person, const char *subject);
/* One more. O(1) in the mean. */
void copies_add(struct copies *c, uint64_t pair);

#endif
