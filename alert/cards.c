/*
 * Alerts for chats. Called by chat.c on the main loop; the buffers are the caller's.
 * The limits are those of Slack's Block Kit reference (header 150 characters, a section's text
 * 3,000, a field 2,000 and ten of them, a button 75 and its url 3,000, 50 blocks) and of Teams'
 * incoming webhooks (28 KB).
 */
#include "alert/cards.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Bytes, which is never less than characters. */
enum {
	SLACK_HEADER_MAX = 150,
	SLACK_TEXT_MAX = 3000,
	SLACK_FIELD_MAX = 500,
	LINK_MAX = 3000,
	TEAMS_TEXT_MAX = 6000,
	TEAMS_LINES_MAX = 40, /* each is an element of some 100 bytes more */
	TEAMS_FACT_MAX = 500
};

static json_t *
object(void)
{
	json_t *o = json_object();

	if (o == NULL)
		fatal("out of memory");
	return o;
}

static json_t *
array(void)
{
	json_t *a = json_array();

	if (a == NULL)
		fatal("out of memory");
	return a;
}

static void
put(json_t *o, const char *key, json_t *value)
{
	if (value == NULL || json_object_set_new(o, key, value) != 0)
		fatal("out of memory");
}

static void
put_text(json_t *o, const char *key, const char *text)
{
	put(o, key, json_string(text));
}

static void
append(json_t *a, json_t *value)
{
	if (value == NULL || json_array_append_new(a, value) != 0)
		fatal("out of memory");
}

static void
dump(json_t *o, struct buf *out)
{
	char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);

	if (text == NULL)
		fatal("out of memory");
	buf_add_text(out, text);
	free(text);
	json_decref(o);
}

/* ---- Slack */

/* Appends at most `max` bytes with the three characters that mean something to Slack escaped. */
static void
add_escaped(struct buf *out, const char *text, size_t max)
{
	size_t end = out->len + max - strlen(" ...");

	for (; *text != '\0'; text++) {
		const char *as = *text == '&'   ? "&amp;"
				 : *text == '<' ? "&lt;"
				 : *text == '>' ? "&gt;"
						: NULL;
		size_t n = as != NULL ? strlen(as) : 1;

		/* Cut between characters: a continuation byte goes with what it continues, which is
		 * three more at most. */
		if (out->len + n + 3 > end && ((unsigned char)*text & 0xc0) != 0x80) {
			buf_add_text(out, " ...");
			return;
		}
		if (as != NULL)
			buf_add_text(out, as);
		else
			buf_add_char(out, *text);
	}
}

/* Plain: of mrkdwn Slack would still read bold, quotes and code, even where it is `verbatim`. */
static json_t *
slack_text(const char *text, size_t max)
{
	struct buf out = {0};
	json_t *o = object();

	add_escaped(&out, text, max);
	put_text(o, "type", "plain_text");
	put_text(o, "text", buf_text(&out));
	put(o, "emoji", json_false());
	buf_free(&out);
	return o;
}

static json_t *
slack_block(const char *type)
{
	json_t *o = object();

	put_text(o, "type", type);
	return o;
}

static json_t *
slack_section(const char *text)
{
	json_t *o = slack_block("section");

	put(o, "text", slack_text(text, SLACK_TEXT_MAX));
	return o;
}

static json_t *
slack_facts(const struct wording_fact *facts, size_t count)
{
	json_t *o = slack_block("section"), *fields = array();

	for (size_t i = 0; i < count; i++) {
		struct buf line = {0};

		buf_printf(&line, "%s: %s", facts[i].name, facts[i].value);
		append(fields, slack_text(buf_text(&line), SLACK_FIELD_MAX));
		buf_free(&line);
	}
	put(o, "fields", fields);
	return o;
}

static json_t *
slack_button(const char *link)
{
	json_t *o = slack_block("actions"), *elements = array(), *button = slack_block("button");

	put(button, "text", slack_text("Look at it", 75));
	put_text(button, "url", link);
	put_text(button, "action_id", "look");
	append(elements, button);
	put(o, "elements", elements);
	return o;
}

static json_t *
slack_context(const char *text)
{
	json_t *o = slack_block("context"), *elements = array();

	append(elements, slack_text(text, SLACK_TEXT_MAX));
	put(o, "elements", elements);
	return o;
}

static void
add_footer(const struct wording *w, struct buf *out)
{
	buf_printf(out, "%s | %s", w->command, w->footer);
	if (w->audit[0] != '\0')
		buf_printf(out, " | audit %s", w->audit);
}

/* What a phone shows, and readers without blocks: all of it in lines. */
static void
put_fallback(json_t *o, const struct wording *w, const struct buf *footer)
{
	struct buf text = {0};

	add_escaped(&text, w->text, SLACK_TEXT_MAX - 1200);
	if (w->reason[0] != '\0') {
		buf_add_text(&text, " | reason: ");
		add_escaped(&text, w->reason, 500);
	}
	if (w->link[0] != '\0') {
		buf_add_char(&text, '\n');
		add_escaped(&text, w->link, 600);
	}
	buf_add_char(&text, '\n');
	add_escaped(&text, buf_text(footer), SLACK_TEXT_MAX);
	put_text(o, "text", buf_text(&text));
	buf_free(&text);
}

void
cards_slack(struct wording *w, const struct channel_note *note, struct buf *out)
{
	struct wording_fact facts[WORDING_FACTS_MAX];
	size_t count = wording_facts(w, note, facts);
	struct buf footer = {0}, reason = {0};
	json_t *o = object(), *blocks = array(), *header = slack_block("header");

	add_footer(w, &footer);
	put_fallback(o, w, &footer);
	put(o, "mrkdwn", json_false());
	put(header, "text", slack_text(w->headline, SLACK_HEADER_MAX));
	append(blocks, header);
	append(blocks, slack_section(w->text));
	if (w->reason[0] != '\0') {
		buf_printf(&reason, "Reason: %s", w->reason);
		append(blocks, slack_section(buf_text(&reason)));
	}
	if (count > 0)
		append(blocks, slack_facts(facts, count));
	if (w->link[0] != '\0' && strlen(w->link) <= LINK_MAX)
		append(blocks, slack_button(w->link));
	append(blocks, slack_context(buf_text(&footer)));
	put(o, "blocks", blocks);
	buf_free(&footer);
	buf_free(&reason);
	dump(o, out);
}

/* ---- Teams */

/* One paragraph; `name` is set off before it. */
static json_t *
teams_text(const char *name, const char *text, size_t max, const char *weight)
{
	struct buf cut = {0};
	json_t *o = object(), *inlines = array(), *run = object();

	put_text(o, "type", "RichTextBlock");
	if (name[0] != '\0') {
		json_t *label = object();

		put_text(label, "type", "TextRun");
		put_text(label, "text", name);
		put(label, "isSubtle", json_true());
		append(inlines, label);
	}
	wording_cut(&cut, text, max);
	put_text(run, "type", "TextRun");
	put_text(run, "text", buf_text(&cut));
	put_text(run, "weight", weight);
	append(inlines, run);
	put(o, "inlines", inlines);
	buf_free(&cut);
	return o;
}

/* A TextRun keeps no line ends. */
static void
teams_add_lines(json_t *body, const char *text)
{
	size_t left = TEAMS_TEXT_MAX, lines = 0;

	while (*text != '\0' && left > 0 && lines < TEAMS_LINES_MAX) {
		size_t n = strcspn(text, "\n");
		char *line = strndup(text, n);

		if (line == NULL)
			fatal("out of memory");
		if (n > 0) {
			append(body, teams_text("", line, left, "Default"));
			lines++;
		}
		left -= n < left ? n : left;
		free(line);
		text += text[n] == '\n' ? n + 1 : n;
	}
}

static json_t *
teams_actions(const char *link)
{
	json_t *actions = array(), *open = object();

	put_text(open, "type", "Action.OpenUrl");
	put_text(open, "title", "Look at it");
	put_text(open, "url", link);
	append(actions, open);
	return actions;
}

static json_t *
teams_card(struct wording *w, const struct channel_note *note)
{
	struct wording_fact facts[WORDING_FACTS_MAX];
	size_t count = wording_facts(w, note, facts);
	json_t *card = object(), *body = array();
	struct buf name = {0};

	append(body, teams_text("", w->headline, TEAMS_FACT_MAX, "Bolder"));
	teams_add_lines(body, w->text);
	if (w->reason[0] != '\0')
		append(body, teams_text("Reason: ", w->reason, TEAMS_FACT_MAX, "Default"));
	for (size_t i = 0; i < count; i++) {
		buf_clear(&name);
		buf_printf(&name, "%s: ", facts[i].name);
		append(body,
		       teams_text(buf_text(&name), facts[i].value, TEAMS_FACT_MAX, "Default"));
	}
	buf_clear(&name);
	add_footer(w, &name);
	append(body, teams_text("", buf_text(&name), TEAMS_FACT_MAX, "Lighter"));
	buf_free(&name);
	put_text(card, "$schema", "http://adaptivecards.io/schemas/adaptive-card.json");
	put_text(card, "type", "AdaptiveCard");
	put_text(card, "version", "1.4");
	put(card, "body", body);
	if (w->link[0] != '\0' && strlen(w->link) <= LINK_MAX)
		put(card, "actions", teams_actions(w->link));
	return card;
}

void
cards_teams(struct wording *w, const struct channel_note *note, struct buf *out)
{
	json_t *o = object(), *attachments = array(), *attachment = object();

	put_text(attachment, "contentType", "application/vnd.microsoft.card.adaptive");
	put(attachment, "contentUrl", json_null());
	put(attachment, "content", teams_card(w, note));
	append(attachments, attachment);
	put_text(o, "type", "message");
	put(o, "attachments", attachments);
	dump(o, out);
}
