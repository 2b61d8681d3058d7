/*
 * A sliding window of arrivals: how many came within the last so many microseconds. Bounded memory,
 * never too low a count. One owner, who locks. Zero-initialised is empty.
 *
 * Granularity: where the limit is small (WINDOW_EXACT_MAX) every arrival keeps its own time stamp,
 * and the newest limit + 1 of them are kept, which is all it takes to know whether the limit is
 * passed: exact to the microsecond; and older ones that left, to say how many did. Else arrivals
 * are counted in slices of a 60th of the window (10 s of 10 min, 12 h of 30 d), and a slice counts
 * until its youngest possible arrival is too old: an arrival counts up to a 60th of the window too
 * long, never too short. Where the slices' edges lie depends on the clock, so another start of the
 * machine may lay them elsewhere.
 *
 * Memory: 32 bytes for up to one cell; more are in a block of 16 bytes each, at most 64 of them.
 */
#ifndef FILTERS_WINDOW_H
#define FILTERS_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WINDOW_EXACT_MAX = 32,
	WINDOW_SLICES = 60,
	/* Those slices, the one that begins, and the one that is not over for its youngest. */
	WINDOW_CELLS_MAX = WINDOW_SLICES + 2
};

struct window_cell {
	int64_t start;  /* mono; the slice is start .. start + width */
	uint32_t count; /* arrivals */
	uint32_t left;  /* of these, those that passed or wait */
};

struct window_block;

struct window {
	int64_t width;      /* microseconds; 0 = exact */
	uint32_t used, cap; /* cells; cap 0 = it is `one`, if there is any */
	union {
		struct window_cell one;
		struct window_block *block;
	} in;
};

/* How a window is kept that answers for this limit. */
int64_t window_width(uint32_t limit, int64_t length);

void window_free(struct window *w);
/* Empties it, and takes a new width. */
void window_reset(struct window *w, int64_t width);
/*
 * Goes on in another width. `mono` is now. What an old slice held counts as its youngest possible
 * arrival: never too low. What an exact window did not keep because its limit was passed is gone.
 */
void window_fit(struct window *w, int64_t width, int64_t mono);
/* Arrivals at `mono`; a time before the newest arrival counts as that one's. O(1) in the mean. */
void window_add(struct window *w, uint32_t limit, int64_t length, int64_t mono, uint32_t n,
		uint32_t left);
/* Takes `n` of the newest arrivals out of `left`: they were held after all. */
void window_unleave(struct window *w, uint32_t n);
/* Puts `n` back into `left` of the newest arrivals that have room for it; what finds none is too
 * old to matter. */
void window_releave(struct window *w, uint32_t n);
/*
 * Takes out `n` of the newest arrivals, `left` of which had left: they never happened. Not for an
 * exact window that is over its limit: it has forgotten the oldest, and a count is never too low.
 */
void window_take_back(struct window *w, uint32_t n, uint32_t left);
/* Counts within `length` before `mono`; changes nothing. O(cells that are too old). */
void window_read(const struct window *w, int64_t length, int64_t mono, uint64_t *count,
		 uint64_t *left);
/* When the count falls to the limit if nothing more arrives; INT64_MIN if it is not above it. */
int64_t window_over_until(const struct window *w, uint32_t limit, int64_t length);
/* When the last arrival stops counting; INT64_MIN if there is none. */
int64_t window_empty_at(const struct window *w, int64_t length);

/* For saving: the cells, oldest first, w->used of them. Good until the window changes. */
const struct window_cell *window_cells(const struct window *w);
/* For loading: adds one that is younger than all others. */
void window_append(struct window *w, struct window_cell cell);

#endif
