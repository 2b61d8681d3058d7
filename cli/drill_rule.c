/*
 * What a drill expects of the rules: which one holds the blast, and how much leaks until then.
 * Pure; called by drill_steps.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/drill_steps.h"
#include "cli/field.h"

static bool
counts_recipients(const json_t *rule)
{
	const json_t *per = json_object_get(rule, "per"), *word;
	size_t i;

	json_array_foreach(per, i,
			   word) if (json_is_string(word) &&
				     strcmp(json_string_value(word), "recipient") == 0) return true;
	return false;
}

/* "5 s" or "2 h 10 min", as status writes durations; rounded down there, which is the safe side. */
static int64_t
read_duration(const char *text)
{
	int64_t total = 0;
	char *end;

	for (;; text = end) {
		long n = strtol(text, &end, 10);

		if (end == text || n < 0 || n > 100000)
			return total;
		end += strspn(end, " ");
		total += n * (*end == 'd'   ? CLOCK_DAY
			      : *end == 'h' ? CLOCK_HOUR
			      : *end == 'm' ? CLOCK_MINUTE
					    : CLOCK_SECOND);
		end += strspn(end, "abcdefghijklmnopqrstuvwxyz");
	}
}

void
drill_choose_rule(const json_t *rules, struct drill_rule *rule)
{
	const json_t *row;
	size_t i;

	*rule = (struct drill_rule){0};
	/* Each recipient of the blast is another one: a cap per recipient never sees it. */
	json_array_foreach(rules, i, row)
	{
		struct drill_rule one = {.name = field_text(row, "name"),
					 .limit_text = field_text(row, "limit")};

		if (strcmp(field_text(row, "action"), "hold") != 0 || counts_recipients(row) ||
		    !units_parse_rate(one.limit_text, &one.limit, &one.window) ||
		    (rule->name != NULL && rule->limit <= one.limit))
			continue;
		if (*field_text(row, "head") != '\0' &&
		    units_parse_rate(field_text(row, "head"), &one.head, &one.head_window))
			one.settle = read_duration(field_text(row, "settle"));
		else
			one.head = 0;
		*rule = one;
	}
}

int64_t
drill_bound(const struct drill_rule *rule, int64_t trip_after)
{
	int64_t bound;

	/* What waited out its settle time before the trip has left: only the limit bounds that. */
	if (rule->head == 0 || rule->settle == 0 || trip_after >= rule->settle)
		return rule->limit;
	bound = (int64_t)rule->head * (trip_after / rule->head_window + 1);
	return bound < rule->limit ? bound : rule->limit;
}
