/*
 * show BATCH: what tripped, when, from where, what left before, how it came in, to whom, and what
 * can be done next. Written for somebody who was woken by it.
 */
#include "cli/show.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/chart.h"
#include "cli/field.h"
#include "cli/follow.h"
#include "cli/lists.h"
#include "cli/pager.h"
#include "cli/plan_show.h"
#include "cli/screen.h"

enum { CHART_COLUMNS = 60, CHART_MARGIN = 9 };

static void
print_title(const char *title)
{
	printf("\n%s%s%s\n", screen_on(SCREEN_BOLD), title, screen_off(SCREEN_BOLD));
}

/* What a person calls a built-in rule, which counts nothing; NULL for all others. */
static const char *
builtin_rule(const char *rule)
{
	static const char *const names[][2] = {
	    {"panic", "the panic button"},
	    {"unknown", "its source, which belongs to no environment"},
	    {"recipients", "others = hold"},
	    {"capture", "upstream = none"}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(rule, names[i][0]) == 0)
			return names[i][1];
	return NULL;
}

/*
 * "burst volume (more than 50 recipients in 10 min)", "audience (more than the 300 recipients that
 * it declared)"; a rule without a limit is named only.
 */
static void
print_rule(const json_t *b)
{
	const char *builtin = builtin_rule(field_text(b, "rule"));
	const char *environment = field_text(b, "environment");
	int64_t window = field_count(b, "window");
	char unit[UNITS_BYTES];

	if (builtin != NULL) {
		printf("Stopped by   %s%s%s\n", builtin,
		       *environment != '\0' ? ", in environment " : "", screen_text(environment));
		return;
	}
	/* Its limit is that of the rule which held it there. */
	if (strcmp(field_text(b, "rule"), "restored") == 0 ||
	    strcmp(field_text(b, "rule"), "imported") == 0) {
		printf("Brought back %s\n", field_show(b, "key"));
		return;
	}
	printf("Stopped by   %s", field_show(b, "rule"));
	if (json_is_string(json_object_get(b, "limit")))
		printf(" (%s)", field_show(b, "limit"));
	else if (strcmp(field_text(b, "rule"), "audience") == 0)
		printf(" (more than the %s that it declared)",
		       screen_counted(field_count(b, "limit"), "recipient", "recipients"));
	else if (field_count(b, "limit") > 0 && window > 0 && window < INT32_MAX)
		printf(" (more than %s in %s)",
		       screen_counted(field_count(b, "limit"), "recipient", "recipients"),
		       units_format_duration(window * CLOCK_SECOND, unit));
	printf(" in environment %s\n", field_show(b, "environment"));
	printf("Counted per  %s\n", field_show(b, "key"));
}

static void
print_facts(const json_t *b)
{
	const char *state = field_text(b, "state"), *sender = field_text(b, "sender");
	enum screen_style style = screen_state_style(state);
	char size[UNITS_BYTES];

	printf("%sBatch %s%s  %s%s%s: %s held of %s\n\n", screen_on(SCREEN_BOLD),
	       screen_text(field_text(b, "id")), screen_off(SCREEN_BOLD), screen_on(style),
	       screen_text(state), screen_off(style),
	       json_is_integer(json_object_get(b, "held")) ? screen_count(field_count(b, "held"))
							   : "?",
	       screen_counted(field_count(b, "recipients"), "recipient", "recipients"));
	print_rule(b);
	/* A batch that is not per sender has none. */
	printf("From         %s%s%s\n", field_show(b, "source"), *sender == '\0' ? "" : ", sender ",
	       screen_text(sender));
	printf("Subject      %s\n", field_show(b, "subject"));
	printf("Opened       %s, last mail %s%s\n", screen_time(field_text(b, "opened_at")),
	       screen_time(field_text(b, "last_at")),
	       field_is_true(b, "collecting") && !json_is_object(json_object_get(b, "ruling"))
		   ? "; mail that follows joins it"
		   : "");
	printf("Size         %s to %s%s, %s in all\n",
	       screen_counted(field_count(b, "messages"), "message", "messages"),
	       field_is_true(b, "sampled") ? "about " : "",
	       screen_counted(field_count(b, "distinct_recipients"), "different recipient",
			      "different recipients"),
	       units_format_size((uint64_t)field_count(b, "bytes"), size));
	printf("Leaked       %s%s left before it tripped%s\n",
	       screen_on(field_count(b, "leaked") > 0 ? SCREEN_RED : SCREEN_PLAIN),
	       screen_counted(field_count(b, "leaked"), "recipient", "recipients"),
	       screen_off(field_count(b, "leaked") > 0 ? SCREEN_RED : SCREEN_PLAIN));
	printf("So far       released %s, sent %s, failed %s, discarded %s",
	       screen_count(field_count(b, "released")), screen_count(field_count(b, "sent")),
	       screen_count(field_count(b, "failed")), screen_count(field_count(b, "discarded")));
	if (field_count(b, "purged") > 0)
		printf(", %s of these purged", screen_count(field_count(b, "purged")));
	putchar('\n');
	if (*field_text(b, "decided_by") != '\0')
		printf("Decided      %s by %s: %s\n", screen_time(field_text(b, "decided_at")),
		       screen_text(field_text(b, "decided_by")), field_show(b, "decided_reason"));
	plan_show(b);
	plan_show_stream(b);
}

/* True if it was opened by a rule that counts, at the moment of its trip. */
static bool
has_tripped(const json_t *b)
{
	const char *rule = field_text(b, "rule");

	return builtin_rule(rule) == NULL && strcmp(rule, "restored") != 0 &&
	       strcmp(rule, "imported") != 0;
}

/* Room for the indent and for the name of the limit behind it. */
static size_t
chart_columns(void)
{
	size_t columns = screen_columns();

	if (columns == 0 || columns >= CHART_COLUMNS + CHART_MARGIN)
		return CHART_COLUMNS;
	return columns > CHART_MARGIN ? columns - CHART_MARGIN : 1;
}

/* What the chart shows beside the arrivals. */
static struct chart_marks
read_marks(const json_t *b)
{
	int64_t limit = field_count(b, "limit"), window = field_count(b, "window");
	struct chart_marks marks = {0};
	static char text[64];

	if (!has_tripped(b))
		return marks;
	if (limit > 0 && window > 0)
		marks.limit = (double)limit / (double)window;
	marks.trip_at = screen_time_parse(field_text(b, "opened_at"));
	snprintf(text, sizeof(text), "tripped %s", screen_time(field_text(b, "opened_at")));
	marks.trip = text;
	return marks;
}

static void
print_arrivals(const json_t *b, const json_t *story)
{
	json_t *items = json_object_get(story, "arrivals"), *item;
	struct chart_point *points;
	int64_t step = field_count(story, "step_seconds");
	struct chart_marks marks = read_marks(b);
	size_t count = 0, columns = chart_columns(), i;
	char unit[UNITS_BYTES];

	points = mem_alloc((json_array_size(items) + 1) * sizeof(*points));
	json_array_foreach(items, i, item)
	{
		int64_t at = screen_time_parse(field_text(item, "at"));

		if (at < 0)
			continue;
		points[count++] = (struct chart_point){at, field_count(item, "count")};
	}
	step = step < 1 ? 1 : step;
	if (count > 0) {
		print_title("Arrivals");
		step = chart_print(stdout, points, count, step, columns, "  ", &marks);
		printf("  %s to %s, %s a column\n",
		       screen_time(field_text(json_array_get(items, 0), "at")),
		       screen_time(
			   field_text(json_array_get(items, json_array_size(items) - 1), "at")),
		       units_format_duration(step * CLOCK_SECOND, unit));
	}
	free(points);
}

static void
print_domains(const json_t *b, const json_t *story)
{
	static const struct table_column columns[] = {
	    {"DOMAIN", TABLE_SHRINKS}, {"RECIPIENTS", TABLE_RIGHT}, {"SHARE", TABLE_RIGHT}};
	json_t *items = json_object_get(story, "top_domains"), *item;
	double all = (double)field_count(b, "recipients");
	struct table t;
	size_t i;

	if (json_array_size(items) == 0)
		return;
	print_title("Top domains");
	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	t.indent = "  ";
	json_array_foreach(items, i, item)
	{
		double share = (double)field_count(item, "count") * 100 / (all < 1 ? 1 : all);
		char text[16];

		snprintf(text, sizeof(text), share > 0 && share < 1 ? "<1%%" : "%.0f%%", share);
		table_add(&t, field_text(item, "value"));
		table_add_count(&t, field_count(item, "count"));
		table_add(&t, text);
	}
	lists_print(&t);
}

/* A list of texts, or of objects with value and count. */
static void
print_texts(const json_t *story, const char *name, const char *title)
{
	json_t *items = json_object_get(story, name), *item;
	size_t i;

	if (json_array_size(items) == 0)
		return;
	print_title(title);
	json_array_foreach(items, i, item)
	{
		if (json_is_string(item))
			printf("  %s\n", screen_text(json_string_value(item)));
		else if (*field_text(item, "value") != '\0')
			printf("  %s  (%s)\n", field_show(item, "value"),
			       screen_count(field_count(item, "count")));
	}
}

static void
print_first_messages(const json_t *story)
{
	static const struct table_column columns[] = {
	    {"DELIVERY", 0}, {"ACCEPTED", 0}, {"STATE", 0}, {"RECIPIENT", TABLE_SHRINKS}};
	json_t *items = json_object_get(story, "first_messages"), *item;
	struct table t;
	size_t i;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	t.indent = "  ";
	json_array_foreach(items, i, item)
	{
		const char *state = field_text(item, "state");

		table_add(&t, field_text(item, "id"));
		table_add(&t, screen_time(field_text(item, "accepted_at")));
		table_add_styled(&t, state, screen_state_style(state));
		table_add(&t, field_text(item, "recipient"));
	}
	if (t.cell_count > 0)
		print_title("First messages");
	lists_print(&t);
}

static void
print_batch(const json_t *b)
{
	const json_t *story = json_object_get(b, "story");

	print_facts(b);
	print_arrivals(b, story);
	print_domains(b, story);
	print_texts(story, "subjects", "Sample subjects");
	print_first_messages(story);
	print_texts(story, "next", "What can be done next");
}

int
show_run(struct command *c)
{
	struct buf path = {0};
	char *id = command_batch_id(c->options->words[0]);
	json_t *batch = NULL;
	int result;

	if (id == NULL)
		return command_refused(c,
				       "\"%s\" is no batch; batches look like B17 (mailfuse "
				       "batches lists them). One message: mailfuse message ID.",
				       screen_text(c->options->words[0]));
	buf_printf(&path, "/v1/batches/%s", id);
	result = command_get(c, buf_text(&path), &batch);
	if (result != CLIENT_DONE)
		goto out;
	if (options_has(c->options, "follow")) {
		if (!c->json)
			print_facts(batch);
		fflush(stdout);
		result = follow_batch(c, id);
	} else if (c->json) {
		command_print_json(batch);
	} else {
		pager_start(c, SIZE_MAX);
		print_batch(batch);
		pager_finish();
	}
out:
	json_decref(batch);
	buf_free(&path);
	free(id);
	return result;
}
