/*
 * A message as content rules look at it: its text and HTML parts decoded, and what a reader sees of
 * them. Called by filters/content.c on the relay loops, only where a rule asks. Works on a copy of
 * what it is given; the results are the caller's.
 */
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "mail/header.h"
#include "mail/html.h"
#include "mail/mime.h"
#include "mail/mime_gmime.h"

/* Stands for what is no text (U+FFFC OBJECT REPLACEMENT CHARACTER). */
static const char object[] = "\xef\xbf\xbc";

/*
 * True for a type that cannot be read, such as `html`: GMime makes application/octet-stream of it,
 * readers take it as plain text (RFC 2045 5.2).
 */
static bool
type_is_broken(GMimePart *part, GMimeContentType *type)
{
	const char *raw = g_mime_object_get_header(GMIME_OBJECT(part), "Content-Type");

	return raw != NULL && g_mime_content_type_is_type(type, "application", "octet-stream") &&
	       strcasestr(raw, "octet-stream") == NULL && strchr(raw, '/') == NULL;
}

static bool
parts_visit(void *context, GMimePart *part)
{
	GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(part));
	struct mime_parts *parts = context;
	struct buf *out = NULL;
	char *text;

	if (g_mime_content_type_is_type(type, "text", "html"))
		out = &parts->html;
	else if (g_mime_content_type_is_type(type, "text", "plain") || type_is_broken(part, type))
		out = &parts->plain;
	if (out == NULL) {
		parts->other = true;
		return true;
	}
	text = mime_part_text(part);
	if (out->len > 0)
		buf_add_char(out, '\n');
	buf_add_text(out, text);
	g_free(text);
	return true;
}

/*
 * The fields that say how the body is to be read, the first of each; no address list reaches GMime.
 * Behind them what of the header section is no field: it leaves as body.
 */
static void
header_reduce(const char *header, size_t len, struct buf *out)
{
	static const char *const names[] = {"Content-Type", "Content-Transfer-Encoding",
					    "Content-Disposition"};
	struct arena arena = {0};
	struct header h;
	size_t i;

	header_parse(&h, header, len, &arena);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct header_field *f = header_find(&h, names[i]);

		if (f != NULL)
			buf_add(out, f->raw, f->raw_len);
	}
	buf_add_text(out, "\r\n");
	if (!header_is_clean(&h)) {
		buf_add(out, h.fields[h.count - 1].raw, h.fields[h.count - 1].raw_len);
		buf_add_text(out, "\r\n");
	}
	arena_free(&arena);
}

void
mime_read_parts(const char *header, size_t header_len, const char *body, size_t body_len,
		struct mime_parts *out)
{
	struct mime_walk walk = {.visit = parts_visit, .context = out, .skip_attachments = true};
	struct buf head = {0};
	GMimeMessage *message;
	bool cut;

	*out = (struct mime_parts){0};
	header_reduce(header, header_len, &head);
	message = mime_open(head.data, head.len, body, body_len, &cut);
	buf_free(&head);
	if (message == NULL) {
		out->unread = true;
		return;
	}
	mime_walk(&walk, message);
	out->unread = walk.unread || cut;
	out->other = out->other || walk.skipped;
	g_object_unref(message);
}

void
mime_parts_free(struct mime_parts *p)
{
	buf_free(&p->plain);
	buf_free(&p->html);
}

/* True if nothing of it can be seen: blanks, and what has no width, as mailers put in previews. */
static bool
is_blank(const char *text)
{
	while (*text != '\0') {
		gunichar c = g_utf8_get_char(text);

		if (!g_unichar_isspace(c) && !g_unichar_iszerowidth(c))
			return false;
		text = g_utf8_next_char(text);
	}
	return true;
}

static bool
html_has_image(const char *html)
{
	static const char *const marks[] = {"<img", "<svg", "<video", "<input", "background"};
	size_t i;

	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		if (strcasestr(html, marks[i]) != NULL)
			return true;
	}
	return false;
}

void
mime_parts_seen(const struct mime_parts *p, bool cut, struct buf *out)
{
	struct buf text = {0};
	char *valid;

	if (!is_blank(buf_text(&p->plain))) {
		buf_add(out, p->plain.data, p->plain.len);
		return;
	}
	/* Without its tags a text is not longer, whatever its entities say. */
	html_add_text(&text, buf_text(&p->html), SIZE_MAX);
	valid = g_utf8_make_valid(buf_text(&text), (gssize)text.len);
	mime_blank_controls(valid, true); /* what entities made */
	buf_add_text(out, valid);
	if (is_blank(valid) && (cut || p->other || p->unread || html_has_image(buf_text(&p->html))))
		buf_add_text(out, object);
	g_free(valid);
	buf_free(&text);
}
