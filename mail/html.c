/*
 * HTML to text, for mime_message_text() only: one pass, no tree, so broken or hostile markup costs
 * no more than its length. Result in the caller's buffer.
 */
#include "mail/html.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The character as UTF-8; false if it is none. */
static bool
character_add(struct buf *out, unsigned long c)
{
	if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return false;
	if (c < 0x80) {
		buf_add_char(out, (char)c);
		return true;
	}
	if (c < 0x800) {
		buf_add_char(out, (char)(0xc0 | c >> 6));
	} else if (c < 0x10000) {
		buf_add_char(out, (char)(0xe0 | c >> 12));
		buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
	} else {
		buf_add_char(out, (char)(0xf0 | c >> 18));
		buf_add_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	buf_add_char(out, (char)(0x80 | (c & 0x3f)));
	return true;
}

/* Those that mail has: the rest is shown as it is written. */
static const struct {
	const char *name, *text;
} entities[] = {{"amp;", "&"},
		{"lt;", "<"},
		{"gt;", ">"},
		{"quot;", "\""},
		{"apos;", "'"},
		{"nbsp;", " "},
		{"zwnj;", "\xe2\x80\x8c"},
		{"zwj;", "\xe2\x80\x8d"},
		{"shy;", "\xc2\xad"},
		{"ensp;", "\xe2\x80\x82"},
		{"emsp;", "\xe2\x80\x83"},
		{"thinsp;", "\xe2\x80\x89"},
		{"copy;", "\xc2\xa9"},
		{"reg;", "\xc2\xae"},
		{"trade;", "\xe2\x84\xa2"},
		{"euro;", "\xe2\x82\xac"},
		{"pound;", "\xc2\xa3"},
		{"hellip;", "\xe2\x80\xa6"},
		{"ndash;", "\xe2\x80\x93"},
		{"mdash;", "\xe2\x80\x94"},
		{"lsquo;", "\xe2\x80\x98"},
		{"rsquo;", "\xe2\x80\x99"},
		{"ldquo;", "\xe2\x80\x9c"},
		{"rdquo;", "\xe2\x80\x9d"},
		{"bdquo;", "\xe2\x80\x9e"},
		{"laquo;", "\xc2\xab"},
		{"raquo;", "\xc2\xbb"},
		{"bull;", "\xe2\x80\xa2"},
		{"middot;", "\xc2\xb7"},
		{"eacute;", "\xc3\xa9"},
		{"egrave;", "\xc3\xa8"},
		{"agrave;", "\xc3\xa0"},
		{"ccedil;", "\xc3\xa7"},
		{"auml;", "\xc3\xa4"},
		{"ouml;", "\xc3\xb6"},
		{"uuml;", "\xc3\xbc"},
		{"Auml;", "\xc3\x84"},
		{"Ouml;", "\xc3\x96"},
		{"Uuml;", "\xc3\x9c"},
		{"szlig;", "\xc3\x9f"},
		{"ntilde;", "\xc3\xb1"}};

/* The entity behind the '&'; returns how many bytes it takes, 0 if it is none. */
static size_t
entity_add(struct buf *out, const char *p)
{
	bool hex = p[0] == '#' && (p[1] == 'x' || p[1] == 'X');
	const char *digits = p + (hex ? 2 : 1);
	size_t i, len;

	for (i = 0; i < COUNT(entities); i++) {
		if (strncmp(p, entities[i].name, strlen(entities[i].name)) == 0) {
			buf_add_text(out, entities[i].text);
			return strlen(entities[i].name);
		}
	}
	if (p[0] != '#')
		return 0;
	len = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
	if (len == 0 || len > 8 || digits[len] != ';' ||
	    !character_add(out, strtoul(digits, NULL, hex ? 16 : 10)))
		return 0;
	return (size_t)(digits - p) + len + 1;
}

static bool
tag_is(const char *tag, size_t len, const char *const *names, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (strlen(names[i]) == len && strncasecmp(tag, names[i], len) == 0)
			return true;
	}
	return false;
}

/* Behind the end tag of the element whose name is given, or at the end of the text. */
static const char *
element_end(const char *p, const char *name, size_t len)
{
	while ((p = strchr(p, '<')) != NULL) {
		p++;
		if (*p == '/' && strncasecmp(p + 1, name, len) == 0) {
			p = strchr(p, '>');
			break;
		}
	}
	return p != NULL ? p + 1 : NULL;
}

/* A '<' before anything else is text (HTML 13.2.5.6, "tag open state"). */
static bool
tag_starts(const char *p)
{
	return (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '/' || *p == '!' ||
	       *p == '?';
}

/* Behind the tag at p ("<..."); behind the whole element where nobody reads its content. */
static const char *
tag_skip(struct buf *out, const char *p)
{
	static const char *const breaks[] = {"br",  "br/", "p",   "/p",     "div", "/div",
					     "tr",  "/tr", "li",  "h1",     "/h1", "h2",
					     "/h2", "h3",  "/h3", "/table", "/ul", "hr"};
	static const char *const hidden[] = {"script", "style", "title"};
	size_t len = strcspn(p + 1, " \t\r\n>");
	const char *end;

	if (strncmp(p, "<!--", 4) == 0) {
		end = strstr(p + 4, "-->");
		return end != NULL ? end + 3 : p + strlen(p);
	}
	if (tag_is(p + 1, len, breaks, COUNT(breaks)) && out->len > 0)
		buf_add_char(out, '\n');
	end = strchr(p, '>');
	if (end != NULL && tag_is(p + 1, len, hidden, COUNT(hidden)))
		end = element_end(end + 1, p + 1, len);
	else if (end != NULL)
		end++;
	return end != NULL ? end : p + strlen(p);
}

void
html_add_text(struct buf *out, const char *html, size_t max)
{
	const char *p = html;

	while (*p != '\0' && out->len < max) {
		size_t n;

		if (*p == '<' && tag_starts(p + 1)) {
			p = tag_skip(out, p);
		} else if (*p == '&' && (n = entity_add(out, p + 1)) > 0) {
			p += n + 1;
		} else if (strchr(" \t\r\n\f", *p) != NULL) {
			if (out->len > 0 && strchr(" \n", out->data[out->len - 1]) == NULL)
				buf_add_char(out, ' ');
			p++;
		} else {
			buf_add_char(out, *p++);
		}
	}
}
