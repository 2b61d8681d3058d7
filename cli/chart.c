/*
 * Draws the arrivals of a batch. Called by cli/show.c.
 */
#include "cli/chart.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/screen.h"

enum { HEIGHT = 5, EIGHTHS = 8, LIMIT_MOST = 4 };

struct columns {
	const int64_t *sums;
	size_t count;
	const char *indent;
	double limit; /* of one column */
};

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

/* In the row of the limit, where no column stands. */
static const char *
dash(void)
{
	return screen_is_utf8() ? "\xe2\x95\x8c" : "-";
}

/* The row that a value ends in. */
static int64_t
row_of(double value, double most)
{
	int64_t row = (int64_t)(value / most * HEIGHT);

	return row < HEIGHT ? row : HEIGHT - 1;
}

static void
print_row(FILE *out, const struct columns *c, double most, int64_t row, bool limit)
{
	size_t end = c->count, i;

	while (end > 0 && !limit &&
	       (c->sums[end - 1] == 0 ||
		(row > 0 && (double)c->sums[end - 1] / most * HEIGHT <= (double)row)))
		end--;
	fputs(c->indent, out);
	for (i = 0; i < end; i++) {
		/* In eighths of a character, above this row's foot; anything is seen. */
		double height = (double)c->sums[i] / most * HEIGHT * EIGHTHS;
		int64_t above = (int64_t)(height + 0.999) - row * EIGHTHS;

		fputs(limit && above <= 0 ? dash() : block(above), out);
	}
	if (limit)
		fputs(" limit", out);
	fputc('\n', out);
}

static void
print_columns(FILE *out, const struct columns *c)
{
	double most = 1;
	int64_t row, limit = -1;

	for (size_t i = 0; i < c->count; i++)
		most = (double)c->sums[i] > most ? (double)c->sums[i] : most;
	/* One that is far above all would press the columns flat. */
	if (c->limit > 0 && c->limit <= most * LIMIT_MOST) {
		most = c->limit > most ? c->limit : most;
		limit = row_of(c->limit, most);
	}
	for (row = HEIGHT - 1; row >= 0; row--)
		print_row(out, c, most, row, row == limit);
}

/* "        ^ tripped 12:04:11", the text on that side of the arrow where there is room. */
static void
print_trip(FILE *out, const struct columns *c, size_t at, const char *text, size_t room)
{
	const char *arrow = screen_is_utf8() ? "\xe2\x96\xb2" : "^";
	size_t width = screen_width(text);

	if (at + 2 + width <= room || at < width + 1)
		fprintf(out, "%s%*s%s %s\n", c->indent, (int)at, "", arrow, text);
	else
		fprintf(out, "%s%*s%s %s\n", c->indent, (int)(at - width - 1), "", text, arrow);
}

/* A clock that was set back leads to the first one. */
static size_t
find_column(const struct chart_point *points, int64_t at, int64_t seconds, size_t count)
{
	int64_t column = at < points[0].at ? 0 : (at - points[0].at) / seconds;

	return column < (int64_t)count ? (size_t)column : count - 1;
}

int64_t
chart_print(FILE *out, const struct chart_point *points, size_t count, int64_t step, size_t columns,
	    const char *indent, const struct chart_marks *marks)
{
	struct columns drawn;
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
		size_t column = find_column(points, points[i].at, step * per_column, used);

		sums[column] += points[i].count > 0 ? points[i].count : 0;
	}
	drawn = (struct columns){sums, used, indent, marks->limit * (double)(step * per_column)};
	print_columns(out, &drawn);
	if (marks->trip_at > 0)
		print_trip(out, &drawn,
			   find_column(points, marks->trip_at, step * per_column, used),
			   marks->trip, columns);
	free(sums);
	return step * per_column;
}
