/*
 * What comes next on the virtual clock: a binary heap of items by time, which stand in the structs
 * of whoever uses it; among equals the one that was added first. One owner, no locks.
 */
#ifndef SIMULATE_HEAP_H
#define SIMULATE_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct heap_item {
	int64_t at;
	/* heap.c's own. */
	uint64_t number;
	size_t place;
};

/* Zero-initialised is empty. */
struct heap {
	struct heap_item **items; /* items[i] is not after items[2i+1] and items[2i+2] */
	size_t count, cap;
	uint64_t next_number;
};

/* Frees the heap, not the items. */
void heap_free(struct heap *h);
/* O(log n), like the others. */
void heap_add(struct heap *h, struct heap_item *item);
/* NULL if it is empty. */
struct heap_item *heap_first(const struct heap *h);
/* `item` is later now than it was. */
void heap_delay(struct heap *h, struct heap_item *item, int64_t at);
void heap_remove(struct heap *h, struct heap_item *item);

#endif
