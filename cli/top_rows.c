/*
 * The tables of `mailfuse top`: environments, releases, batches, upstreams. Called by
 * cli/top_draw.c. Only the rows that are shown are made: there may be ten thousand.
 */
#include "cli/top_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/field.h"
#include "cli/plan_show.h"
#include "cli/progress.h"
#include "cli/screen.h"
#include "cli/table.h"

enum { BAR = 10 };

const char *
top_rows_rate(double rate, char out[TOP_RATE_BYTES])
{
	if (rate < 0)
		snprintf(out, TOP_RATE_BYTES, "-");
	else if (rate == 0)
		snprintf(out, TOP_RATE_BYTES, "0");
	else if (rate < 0.1)
		snprintf(out, TOP_RATE_BYTES, "<0.1");
	else if (rate < 9.95)
		snprintf(out, TOP_RATE_BYTES, "%.1f", rate);
	else
		snprintf(
		    out, TOP_RATE_BYTES, "%s",
		    screen_count(rate < 1e15 ? (int64_t)(rate + 0.5) : INT64_C(1000000000000000)));
	return out;
}

/* Yellow where it is not 0. */
static void
add_mail(struct table *t, int64_t n, enum screen_style style)
{
	table_add_styled(t, screen_count(n), n > 0 ? style : SCREEN_PLAIN);
}

static void
add_rate(struct table *t, double rate)
{
	char text[TOP_RATE_BYTES];

	table_add(t, top_rows_rate(rate, text));
}

/* "3 min"; "-" where there is none. */
static void
add_age(struct table *t, int64_t at, int64_t now)
{
	char text[UNITS_BYTES];
	int64_t age = now - at;

	if (at < 0 || age > INT32_MAX)
		table_add(t, "");
	else
		table_add(t, units_format_duration((age < 0 ? 0 : age) * CLOCK_SECOND, text));
}

/* ---- environments */

static void
print_environments(const struct top_data *d, struct table *t, const struct top_span *span)
{
	static const struct table_column columns[] = {{"ENVIRONMENT", TABLE_SHRINKS},
						      {"IN/S", TABLE_RIGHT},
						      {"OUT/S", TABLE_RIGHT},
						      {"HELD", TABLE_RIGHT},
						      {"QUEUED", TABLE_RIGHT | TABLE_OPTIONAL},
						      {"WAITING", TABLE_RIGHT | TABLE_OPTIONAL},
						      {"FAILED", TABLE_RIGHT | TABLE_OPTIONAL},
						      {"OLDEST", TABLE_RIGHT | TABLE_OPTIONAL},
						      {"KIND", TABLE_OPTIONAL},
						      {"POLICY", TABLE_OPTIONAL}};
	struct top_environment *list;
	size_t count, i;

	/* The last column is what GET /v1/environments says, where there is that call. */
	table_init(t, columns,
		   sizeof(columns) / sizeof(columns[0]) - (d->answers.environments == NULL));
	list = top_data_environments(d, &count);
	for (i = span->offset; i < count && i - span->offset < span->rows; i++) {
		const struct top_environment *e = &list[i];

		table_add(t, e->name);
		add_rate(t, e->accepted);
		add_rate(t, e->sent);
		add_mail(t, e->held, SCREEN_YELLOW);
		table_add_count(t, e->queued);
		table_add_count(t, e->waiting);
		add_mail(t, e->failed, SCREEN_RED);
		add_age(t, e->oldest_at, span->now);
		table_add(t, field_kind(e->name, e->production));
		if (d->answers.environments != NULL)
			table_add(t, e->policy);
	}
	free(list);
}

/* ---- batches */

/* "held, filling". */
static void
add_state(struct table *t, const struct top_batch *b)
{
	const char *state = field_text(b->batch, "state");
	struct buf text = {0};

	buf_printf(&text, "%s%s", state, b->filling ? ", filling" : "");
	table_add_styled(t, buf_text(&text),
			 b->filling ? SCREEN_YELLOW : screen_state_style(state));
	buf_free(&text);
}

static void
print_batches(const struct top_data *d, struct table *t, const struct top_span *span)
{
	static const struct table_column columns[] = {
	    {"BATCH", 0},
	    {"STATE", 0},
	    {"HELD", TABLE_RIGHT},
	    {"IN/S", TABLE_RIGHT},
	    {"LEAKED", TABLE_RIGHT | TABLE_OPTIONAL},
	    {"ENVIRONMENT", TABLE_SHRINKS | TABLE_OPTIONAL},
	    {"LAST", TABLE_RIGHT | TABLE_OPTIONAL},
	    {"SUBJECT", TABLE_SHRINKS | TABLE_OPTIONAL},
	    {"RULE", TABLE_SHRINKS | TABLE_OPTIONAL}};
	struct top_batch *list;
	size_t count, i;

	table_init(t, columns, sizeof(columns) / sizeof(columns[0]));
	list = top_data_batches(d, false, &count);
	for (i = span->offset; i < count && i - span->offset < span->rows; i++) {
		const json_t *b = list[i].batch;
		const char *subject = field_text(b, "subject");

		table_add_styled(t, field_text(b, "id"), SCREEN_BOLD);
		add_state(t, &list[i]);
		table_add_count(t, field_count(b, "held"));
		add_rate(t, list[i].joined);
		add_mail(t, field_count(b, "leaked"), SCREEN_RED);
		table_add(t, field_text(b, "environment"));
		add_age(t, screen_time_parse(field_text(b, "last_at")), span->now);
		table_add(t, *subject != '\0' ? subject : field_text(b, "key"));
		table_add(t, field_text(b, "rule"));
	}
	free(list);
}

/* ---- releases */

/* "#####-----  110 of 4,990". */
static void
add_progress(struct table *t, const json_t *plan)
{
	int64_t total = field_count(plan, "total"), released = field_count(plan, "released");
	bool blocks = screen_is_utf8();
	double share = total > 0 && released > 0 ? (double)released / (double)total : 0;
	size_t filled = share >= 1 ? BAR : (size_t)(share * BAR), i;
	struct buf text = {0};

	for (i = 0; i < BAR; i++)
		buf_add_text(&text, i < filled ? blocks ? "\xe2\x96\x88" : "#"
				    : blocks   ? "\xe2\x96\x91"
					       : "-");
	table_add(t, buf_text(&text));
	buf_clear(&text);
	buf_printf(&text, "%s of %s", screen_count(released), screen_count(total));
	table_add(t, buf_text(&text));
	buf_free(&text);
}

/* What it does or waits for. */
static void
add_next(struct table *t, const json_t *plan, int64_t now)
{
	const char *state = field_text(plan, "state");
	int64_t next = screen_time_parse(field_text(plan, "next_ring_at"));
	struct buf text = {0};
	char left[UNITS_BYTES];

	if (strcmp(state, "asked") == 0)
		buf_add_text(&text, "waits for a second person");
	else if (strcmp(state, "paused") == 0)
		buf_add_text(&text, field_text(plan, "why"));
	else if (next > now && next - now < INT32_MAX)
		buf_printf(&text, "next ring in %s",
			   units_format_duration((next - now) * CLOCK_SECOND, left));
	table_add(t, buf_text(&text));
	buf_free(&text);
}

static void
print_releases(const struct top_data *d, struct table *t, const struct top_span *span)
{
	static const struct table_column columns[] = {
	    {"BATCH", 0},
	    {"RELEASE", 0},
	    {"", TABLE_OPTIONAL},
	    {"RELEASED", 0},
	    {"REFUSED", TABLE_RIGHT},
	    {"ENVIRONMENT", TABLE_SHRINKS | TABLE_OPTIONAL},
	    {"NEXT", TABLE_SHRINKS | TABLE_OPTIONAL}};
	struct top_batch *list;
	size_t count, i;

	table_init(t, columns, sizeof(columns) / sizeof(columns[0]));
	list = top_data_batches(d, true, &count);
	for (i = span->offset; i < count && i - span->offset < span->rows; i++) {
		const json_t *b = list[i].batch, *plan = json_object_get(b, "plan");
		const char *state = field_text(plan, "state"), *mark = plan_show_mark(b);
		struct buf text = {0};

		/* "running 2/4" */
		buf_printf(&text, "%s%s", state, *mark == ' ' ? mark : "");
		table_add_styled(t, field_text(b, "id"), SCREEN_BOLD);
		table_add_styled(t, buf_text(&text),
				 strcmp(state, "running") == 0 ? SCREEN_GREEN : SCREEN_YELLOW);
		add_progress(t, plan);
		add_mail(t, field_count(plan, "refused"), SCREEN_RED);
		table_add(t, field_text(b, "environment"));
		add_next(t, plan, span->now);
		buf_free(&text);
	}
	free(list);
}

/* ---- upstreams */

static void
add_upstream(struct table *t, const json_t *item, int64_t now)
{
	bool up = field_is_true(item, "up");

	table_add(t, field_text(item, "name"));
	table_add_styled(t, up ? "up" : "down", up ? SCREEN_GREEN : SCREEN_RED);
	add_age(t, screen_time_parse(field_text(item, "since")), now);
	table_add_count(t, field_count(item, "connections"));
	table_add(t, field_text(item, "address"));
	table_add(t, field_text(item, "why"));
}

/* Those that are down first. */
static void
print_upstreams(const struct top_data *d, struct table *t, const struct top_span *span)
{
	static const struct table_column columns[] = {{"UPSTREAM", TABLE_SHRINKS},
						      {"STATE", 0},
						      {"FOR", TABLE_RIGHT},
						      {"CONNECTIONS", TABLE_RIGHT | TABLE_OPTIONAL},
						      {"ADDRESS", TABLE_SHRINKS | TABLE_OPTIONAL},
						      {"WHY", TABLE_SHRINKS | TABLE_OPTIONAL}};
	json_t *items = json_object_get(d->answers.status, "upstreams"), *item;
	size_t seen = 0, i;

	table_init(t, columns, sizeof(columns) / sizeof(columns[0]));
	for (int up = 0; up < 2; up++) {
		json_array_foreach(items, i, item)
		{
			if ((int)field_is_true(item, "up") != up)
				continue;
			if (seen >= span->offset && seen - span->offset < span->rows)
				add_upstream(t, item, span->now);
			seen++;
		}
	}
}

/* ---- */

size_t
top_rows_count(const struct top_data *d, enum top_section which)
{
	size_t count = 0;

	switch (which) {
	case TOP_ENVIRONMENTS:
		count = json_object_size(d->rows);
		break;
	case TOP_RELEASES:
	case TOP_BATCHES:
		free(top_data_batches(d, which == TOP_RELEASES, &count));
		break;
	case TOP_UPSTREAMS:
		count = json_array_size(json_object_get(d->answers.status, "upstreams"));
		break;
	case TOP_ALL:
	case TOP_HELP:
		break;
	}
	return count;
}

const char *
top_rows_nothing(enum top_section which)
{
	switch (which) {
	case TOP_ENVIRONMENTS:
		return "There is no environment.";
	case TOP_RELEASES:
		return "No release is running.";
	case TOP_BATCHES:
		return "Nothing is held.";
	case TOP_UPSTREAMS:
		return "There is no upstream.";
	case TOP_ALL:
	case TOP_HELP:
		break;
	}
	return "";
}

void
top_rows_print(const struct top_data *d, enum top_section which, const struct top_span *span,
	       size_t columns, struct buf *out)
{
	struct table t;
	char *text = NULL;
	size_t len = 0;
	FILE *file;

	table_init(&t, NULL, 0);
	if (which == TOP_ENVIRONMENTS)
		print_environments(d, &t, span);
	else if (which == TOP_RELEASES)
		print_releases(d, &t, span);
	else if (which == TOP_BATCHES)
		print_batches(d, &t, span);
	else if (which == TOP_UPSTREAMS)
		print_upstreams(d, &t, span);
	file = t.cell_count > 0 ? open_memstream(&text, &len) : NULL;
	if (file != NULL) {
		table_print(&t, file, columns);
		fclose(file);
		buf_add(out, text, len);
	}
	free(text);
	table_free(&t);
}
