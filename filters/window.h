/*
 * A sliding window of arrivals: how many came within the last so many microseconds. Bounded memory,
 * never too low a count. One owner, who locks. Zero-initialised is empty.
 *
 * Granularity: where the limit is small (WINDOW_EXACT_MAX) every arrival keeps its own time stamp,
 * and the newest limit + 1 of them are kept, which is all it takes to know whether the limit is
 * passed. Else arrivals are counted in slices of a 60th of the window, and a slice counts until its
 * youngest possible arrival is too old: an arrival counts up to a 60th of the window too long,
 * never too short.
 */
#ifndef FILTERS_WINDOW_H
#define FILTERS_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WINDOW_EXACT_MAX = 32, WINDOW_SLICES = 60 };

struct window_cell {
	int64_t start;  /* mono; the slice is start .. start + width */
	uint32_t count; /* arrivals */
	uint32_t left;  /* of these, those that passed or wait */
};

struct window {
	struct window_cell *cells; /* oldest first; at most WINDOW_SLICES + 2 */
	uint32_t used, cap;
	int64_t width;        /* microseconds; 0 = exact */
	uint64_t count, left; /* sums over the cells */
};

/* How a window is kept that answers for this limit. */
int64_t window_width(uint32_t limit, int64_t length);

void window_free(struct window *w);
/* Empties it, and takes a new width. */
void window_reset(struct window *w, int64_t width);
/* Arrivals at `mono`; a time before the newest arrival counts as that one's. O(1) in the mean. */
void window_add(struct window *w, uint32_t limit, int64_t length, int64_t mono, uint32_t n,
		uint32_t left);
/* Takes `n` of the newest arrivals out of `left`: they were held after all. */
void window_unleave(struct window *w, uint32_t n);
/*
 * Takes out `n` of the newest arrivals, `left` of which had left: they never happened. Not for an
 * exact window that is over its limit: it has forgotten the oldest, and a count is never too low.
 */
void window_take_back(struct window *w, uint32_t n, uint32_t left);
/* Counts within `length` before `mono`; changes nothing. O(cells). */
void window_read(const struct window *w, int64_t length, int64_t mono, uint64_t *count,
		 uint64_t *left);
/* When the count falls to the limit if nothing more arrives; INT64_MIN if it is not above it. */
int64_t window_over_until(const struct window *w, uint32_t limit, int64_t length);
/* When the last arrival stops counting; INT64_MIN if there is none. */
int64_t window_empty_at(const struct window *w, int64_t length);

#endif
