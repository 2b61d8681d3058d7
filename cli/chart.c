/*
 * Draws the arrivals of a batch. Called by cli/show.c.
 */
#include "cli/chart.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/screen.h"

enum { HEIGHT = 5, EIGHTHS = 8 };

/* What one character of a column shows: from nothing to a full block, in eighths. */
static const char *
block(int64_t eighths)
{
	static const char *const blocks[] = {" ",
					     "\xe2\x96\x81",
					     "\xe2\x96\x82",
					     "\xe2\x96\x83",
					     "\xe2\x96\x84",
					     "\xe2\x96\x85",
					     "\xe2\x96\x86",
					     "\xe2\x96\x87",
					     "\xe2\x96\x88"};

	if (eighths <= 0)
		return " ";
	if (!screen_is_utf8())
		return "#";
	return blocks[eighths < EIGHTHS ? eighths : EIGHTHS];
}

static void
print_columns(FILE *out, const int64_t *sums, size_t columns, const char *indent)
{
	int64_t most = 1, row;
	size_t i, end;

	for (i = 0; i < columns; i++)
		most = sums[i] > most ? sums[i] : most;
	for (row = HEIGHT - 1; row >= 0; row--) {
		for (end = columns; end > 0; end--) {
			if (sums[end - 1] > 0 &&
			    (row == 0 ||
			     (double)sums[end - 1] / (double)most * HEIGHT > (double)row))
				break;
		}
		fputs(indent, out);
		for (i = 0; i < end; i++) {
			/* In eighths of a character, above this row's foot; anything is seen. */
			double height = (double)sums[i] / (double)most * HEIGHT * EIGHTHS;
			int64_t above = (int64_t)(height + 0.999) - row * EIGHTHS;

			fputs(block(above), out);
		}
		fputc('\n', out);
	}
}

int64_t
chart_print(FILE *out, const struct chart_point *points, size_t count, int64_t step, size_t columns,
	    const char *indent)
{
	int64_t *sums, span, per_column;
	size_t i, used;

	if (count == 0 || columns == 0)
		return step;
	step = step < 1 ? 1 : step;
	span = points[count - 1].at - points[0].at;
	/* A clock set back leaves points out of order: they go to the first column. */
	span = span < 0 ? 0 : span / step + 1;
	per_column = (span + (int64_t)columns - 1) / (int64_t)columns;
	per_column = per_column < 1 ? 1 : per_column;
	used = (size_t)((span + per_column - 1) / per_column);
	used = used < 1 ? 1 : used;
	sums = mem_zalloc(used * sizeof(*sums));
	for (i = 0; i < count; i++) {
		int64_t column = (points[i].at - points[0].at) / step / per_column;

		column = column < 0 ? 0 : column;
		if (column >= (int64_t)used)
			column = (int64_t)used - 1;
		sums[column] += points[i].count > 0 ? points[i].count : 0;
	}
	print_columns(out, sums, used, indent);
	free(sums);
	return step * per_column;
}
