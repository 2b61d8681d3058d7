/*
 * A batch's plan, ruling and stream as lines for people. Called by cli/show.c and cli/lists.c.
 */
#include "cli/plan_show.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/field.h"
#include "cli/plan_text.h"
#include "cli/progress.h"
#include "cli/screen.h"

enum { BATCH_MARK_BYTES = 48, COUNTED_SECONDS = 10 };

static bool
is_state(const json_t *plan, const char *state)
{
	return strcmp(field_text(plan, "state"), state) == 0;
}

/* "in 9 min"; "" where it is past. */
static const char *
show_until(const char *iso, char out[UNITS_BYTES])
{
	int64_t left = screen_time_parse(iso) - (int64_t)time(NULL);

	if (left <= 0 || left > INT32_MAX)
		return "now";
	return units_format_duration(left * CLOCK_SECOND, out);
}

/* Who, when and how. */
static void
print_plan(const json_t *plan)
{
	enum screen_style style = is_state(plan, "paused") || is_state(plan, "asked")
				      ? SCREEN_YELLOW
				  : is_state(plan, "running") ? SCREEN_GREEN
							      : SCREEN_PLAIN;
	struct buf text = {0};

	printf("Release      %s%s%s: %s of %s released, by %s at %s: %s\n", screen_on(style),
	       field_show(plan, "state"), screen_off(style),
	       screen_count(field_count(plan, "released")),
	       screen_counted(field_count(plan, "total"), "recipient", "recipients"),
	       field_show(plan, "who"), screen_time(field_text(plan, "created_at")),
	       field_show(plan, "reason"));
	plan_text_rings(plan, &text);
	/* Of one that is over the batch's ruling says it, which may be another by now. */
	if (field_count(plan, "stream") > 0 && !is_state(plan, "done") &&
	    !is_state(plan, "ended")) {
		buf_add_text(&text, ".");
		plan_text_stream(plan, true, &text);
	}
	printf("Rings        %s\n", buf_text(&text));
	buf_free(&text);
}

/* How the present ring goes: what is refused for now and for good, apart, and why. */
static void
print_ring(const json_t *plan)
{
	const json_t *refusals = json_object_get(plan, "refusals");
	char text[32];
	size_t i;

	if (field_count(plan, "ring") < 1)
		return;
	snprintf(text, sizeof(text), "Ring %lld", (long long)field_count(plan, "ring"));
	printf(
	    "%-12s %s of %s sent, refused %s for now (4xx), %s for good (5xx)\n", text,
	    screen_count(field_count(plan, "sent")), screen_count(field_count(plan, "ring_size")),
	    screen_count(field_count(plan, "deferred")), screen_count(field_count(plan, "failed")));
	for (i = 0; i < json_array_size(refusals); i++) {
		const json_t *refusal = json_array_get(refusals, i);

		printf("Refused      %s: %s\n",
		       screen_counted(field_count(refusal, "count"), "time", "times"),
		       field_show(refusal, "reply"));
	}
}

/* What it waits for, and what to type. */
static void
print_next(const json_t *batch, const json_t *plan)
{
	const char *next = field_text(plan, "next_ring_at"),
		   *id = screen_text(field_text(batch, "id"));
	int64_t missing = field_count(plan, "approvals_missing");
	char left[UNITS_BYTES];

	if (is_state(plan, "running") && *next != '\0')
		printf("Next ring    at %s (%s)\n", screen_time(next), show_until(next, left));
	if (is_state(plan, "paused"))
		printf("%sPaused       %s%s: mailfuse resume %s\n", screen_on(SCREEN_YELLOW),
		       field_show(plan, "why"), screen_off(SCREEN_YELLOW), id);
	if (is_state(plan, "ended") && *field_text(plan, "why") != '\0')
		printf("Ended        %s\n", field_show(plan, "why"));
	if (is_state(plan, "asked"))
		printf("%sApproval     waits for %s until %s%s: mailfuse approve %s\n",
		       screen_on(SCREEN_YELLOW),
		       screen_counted(missing, "more person", "more people"),
		       screen_time(field_text(plan, "expires_at")), screen_off(SCREEN_YELLOW), id);
	if (json_array_size(json_object_get(plan, "approved_by")) > 0)
		printf("Approved by  %s\n", field_show(plan, "approved_by"));
}

void
plan_show(const json_t *batch)
{
	const json_t *plan = json_object_get(batch, "plan");

	if (!json_is_object(plan))
		return;
	print_plan(plan);
	print_ring(plan);
	print_next(batch, plan);
}

/* "yes, 120 recipients in the last 10 min, the last 4 s ago". */
static void
print_sending(const json_t *batch)
{
	const json_t *sending = json_object_get(batch, "sending");
	int64_t recipients = field_count(sending, "recipients");
	int64_t window = field_count(sending, "window");
	int64_t now = (int64_t)time(NULL);
	int64_t ago = now - screen_time_parse(field_text(sending, "last_at"));
	char span[UNITS_BYTES], since[UNITS_BYTES];

	/* A daemon of before does not say. */
	if (sending == NULL)
		return;
	if (now > screen_time_parse(field_text(sending, "quiet_at"))) {
		const char *last = field_text(sending, "last_at");

		printf("Still sending: no, nothing since %s\n",
		       screen_time(*last != '\0' ? last : field_text(batch, "last_at")));
		return;
	}
	printf("Still sending: yes");
	/* What a rule counts in a second or so says nothing. */
	if (window >= COUNTED_SECONDS && window < INT32_MAX)
		printf(", %s in the last %s", screen_counted(recipients, "recipient", "recipients"),
		       units_format_duration(window * CLOCK_SECOND, span));
	printf(", last %s ago\n", units_format_duration((ago < 0 ? 0 : ago) * CLOCK_SECOND, since));
}

void
plan_show_stream(const json_t *batch)
{
	const json_t *ruling = json_object_get(batch, "ruling");

	print_sending(batch);
	if (json_is_object(ruling))
		printf("What follows %s until %s\n",
		       strcmp(field_text(ruling, "goes"), "discard") == 0 ? "is discarded"
									  : "passes",
		       screen_time(field_text(ruling, "until")));
	if (*field_text(batch, "seen_by") != '\0')
		printf("Seen by      %s at %s\n", field_show(batch, "seen_by"),
		       screen_time(field_text(batch, "seen_at")));
}

const char *
plan_show_mark(const json_t *batch)
{
	static char mark[BATCH_MARK_BYTES];
	const json_t *plan = json_object_get(batch, "plan");
	struct progress_ring rings[PROGRESS_RINGS_MAX];
	size_t count;

	mark[0] = '\0';
	if (is_state(plan, "asked"))
		return ", asked";
	if (!is_state(plan, "running") && !is_state(plan, "paused"))
		return mark;
	count = progress_plan(json_object_get(plan, "rings"), field_count(plan, "total"), rings);
	if (count > 1)
		snprintf(mark, sizeof(mark), " %lld/%zu", (long long)field_count(plan, "ring"),
			 count);
	return mark;
}
