/*
 * The readable text of a message, for operators. Called by control/, any thread. Parses a copy of
 * bounded size; GMime's objects live for one call.
 */
#include <string.h>

#include "mail/html.h"
#include "mail/mime.h"
#include "mail/mime_gmime.h"

/* The first text/plain and text/html parts of a message, borrowed. */
struct text_search {
	GMimePart *plain, *html;
};

static bool
text_visit(void *context, GMimePart *part)
{
	GMimeContentType *type = g_mime_object_get_content_type(GMIME_OBJECT(part));
	struct text_search *s = context;

	if (g_mime_content_type_is_type(type, "text", "html")) {
		if (s->html == NULL)
			s->html = part;
	} else if (g_mime_content_type_is_type(type, "text", "*")) {
		s->plain = part;
	}
	return s->plain == NULL;
}

/* Appends at most `max` bytes, whole characters. */
static void
text_add(struct buf *out, const char *text, size_t max)
{
	size_t n = strlen(text), len = n > max ? max : n;

	while (len > 0 && len < n && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	buf_add(out, text, len);
}

void
mime_message_text(const char *message, size_t len, size_t max, struct buf *out)
{
	struct text_search search = {0};
	struct mime_walk walk = {.visit = text_visit, .context = &search};
	bool cut;
	GMimeMessage *parsed = mime_open(message, len, "", 0, &cut);
	struct buf html = {0};
	char *text;

	if (parsed == NULL)
		return;
	mime_walk(&walk, parsed);
	if (search.plain != NULL) {
		text = mime_part_text(search.plain);
		text_add(out, text, max);
		g_free(text);
	} else if (search.html != NULL) {
		text = mime_part_text(search.html);
		html_add_text(&html, text, max + 4);
		g_free(text);
		text = g_utf8_make_valid(buf_text(&html), (gssize)html.len);
		mime_blank_controls(text, true); /* what entities made */
		text_add(out, text, max);
		g_free(text);
		buf_free(&html);
	}
	g_object_unref(parsed);
}
