/*
 * The header in the form that leaves: what must not go out is removed, addresses are made harmless,
 * the message is tagged. Called by relay/ once per message after gate_judge(),
 * and by control/ for `explain`; on the message's loop. Works in an arena of its own that is freed
 * at the end; only message.header changes. Everything that came from outside is cleaned before it
 * stands in a field of ours.
 */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/id.h"
#include "mail/header.h"
#include "mail/message.h"
#include "mail/mime.h"

enum {
	HELO_MAX = 255, /* RFC 5321 4.5.3.1.2 */
	TLS_MAX = 80,
	/* RFC 5322 2.1.1 allows 998 characters a line; the name of the field stands before these.
	 */
	ORIGINAL_WORD_MAX = 900
};

/* Fields a reply, a bounce or a receipt goes to, as they are named in X-Mailfuse-Original-*. */
static const char *const reply_fields[] = {"To",
					   "Cc",
					   "Reply-To",
					   "Resent-To",
					   "Resent-Cc",
					   "Resent-Reply-To",
					   "Disposition-Notification-To",
					   "Return-Receipt-To",
					   "X-Confirm-Reading-To",
					   "Errors-To",
					   "Mail-Followup-To",
					   "Mail-Reply-To",
					   "Apparently-To"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * Text that can end neither a word or comment of Received (RFC 5322 3.2.2) nor the field: what
 * could is replaced, and so is all that is not printable ASCII from `least` on.
 */
static char *
safe_text(struct arena *arena, const char *text, size_t max, unsigned char least)
{
	char *safe = arena_strndup(arena, text, strnlen(text, max));
	char *p;

	for (p = safe; *p != '\0'; p++) {
		if ((unsigned char)*p < least || (unsigned char)*p >= 127 ||
		    strchr("()<>\"\\;,@", *p) != NULL)
			*p = '?';
	}
	return safe;
}

static char *
safe_word(struct arena *arena, const char *text)
{
	return safe_text(arena, text, HELO_MAX, '!');
}

static char *
safe_comment(struct arena *arena, const char *text)
{
	return safe_text(arena, text, TLS_MAX, ' ');
}

/* The old value of an address field: no control characters, no word too long to fold. */
static char *
safe_original(struct arena *arena, const char *value)
{
	size_t len = strlen(value), run = 0, n = 0, i;
	char *safe = arena_alloc(arena, len + len / ORIGINAL_WORD_MAX + 1);

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)value[i];

		if (run == ORIGINAL_WORD_MAX) {
			safe[n++] = ' ';
			run = 0;
		}
		safe[n] = (char)((c < ' ' && c != '\t') || c == 127 ? ' ' : c);
		run = is_blank(safe[n]) ? 0 : run + 1;
		n++;
	}
	safe[n] = '\0';
	return safe;
}

static const char *
reply_field_name(const char *name)
{
	size_t i;

	for (i = 0; i < COUNT(reply_fields); i++) {
		if (strcasecmp(name, reply_fields[i]) == 0)
			return reply_fields[i];
	}
	return NULL;
}

static void
make_harmless(struct header *h, const struct message_edit *edit)
{
	size_t i, count = h->count; /* originals are added behind these */

	for (i = 0; i < count; i++) {
		struct header_field *f = &h->fields[i];
		const char *name = reply_field_name(f->name);
		char *old, *mapped;

		if (f->removed || name == NULL)
			continue;
		old = header_value(h, f);
		mapped = mime_map_addresses(old, edit->map, edit->context, h->arena);
		if (mapped == NULL)
			continue;
		if (mapped[0] == '\0')
			f->removed = true;
		else
			header_replace(h, f, mapped);
		header_append(h, arena_printf(h->arena, "X-Mailfuse-Original-%s", name),
			      safe_original(h->arena, old));
	}
}

/* ---- the subject */

/* The prefix without the blanks at its end. */
static char *
prefix_trim(struct arena *arena, const char *prefix)
{
	size_t len = strlen(prefix);

	while (len > 0 && is_blank(prefix[len - 1]))
		len--;
	return arena_strndup(arena, prefix, len);
}

static bool
is_word_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (unsigned char)c >= 0x80;
}

static bool
starts_with(const char *subject, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(subject, prefix, len) == 0 &&
	       !(is_word_byte(prefix[len - 1]) && is_word_byte(subject[len]));
}

/* Length of an encoded word at the start of text (RFC 2047 2), 0 if there is none. */
static size_t
encoded_word_length(const char *text)
{
	size_t n, charset;

	if (text[0] != '=' || text[1] != '?')
		return 0;
	charset = strcspn(text + 2, "? \t\r");
	n = 2 + charset;
	if (charset == 0 || text[n] != '?' || text[n + 1] == '\0' ||
	    strchr("qQbB", text[n + 1]) == NULL || text[n + 2] != '?')
		return 0;
	n += 3;
	n += strcspn(text + n, "? \t\r");
	return text[n] == '?' && text[n + 1] == '=' ? n + 2 : 0;
}

/*
 * The prefix and the subject as it was written, joined so that a reader sees exactly the one and
 * the other: white space between two encoded words is not shown, and an encoded word must have
 * white space at its ends (RFC 2047 5, 6.2). So the blank at the prefix's end stands outside its
 * encoded word before plain text, inside it before another one; a prefix without a blank takes the
 * subject's first word into its encoded word.
 */
static char *
subject_join(struct arena *arena, const char *prefix, const char *subject)
{
	size_t len = strlen(prefix), word;
	bool ends_blank = is_blank(prefix[len - 1]);
	bool meets_word = encoded_word_length(subject) > 0;
	bool plain = strcmp(mime_encode_text(prefix, arena), prefix) == 0;
	char *moved;

	if (plain && (ends_blank || !meets_word))
		return arena_printf(arena, "%s%s", prefix, subject);
	if (meets_word)
		return arena_printf(arena, "%s %s", mime_encode_words(prefix, arena), subject);
	if (ends_blank) {
		moved = arena_strndup(arena, prefix, len - 1);
		return arena_printf(arena, "%s %s", mime_encode_text(moved, arena), subject);
	}
	word = strcspn(subject, " \t\r");
	moved = mime_decode_text(arena_strndup(arena, subject, word), arena);
	subject += word;
	if (encoded_word_length(subject + strspn(subject, " \t\r\n")) > 0) {
		subject += strspn(subject, " \t\r\n");
		moved = arena_printf(arena, "%s ", moved);
		subject = arena_printf(arena, " %s", subject);
	}
	moved = arena_printf(arena, "%s%s", prefix, moved);
	return arena_printf(arena, "%s%s", mime_encode_text(moved, arena), subject);
}

static void
tag_subject(struct header *h, const char *prefix)
{
	const char *trimmed = prefix_trim(h->arena, prefix), *start, *end;
	struct header_field *f = NULL;
	char *shown;
	size_t i;

	if (trimmed[0] == '\0')
		return;
	for (i = 0; i < h->count && f == NULL; i++) {
		if (!h->fields[i].removed && strcasecmp(h->fields[i].name, "Subject") == 0)
			f = &h->fields[i];
	}
	if (f == NULL) {
		header_append(h, "Subject", mime_encode_text(trimmed, h->arena));
		return;
	}
	shown = mime_decode_text(header_value(h, f), h->arena);
	if (starts_with(shown, trimmed) || starts_with(mime_skip_replies(shown), trimmed))
		return;
	start = f->raw + f->value_at;
	end = f->raw + f->raw_len;
	while (start < end && strchr(" \t\r\n", *start) != NULL)
		start++;
	if (start == end)
		header_replace(h, f, mime_encode_text(trimmed, h->arena));
	else
		header_replace(
		    h, f,
		    subject_join(h->arena, prefix,
				 arena_strndup(h->arena, start, (size_t)(end - start) - 2)));
}

/* ---- what we add */

static const char *
text_or(const char *text, const char *other)
{
	return text != NULL && text[0] != '\0' ? text : other;
}

/*
 * RFC 5321 4.4. ASCII only, although SMTPUTF8 would let UTF-8 stand here: a field of ours must not
 * be what makes a message need SMTPUTF8 further on.
 */
static void
add_received(struct header *h, const struct message *m, const char *id, const char *date)
{
	const char *client = text_or(m->client, ""), *tls = text_or(m->tls, "");
	char *info = arena_strdup(h->arena, "");

	if (client[0] != '\0') /* an address literal (RFC 5321 4.1.3) */
		info =
		    arena_printf(h->arena, " ([%s%s])", strchr(client, ':') != NULL ? "IPv6:" : "",
				 safe_word(h->arena, client));
	if (tls[0] != '\0')
		info =
		    arena_printf(h->arena, "%s\r\n\t(using %s)", info, safe_comment(h->arena, tls));
	header_prepend(h, "Received",
		       arena_printf(h->arena,
				    "from %s%s\r\n\tby %s (mailfuse) with %s id %s;\r\n\t%s",
				    safe_word(h->arena, text_or(m->helo, "unknown")), info,
				    safe_word(h->arena, text_or(m->edit.hostname, "localhost")),
				    safe_word(h->arena, text_or(m->protocol, "SMTP")), id, date));
}

static void
add_fields(struct header *h, const struct message *m)
{
	char id[ID_TEXT_BYTES], date[CLOCK_RFC5322_BYTES];

	id_format(m->id, id);
	clock_format_rfc5322(m->accepted_at, date);
	if (header_find(h, "Date") == NULL)
		header_append(h, "Date", date);
	if (header_find(h, "Message-ID") == NULL)
		header_append(
		    h, "Message-ID",
		    arena_printf(h->arena, "<%s@%s>", id,
				 safe_word(h->arena, text_or(m->edit.hostname, "localhost"))));
	/* Encoded words where there is anything but printable ASCII (RFC 2047). */
	header_append(h, "X-Mailfuse-Environment",
		      mime_encode_text(text_or(m->environment, "unknown"), h->arena));
	header_append(h, "X-Mailfuse-Source",
		      mime_encode_text(text_or(m->source, "unknown"), h->arena));
	header_append(h, "X-Mailfuse-Id", id);
	add_received(h, m, id, date);
}

/*
 * The fields, then what was no field as the start of the body. Who writes the message puts a CRLF
 * behind this; where the data had no empty line, that CRLF is the end of its last line.
 */
static void
write_header(struct header *h, bool no_empty_line, struct buf *out)
{
	struct header_field rest = {0};

	if (!header_is_clean(h)) {
		rest = h->fields[h->count - 1];
		h->count--;
	}
	header_write(h, out);
	if (rest.raw_len == 0 || (rest.raw_len == 2 && memcmp(rest.raw, "\r\n", 2) == 0))
		return;
	if (memcmp(rest.raw, "\r\n", 2) != 0)
		buf_add(out, "\r\n", 2);
	buf_add(out, rest.raw, rest.raw_len - (no_empty_line ? 2 : 0));
}

void
message_apply(struct message *m)
{
	struct arena arena = {0};
	struct buf out = {0};
	struct header h;

	header_parse(&h, buf_text(&m->header), m->header.len, &arena);
	header_remove(&h, "Bcc");
	header_remove(&h, "Resent-Bcc");
	header_remove_prefix(&h, "X-Mailfuse-");
	if (m->edit.harmless)
		make_harmless(&h, &m->edit);
	if (m->edit.subject_prefix != NULL)
		tag_subject(&h, m->edit.subject_prefix);
	add_fields(&h, m);
	write_header(&h, m->no_empty_line, &out);
	buf_free(&m->header);
	m->header = out;
	arena_free(&arena);
}
