/*
 * Writes a story, section by section; text and Markdown differ in how a heading, a point and a
 * value look. Values come from mail and people: each goes through put_value(). Called by
 * cli/story.c and its tests.
 */
#include "cli/story_show.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/field.h"
#include "cli/markdown.h"
#include "cli/screen.h"

struct page {
	bool markdown;
	struct buf *out;
};

static void
put_value(const struct page *p, const char *text)
{
	if (p->markdown)
		markdown_add(p->out, screen_text(text));
	else
		buf_add_text(p->out, screen_text(text));
}

static void
put_heading(const struct page *p, const char *text)
{
	if (p->markdown)
		buf_printf(p->out, "\n## %s\n\n", text);
	else
		buf_printf(p->out, "\n%s%s%s\n", screen_on(SCREEN_BOLD), text,
			   screen_off(SCREEN_BOLD));
}

static void
put_point(const struct page *p)
{
	buf_add_text(p->out, p->markdown ? "- " : "  ");
}

/* What is no time is shown as it is: then it is a value like any other. */
static void
put_time(const struct page *p, const char *iso)
{
	if (screen_time_parse(iso) >= 0) {
		buf_printf(p->out, p->markdown ? "**%s** " : "%s  ", screen_time(iso));
		return;
	}
	buf_add_text(p->out, "at ");
	put_value(p, iso);
	buf_add_char(p->out, ' ');
}

/* "Rule: burst volume", a line of its own; nothing where there is no value. */
static void
put_pair(const struct page *p, const char *name, const char *value)
{
	if (*value == '\0')
		return;
	put_point(p);
	if (p->markdown)
		buf_printf(p->out, "**%s:** ", name);
	else
		buf_printf(p->out, "%-14s", name);
	put_value(p, value);
	buf_add_char(p->out, '\n');
}

/* "12 s", "3.2 s", "5 min": after the first message. */
static const char *
format_after(const json_t *times, const char *name, char out[UNITS_BYTES])
{
	const json_t *value = json_object_get(times, name);
	double seconds = json_number_value(value);

	if (!json_is_number(value))
		snprintf(out, UNITS_BYTES, "never");
	else if (seconds < 10)
		snprintf(out, UNITS_BYTES, "%.1f s", seconds);
	else if (seconds < 1e9)
		units_format_duration((int64_t)seconds * CLOCK_SECOND, out);
	else
		snprintf(out, UNITS_BYTES, "long");
	return out;
}

static void
put_summary(const struct page *p, const json_t *story)
{
	const json_t *counts = json_object_get(story, "counts");
	struct buf line = {0};

	put_heading(p, "What was held");
	put_pair(p, "Environment", field_text(story, "environment"));
	put_pair(p, "Rule", field_text(story, "rule"));
	put_pair(p, "Stream", field_text(story, "key"));
	put_pair(p, "Source", field_text(story, "source"));
	put_pair(p, "Sender", field_text(story, "sender"));
	put_pair(p, "Subject", field_text(story, "subject"));
	put_pair(p, "State", field_text(story, "state"));
	buf_printf(&line, "%s to %s, %s%s of them different; %s left before",
		   screen_counted(field_count(counts, "messages"), "message", "messages"),
		   screen_counted(field_count(counts, "recipients"), "recipient", "recipients"),
		   field_is_true(counts, "sampled") ? "about " : "",
		   screen_count(field_count(counts, "distinct_recipients")),
		   screen_count(field_count(counts, "leaked")));
	put_pair(p, "Held", buf_text(&line));
	buf_clear(&line);
	buf_printf(&line, "%s held, %s released (%s sent, %s refused), %s discarded",
		   screen_count(field_count(counts, "held")),
		   screen_count(field_count(counts, "released")),
		   screen_count(field_count(counts, "sent")),
		   screen_count(field_count(counts, "failed")),
		   screen_count(field_count(counts, "discarded")));
	put_pair(p, "Now", buf_text(&line));
	buf_free(&line);
}

static void
put_times(const struct page *p, const json_t *story)
{
	const json_t *times = json_object_get(story, "times");
	const json_t *rates = json_object_get(story, "rates");
	int64_t limit = field_count(rates, "limit"), window = field_count(rates, "window");
	char text[UNITS_BYTES];
	struct buf line = {0};

	put_heading(p, "How fast");
	buf_printf(&line, "%s in one second, %s in one minute",
		   screen_count(field_count(rates, "peak_second")),
		   screen_count(field_count(rates, "peak_minute")));
	put_pair(p, "At its peak", buf_text(&line));
	buf_free(&line);
	if (limit > 0 && limit <= UINT32_MAX && window > 0 && window < INT64_MAX / CLOCK_SECOND)
		put_pair(p, "The limit",
			 units_format_rate((uint32_t)limit, window * CLOCK_SECOND, text));
	put_heading(p, "From the first message until");
	put_pair(p, "the trip", format_after(times, "to_trip", text));
	put_pair(p, "an alert", format_after(times, "to_alert", text));
	/* The gate keeps only the last look. */
	if (json_is_null(json_object_get(times, "to_look")) &&
	    *field_text(times, "seen_at") != '\0')
		put_pair(p, "a look", "not known; only the last look is kept");
	else
		put_pair(p, "a look", format_after(times, "to_look", text));
	put_pair(p, "a decision", format_after(times, "to_decision", text));
}

static void
put_timeline(const struct page *p, const json_t *story)
{
	json_t *items = json_object_get(story, "timeline"), *item;
	size_t i;

	put_heading(p, "What happened");
	json_array_foreach(items, i, item)
	{
		const char *who = field_text(item, "who"), *reason = field_text(item, "reason");

		put_point(p);
		put_time(p, field_text(item, "at"));
		put_value(p, who);
		buf_add_text(p->out, ": ");
		put_value(p, field_text(item, "text"));
		if (*reason != '\0') {
			buf_add_text(p->out, "  \"");
			put_value(p, reason);
			buf_add_char(p->out, '"');
		}
		buf_add_char(p->out, '\n');
	}
}

static void
put_counted(const struct page *p, const json_t *story, const char *name, const char *heading)
{
	json_t *items = json_object_get(story, name), *item;
	size_t i;

	if (json_array_size(items) == 0)
		return;
	put_heading(p, heading);
	json_array_foreach(items, i, item)
	{
		put_point(p);
		buf_printf(p->out, p->markdown ? "%s: " : "%8s  ",
			   screen_count(field_count(item, "count")));
		put_value(p, field_text(item, "value"));
		buf_add_char(p->out, '\n');
	}
}

static void
put_samples(const struct page *p, const json_t *story)
{
	json_t *items = json_object_get(story, "samples"), *item;
	size_t i;

	if (json_array_size(items) == 0)
		return;
	put_heading(p, "The first messages");
	json_array_foreach(items, i, item)
	{
		put_point(p);
		put_time(p, field_text(item, "at"));
		buf_add_text(p->out, "to ");
		put_value(p, field_text(item, "recipient"));
		buf_add_text(p->out, ": ");
		put_value(p, field_text(item, "subject"));
		buf_add_char(p->out, '\n');
	}
}

static void
put_questions(const struct page *p, const json_t *story)
{
	json_t *items = json_object_get(story, "questions"), *item;
	size_t i;

	put_heading(p, "Worth asking");
	json_array_foreach(items, i, item)
	{
		buf_add_text(p->out, p->markdown ? "- [ ] " : "  - ");
		put_value(p, json_is_string(item) ? json_string_value(item) : "");
		buf_add_char(p->out, '\n');
	}
}

void
story_show(const json_t *story, bool markdown, struct buf *out)
{
	const struct page p = {markdown, out};

	buf_add_text(out, markdown ? "# Batch " : "Batch ");
	put_value(&p, field_text(story, "batch"));
	buf_add_text(out, markdown ? "\n\nHeld mail, for the review. Addresses, numbers and tokens "
				     "are masked.\n"
				   : ": the story\n");
	put_summary(&p, story);
	put_times(&p, story);
	put_timeline(&p, story);
	put_counted(&p, story, "domains", "For whom");
	put_counted(&p, story, "subjects", "Subjects");
	put_samples(&p, story);
	put_questions(&p, story);
}
