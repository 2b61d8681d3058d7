/*
 * Aligned tables. Called by every verb that prints a list; the verb fills one, prints it and
 * frees it. Cells are copied.
 */
#include "cli/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A column that shrinks keeps so many columns of the terminal. */
enum { SHRINKS_TO = 8, SHRINKS_AT_LAST_TO = 4, GAP = 2 };

#define HIDDEN SIZE_MAX

void
table_init(struct table *t, const struct table_column *columns, size_t count)
{
	memset(t, 0, sizeof(*t));
	t->columns = columns;
	t->column_count = count;
	t->indent = "";
}

void
table_free(struct table *t)
{
	size_t i;

	for (i = 0; i < t->cell_count; i++)
		free(t->cells[i].text);
	free(t->cells);
	memset(t, 0, sizeof(*t));
}

void
table_add_styled(struct table *t, const char *text, enum screen_style style)
{
	struct table_cell *cell;

	/* The memory doubles: at powers of two. */
	if ((t->cell_count & (t->cell_count - 1)) == 0)
		t->cells = mem_resize_array(t->cells, t->cell_count == 0 ? 1 : t->cell_count * 2,
					    sizeof(*t->cells));
	cell = &t->cells[t->cell_count++];
	if (text == NULL || *text == '\0')
		text = "-";
	cell->text = mem_strdup(screen_text(text));
	cell->width = screen_width(cell->text);
	cell->style = style;
}

void
table_add(struct table *t, const char *text)
{
	table_add_styled(t, text, SCREEN_PLAIN);
}

void
table_add_count(struct table *t, int64_t n)
{
	table_add(t, screen_count(n));
}

static size_t *
measure_columns(const struct table *t)
{
	size_t *widths = mem_alloc(t->column_count * sizeof(*widths)), i;

	for (i = 0; i < t->column_count; i++)
		widths[i] = screen_width(t->columns[i].title);
	for (i = 0; i < t->cell_count; i++) {
		if (t->cells[i].width > widths[i % t->column_count])
			widths[i % t->column_count] = t->cells[i].width;
	}
	return widths;
}

/* Columns that a line takes. */
static size_t
line_width(const struct table *t, const size_t *widths)
{
	size_t total = screen_width(t->indent), i;

	for (i = 0; i < t->column_count; i++) {
		if (widths[i] != HIDDEN)
			total += widths[i] + (i + 1 < t->column_count ? GAP : 0);
	}
	return total;
}

/* Takes from the widest column that may shrink until the line fits, or all have `least`. */
static bool
shrink_columns(const struct table *t, size_t *widths, size_t limit, size_t least)
{
	size_t total = line_width(t, widths), i, widest;

	for (; total > limit; total--) {
		widest = t->column_count;
		for (i = 0; i < t->column_count; i++) {
			if (widths[i] == HIDDEN || widths[i] <= least ||
			    !(t->columns[i].flags & TABLE_SHRINKS))
				continue;
			if (widest == t->column_count || widths[i] > widths[widest])
				widest = i;
		}
		if (widest == t->column_count)
			return false;
		widths[widest]--;
	}
	return true;
}

/* The widths with which lines fit, if they can: first cells are cut, then columns left out. */
static void
fit_columns(const struct table *t, size_t *widths, size_t limit)
{
	size_t *tried = mem_alloc(t->column_count * sizeof(*tried)), i = t->column_count;
	bool fits;

	for (;;) {
		memcpy(tried, widths, t->column_count * sizeof(*tried));
		fits = shrink_columns(t, tried, limit, SHRINKS_TO);
		while (!fits && i > 0 && !(t->columns[i - 1].flags & TABLE_OPTIONAL))
			i--;
		if (fits || i == 0)
			break;
		widths[--i] = HIDDEN;
	}
	if (!fits)
		shrink_columns(t, tried, limit, SHRINKS_AT_LAST_TO);
	memcpy(widths, tried, t->column_count * sizeof(*tried));
	free(tried);
}

static void
print_spaces(FILE *out, size_t n)
{
	fprintf(out, "%*s", (int)n, "");
}

static void
print_cell(FILE *out, const struct table_cell *cell, size_t width, bool right, bool last)
{
	const char *dots = "";
	size_t bytes = strlen(cell->text), used = cell->width;

	if (used > width) {
		dots = screen_is_utf8() ? "\xe2\x80\xa6" : "...";
		bytes = screen_fit(cell->text, width - screen_width(dots), &used);
		used += screen_width(dots);
	}
	if (right && used < width)
		print_spaces(out, width - used);
	fprintf(out, "%s%.*s%s%s", screen_on(cell->style), (int)bytes, cell->text, dots,
		screen_off(cell->style));
	if (!last)
		print_spaces(out, GAP + (right || used > width ? 0 : width - used));
}

void
table_print(const struct table *t, FILE *out, size_t limit)
{
	size_t *widths = measure_columns(t), i, column;

	if (limit > 0)
		fit_columns(t, widths, limit);
	for (i = 0; i < t->column_count + t->cell_count; i++) {
		struct table_cell title = {0};
		const struct table_cell *cell = &title;

		column = i % t->column_count;
		if (i < t->column_count) {
			title.text = (char *)(uintptr_t)t->columns[column].title;
			title.width = screen_width(title.text);
			title.style = SCREEN_BOLD;
		} else {
			cell = &t->cells[i - t->column_count];
		}
		if (column == 0)
			fputs(t->indent, out);
		if (widths[column] != HIDDEN)
			print_cell(out, cell, widths[column],
				   t->columns[column].flags & TABLE_RIGHT,
				   column + 1 == t->column_count);
		if (column + 1 == t->column_count)
			fputc('\n', out);
	}
	free(widths);
}
