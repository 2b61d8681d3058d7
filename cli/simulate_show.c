/*
 * Prints what a simulation found. Called by cli/simulate.c; verdicts come while it runs, the rest
 * at its end. In JSON times are seconds since the start.
 */
#include "cli/simulate_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/lists.h"
#include "cli/screen.h"
#include "cli/table.h"

/* What the rows of a table are added to. */
struct rows {
	const struct simulate_show *show;
	struct table table;
	uint64_t batches, false_held;
};

static json_t *
json_seconds(int64_t microseconds)
{
	return microseconds < 0 ? json_null() : json_real((double)microseconds / CLOCK_SECOND);
}

static void
print_object(json_t *object)
{
	command_print_json(object);
	json_decref(object);
}

void
simulate_show_verdict(void *context, uint64_t row, const char *recipient, const char *verdict,
		      const char *rule)
{
	const struct simulate_show *show = context;

	if (show->json)
		print_object(json_pack("{s:s, s:I, s:s, s:s, s:s?}", "kind", "verdict", "row",
				       (json_int_t)row, "recipient", recipient, "verdict", verdict,
				       "rule", rule));
	else
		printf("%8" PRIu64 "  %-7s  %s  %s\n", row, verdict, screen_text(recipient),
		       rule != NULL ? screen_text(rule) : "-");
}

/* "0.8 s", "2 h 10 min". */
static const char *
format_time(int64_t microseconds, char out[UNITS_BYTES])
{
	if (microseconds % CLOCK_SECOND == 0 || microseconds >= 100 * CLOCK_SECOND)
		return units_format_duration(microseconds, out);
	snprintf(out, UNITS_BYTES, "%.2f s", (double)microseconds / CLOCK_SECOND);
	return out;
}

/* A moment of the simulation: the time it stands for, or so long after the start. */
static const char *
format_moment(const struct simulate_show *show, int64_t at, char out[UNITS_BYTES])
{
	char iso[CLOCK_ISO_BYTES];

	if (at < 0)
		return "-";
	if (show->start < 0)
		return format_time(at, out);
	clock_format_iso(show->start + at, iso);
	return screen_time(iso);
}

static void
add_rule(void *context, const struct simulation_rule *r)
{
	struct rows *rows = context;
	struct table *t = &rows->table;
	char moment[UNITS_BYTES];

	rows->batches += r->batches;
	rows->false_held += r->false_held;
	/* It is always there, and of most configurations nobody declares anything. */
	if (strcmp(r->rule, "audience") == 0 && r->held == 0)
		return;
	table_add(t, r->environment);
	table_add_styled(t, r->rule, SCREEN_BOLD);
	table_add_count(t, (int64_t)r->held);
	table_add_styled(t, screen_count((int64_t)r->false_held),
			 r->false_held > 0 ? SCREEN_RED : SCREEN_PLAIN);
	table_add_count(t, (int64_t)r->observed);
	table_add_count(t, (int64_t)r->batches);
	table_add_count(t, (int64_t)r->leaked);
	table_add_count(t, (int64_t)r->leaked_most);
	table_add(t, format_moment(rows->show, r->first_trip, moment));
}

static void
print_rule_json(void *context, const struct simulation_rule *r)
{
	(void)context;
	print_object(json_pack(
	    "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "kind", "rule", "environment",
	    r->environment, "rule", r->rule, "held", (json_int_t)r->held, "false_held",
	    (json_int_t)r->false_held, "observed", (json_int_t)r->observed, "batches",
	    (json_int_t)r->batches, "leaked", (json_int_t)r->leaked, "leaked_most",
	    (json_int_t)r->leaked_most, "first_trip", json_seconds(r->first_trip)));
}

static void
print_total_json(const struct simulation_total *t)
{
	int64_t alert = t->blast_alerted < 0 ? -1 : t->blast_alerted - t->blast_first;
	json_t *object = json_pack(
	    "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "kind", "total",
	    "messages", (json_int_t)t->messages, "recipients", (json_int_t)t->recipients, "passed",
	    (json_int_t)t->passed, "delayed", (json_int_t)t->delayed, "held", (json_int_t)t->held,
	    "dropped", (json_int_t)t->dropped, "rejected", (json_int_t)t->rejected, "blast",
	    (json_int_t)t->blast, "blast_reached", (json_int_t)t->blast_reached, "blast_held",
	    (json_int_t)t->blast_held, "most_copies", (json_int_t)t->most_copies);

	json_object_set_new(object, "delay_p50", json_seconds(t->delay_p50));
	json_object_set_new(object, "delay_p99", json_seconds(t->delay_p99));
	json_object_set_new(object, "delay_p999", json_seconds(t->delay_p999));
	json_object_set_new(object, "delay_most", json_seconds(t->delay_most));
	json_object_set_new(object, "blast_first", json_seconds(t->blast_first));
	json_object_set_new(object, "blast_alerted", json_seconds(t->blast_alerted));
	json_object_set_new(object, "time_to_alert", json_seconds(alert));
	json_object_set_new(object, "span", json_seconds(t->span));
	print_object(object);
}

static double
percent(uint64_t part, uint64_t whole)
{
	return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static void
print_delays(const struct simulation_total *t)
{
	char half[UNITS_BYTES], most99[UNITS_BYTES], most999[UNITS_BYTES], most[UNITS_BYTES];

	printf("Delayed      %s, %.2f %% of what passed", screen_count((int64_t)t->delayed),
	       percent(t->delayed, t->passed));
	if (t->delayed > 0)
		printf("; delay of 50 %%: %s, 99 %%: %s, 99.9 %%: %s, at most %s",
		       format_time(t->delay_p50, half), format_time(t->delay_p99, most99),
		       format_time(t->delay_p999, most999), format_time(t->delay_most, most));
	putchar('\n');
}

static void
print_blast(const struct simulation_total *t)
{
	char alert[UNITS_BYTES];

	if (t->blast == 0)
		return;
	printf("Blast        %s: %s reached, %s held",
	       screen_counted((int64_t)t->blast, "recipient", "recipients"),
	       screen_count((int64_t)t->blast_reached), screen_count((int64_t)t->blast_held));
	if (t->blast_alerted >= 0)
		printf("; alert %s after it began\n",
		       format_time(t->blast_alerted - t->blast_first, alert));
	else
		printf("; no alert\n");
}

static void
print_total(const struct simulation_total *t, const struct rows *rows)
{
	char span[UNITS_BYTES];

	printf("\nRecipients   %s in %s over %s\n", screen_count((int64_t)t->recipients),
	       screen_counted((int64_t)t->messages, "message", "messages"),
	       format_time(t->span, span));
	printf("Passed       %s, %.2f %%\n", screen_count((int64_t)t->passed),
	       percent(t->passed, t->recipients));
	print_delays(t);
	printf("Held         %s in %s; false holds: %s\n", screen_count((int64_t)t->held),
	       screen_counted((int64_t)rows->batches, "batch", "batches"),
	       screen_count((int64_t)rows->false_held));
	if (t->dropped > 0)
		printf("Dropped      %s\n", screen_count((int64_t)t->dropped));
	if (t->rejected > 0)
		printf("Rejected     %s\n", screen_count((int64_t)t->rejected));
	print_blast(t);
	printf("Copies       at most %s of one subject to one person\n",
	       screen_count((int64_t)t->most_copies));
}

void
simulate_show_result(struct simulate_show *show, const struct simulation *s)
{
	static const struct table_column columns[] = {{"ENVIRONMENT", 0},
						      {"RULE", TABLE_SHRINKS},
						      {"HELD", TABLE_RIGHT},
						      {"FALSE", TABLE_RIGHT},
						      {"OBSERVED", TABLE_RIGHT | TABLE_OPTIONAL},
						      {"BATCHES", TABLE_RIGHT},
						      {"LEAKED", TABLE_RIGHT},
						      {"MOST", TABLE_RIGHT | TABLE_OPTIONAL},
						      {"FIRST TRIP", TABLE_OPTIONAL}};
	struct simulation_total total;
	struct rows rows = {.show = show};

	simulation_total(s, &total);
	if (show->json) {
		simulation_rules(s, print_rule_json, NULL);
		print_total_json(&total);
		return;
	}
	table_init(&rows.table, columns, sizeof(columns) / sizeof(columns[0]));
	simulation_rules(s, add_rule, &rows);
	lists_print(&rows.table);
	print_total(&total, &rows);
}

static void
add_suggestion(void *context, const struct simulation_suggestion *r)
{
	struct rows *rows = context;
	struct table *t = &rows->table;
	char rate[UNITS_BYTES];

	table_add(t, r->environment);
	table_add_styled(t, r->rule, SCREEN_BOLD);
	table_add(t, units_format_rate(r->limit, r->window, rate));
	table_add_styled(t, units_format_rate(r->suggested, r->window, rate), SCREEN_BOLD);
	table_add(t, r->why);
}

static void
print_suggestion_json(void *context, const struct simulation_suggestion *r)
{
	(void)context;
	print_object(json_pack(
	    "{s:s, s:s, s:s, s:I, s:o, s:I, s:I, s:I, s:s}", "kind", "suggestion", "environment",
	    r->environment, "rule", r->rule, "limit", (json_int_t)r->limit, "window",
	    json_seconds(r->window), "suggested", (json_int_t)r->suggested, "busiest",
	    (json_int_t)r->busiest, "percentile", (json_int_t)r->percentile, "why", r->why));
}

void
simulate_show_suggestions(struct simulate_show *show, const struct simulation *s)
{
	static const struct table_column columns[] = {{"ENVIRONMENT", 0},
						      {"RULE", 0},
						      {"LIMIT", TABLE_RIGHT},
						      {"SUGGESTED", TABLE_RIGHT},
						      {"WHY", TABLE_SHRINKS}};
	struct rows rows = {.show = show};

	if (show->json) {
		simulation_suggest(s, print_suggestion_json, NULL);
		return;
	}
	table_init(&rows.table, columns, sizeof(columns) / sizeof(columns[0]));
	simulation_suggest(s, add_suggestion, &rows);
	if (rows.table.cell_count > 0)
		putchar('\n');
	else
		command_note("No limit can be suggested: no burst rule saw mail that is labelled "
			     "ok.");
	lists_print(&rows.table);
}
