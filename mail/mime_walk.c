/*
 * The parts of a message, one after the other, in bounded work however they are nested; and the
 * text of one of them. What mime_text.c and mime_parts.c share. Any thread; GMime's objects live
 * for one call of theirs.
 */
#include <string.h>
#include <strings.h>

#include "mail/mime_gmime.h"

enum {
	PARTS_MAX = 200, /* of a message that are looked at */
	PART_DEPTH_MAX = 20,
	MESSAGE_MAX = 4 << 20, /* bytes of a message that are parsed */
	/* What costs GMime most, 10 to 30 us each: a message is cut behind so many. */
	BORDERS_MAX = 1000, /* lines that may be a boundary */
	FIELDS_MAX = 4000   /* lines of header sections */
};

/* Lines of a message on their way to GMime. */
struct costs {
	unsigned borders, fields;
	bool compound; /* it says that it has parts: only then is a line a boundary */
	bool header;   /* in a header section */
	bool inner;    /* one follows on this one's empty line: it is that of a message */
};

/* False if it is one too many. */
static bool
count_line(struct costs *c, const char *line, size_t len)
{
	char *lower;

	while (len > 0 && strchr("\r\n", line[len - 1]) != NULL)
		len--;
	if (c->compound && len >= 2 && memcmp(line, "--", 2) == 0) {
		c->header = true;
		c->inner = false;
		return ++c->borders <= BORDERS_MAX;
	}
	if (!c->header)
		return true;
	if (len == 0) {
		c->header = c->inner;
		c->inner = false;
		return true;
	}
	lower = g_ascii_strdown(line, (gssize)len);
	c->inner |= strstr(lower, "message/") != NULL;
	c->compound |= c->inner || strstr(lower, "multipart") != NULL;
	g_free(lower);
	return ++c->fields <= FIELDS_MAX;
}

/* How much of it is parsed: less than all where that would cost too much. */
static size_t
affordable(const char *text, size_t len)
{
	struct costs costs = {.header = true};
	const char *line = text, *end = text + len;

	while (line < end) {
		const char *next = memchr(line, '\n', (size_t)(end - line));

		next = next != NULL ? next + 1 : end;
		if (!count_line(&costs, line, (size_t)(next - line)))
			return (size_t)(line - text);
		line = next;
	}
	return len;
}

/*
 * A copy of the message, cut where it is too long or costs too much (*cut), in which no field has
 * more colons than GMime can take in an address list; a stream for GMime.
 */
static GMimeStream *
message_stream(const char *head, size_t head_len, const char *body, size_t body_len, bool *cut)
{
	GByteArray *copy = g_byte_array_new();
	size_t i, colons = 0;

	head_len = MIN(head_len, MESSAGE_MAX);
	g_byte_array_append(copy, (const guint8 *)head, (guint)head_len);
	g_byte_array_append(copy, (const guint8 *)body,
			    (guint)MIN(body_len, MESSAGE_MAX - head_len));
	i = copy->len > 0 ? affordable((const char *)copy->data, copy->len) : 0; /* else no data */
	*cut = i < copy->len;
	g_byte_array_set_size(copy, (guint)i);
	for (i = 0; i < copy->len; i++) {
		if (copy->data[i] == ':' && ++colons > MIME_COLONS_MAX)
			copy->data[i] = ' ';
		else if (i > 0 && copy->data[i - 1] == '\n' && strchr(" \t", copy->data[i]) == NULL)
			colons = 0;
	}
	return g_mime_stream_mem_new_with_byte_array(copy);
}

GMimeMessage *
mime_open(const char *head, size_t head_len, const char *body, size_t body_len, bool *cut)
{
	GMimeStream *stream = message_stream(head, head_len, body, body_len, cut);
	GMimeParser *parser = g_mime_parser_new_with_stream(stream);
	GMimeMessage *message;

	g_object_unref(stream);
	message = g_mime_parser_construct_message(parser, mime_options);
	g_object_unref(parser);
	return message;
}

static bool
is_attachment(GMimeObject *object)
{
	const char *disposition = g_mime_object_get_disposition(object);

	return disposition != NULL && strcasecmp(disposition, GMIME_DISPOSITION_ATTACHMENT) == 0;
}

static void
walk_object(struct mime_walk *w, GMimeObject *object, int depth)
{
	int i;

	if (object == NULL || w->done)
		return;
	if (depth > PART_DEPTH_MAX || ++w->parts > PARTS_MAX) {
		w->done = w->unread = true;
		return;
	}
	if (w->skip_attachments && is_attachment(object)) {
		w->skipped = true;
	} else if (GMIME_IS_MULTIPART(object)) {
		for (i = 0; i < g_mime_multipart_get_count(GMIME_MULTIPART(object)) && !w->done;
		     i++)
			walk_object(w, g_mime_multipart_get_part(GMIME_MULTIPART(object), i),
				    depth + 1);
	} else if (GMIME_IS_MESSAGE_PART(object)) {
		GMimeMessage *inner = g_mime_message_part_get_message(GMIME_MESSAGE_PART(object));

		if (inner != NULL)
			walk_object(w, g_mime_message_get_mime_part(inner), depth + 1);
	} else if (GMIME_IS_PART(object)) {
		w->done = !w->visit(w->context, GMIME_PART(object));
	}
}

void
mime_walk(struct mime_walk *w, GMimeMessage *message)
{
	walk_object(w, g_mime_message_get_mime_part(message), 0);
}

/* Without the CR of each CRLF, in place. */
static void
text_join_lines(char *text)
{
	size_t i, n = 0;

	for (i = 0; text[i] != '\0'; i++) {
		if (text[i] != '\r' || text[i + 1] != '\n')
			text[n++] = text[i];
	}
	text[n] = '\0';
}

/*
 * The name of a charset for iconv, NULL for UTF-8 and what is not known. Those of two bytes are for
 * bodies only: an encoded word in them could hide an address. Without a mark of their order iconv
 * takes this machine's, as those take theirs who leave it out.
 */
static const char *
charset_convert(const char *charset)
{
	static const char *const wide[] = {"UTF-16", "UTF-16LE", "UTF-16BE"};
	size_t i;

	for (i = 0; i < G_N_ELEMENTS(wide); i++) {
		if (strcasecmp(charset, wide[i]) == 0)
			return wide[i];
	}
	if (strncasecmp(charset, "utf-8", 5) == 0 || !mime_knows_charset(charset, strlen(charset)))
		return NULL;
	return g_mime_charset_iconv_name(charset);
}

/* NULL where it is not what the charset says. */
static char *
bytes_convert(const GByteArray *bytes, const char *charset, gsize *len)
{
	const char *from = charset != NULL ? charset_convert(charset) : NULL;
	gsize n = bytes->len;

	if (from == NULL || n == 0)
		return NULL;
	if (strncmp(from, "UTF-16", 6) == 0)
		n -= n % 2; /* cut off within a character */
	return g_convert_with_fallback((const char *)bytes->data, (gssize)n, "UTF-8", from, "?",
				       NULL, len, NULL);
}

char *
mime_part_text(GMimePart *part)
{
	GMimeDataWrapper *content = g_mime_part_get_content(part);
	const char *charset =
	    g_mime_object_get_content_type_parameter(GMIME_OBJECT(part), "charset");
	char *text = NULL, *converted;
	GMimeStream *stream;
	GByteArray *bytes;
	gsize len;

	if (content == NULL)
		return g_strdup("");
	stream = g_mime_stream_mem_new();
	g_mime_data_wrapper_write_to_stream(content, stream);
	bytes = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
	converted = bytes_convert(bytes, charset, &len);
	/* A NUL is no valid character for it, so none ends the text early. */
	if (converted != NULL)
		text = g_utf8_make_valid(converted, (gssize)len);
	else if (bytes->len > 0)
		text = g_utf8_make_valid((const char *)bytes->data, bytes->len);
	g_free(converted);
	g_object_unref(stream);
	if (text == NULL)
		return g_strdup("");
	text_join_lines(text);
	mime_blank_controls(text, true);
	return text;
}
