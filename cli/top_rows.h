/*
 * The lists of `mailfuse top`.
 */
#ifndef CLI_TOP_ROWS_H
#define CLI_TOP_ROWS_H

#include "cli/top_draw.h"

enum { TOP_RATE_BYTES = 24 };

/* "83", "8.3", "<0.1"; "-" below 0, which is not known. Returns `out`. */
const char *top_rows_rate(double rate, char out[TOP_RATE_BYTES]);

size_t top_rows_count(const struct top_data *d, enum top_section which);
/* What is said where a list is empty. */
const char *top_rows_nothing(enum top_section which);
/* Which rows, and seconds since 1970, for ages. */
struct top_span {
	size_t offset, rows;
	int64_t now;
};

/* Titles and these rows, cut to `columns` where that is not 0. */
void top_rows_print(const struct top_data *d, enum top_section which, const struct top_span *span,
		    size_t columns, struct buf *out);

#endif
