/*
 * Growable byte buffers. Called from every room; the caller owns the buffer.
 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

void
buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf){0};
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

void
buf_reserve(struct buf *b, size_t more)
{
	size_t need, cap = b->cap ? b->cap : 64;

	if (__builtin_add_overflow(b->len, more, &need) || need >= SIZE_MAX / 4)
		fatal("out of memory");
	need++; /* the NUL */
	if (need <= b->cap)
		return;
	while (cap < need)
		cap *= 2;
	b->data = mem_resize(b->data, cap);
	b->data[b->len] = '\0'; /* also where there was nothing yet */
	b->cap = cap;
}

void
buf_add(struct buf *b, const void *data, size_t len)
{
	buf_reserve(b, len);
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_add_char(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_add_text(struct buf *b, const char *text)
{
	buf_add(b, text, strlen(text));
}

/* Mostly it fits into what there is; where it does not, vsnprintf has said how much it takes. */
void
buf_printf(struct buf *b, const char *format, ...)
{
	va_list ap, again;
	size_t room;
	int n;

	buf_reserve(b, 1);
	room = b->cap - b->len;
	va_start(ap, format);
	va_copy(again, ap);
	n = vsnprintf(b->data + b->len, room, format, ap);
	va_end(ap);
	if (n < 0)
		fatal("cannot format %s", format);
	if ((size_t)n >= room) {
		b->data[b->len] = '\0'; /* what was cut short is nothing yet */
		buf_reserve(b, (size_t)n);
		vsnprintf(b->data + b->len, (size_t)n + 1, format, again);
	}
	va_end(again);
	b->len += (size_t)n;
}

void
buf_drop(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_clear(b);
		return;
	}
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
}

const char *
buf_text(const struct buf *b)
{
	return b->data != NULL ? b->data : "";
}

char *
buf_take(struct buf *b)
{
	char *text = b->data != NULL ? b->data : mem_strdup("");

	*b = (struct buf){0};
	return text;
}
