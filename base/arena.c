/*
 * Bump allocation for what dies together. Called by mail/ and filters/ for one message at a time;
 * the arena's owner frees it.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum { BLOCK_BYTES = 2048 };

struct arena_block {
	struct arena_block *next;
	size_t size;
	max_align_t data[];
};

void
arena_free(struct arena *a)
{
	struct arena_block *b, *next;

	for (b = a->blocks; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	*a = (struct arena){0};
}

void *
arena_alloc(struct arena *a, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	struct arena_block *b = a->blocks;
	void *p;

	if (size > (size_t)1 << 40)
		fatal("out of memory");
	size = (size + align - 1) & ~(align - 1);
	if (b == NULL || b->size - a->used < size) {
		size_t want = size > BLOCK_BYTES ? size : BLOCK_BYTES;

		b = mem_alloc(sizeof(*b) + want);
		b->size = want;
		b->next = a->blocks;
		a->blocks = b;
		a->used = 0;
		a->total += want;
	}
	p = (char *)b->data + a->used;
	a->used += size;
	return p;
}

void *
arena_zalloc(struct arena *a, size_t size)
{
	return memset(arena_alloc(a, size), 0, size);
}

char *
arena_strndup(struct arena *a, const char *s, size_t len)
{
	char *copy = arena_alloc(a, len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

/* Formats into what is left of the block, and again only where it does not fit there. */
char *
arena_printf(struct arena *a, const char *format, ...)
{
	size_t room = a->blocks != NULL ? a->blocks->size - a->used : 0;
	char *rest = room > 0 ? (char *)a->blocks->data + a->used : NULL, *text;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(rest, room, format, ap);
	va_end(ap);
	if (n < 0)
		fatal("cannot format %s", format);
	text = arena_alloc(a, (size_t)n + 1);
	if (text == rest)
		return text;
	va_start(ap, format);
	vsnprintf(text, (size_t)n + 1, format, ap);
	va_end(ap);
	return text;
}
