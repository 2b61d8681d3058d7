/*
 * Globs, ASCII case, hashes. Called from every room.
 */
#include "base/text.h"

#include <string.h>

static unsigned char
lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool
text_glob(const char *pattern, const char *text)
{
	const char *star = NULL, *resume = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			resume = text;
		} else if (*pattern == '?' ||
			   (*pattern != '\0' && lower(*pattern) == lower(*text))) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star;
			text = ++resume;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

void
text_lower(char *text)
{
	for (; *text != '\0'; text++)
		*text = (char)lower(*text);
}

bool
text_is_blank(const char *text)
{
	return text[strspn(text, " \t\r\n\v\f")] == '\0';
}

size_t
text_read_utf8(const char *text, size_t len, uint32_t *code)
{
	const unsigned char *p = (const unsigned char *)text;
	unsigned char c = len > 0 ? *p : 0xff, low = 0x80, high = 0xbf;
	size_t n, i;

	if (c < 0x80)
		n = 1;
	else if (c >= 0xc2 && c <= 0xdf)
		n = 2;
	else if (c >= 0xe0 && c <= 0xef)
		n = 3;
	else if (c >= 0xf0 && c <= 0xf4)
		n = 4;
	else
		return 0;
	if (n > len)
		return 0;
	/* No overlong forms, no surrogates, nothing beyond U+10FFFF. */
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	*code = n == 1 ? c : c & (0x7fU >> n);
	for (i = 1; i < n; i++, low = 0x80, high = 0xbf) {
		if (p[i] < low || p[i] > high)
			return 0;
		*code = *code << 6 | (p[i] & 0x3fU);
	}
	return n;
}

bool
text_is_ascii(const char *text, size_t len)
{
	unsigned char all = 0;
	size_t i;

	for (i = 0; i < len; i++)
		all |= (unsigned char)text[i];
	return all < 0x80;
}

bool
text_is_utf8(const char *text, size_t len)
{
	uint32_t code;
	size_t n;

	for (; len > 0; text += n, len -= n) {
		n = text_read_utf8(text, len, &code);
		if (n == 0)
			return false;
	}
	return true;
}

bool
text_is_graphic(uint32_t code)
{
	if (code < 0x20 || (code >= 0x7f && code < 0xa0) || code > 0x10ffff)
		return false;
	if (code == 0x2028 || code == 0x2029)
		return false;
	/* LRE to RLO, LRI to PDI: what a person reads would not be what is there. */
	if ((code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
		return false;
	if (code >= 0xd800 && code <= 0xdfff)
		return false;
	return (code & 0xfffe) != 0xfffe && (code < 0xfdd0 || code > 0xfdef);
}

bool
text_is_clean(const char *text, size_t len)
{
	uint32_t code;
	size_t n;

	for (; len > 0; text += n, len -= n) {
		n = text_read_utf8(text, len, &code);
		if (n == 0 || !text_is_graphic(code))
			return false;
	}
	return true;
}

uint64_t
text_hash(uint64_t start, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (; len > 0; len--)
		start = (start ^ *p++) * UINT64_C(0x100000001b3);
	return start;
}
