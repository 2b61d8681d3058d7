/*
 * What waits for its settle time: a heap by due time, and which streams it belongs to, so that a
 * trip calls it back as the store does. Owned by a simulation; one thread.
 */
#ifndef SIMULATE_WAITING_H
#define SIMULATE_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mail/verdict.h"
#include "simulate/heap.h"

/* One delivery, and what the report must know when it leaves or is held. */
struct waiter {
	struct heap_item item; /* by when it leaves */
	int64_t at;            /* when it came */
	uint64_t pair;         /* whom and what it is about, see copies.h */
	bool blast;
	/* Below is waiting.c's own. */
	size_t key_count;
	struct waiter_key {
		struct waiter_key *next, **back; /* others of the stream */
		struct waiter *waiter;
		struct stream_waiters *stream;
	} keys[];
};

struct waiting;

struct waiting *waiting_new(void);
void waiting_free(struct waiting *w);
/* Copies `from` (its fields above) and the hashes of the streams that it belongs to. */
void waiting_add(struct waiting *w, const struct waiter *from, const struct verdict_key *keys,
		 size_t key_count);
/* When the first leaves; INT64_MAX if nothing waits. */
int64_t waiting_next(const struct waiting *w);
/* The one that leaves first; NULL if nothing waits. It stays in. */
struct waiter *waiting_first(const struct waiting *w);
/* Some delivery of that stream that came at `since` or later; NULL if there is none. It stays in.
 */
struct waiter *waiting_of_stream(const struct waiting *w, uint64_t hash, int64_t since);
/* Calls back with each stream that it belongs to. */
void waiter_streams(const struct waiter *d, void (*stream)(void *context, uint64_t hash),
		    void *context);
/* Takes it out and frees it. O(log n). */
void waiting_remove(struct waiting *w, struct waiter *d);

#endif
