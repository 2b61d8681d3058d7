/*
 * Allocation that cannot fail. Called from every room, on any thread.
 */
#include "base/mem.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void *
must(void *p)
{
	if (p == NULL)
		fatal("out of memory");
	return p;
}

void *
mem_alloc(size_t size)
{
	return must(malloc(size ? size : 1));
}

void *
mem_zalloc(size_t size)
{
	return must(calloc(1, size ? size : 1));
}

void *
mem_resize(void *old, size_t size)
{
	return must(realloc(old, size ? size : 1));
}

void *
mem_resize_array(void *old, size_t n, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(n, size, &total))
		fatal("out of memory");
	return mem_resize(old, total);
}

void
mem_trim(void)
{
	malloc_trim(0);
}

char *
mem_strndup(const char *s, size_t len)
{
	char *copy = mem_alloc(len + 1);

	memcpy(copy, s, len);
	copy[len] = '\0';
	return copy;
}

char *
mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

char *
mem_printf(const char *format, ...)
{
	va_list ap;
	char *text = NULL;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0)
		fatal("out of memory");
	return text;
}
