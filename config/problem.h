/*
 * The errors of one configuration file, collected and printed in the order of its lines.
 */
#ifndef CONFIG_PROBLEM_H
#define CONFIG_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct problem {
	int line; /* 0 = the file as a whole */
	size_t order;
	bool last_word; /* what else is wrong on that line follows from this */
	char *text;
};

/* Zero-initialised is empty. */
struct problems {
	struct problem *list;
	size_t count;
};

void problem_add(struct problems *p, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, and later problems of this line are left out: they would only confuse. */
void problem_add_last(struct problems *p, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* True if a problem of this line was added. */
bool problem_is_at(const struct problems *p, int line);
/* "FILE:LINE: text", one a line, by line. */
void problem_print(struct problems *p, const char *path, struct buf *out);
void problem_free(struct problems *p);

#endif
