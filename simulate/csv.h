/*
 * CSV by RFC 4180: rows of values, quotes with commas and line ends in them, LF or CRLF, a mark of
 * UTF-8 before the first. For trace.c; hostile input, bounded memory. One thread.
 */
#ifndef SIMULATE_CSV_H
#define SIMULATE_CSV_H

#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"

enum {
	CSV_ROW_MAX = 1048576, /* bytes */
	CSV_VALUES_MAX = 64
};

struct csv {
	FILE *file;
	uint64_t line;     /* that the next byte is on, from 1 */
	uint64_t row_line; /* that the row began on */
	size_t count;      /* of its values */
	struct buf text;   /* the values, a NUL behind each */
	size_t starts[CSV_VALUES_MAX];
	const char *wrong;  /* after an error: what, and what to do */
	size_t wrong_value; /* in which value; SIZE_MAX = of the row */
};

void csv_init(struct csv *c, FILE *file);
void csv_free(struct csv *c);
/*
 * The next row that is not an empty line: 1, 0 at the end, -1 and `wrong`; the next call then goes
 * on with the next line.
 */
int csv_read(struct csv *c);
/* Good until the next row. */
const char *csv_value(const struct csv *c, size_t value);

#endif
