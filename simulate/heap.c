/*
 * A binary heap of borrowed items. Called by waiting.c and run.c.
 */
#include "simulate/heap.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

void
heap_free(struct heap *h)
{
	free(h->items);
	*h = (struct heap){0};
}

static bool
is_before(const struct heap_item *a, const struct heap_item *b)
{
	return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static void
heap_put(struct heap *h, size_t place, struct heap_item *item)
{
	h->items[place] = item;
	item->place = place;
}

static void
heap_rise(struct heap *h, struct heap_item *item)
{
	size_t at = item->place;

	for (; at > 0 && is_before(item, h->items[(at - 1) / 2]); at = (at - 1) / 2)
		heap_put(h, at, h->items[(at - 1) / 2]);
	heap_put(h, at, item);
}

static void
heap_sink(struct heap *h, struct heap_item *item)
{
	size_t at = item->place, child;

	for (; (child = 2 * at + 1) < h->count; at = child) {
		if (child + 1 < h->count && is_before(h->items[child + 1], h->items[child]))
			child++;
		if (!is_before(h->items[child], item))
			break;
		heap_put(h, at, h->items[child]);
	}
	heap_put(h, at, item);
}

void
heap_add(struct heap *h, struct heap_item *item)
{
	if (h->count == h->cap) {
		h->cap = h->cap > 0 ? 2 * h->cap : 64;
		h->items = mem_resize_array(h->items, h->cap, sizeof(struct heap_item *));
	}
	item->number = h->next_number++;
	item->place = h->count++;
	heap_rise(h, item);
}

struct heap_item *
heap_first(const struct heap *h)
{
	return h->count > 0 ? h->items[0] : NULL;
}

void
heap_delay(struct heap *h, struct heap_item *item, int64_t at)
{
	item->at = at;
	heap_sink(h, item);
}

void
heap_remove(struct heap *h, struct heap_item *item)
{
	struct heap_item *last = h->items[--h->count];

	if (last == item)
		return;
	heap_put(h, item->place, last);
	heap_rise(h, last);
	heap_sink(h, last);
}
