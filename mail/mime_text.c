/*
 * The readable text of a message, for operators. Called by control/, any thread. Parses a copy of
 * bounded size; GMime's objects live for one call.
 */
#include <string.h>
#include <strings.h>

#include "mail/html.h"
#include "mail/mime.h"
#include "mail/mime_gmime.h"

enum {
	PARTS_MAX = 200, /* parts looked at for the readable one */
	PART_DEPTH_MAX = 20,
	MESSAGE_MAX = 4 << 20 /* bytes of a message that are parsed */
};

/* The first text/plain and text/html parts of a message, borrowed. */
struct text_search {
	GMimePart *plain, *html;
	int parts;
};

static void
search_part(struct text_search *s, GMimeObject *object, int depth)
{
	int i;

	if (object == NULL || s->plain != NULL || depth > PART_DEPTH_MAX || ++s->parts > PARTS_MAX)
		return;
	if (GMIME_IS_MULTIPART(object)) {
		for (i = 0;
		     i < g_mime_multipart_get_count(GMIME_MULTIPART(object)) && i < PARTS_MAX; i++)
			search_part(s, g_mime_multipart_get_part(GMIME_MULTIPART(object), i),
				    depth + 1);
	} else if (GMIME_IS_MESSAGE_PART(object)) {
		GMimeMessage *inner = g_mime_message_part_get_message(GMIME_MESSAGE_PART(object));

		if (inner != NULL)
			search_part(s, g_mime_message_get_mime_part(inner), depth + 1);
	} else if (GMIME_IS_PART(object)) {
		GMimeContentType *type = g_mime_object_get_content_type(object);

		if (g_mime_content_type_is_type(type, "text", "html")) {
			if (s->html == NULL)
				s->html = GMIME_PART(object);
		} else if (g_mime_content_type_is_type(type, "text", "*")) {
			s->plain = GMIME_PART(object);
		}
	}
}

/* The part decoded to valid UTF-8, for g_free(). */
static char *
part_text(GMimePart *part)
{
	GMimeDataWrapper *content = g_mime_part_get_content(part);
	const char *charset =
	    g_mime_object_get_content_type_parameter(GMIME_OBJECT(part), "charset");
	GMimeStream *stream;
	GByteArray *bytes;
	char *text = NULL;

	if (content == NULL)
		return g_strdup("");
	stream = g_mime_stream_mem_new();
	g_mime_data_wrapper_write_to_stream(content, stream);
	bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
	if (charset != NULL && bytes->len > 0 && mime_knows_charset(charset, strlen(charset)) &&
	    strncasecmp(charset, "utf-8", 5) != 0)
		text = g_convert_with_fallback((const char *)bytes->data, bytes->len, "UTF-8",
					       g_mime_charset_iconv_name(charset), "?", NULL, NULL,
					       NULL);
	if (text == NULL && bytes->len > 0)
		text = g_utf8_make_valid((const char *)bytes->data, bytes->len);
	g_object_unref(stream);
	return text != NULL ? text : g_strdup("");
}

/* Appends text with LF line ends, at most `max` bytes, whole characters. */
static void
text_add(struct buf *out, char *text, size_t max)
{
	size_t len, n = 0;

	for (len = 0; text[len] != '\0'; len++) {
		if (text[len] != '\r' || text[len + 1] != '\n')
			text[n++] = text[len];
	}
	text[n] = '\0';
	mime_blank_controls(text, true);
	len = n > max ? max : n;
	while (len > 0 && len < n && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	buf_add(out, text, len);
}

/*
 * A copy of the message, cut at MESSAGE_MAX, in which no field has more colons than GMime can take
 * in an address list; a stream for GMime.
 */
static GMimeStream *
message_stream(const char *message, size_t len)
{
	GByteArray *copy = g_byte_array_new();
	size_t i, colons = 0;

	g_byte_array_append(copy, (const guint8 *)message, (guint)MIN(len, MESSAGE_MAX));
	for (i = 0; i < copy->len; i++) {
		if (copy->data[i] == ':' && ++colons > MIME_COLONS_MAX)
			copy->data[i] = ' ';
		else if (i > 0 && copy->data[i - 1] == '\n' && strchr(" \t", copy->data[i]) == NULL)
			colons = 0;
	}
	return g_mime_stream_mem_new_with_byte_array(copy);
}

void
mime_message_text(const char *message, size_t len, size_t max, struct buf *out)
{
	struct text_search search = {0};
	struct buf html = {0};
	GMimeStream *stream;
	GMimeParser *parser;
	GMimeMessage *parsed;
	char *text;

	stream = message_stream(message, len);
	parser = g_mime_parser_new_with_stream(stream);
	g_object_unref(stream);
	parsed = g_mime_parser_construct_message(parser, mime_options);
	g_object_unref(parser);
	if (parsed == NULL)
		return;
	search_part(&search, g_mime_message_get_mime_part(parsed), 0);
	if (search.plain != NULL) {
		text = part_text(search.plain);
		text_add(out, text, max);
		g_free(text);
	} else if (search.html != NULL) {
		text = part_text(search.html);
		html_add_text(&html, text, max + 4);
		g_free(text);
		text = g_utf8_make_valid(buf_text(&html), (gssize)html.len);
		text_add(out, text, max);
		g_free(text);
		buf_free(&html);
	}
	g_object_unref(parsed);
}
