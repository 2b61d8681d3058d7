/*
 * Copies of a subject per person: open addressing with linear probing. Called by report.c.
 */
#include "simulate/copies.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { COPIES_FIRST = 1024 };

void
copies_free(struct copies *c)
{
	free(c->cells);
	*c = (struct copies){0};
}

uint64_t
copies_pair(const char *person, const char *subject)
{
	uint64_t hash = text_hash(TEXT_HASH_START, person, strlen(person) + 1);

	hash = text_hash(hash, subject, strlen(subject));
	return hash != 0 ? hash : 1;
}

/* The pair's cell, or the empty one where it belongs. */
static struct copies_cell *
cell_of(const struct copies *c, uint64_t pair)
{
	/* FNV's low bits are its weakest: the finalizer of splitmix64 spreads them. */
	uint64_t at = (pair ^ (pair >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);

	for (at ^= at >> 27;; at++) {
		struct copies_cell *cell = &c->cells[at & (c->size - 1)];

		if (cell->pair == pair || cell->pair == 0)
			return cell;
	}
}

/* Into a table of `size` cells; each pair has `less` copies fewer then. */
static void
copies_move(struct copies *c, size_t size, uint64_t less)
{
	struct copies old = *c;
	size_t i;

	c->size = size;
	c->used = 0;
	c->cells = mem_zalloc(size * sizeof(*c->cells));
	for (i = 0; i < old.size; i++) {
		const struct copies_cell *from = &old.cells[i];

		if (from->pair == 0 || from->count <= less)
			continue;
		*cell_of(c, from->pair) = (struct copies_cell){from->pair, from->count - less};
		c->used++;
	}
	free(old.cells);
}

void
copies_add(struct copies *c, uint64_t pair)
{
	struct copies_cell *cell;

	if (c->used >= COPIES_MAX)
		copies_move(c, c->size, 1);
	else if (c->used >= c->size / 2)
		copies_move(c, c->size > 0 ? 2 * c->size : COPIES_FIRST, 0);
	cell = cell_of(c, pair);
	if (cell->pair == 0) {
		cell->pair = pair;
		c->used++;
	}
	if (++cell->count > c->most)
		c->most = cell->count;
}
