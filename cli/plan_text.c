/*
 * Words for plans. Called by the verbs that decide on one or show it; fields are those of
 * docs/api.md, which a release has in its request and a batch in its `plan`.
 */
#include "cli/plan_text.h"

#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/field.h"
#include "cli/screen.h"

static void
add_ring(const json_t *ring, struct buf *out)
{
	buf_add_text(out, json_is_integer(ring) ? screen_count(json_integer_value(ring))
						: "all that is left");
}

static bool
has_text(const json_t *o, const char *name)
{
	return *field_text(o, name) != '\0';
}

/* A time as a request has it, "10m", or a plan, 600; NULL if there is none. */
static const char *
show_time(const json_t *o, const char *name, char out[UNITS_BYTES])
{
	int64_t seconds = field_count(o, name);

	if (has_text(o, name))
		return field_show(o, name);
	if (seconds <= 0 || seconds > INT32_MAX)
		return NULL;
	return units_format_duration(seconds * CLOCK_SECOND, out);
}

/* Behind `separator`. */
static void
add_stop(const json_t *plan, const char *separator, struct buf *out)
{
	const json_t *stop = json_object_get(plan, "stop_on");

	if (!json_is_number(stop))
		return;
	if (json_number_value(stop) <= 0)
		buf_printf(out, "%sstopped by the first refusal", separator);
	else
		buf_printf(out, "%sstopped when more than %s%% of a ring are refused", separator,
			   field_show(plan, "stop_on"));
}

void
plan_text_terms(const json_t *plan, struct buf *out)
{
	const json_t *rings = json_object_get(plan, "rings");
	size_t count = json_array_size(rings), i;
	char time[UNITS_BYTES];
	const char *wait = show_time(plan, "wait", time);

	if (has_text(plan, "rate"))
		buf_printf(out, " at %s", field_show(plan, "rate"));
	if (count > 1 || json_is_integer(json_array_get(rings, 0))) {
		buf_printf(out, "%s in %s of ", has_text(plan, "rate") ? "," : "",
			   count > 1 ? "rings" : "a ring");
		for (i = 0; i < count; i++) {
			buf_add_text(out, i == 0 ? "" : i + 1 < count ? ", " : " and ");
			add_ring(json_array_get(rings, i), out);
		}
		if (wait != NULL)
			buf_printf(out, ", %s after each", wait);
	}
	add_stop(plan, ", ", out);
}

void
plan_text_rings(const json_t *plan, struct buf *out)
{
	const json_t *rings = json_object_get(plan, "rings");
	int64_t present = field_count(plan, "ring");
	bool over = strcmp(field_text(plan, "state"), "done") == 0;
	char time[UNITS_BYTES];
	const char *wait = show_time(plan, "wait", time);
	size_t i;

	for (i = 0; i < json_array_size(rings); i++) {
		int64_t number = (int64_t)i + 1;

		buf_add_text(out, i == 0 ? "" : ", ");
		add_ring(json_array_get(rings, i), out);
		buf_add_text(out, number < present || (over && number == present) ? " (done)"
				  : number == present                             ? " (now)"
										  : "");
	}
	if (wait != NULL)
		buf_printf(out, "; %s after each", wait);
	add_stop(plan, "; ", out);
	if (has_text(plan, "rate"))
		buf_printf(out, "; at %s", field_show(plan, "rate"));
}

void
plan_text_stream(const json_t *o, bool passes, struct buf *out)
{
	char time[UNITS_BYTES];
	const char *stream = show_time(o, "stream", time);

	if (stream != NULL)
		buf_printf(out, " Mail that follows %s for %s.", passes ? "passes" : "is discarded",
			   stream);
}
