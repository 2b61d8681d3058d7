/*
 * Deliveries that wait: a binary heap and, for each stream, a list. Called by run.c. A delivery is
 * in the heap and in the list of each of its streams from waiting_add() to waiting_remove().
 */
#include "simulate/waiting.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

#define uthash_fatal(message) fatal("out of memory")
#include <uthash.h>

struct stream_waiters {
	UT_hash_handle hh;
	uint64_t hash;
	struct waiter_key *first; /* the newest */
};

struct waiting {
	struct heap heap;
	struct stream_waiters *streams;
};

struct waiting *
waiting_new(void)
{
	return mem_zalloc(sizeof(struct waiting));
}

void
waiting_free(struct waiting *w)
{
	if (w == NULL)
		return;
	while (w->heap.count > 0)
		waiting_remove(w, waiting_first(w));
	heap_free(&w->heap);
	free(w);
}

static void
stream_join(struct waiting *w, struct waiter_key *k, uint64_t hash)
{
	struct stream_waiters *s;

	HASH_FIND(hh, w->streams, &hash, sizeof(hash), s);
	if (s == NULL) {
		s = mem_zalloc(sizeof(*s));
		s->hash = hash;
		HASH_ADD(hh, w->streams, hash, sizeof(s->hash), s);
	}
	k->stream = s;
	k->next = s->first;
	k->back = &s->first;
	if (s->first != NULL)
		s->first->back = &k->next;
	s->first = k;
}

static void
stream_leave(struct waiting *w, struct waiter_key *k)
{
	struct stream_waiters *s = k->stream;

	*k->back = k->next;
	if (k->next != NULL)
		k->next->back = k->back;
	if (s->first != NULL)
		return;
	HASH_DEL(w->streams, s);
	free(s);
}

void
waiting_add(struct waiting *w, const struct waiter *from, const struct verdict_key *keys,
	    size_t key_count)
{
	struct waiter *d = mem_alloc(sizeof(*d) + key_count * sizeof(d->keys[0]));
	size_t i;

	*d = *from;
	d->key_count = key_count;
	for (i = 0; i < key_count; i++) {
		d->keys[i].waiter = d;
		stream_join(w, &d->keys[i], keys[i].hash);
	}
	heap_add(&w->heap, &d->item);
}

struct waiter *
waiting_first(const struct waiting *w)
{
	/* The item is a waiter's first field. */
	return (struct waiter *)heap_first(&w->heap);
}

int64_t
waiting_next(const struct waiting *w)
{
	return w->heap.count > 0 ? heap_first(&w->heap)->at : INT64_MAX;
}

struct waiter *
waiting_of_stream(const struct waiting *w, uint64_t hash, int64_t since)
{
	struct stream_waiters *s;

	HASH_FIND(hh, w->streams, &hash, sizeof(hash), s);
	/* The newest is first: if it is too old, so are all. */
	if (s == NULL || s->first->waiter->at < since)
		return NULL;
	return s->first->waiter;
}

void
waiter_streams(const struct waiter *d, void (*stream)(void *context, uint64_t hash), void *context)
{
	size_t i;

	for (i = 0; i < d->key_count; i++)
		stream(context, d->keys[i].stream->hash);
}

void
waiting_remove(struct waiting *w, struct waiter *d)
{
	size_t i;

	heap_remove(&w->heap, &d->item);
	for (i = 0; i < d->key_count; i++)
		stream_leave(w, &d->keys[i]);
	free(d);
}
