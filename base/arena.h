/*
 * Memory that lives and dies together: the small strings and arrays of one message. Bump
 * allocation in blocks; nothing is freed singly. One owner, no locks. Zero-initialised is empty.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena {
	struct arena_block *blocks; /* newest first */
	size_t used;                /* bytes handed out of the newest block */
	size_t total;               /* bytes of all blocks, for memory accounting */
};

void arena_free(struct arena *a);
/* Aligned for any type, not cleared. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_zalloc(struct arena *a, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t len);
char *arena_printf(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));

#endif
