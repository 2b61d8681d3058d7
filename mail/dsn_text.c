/*
 * Cleans and folds what a notification quotes: replies of servers, addresses, the header of the
 * original. Called by dsn.c and dsn_human.c, any thread; memory is the caller's arena or buffer.
 */
#include "mail/dsn_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "mail/xtext.h"

enum {
	LINE_WANTED = 78, /* RFC 5322 2.1.1 */
	WORD_MAX = 400    /* a longer word is broken; shorter ones, such as URLs, stay whole */
};

/* Length of the UTF-8 character at p, 0 if there is none. */
static size_t
character_length(const char *p, size_t left)
{
	size_t n;

	for (n = 1; n <= 4 && n <= left; n++) {
		if (text_is_utf8(p, n))
			return n;
	}
	return 0;
}

/* C0, DEL, C1 (U+0080 to U+009F). */
static bool
is_control(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	return (n == 1 && (u[0] < 0x20 || u[0] == 0x7f)) || (n == 2 && u[0] == 0xc2 && u[1] < 0xa0);
}

/* Line separators and what changes the direction of text: U+2028 to U+202E, U+2066 to U+2069. */
static bool
is_layout(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *)p;

	return n == 3 && u[0] == 0xe2 &&
	       ((u[1] == 0x80 && u[2] >= 0xa8 && u[2] <= 0xae) ||
		(u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9));
}

/*
 * Cleans `len` bytes into `out`, which has room for `max`; returns how many it wrote. Tabs stay.
 */
static size_t
clean_bytes(char *out, const char *p, size_t len, size_t max)
{
	const char *end = p + len;
	size_t at = 0, n;

	for (; p < end; p += n) {
		bool blank = *p == ' ' || (*p >= '\t' && *p <= '\r');

		n = character_length(p, (size_t)(end - p));
		if (at + (n > 0 ? n : 1) > max)
			break;
		if (n == 0 || (!blank && is_control(p, n)) || is_layout(p, n)) {
			out[at++] = '?';
			n = n > 0 ? n : 1;
		} else if (blank && *p != '\t') {
			out[at++] = ' ';
		} else {
			memcpy(out + at, p, n);
			at += n;
		}
	}
	return at;
}

char *
dsn_clean(struct arena *arena, const char *text, size_t max)
{
	size_t len;
	char *out, *p;

	text += strspn(text, " \t\r\n\v\f");
	/* What lies so far behind the end cannot matter, and may be long. */
	len = strnlen(text, 4 * max);
	out = arena_alloc(arena, len + 1);
	len = clean_bytes(out, text, len, max);
	for (p = out; p < out + len; p++) {
		if (*p == '\t')
			*p = ' ';
	}
	while (len > 0 && out[len - 1] == ' ')
		len--;
	out[len] = '\0';
	return out;
}

char *
dsn_clean_ascii(struct arena *arena, const char *text, size_t max)
{
	char *out = dsn_clean(arena, text, max), *p;

	for (p = out; *p != '\0'; p++) {
		if ((unsigned char)*p >= 0x80)
			*p = '?';
	}
	return out;
}

char *
dsn_clean_xtext(struct arena *arena, const char *xtext)
{
	struct buf plain = {0};
	char *clean;

	if (!xtext_decode(xtext, &plain))
		buf_add_text(&plain, xtext);
	clean = dsn_clean(arena, buf_text(&plain), DSN_VALUE_MAX);
	buf_free(&plain);
	return clean;
}

/* At most `max` of `len` bytes, the end of a character. */
static size_t
character_end(const char *text, size_t len, size_t max)
{
	size_t n = len < max ? len : max;

	while (n > 1 && n < len && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return n;
}

void
dsn_fold(struct buf *out, size_t column, const char *indent, const char *text)
{
	for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
		size_t word = character_end(text, strcspn(text, " "), WORD_MAX);
		bool blank = out->len > 0 && out->data[out->len - 1] != ' ' &&
			     out->data[out->len - 1] != '\n';

		if (column + blank + word > LINE_WANTED) {
			while (out->len > 0 && out->data[out->len - 1] == ' ')
				out->len--;
			buf_add(out, "\r\n", 2);
			buf_add_text(out, indent);
			column = strlen(indent);
		} else if (blank) {
			buf_add_char(out, ' ');
			column++;
		}
		buf_add(out, text, word);
		column += word;
		text += word;
	}
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * How much of a line that is too long goes into one: up to its last blank that is no indent, else
 * anywhere. One less than a line may have: the next one may need a blank before it.
 */
static size_t
fold_at(const char *line, size_t len)
{
	size_t at = DSN_LINE_MAX - 1;

	while (at > 0 && !is_blank(line[at]))
		at--;
	while (at > 0 && is_blank(line[at - 1]))
		at--;
	return at > 0 ? at : character_end(line, len, DSN_LINE_MAX - 1);
}

/* A clean line in as many pieces as it needs; false if there is no room for the next one. */
static bool
add_line(struct buf *out, size_t limit, const char *line, size_t len)
{
	bool first = true, blank;

	while (len > 0) {
		size_t n = len < DSN_LINE_MAX ? len : fold_at(line, len);

		blank = !first && !is_blank(*line);
		if (out->len + blank + n + 2 > limit)
			return false;
		if (blank)
			buf_add_char(out, ' ');
		buf_add(out, line, n);
		buf_add(out, "\r\n", 2);
		line += n;
		len -= n;
		first = false;
	}
	return true;
}

void
dsn_add_header(struct buf *out, const char *header, size_t len)
{
	const char *p = header, *end = header + len;
	size_t limit = out->len + DSN_HEADER_MAX;
	char *clean = mem_alloc(DSN_HEADER_MAX);
	bool room = true;

	while (room && p < end) {
		const char *lf = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((lf != NULL ? lf : end) - p);
		const char *next = lf != NULL ? lf + 1 : end;

		if (n > 0 && p[n - 1] == '\r')
			n--;
		if (n == 0)
			break;
		room = add_line(out, limit, clean, clean_bytes(clean, p, n, DSN_HEADER_MAX));
		p = next;
	}
	free(clean);
}
