/*
 * The lines of `mailfuse top` that say what is wrong. Called by cli/top_draw.c. `mailfuse status`
 * tells more of each.
 */
#include "cli/top_trouble.h"

#include "cli/field.h"
#include "cli/screen.h"

static size_t
add_holds(const json_t *status, struct buf *out)
{
	json_t *holds = json_object_get(status, "holds"), *hold;
	size_t i;

	json_array_foreach(holds, i, hold)
	{
		const char *name = field_text(hold, "name");

		buf_printf(out, "%sOn hold: %s%s%s by %s: %s%s\n", screen_on(SCREEN_RED),
			   field_show(hold, "scope"), *name != '\0' ? " " : "",
			   *name != '\0' ? screen_text(name) : "", field_show(hold, "who"),
			   field_show(hold, "reason"), screen_off(SCREEN_RED));
	}
	return json_array_size(holds);
}

static size_t
add_alerts(const json_t *status, struct buf *out)
{
	const json_t *alerts = json_object_get(status, "alerts");
	int64_t failed = field_count(alerts, "failed"), pending = field_count(alerts, "pending");
	size_t count = 0;

	if (failed > 0 && ++count > 0)
		buf_printf(out, "%sAlerts: %s given up: mailfuse log%s\n", screen_on(SCREEN_RED),
			   screen_count(failed), screen_off(SCREEN_RED));
	if (pending > 0 && ++count > 0)
		buf_printf(out, "%sAlerts: %s not delivered since %s%s\n", screen_on(SCREEN_YELLOW),
			   screen_count(pending), screen_time(field_text(alerts, "oldest_at")),
			   screen_off(SCREEN_YELLOW));
	return count;
}

static size_t
add_warnings(const json_t *status, const char *name, struct buf *out)
{
	json_t *items = json_object_get(status, name), *item;
	size_t i, count = 0;

	json_array_foreach(items, i, item)
	{
		const char *text = json_string_value(item);

		if (text == NULL || field_is_said(text))
			continue;
		buf_printf(out, "%sWarning: %s%s\n", screen_on(SCREEN_YELLOW), screen_text(text),
			   screen_off(SCREEN_YELLOW));
		count++;
	}
	return count;
}

size_t
top_trouble(const json_t *status, struct buf *out)
{
	const json_t *store = json_object_get(status, "store");
	const json_t *drill = json_object_get(status, "last_drill");
	size_t count = 0;

	if (json_is_false(json_object_get(store, "room")) && ++count > 0)
		buf_printf(out, "%sThe store takes no more mail: %s%s\n", screen_on(SCREEN_RED),
			   field_show(store, "why"), screen_off(SCREEN_RED));
	count += add_holds(status, out);
	count += add_alerts(status, out);
	if (json_is_false(json_object_get(drill, "passed")) && ++count > 0)
		buf_printf(out, "%sThe last drill failed, at %s: mailfuse drill%s\n",
			   screen_on(SCREEN_RED), screen_time(field_text(drill, "at")),
			   screen_off(SCREEN_RED));
	count += add_warnings(status, "warnings", out);
	return count + add_warnings(status, "policy_warnings", out);
}
