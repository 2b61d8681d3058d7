/*
 * status: what needs a person first (holds, held mail, upstreams that are down, warnings), then
 * what runs and how it is protected.
 */
#include "cli/status.h"

#include <string.h>

#include "cli/field.h"
#include "cli/lists.h"
#include "cli/pager.h"
#include "cli/screen.h"

/* Columns of the table of counts; a state that is not here is not for the daily look. */
static const char *const count_states[] = {"queued", "waiting", "held",     "sent",
					   "failed", "dropped", "discarded"};

enum { COUNT_STATES = sizeof(count_states) / sizeof(count_states[0]) };

static void
print_title(const char *title)
{
	printf("\n%s%s%s\n", screen_on(SCREEN_BOLD), title, screen_off(SCREEN_BOLD));
}

/* "Warning      text" for each text of a list. */
static void
print_warnings(const json_t *status, const char *name)
{
	json_t *items = json_object_get(status, name), *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		if (!field_is_said(json_string_value(item)))
			printf("%sWarning      %s%s\n", screen_on(SCREEN_YELLOW),
			       screen_text(json_string_value(item)), screen_off(SCREEN_YELLOW));
	}
}

/* "2026-11-21 12:04:11, failed; the last that passed: 2026-10-01 08:00:00". */
static void
print_drill(const json_t *status)
{
	const json_t *drill = json_object_get(status, "last_drill");
	const char *before = field_text(drill, "passed_at");

	if (!json_is_object(drill)) {
		printf("Last drill   %s\n",
		       json_is_string(drill) ? screen_time(json_string_value(drill)) : "never");
		return;
	}
	if (json_is_false(json_object_get(drill, "passed")))
		printf("%sLast drill   %s, failed%s%s: mailfuse drill%s\n", screen_on(SCREEN_RED),
		       screen_time(field_text(drill, "at")),
		       *before != '\0' ? "; the last that passed: " : "",
		       *before != '\0' ? screen_time(before) : "", screen_off(SCREEN_RED));
	else
		printf("Last drill   %s, passed\n", screen_time(field_text(drill, "at")));
}

static void
print_trouble(const json_t *status)
{
	const json_t *held = json_object_get(status, "held");
	const json_t *alerts = json_object_get(status, "alerts");
	const json_t *store = json_object_get(status, "store");
	const json_t *holds = json_object_get(status, "holds");
	int64_t recipients = field_count(held, "recipients");
	enum screen_style style = recipients > 0 ? SCREEN_YELLOW : SCREEN_GREEN;
	json_t *hold;
	size_t i;

	printf("%sHeld         %s in %s%s%s\n", screen_on(style),
	       screen_counted(recipients, "recipient", "recipients"),
	       screen_counted(field_count(held, "batches"), "batch", "batches"), screen_off(style),
	       recipients > 0 ? ": mailfuse batches" : "");
	json_array_foreach((json_t *)(uintptr_t)holds, i, hold)
	    printf("%sOn hold      %s%s%s since %s by %s: %s%s\n", screen_on(SCREEN_RED),
		   field_show(hold, "scope"), *field_text(hold, "name") != '\0' ? " " : "",
		   screen_text(field_text(hold, "name")), screen_time(field_text(hold, "since")),
		   field_show(hold, "who"), field_show(hold, "reason"), screen_off(SCREEN_RED));
	if (json_is_false(json_object_get(store, "room")))
		printf("%sStore        takes no more mail: %s%s\n", screen_on(SCREEN_RED),
		       field_show(store, "why"), screen_off(SCREEN_RED));
	if (field_count(alerts, "pending") > 0)
		printf("%sAlerts       %s not delivered since %s%s\n", screen_on(SCREEN_YELLOW),
		       screen_count(field_count(alerts, "pending")),
		       screen_time(field_text(alerts, "oldest_at")), screen_off(SCREEN_YELLOW));
	if (field_count(alerts, "failed") > 0)
		printf("%sAlerts       %s given up: mailfuse log%s\n", screen_on(SCREEN_RED),
		       screen_count(field_count(alerts, "failed")), screen_off(SCREEN_RED));
	print_warnings(status, "warnings");
	print_warnings(status, "policy_warnings");
}

static void
print_listeners(const json_t *status)
{
	static const struct table_column columns[] = {
	    {"LISTENER", 0}, {"ADDRESS", TABLE_SHRINKS}, {"TLS", 0}, {"LOGIN", 0}};
	json_t *items = json_object_get(status, "listeners"), *item;
	struct table t;
	size_t i;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(items, i, item)
	{
		table_add(&t, field_text(item, "name"));
		table_add(&t, field_text(item, "address"));
		table_add(&t, field_text(item, "tls"));
		table_add(&t, field_text(item, "auth"));
	}
	if (t.cell_count > 0)
		putchar('\n');
	lists_print(&t);
}

static void
print_environments(const json_t *status)
{
	static const struct table_column columns[] = {
	    {"ENVIRONMENT", 0}, {"KIND", 0}, {"UPSTREAM", 0}, {"OTHERS", 0}};
	json_t *items = json_object_get(status, "environments"), *item;
	struct table t;
	size_t i;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(items, i, item)
	{
		const char *name = field_text(item, "name");
		bool production = field_is_true(item, "production");
		const char *kind = field_kind(name, production);

		table_add(&t, name);
		table_add_styled(&t, kind, production ? SCREEN_BOLD : SCREEN_PLAIN);
		table_add(&t, field_text(item, "upstream"));
		/* Of the gate's own mail no recipient is another's. */
		table_add(&t, strcmp(kind, "alerts") == 0 ? "" : field_text(item, "others"));
	}
	if (t.cell_count > 0)
		putchar('\n');
	lists_print(&t);
}

/* `limit`: the name of the field with the rate; a content rule without one holds what matches. */
static void
add_rule(struct table *t, const char *environment, const char *kind, const json_t *rule,
	 const char *limit)
{
	bool limited = *field_text(rule, limit) != '\0';
	struct buf text = {0};

	table_add(t, environment);
	buf_printf(&text, "%s %s", kind, field_text(rule, "name"));
	table_add(t, buf_text(&text));
	buf_clear(&text);
	buf_printf(&text, "%s%s", limited ? field_text(rule, limit) : "first match",
		   strcmp(field_text(rule, "action"), "alert") == 0 ? ", alerts only" : "");
	table_add(t, buf_text(&text));
	table_add(t, limited ? field_show(rule, "per") : "");
	buf_clear(&text);
	if (*field_text(rule, "head") != '\0')
		buf_printf(&text, "%s, %s", field_text(rule, "head"), field_text(rule, "settle"));
	table_add(t, buf_text(&text));
	buf_free(&text);
}

/* In the order in which they judge. A pattern is too long for a table. */
static void
print_rules(const json_t *status)
{
	static const struct table_column columns[] = {{"ENVIRONMENT", 0},
						      {"RULE", TABLE_SHRINKS},
						      {"LIMIT", 0},
						      {"PER", TABLE_SHRINKS},
						      {"HEAD, SETTLE", 0}};
	json_t *items = json_object_get(status, "environments"), *item, *rule;
	struct table t;
	size_t i, j;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(items, i, item)
	{
		const char *name = field_text(item, "name");

		/* The built-in environment holds before it counts. */
		if (strcmp(name, "unknown") == 0) {
			static const char *const row[] = {"all is held", "", "", ""};

			table_add(&t, name);
			for (j = 0; j < sizeof(row) / sizeof(row[0]); j++)
				table_add(&t, row[j]);
			continue;
		}
		json_array_foreach(json_object_get(item, "contents"), j, rule)
		    add_rule(&t, name, "content", rule, "above");
		json_array_foreach(json_object_get(item, "bursts"), j, rule)
		    add_rule(&t, name, "burst", rule, "limit");
	}
	if (t.cell_count > 0)
		putchar('\n');
	lists_print(&t);
}

static void
print_upstreams(const json_t *status)
{
	static const struct table_column columns[] = {
	    {"UPSTREAM", 0},       {"ADDRESS", 0}, {"TLS", TABLE_OPTIONAL},
	    {"STATE", 0},          {"SINCE", 0},   {"CONNECTIONS", TABLE_RIGHT},
	    {"WHY", TABLE_SHRINKS}};
	json_t *items = json_object_get(status, "upstreams"), *item;
	struct table t;
	size_t i;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(items, i, item)
	{
		bool up = field_is_true(item, "up");

		table_add(&t, field_text(item, "name"));
		table_add(&t, field_text(item, "address"));
		table_add(&t, field_text(item, "tls"));
		table_add_styled(&t, up ? "up" : "down", up ? SCREEN_GREEN : SCREEN_RED);
		table_add(&t, screen_time(field_text(item, "since")));
		table_add_count(&t, field_count(item, "connections"));
		table_add(&t, field_text(item, "why"));
	}
	if (t.cell_count > 0)
		putchar('\n');
	lists_print(&t);
}

static int64_t
find_count(const json_t *rows, const char *environment, const char *state)
{
	int64_t sum = 0;
	json_t *row;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)rows, i, row)
	{
		if (strcmp(field_text(row, "environment"), environment) == 0 &&
		    strcmp(field_text(row, "state"), state) == 0)
			sum += field_count(row, "count");
	}
	return sum;
}

/* True if an earlier row has the same environment. */
static bool
is_repeated(const json_t *rows, size_t at)
{
	const char *environment = field_text(json_array_get(rows, at), "environment");
	size_t i;

	for (i = 0; i < at; i++) {
		if (strcmp(field_text(json_array_get(rows, i), "environment"), environment) == 0)
			return true;
	}
	return false;
}

static void
print_counts(const json_t *status)
{
	static const struct table_column columns[] = {
	    {"RECIPIENTS", 0},        {"QUEUED", TABLE_RIGHT},   {"WAITING", TABLE_RIGHT},
	    {"HELD", TABLE_RIGHT},    {"SENT", TABLE_RIGHT},     {"FAILED", TABLE_RIGHT},
	    {"DROPPED", TABLE_RIGHT}, {"DISCARDED", TABLE_RIGHT}};
	json_t *rows = json_object_get(status, "counts"), *row;
	struct table t;
	size_t i, j;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(rows, i, row)
	{
		const char *environment = field_text(row, "environment");

		if (is_repeated(rows, i))
			continue;
		table_add(&t, environment);
		for (j = 0; j < COUNT_STATES; j++)
			table_add_count(&t, find_count(rows, environment, count_states[j]));
	}
	if (t.cell_count > 0)
		putchar('\n');
	lists_print(&t);
}

int
status_run(struct command *c)
{
	json_t *status;
	int result = command_get(c, "/v1/status", &status);

	if (result != CLIENT_DONE)
		return result;
	if (c->json) {
		command_print_json(status);
	} else {
		const char *config = field_text(status, "config");

		pager_start(c, SIZE_MAX);

		print_trouble(status);
		print_drill(status);
		print_title("Running");
		printf("mailfused %s on %s, pid %lld, since %s\n", field_show(status, "version"),
		       field_show(status, "hostname"), (long long)field_count(status, "pid"),
		       screen_time(field_text(status, "started_at")));
		printf("Configuration: %s\n",
		       *config == '\0' ? "built-in defaults, no file" : screen_text(config));
		print_listeners(status);
		print_environments(status);
		print_rules(status);
		print_upstreams(status);
		print_counts(status);
		pager_finish();
	}
	json_decref(status);
	return CLIENT_DONE;
}
