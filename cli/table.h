/*
 * A table for people: columns aligned by what characters take on the screen. Cells are harmless
 * text (cli/screen.h). Cut to the terminal's width on a terminal only: elsewhere every cell is
 * whole.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/screen.h"

enum table_column_flags {
	TABLE_RIGHT = 1,
	TABLE_SHRINKS = 2, /* its cells may be cut where the line is too long */
	TABLE_OPTIONAL = 4 /* left out where that is not enough, the rightmost first */
};

struct table_column {
	const char *title;
	unsigned flags;
};

struct table_cell {
	char *text;
	size_t width;
	enum screen_style style;
};

struct table {
	const struct table_column *columns;
	size_t column_count;
	struct table_cell *cells; /* row after row */
	size_t cell_count;
	const char *indent; /* before every line */
};

void table_init(struct table *t, const struct table_column *columns, size_t count);
void table_free(struct table *t);
/* The next cell; a row is full after as many cells as there are columns. Copies. */
void table_add(struct table *t, const char *text);
void table_add_styled(struct table *t, const char *text, enum screen_style style);
void table_add_count(struct table *t, int64_t n);
/* Prints with titles; width 0 = nothing is cut. */
void table_print(const struct table *t, FILE *out, size_t width);

#endif
