/*
 * The errors of one configuration file. Filled by text.c, load.c and check.c, each of which goes
 * on after an error, so that a person sees all of them at once; printed by load.c.
 */
#include "config/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"

/* Enough for a person; a binary given as a configuration must not fill the memory. */
#define PROBLEMS_MAX 1000
#define PROBLEM_BYTES 1024

static void
problem_take(struct problems *p, int line, bool last_word, const char *text)
{
	struct problem *added;

	for (size_t i = 0; i < p->count; i++)
		if (p->list[i].last_word && p->list[i].line == line)
			return;
	if (p->count >= PROBLEMS_MAX)
		return;
	p->list = mem_resize_array(p->list, p->count + 1, sizeof(*p->list));
	added = &p->list[p->count];
	added->line = line;
	added->order = p->count++;
	added->last_word = last_word;
	added->text = mem_strdup(text);
	for (char *c = added->text; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?'; /* the file's, and the text goes to a terminal */
}

void
problem_add(struct problems *p, int line, const char *format, ...)
{
	char text[PROBLEM_BYTES];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	problem_take(p, line, false, text);
}

void
problem_add_last(struct problems *p, int line, const char *format, ...)
{
	char text[PROBLEM_BYTES];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	problem_take(p, line, true, text);
}

bool
problem_is_at(const struct problems *p, int line)
{
	for (size_t i = 0; i < p->count; i++)
		if (p->list[i].line == line)
			return true;
	return false;
}

static int
problem_compare(const void *a, const void *b)
{
	const struct problem *x = a;
	const struct problem *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

void
problem_print(struct problems *p, const char *path, struct buf *out)
{
	if (p->count > 0)
		qsort(p->list, p->count, sizeof(*p->list), problem_compare);
	for (size_t i = 0; i < p->count; i++) {
		if (p->list[i].line > 0)
			buf_printf(out, "%s:%d: %s\n", path, p->list[i].line, p->list[i].text);
		else
			buf_printf(out, "%s: %s\n", path, p->list[i].text);
	}
}

void
problem_free(struct problems *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->list[i].text);
	free(p->list);
	p->list = NULL;
	p->count = 0;
}
