/*
 * Words for people. Called by email.c and chat.c through their builders; memory is the
 * wording's arena. Values are cleaned one by one before they are filled in, and the headline once
 * more as a whole: nothing can end a line, a field or a part.
 */
#include "alert/wording.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/template.h"
#include "base/units.h"
#include "mail/dsn_text.h"

enum { HEADLINE_MAX = 240, VALUE_MAX = 4000, TEXT_MAX = 8000, NAME_MAX_BYTES = 300 };

void
wording_cut(struct buf *out, const char *text, size_t max)
{
	size_t n = strlen(text);

	if (n > max) {
		n = max > 4 ? max - 4 : 0;
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	buf_add(out, text, n);
	if (text[n] != '\0')
		buf_add_text(out, " ...");
}

static const char *
cut(struct wording *w, const char *text, size_t max)
{
	struct buf out = {0};
	const char *kept;

	wording_cut(&out, text, max);
	kept = arena_strdup(&w->arena, buf_text(&out));
	buf_free(&out);
	return kept;
}

static const char *
clean(struct wording *w, const char *text)
{
	return dsn_clean(&w->arena, text != NULL ? text : "", VALUE_MAX);
}

/* Line by line: a template may have several. */
static const char *
clean_lines(struct wording *w, const char *text)
{
	struct buf out = {0};
	const char *kept;

	while (*text != '\0') {
		size_t n = strcspn(text, "\n");
		char *line = arena_printf(&w->arena, "%.*s", (int)n, text);

		buf_add_text(&out, dsn_clean(&w->arena, line, TEXT_MAX));
		text += n;
		if (*text == '\n') {
			buf_add_char(&out, '\n');
			text++;
		}
	}
	kept = cut(w, buf_text(&out), TEXT_MAX);
	buf_free(&out);
	return kept;
}

static const char *
fill(struct wording *w, const struct channel_note *note, const char *template)
{
	const struct store_alert *a = note->alert;
	const struct template_value values[] = {
	    {'e', dsn_clean(&w->arena, a->environment, NAME_MAX_BYTES)},
	    {'b', w->batch},
	    {'t', clean(w, a->text)},
	    {'u', w->link[0] != '\0' ? w->link : w->command},
	    {'g', clean(w, note->gate)},
	    {'n', clean(w, a->event)},
	    {'l', "\n"},
	    {0, NULL}};
	struct buf out = {0};
	const char *kept;

	template_fill(template, values, &out);
	kept = arena_strdup(&w->arena, buf_text(&out));
	buf_free(&out);
	return kept;
}

/*
 * The template, or what is said where it comes to nothing (`%b` where there is no batch): a chat
 * refuses an empty text, and the alert with it.
 */
static const char *
fill_some(struct wording *w, const struct channel_note *note, const char *template,
	  const char *usual)
{
	const char *texts[] = {
	    fill(w, note, template != NULL && *template != '\0' ? template : usual),
	    fill(w, note, usual), fill(w, note, "%n")};
	size_t i = 0;

	while (i < 2 && texts[i][strspn(texts[i], " \t\r\n")] == '\0')
		i++;
	return texts[i];
}

/* The text, and below it what a summary sums up. */
static const char *
add_lines(struct wording *w, const struct channel_note *note, const char *text)
{
	struct buf out = {0};
	const char *kept;

	if (note->lines == NULL)
		return text;
	buf_add_text(&out, text);
	for (char *const *line = note->lines; *line != NULL; line++)
		buf_printf(&out, "\n%s", clean(w, *line));
	kept = cut(w, buf_text(&out), TEXT_MAX);
	buf_free(&out);
	return kept;
}

/* What people decide ends with their reason, which needs not be said twice. */
static bool
has_reason(struct wording *w, const struct store_alert *a)
{
	const char *text = clean(w, a->text), *end = arena_printf(&w->arena, ": %s", w->reason);
	size_t n = strlen(text), tail = strlen(end);

	return w->reason[0] == '\0' ||
	       (n >= tail && strcmp(text + n - tail, end) == 0 && strstr(w->text, text) != NULL);
}

static const char *
make_link(struct wording *w, const struct channel_note *note)
{
	if (note->console[0] == '\0')
		return "";
	if (note->alert->batch != 0)
		return arena_printf(&w->arena, "%s/batches/%s", note->console, w->batch);
	return arena_printf(&w->arena, "%s/alerts", note->console);
}

void
wording_make(struct wording *w, const struct channel_note *note, const struct config_alert *channel)
{
	const struct store_alert *a = note->alert;
	char at[CLOCK_ISO_BYTES];

	*w = (struct wording){.batch = "", .command = "mailfuse status", .audit = ""};
	if (a->batch != 0) {
		w->batch = arena_printf(&w->arena, "B%" PRId64, a->batch);
		w->command = arena_printf(&w->arena, "mailfuse show %s", w->batch);
	}
	w->link = make_link(w, note);
	w->headline = dsn_clean(
	    &w->arena, cut(w, fill_some(w, note, channel->subject, "[mailfuse] %t"), HEADLINE_MAX),
	    HEADLINE_MAX);
	w->text = add_lines(w, note, clean_lines(w, fill_some(w, note, channel->text, "%t")));
	w->reason = clean(w, a->reason);
	if (has_reason(w, a))
		w->reason = "";
	/* As much of the hash as nobody can forge in a hurry; `audit verify --head` takes it. */
	if (a->audit_id != 0)
		w->audit = arena_printf(&w->arena, "%" PRId64 ":%.32s", a->audit_id, a->audit_hash);
	clock_format_iso(a->at, at);
	w->footer = arena_printf(&w->arena, "%s from %s at %s", clean(w, a->event),
				 clean(w, note->gate), at);
}

void
wording_free(struct wording *w)
{
	arena_free(&w->arena);
}

/* ---- facts */

static const char *
count(struct wording *w, uint64_t n)
{
	char digits[24];
	struct buf out = {0};
	const char *kept;
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, n);

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf_add_char(&out, ',');
		buf_add_char(&out, digits[i]);
	}
	kept = arena_strdup(&w->arena, buf_text(&out));
	buf_free(&out);
	return kept;
}

size_t
wording_facts(struct wording *w, const struct channel_note *note,
	      struct wording_fact facts[WORDING_FACTS_MAX])
{
	const struct store_batch *b = note->batch;
	size_t n = 0;

	if (b == NULL)
		return 0;
	facts[n++] = (struct wording_fact){
	    "Batch", arena_printf(&w->arena, "%s, %s", w->batch, store_batch_state_name(b->state))};
	facts[n++] = (struct wording_fact){"Held", count(w, b->held)};
	facts[n++] = (struct wording_fact){"Recipients", count(w, b->recipients)};
	if (note->distinct != 0)
		facts[n++] = (struct wording_fact){"Different people", count(w, note->distinct)};
	facts[n++] = (struct wording_fact){"Left before", count(w, b->leaked)};
	if (b->subject != NULL && b->subject[0] != '\0')
		facts[n++] = (struct wording_fact){"Subject", clean(w, b->subject)};
	if (b->source != NULL && b->source[0] != '\0')
		facts[n++] = (struct wording_fact){"Source", clean(w, b->source)};
	if (b->rule != NULL && b->rule[0] != '\0')
		facts[n++] = (struct wording_fact){"Rule", clean(w, b->rule)};
	return n;
}
