/*
 * Sliding windows of arrivals, two for each key of the burst counters. Called by counters.c under
 * the key's lock, on any thread. Times are monotonic microseconds and may be negative: what is
 * counted again after a start happened before this clock began.
 */
#include "filters/window.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int64_t
window_width(uint32_t limit, int64_t length)
{
	if (limit <= WINDOW_EXACT_MAX)
		return 0;
	return (length + WINDOW_SLICES - 1) / WINDOW_SLICES;
}

void
window_free(struct window *w)
{
	free(w->cells);
	*w = (struct window){0};
}

void
window_reset(struct window *w, int64_t width)
{
	window_free(w);
	w->width = width;
}

/* The first moment at which nothing of the cell is within `length` any more. */
static int64_t
cell_end(const struct window *w, const struct window_cell *cell, int64_t length)
{
	return cell->start + (w->width > 0 ? w->width - 1 : 0) + length;
}

static void
window_drop(struct window *w, uint32_t n)
{
	uint32_t i;

	if (n == 0)
		return;
	for (i = 0; i < n; i++) {
		w->count -= w->cells[i].count;
		w->left -= w->cells[i].left;
	}
	w->used -= n;
	memmove(w->cells, w->cells + n, w->used * sizeof(*w->cells));
}

static int64_t
floor_to(int64_t value, int64_t unit)
{
	int64_t rest = value % unit;

	return value - (rest < 0 ? rest + unit : rest);
}

static uint32_t
add_capped(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* The cell that arrivals at `mono` belong to. */
static struct window_cell *
window_cell_at(struct window *w, int64_t mono)
{
	struct window_cell *last = w->used > 0 ? &w->cells[w->used - 1] : NULL;
	int64_t start = w->width > 0 ? floor_to(mono, w->width) : mono;

	if (last != NULL && start <= last->start)
		return last;
	if (w->used == w->cap) {
		w->cap = w->cap == 0 ? 2 : w->cap * 2;
		w->cells = mem_resize_array(w->cells, w->cap, sizeof(*w->cells));
	}
	w->cells[w->used] = (struct window_cell){.start = start};
	return &w->cells[w->used++];
}

void
window_add(struct window *w, uint32_t limit, int64_t length, int64_t mono, uint32_t n,
	   uint32_t left)
{
	struct window_cell *cell;
	uint32_t old = 0, count, passed;

	while (old < w->used && cell_end(w, &w->cells[old], length) <= mono)
		old++;
	window_drop(w, old);
	cell = window_cell_at(w, mono);
	count = add_capped(cell->count, n);
	passed = add_capped(cell->left, left);
	w->count += count - cell->count;
	w->left += passed - cell->left;
	cell->count = count;
	cell->left = passed;
	/* The oldest are not needed to know that the limit is passed. A slice cannot overrun: older
	 * ones went. */
	if (w->width == 0 && w->used > limit + 1)
		window_drop(w, w->used - (limit + 1));
}

void
window_unleave(struct window *w, uint32_t n)
{
	uint32_t i, some;

	for (i = w->used; i > 0 && n > 0; i--) {
		some = w->cells[i - 1].left < n ? w->cells[i - 1].left : n;
		w->cells[i - 1].left -= some;
		w->left -= some;
		n -= some;
	}
}

void
window_take_back(struct window *w, uint32_t n, uint32_t left)
{
	while (w->used > 0 && n > 0) {
		struct window_cell *last = &w->cells[w->used - 1];
		uint32_t some = last->count < n ? last->count : n;
		uint32_t gone = last->left < left ? last->left : left;

		last->count -= some;
		last->left -= gone;
		w->count -= some;
		w->left -= gone;
		n -= some;
		left -= gone;
		if (last->count == 0)
			w->used--;
	}
}

void
window_read(const struct window *w, int64_t length, int64_t mono, uint64_t *count, uint64_t *left)
{
	uint32_t i;

	*count = w->count;
	*left = w->left;
	for (i = 0; i < w->used && cell_end(w, &w->cells[i], length) <= mono; i++) {
		*count -= w->cells[i].count;
		*left -= w->cells[i].left;
	}
}

int64_t
window_over_until(const struct window *w, uint32_t limit, int64_t length)
{
	uint64_t count = w->count;
	int64_t until = INT64_MIN;
	uint32_t i;

	for (i = 0; i < w->used && count > limit; i++) {
		until = cell_end(w, &w->cells[i], length);
		count -= w->cells[i].count;
	}
	return until;
}

int64_t
window_empty_at(const struct window *w, int64_t length)
{
	return w->used == 0 ? INT64_MIN : cell_end(w, &w->cells[w->used - 1], length);
}
