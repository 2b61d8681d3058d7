/*
 * A growable run of bytes. Always followed by a NUL that is not counted, so that text in it can
 * be used as a C string. One owner, no locks. Zero-initialised is empty.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

struct buf {
	char *data; /* NULL while empty */
	size_t len;
	size_t cap;
};

void buf_free(struct buf *b);
/* Empties, keeps the memory. */
void buf_clear(struct buf *b);
void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_char(struct buf *b, char c);
void buf_add_text(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3), nonnull(2)));
/* Removes the first n bytes. O(rest). */
void buf_drop(struct buf *b, size_t n);
/* The content as a C string, "" while empty; still owned by the buffer. */
const char *buf_text(const struct buf *b);
/* Hands the memory over as a C string for free(); the buffer is empty afterwards. */
char *buf_take(struct buf *b);

#endif
