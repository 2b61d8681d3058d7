/*
 * The bytes of a body in memory: a list of counted, immutable chunks, so that the store's writer
 * and an upstream's connection read the same bytes without a copy. The list has one owner; a
 * chunk may be held by several, on any thread.
 */
#ifndef MAIL_CHUNKS_H
#define MAIL_CHUNKS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

/* A chunk never grows over this; the store keeps the same cut for large bodies. */
enum { CHUNK_BYTES = 262144 };

struct chunk {
	STAILQ_ENTRY(chunk) next; /* in one list only */
	atomic_int refs;
	size_t len, cap;
	char data[];
};

struct chunks {
	STAILQ_HEAD(, chunk) list;
	uint64_t bytes;   /* in the list now */
	size_t next_size; /* private: later chunks are larger; 0 before the first */
};

/* Before any other call: all zero is not an empty list. */
void chunks_init(struct chunks *c);
/* Gives up the list's references. */
void chunks_clear(struct chunks *c);
/* Appends a copy; fills the last chunk while only this list holds it. Counts METRIC_BODY_BYTES_NOW.
 */
void chunks_add(struct chunks *c, const char *data, size_t len);
/* Takes the first chunk out of the list, with its reference. NULL if empty. */
struct chunk *chunks_take(struct chunks *c);
struct chunk *chunk_ref(struct chunk *chunk);
void chunk_unref(struct chunk *chunk);

#endif
