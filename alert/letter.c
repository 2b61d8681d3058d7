/*
 * The mail of an alert. Called by email.c on the main loop; the buffers are the caller's. What came
 * from strangers went through wording.c; here it is encoded for its place: encoded words in the
 * header (RFC 2047), quoted-printable in the parts (RFC 2045 6.7), character references in HTML.
 */
#include "alert/letter.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "mail/dsn_text.h"
#include "mail/mime.h"
#include "mail/seven_encode.h"

/* A quoted-printable part has no "=_" in it (RFC 2045 6.7, 6th note). */
#define BOUNDARY "=_mailfuse_alert"

/* ---- header */

static const char *
header_id(struct arena *arena, const struct channel_note *note, const struct config_alert *channel)
{
	const struct store_alert *a = note->alert;

	/* Of a trial there is no row. */
	if (a->event_id == 0)
		return arena_printf(arena, "alert-%" PRId64 ".%s", a->at, channel->name);
	return arena_printf(arena, "alert-%" PRIx64 "-%" PRId64 ".%s", id_store_name(), a->event_id,
			    channel->name);
}

static void
add_to(struct buf *out, char *const *to)
{
	buf_add_text(out, "To:");
	for (size_t i = 0; to[i] != NULL; i++)
		buf_printf(out, "%s <%s>", i == 0 ? "" : ",\r\n", to[i]);
	buf_add_text(out, "\r\n");
}

/* Encoded words are short enough for a line each. */
static void
add_subject(struct buf *out, struct arena *arena, const char *headline)
{
	size_t start = out->len;

	buf_add_text(out, "Subject:");
	dsn_fold(out, out->len - start, " ", mime_encode_text(headline, arena));
	buf_add_text(out, "\r\n");
}

static void
add_header(struct wording *w, const struct channel_note *note, const struct config_alert *channel,
	   struct buf *out)
{
	struct arena *arena = &w->arena;
	const char *gate = dsn_clean_ascii(arena, note->gate, DSN_VALUE_MAX);
	char date[CLOCK_RFC5322_BYTES];

	clock_format_rfc5322(note->alert->at, date);
	buf_printf(out, "From: mailfuse <%s>\r\n", channel->from);
	add_to(out, channel->to);
	add_subject(out, arena, w->headline);
	buf_printf(out, "Date: %s\r\nMessage-ID: <%s@%s>\r\n", date,
		   header_id(arena, note, channel), gate);
	if (w->batch[0] != '\0')
		buf_printf(out, "References: <batch-%" PRIx64 "-%s@%s>\r\n", id_store_name(),
			   w->batch, gate);
	/* RFC 3834 5: nobody answers it; the second is what Exchange looks at. */
	buf_add_text(out, "Auto-Submitted: auto-generated\r\n"
			  "X-Auto-Response-Suppress: All\r\n"
			  "MIME-Version: 1.0\r\n"
			  "Content-Type: multipart/alternative;\r\n boundary=\"" BOUNDARY "\"\r\n");
}

/* ---- plain text */

/* LF of the texts is a line end of the mail. */
static void
add_lines(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n')
			buf_add_char(out, '\r');
		buf_add_char(out, *text);
	}
	buf_add_text(out, "\r\n");
}

static void
add_plain(struct wording *w, const struct wording_fact *facts, size_t count, struct buf *out)
{
	add_lines(out, w->text);
	if (w->reason[0] != '\0')
		buf_printf(out, "Reason: %s\r\n", w->reason);
	if (count > 0)
		buf_add_text(out, "\r\n");
	for (size_t i = 0; i < count; i++)
		buf_printf(out, "%s: %s\r\n", facts[i].name, facts[i].value);
	buf_add_text(out, "\r\n");
	if (w->link[0] != '\0')
		buf_printf(out, "Look at it: %s\r\n", w->link);
	buf_printf(out, "%s %s\r\n\r\n-- \r\n%s\r\n",
		   w->link[0] != '\0' ? "or on the gate:" : "Look at it on the gate:", w->command,
		   w->footer);
	if (w->audit[0] != '\0')
		buf_printf(out, "audit %s\r\n", w->audit);
}

/* ---- HTML */

static void
add_escaped(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '&':
			buf_add_text(out, "&amp;");
			break;
		case '<':
			buf_add_text(out, "&lt;");
			break;
		case '>':
			buf_add_text(out, "&gt;");
			break;
		case '"':
			buf_add_text(out, "&quot;");
			break;
		case '\'':
			buf_add_text(out, "&#39;");
			break;
		case '\n':
			buf_add_text(out, "<br>\r\n");
			break;
		default:
			buf_add_char(out, *text);
		}
	}
}

static void
add_element(struct buf *out, const char *open, const char *text, const char *close)
{
	buf_add_text(out, open);
	add_escaped(out, text);
	buf_add_text(out, close);
}

/* Styles stand in the elements: many readers drop everything else. */
static void
add_html(struct wording *w, const struct wording_fact *facts, size_t count, struct buf *out)
{
	buf_add_text(out, "<!DOCTYPE html>\r\n<html><body style=\"margin:0;padding:16px;"
			  "font:15px/1.5 sans-serif;color:#1a1a1a;background:#ffffff\">\r\n");
	add_element(out, "<p style=\"margin:0 0 12px\"><bdi>", w->text, "</bdi></p>\r\n");
	if (w->reason[0] != '\0')
		add_element(out, "<p style=\"margin:0 0 12px\">Reason: <bdi>", w->reason,
			    "</bdi></p>\r\n");
	if (count > 0)
		buf_add_text(out, "<table style=\"border-collapse:collapse;margin:0 0 16px\">\r\n");
	for (size_t i = 0; i < count; i++) {
		add_element(out,
			    "<tr><th scope=\"row\" style=\"text-align:left;"
			    "padding:2px 16px 2px 0;font-weight:normal;color:#555555\">",
			    facts[i].name, "</th>");
		add_element(out, "<td style=\"padding:2px 0\"><bdi>", facts[i].value,
			    "</bdi></td></tr>\r\n");
	}
	if (count > 0)
		buf_add_text(out, "</table>\r\n");
	if (w->link[0] != '\0') {
		add_element(out,
			    "<p style=\"margin:0 0 12px\"><a style=\"display:inline-block;"
			    "padding:8px 16px;background:#0b5cad;color:#ffffff;"
			    "text-decoration:none\" href=\"",
			    w->link, "\">Look at it</a></p>\r\n");
	}
	add_element(out, "<p style=\"margin:0 0 12px\">On the gate: <code>", w->command,
		    "</code></p>\r\n");
	add_element(out, "<p style=\"margin:0;color:#555555;font-size:13px\">", w->footer, "");
	if (w->audit[0] != '\0')
		add_element(out, "<br>\r\naudit ", w->audit, "");
	buf_add_text(out, "</p>\r\n</body></html>\r\n");
}

/* ---- the whole */

static void
add_part(struct buf *out, const char *type, const struct buf *content)
{
	struct encoder e;

	buf_printf(out,
		   "--" BOUNDARY "\r\nContent-Type: %s; charset=utf-8\r\n"
		   "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
		   type);
	encoder_start(&e, ENCODER_QUOTED);
	encoder_add(&e, buf_text(content), content->len, out);
	encoder_end(&e, out);
	buf_add_text(out, "\r\n");
}

void
letter_build(struct wording *w, const struct channel_note *note, const struct config_alert *channel,
	     struct buf *header, struct buf *body)
{
	struct wording_fact facts[WORDING_FACTS_MAX];
	size_t count = wording_facts(w, note, facts);
	struct buf plain = {0}, html = {0};

	add_header(w, note, channel, header);
	add_plain(w, facts, count, &plain);
	add_html(w, facts, count, &html);
	add_part(body, "text/plain", &plain);
	add_part(body, "text/html", &html);
	buf_add_text(body, "--" BOUNDARY "--\r\n");
	buf_free(&plain);
	buf_free(&html);
}
