/*
 * Sliding windows of arrivals, up to two for each key of the burst counters. Called by counters.c
 * and counters_save.c under the key's lock, on any thread. Times are monotonic microseconds and may
 * be negative: what is counted again after a start happened before this clock began.
 */
#include "filters/window.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* More than one cell, and the sums over them. */
struct window_block {
	uint64_t count, left;
	struct window_cell cells[];
};

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
	if (w->cap > 0)
		free(w->in.block);
	*w = (struct window){0};
}

void
window_reset(struct window *w, int64_t width)
{
	window_free(w);
	w->width = width;
}

const struct window_cell *
window_cells(const struct window *w)
{
	return w->cap > 0 ? w->in.block->cells : &w->in.one;
}

static struct window_cell *
cells_of(struct window *w)
{
	return w->cap > 0 ? w->in.block->cells : &w->in.one;
}

static void
window_sum(const struct window *w, uint64_t *count, uint64_t *left)
{
	*count = *left = 0;
	if (w->cap > 0) {
		*count = w->in.block->count;
		*left = w->in.block->left;
	} else if (w->used > 0) {
		*count = w->in.one.count;
		*left = w->in.one.left;
	}
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
	struct window_cell *cells = cells_of(w);
	uint32_t i;

	if (n == 0)
		return;
	for (i = 0; w->cap > 0 && i < n; i++) {
		w->in.block->count -= cells[i].count;
		w->in.block->left -= cells[i].left;
	}
	w->used -= n;
	memmove(cells, cells + n, w->used * sizeof(*cells));
}

static void
window_grow(struct window *w)
{
	uint32_t cap = w->cap == 0 ? 4 : w->cap * 2;
	struct window_block *block = w->cap == 0 ? NULL : w->in.block;

	block = mem_resize(block, sizeof(*block) + cap * sizeof(block->cells[0]));
	if (w->cap == 0) {
		block->cells[0] = w->in.one;
		block->count = w->in.one.count;
		block->left = w->in.one.left;
	}
	w->in.block = block;
	w->cap = cap;
}

void
window_append(struct window *w, struct window_cell cell)
{
	if (w->used == (w->cap == 0 ? 1 : w->cap))
		window_grow(w);
	cells_of(w)[w->used++] = cell;
	if (w->cap > 0) {
		w->in.block->count += cell.count;
		w->in.block->left += cell.left;
	}
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

/* Arrivals at `mono` into the newest cell, or a new one. Slices follow each other without overlap,
 * also after those that came from another clock. */
static void
window_put(struct window *w, int64_t mono, uint32_t n, uint32_t left)
{
	struct window_cell *last = w->used > 0 ? &cells_of(w)[w->used - 1] : NULL;
	int64_t start = mono;
	uint32_t count, passed;

	if (w->width > 0 && last != NULL)
		start = last->start + floor_to(mono - last->start, w->width);
	else if (w->width > 0)
		start = floor_to(mono, w->width);
	if (last == NULL || start > last->start) {
		window_append(w, (struct window_cell){start, n, left});
		return;
	}
	count = add_capped(last->count, n);
	passed = add_capped(last->left, left);
	if (w->cap > 0) {
		w->in.block->count += count - last->count;
		w->in.block->left += passed - last->left;
	}
	last->count = count;
	last->left = passed;
}

void
window_fit(struct window *w, int64_t width, int64_t mono)
{
	struct window old = *w;
	uint32_t i;

	if (old.width == width)
		return;
	*w = (struct window){.width = width};
	for (i = 0; i < old.used; i++) {
		struct window_cell cell = window_cells(&old)[i];
		int64_t youngest = cell.start + (old.width > 0 ? old.width - 1 : 0);

		if (youngest > mono)
			youngest = cell.start > mono ? cell.start : mono;
		window_put(w, youngest, cell.count, cell.left);
	}
	window_free(&old);
}

static void
window_remove(struct window *w, uint32_t i)
{
	struct window_cell *cells = cells_of(w);

	if (w->cap > 0) {
		w->in.block->count -= cells[i].count;
		w->in.block->left -= cells[i].left;
	}
	w->used--;
	memmove(cells + i, cells + i + 1, (w->used - i) * sizeof(*cells));
}

/*
 * Of more than limit + 1 cells the oldest are not needed to know that the limit is passed. What had
 * left is, to say how much did: under a rule that holds at most `limit` cells have some of it.
 */
static void
window_thin(struct window *w, uint32_t limit)
{
	const struct window_cell *cells = window_cells(w);

	while (w->used > limit + 1) {
		uint32_t spare = w->used - (limit + 1), i = 0;

		while (i < spare && cells[i].left > 0)
			i++;
		if (i == spare && spare <= limit && w->used <= WINDOW_CELLS_MAX)
			return;
		window_remove(w, i < spare ? i : 0);
	}
}

void
window_add(struct window *w, uint32_t limit, int64_t length, int64_t mono, uint32_t n,
	   uint32_t left)
{
	const struct window_cell *cells = window_cells(w);
	uint32_t old = 0;

	while (old < w->used && cell_end(w, &cells[old], length) <= mono)
		old++;
	window_drop(w, old);
	window_put(w, mono, n, left);
	/* A slice cannot overrun: older ones went. */
	if (w->width == 0)
		window_thin(w, limit);
}

void
window_unleave(struct window *w, uint32_t n)
{
	struct window_cell *cells = cells_of(w);
	uint32_t i, some;

	for (i = w->used; i > 0 && n > 0; i--) {
		some = cells[i - 1].left < n ? cells[i - 1].left : n;
		cells[i - 1].left -= some;
		if (w->cap > 0)
			w->in.block->left -= some;
		n -= some;
	}
}

void
window_releave(struct window *w, uint32_t n)
{
	struct window_cell *cells = cells_of(w);
	uint32_t i, some;

	for (i = w->used; i > 0 && n > 0; i--) {
		some = cells[i - 1].count - cells[i - 1].left;
		if (some > n)
			some = n;
		cells[i - 1].left += some;
		if (w->cap > 0)
			w->in.block->left += some;
		n -= some;
	}
}

void
window_take_back(struct window *w, uint32_t n, uint32_t left)
{
	while (w->used > 0 && n > 0) {
		struct window_cell *last = &cells_of(w)[w->used - 1];
		uint32_t some = last->count < n ? last->count : n;
		uint32_t gone = last->left < left ? last->left : left;

		last->count -= some;
		last->left -= gone;
		if (w->cap > 0) {
			w->in.block->count -= some;
			w->in.block->left -= gone;
		}
		n -= some;
		left -= gone;
		if (last->count == 0)
			w->used--;
	}
}

void
window_read(const struct window *w, int64_t length, int64_t mono, uint64_t *count, uint64_t *left)
{
	const struct window_cell *cells = window_cells(w);
	uint32_t i;

	window_sum(w, count, left);
	for (i = 0; i < w->used && cell_end(w, &cells[i], length) <= mono; i++) {
		*count -= cells[i].count;
		*left -= cells[i].left;
	}
}

int64_t
window_over_until(const struct window *w, uint32_t limit, int64_t length)
{
	const struct window_cell *cells = window_cells(w);
	int64_t until = INT64_MIN;
	uint64_t count, left;
	uint32_t i;

	window_sum(w, &count, &left);
	for (i = 0; i < w->used && count > limit; i++) {
		until = cell_end(w, &cells[i], length);
		count -= cells[i].count;
	}
	return until;
}

int64_t
window_empty_at(const struct window *w, int64_t length)
{
	return w->used == 0 ? INT64_MIN : cell_end(w, &window_cells(w)[w->used - 1], length);
}
