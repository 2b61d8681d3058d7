/*
 * xtext, both ways. Called by parameters.c for what clients send, by relay/ for what goes on to the
 * upstream and by dsn.c for what people read. Any thread; the caller owns the buffers.
 */
#include "mail/xtext.h"

#include <stdint.h>

#include "base/text.h"

/* RFC 3461 4: the hexadecimal digits are upper case. */
static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
is_plain(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '+' && c != '=';
}

bool
xtext_is_valid(const char *text)
{
	for (; *text != '\0'; text++) {
		if (is_plain((unsigned char)*text))
			continue;
		if (*text != '+' || hex_value(text[1]) < 0 || hex_value(text[2]) < 0)
			return false;
		text += 2;
	}
	return true;
}

static void
clean(char *text, size_t len)
{
	uint32_t code;
	size_t i = 0, n;

	while (i < len) {
		n = text_read_utf8(text + i, len - i, &code);
		if (n == 0 || !text_is_graphic(code)) {
			text[i] = '?';
			n = 1;
		}
		i += n;
	}
}

bool
xtext_decode(const char *text, struct buf *out)
{
	size_t start = out->len;

	if (!xtext_is_valid(text))
		return false;
	for (; *text != '\0'; text++) {
		if (*text != '+') {
			buf_add_char(out, *text);
			continue;
		}
		buf_add_char(out, (char)(hex_value(text[1]) << 4 | hex_value(text[2])));
		text += 2;
	}
	if (out->len > start)
		clean(out->data + start, out->len - start);
	return true;
}

void
xtext_encode(const char *text, struct buf *out)
{
	for (; *text != '\0'; text++) {
		if (is_plain((unsigned char)*text))
			buf_add_char(out, *text);
		else
			buf_printf(out, "+%02X", (unsigned char)*text);
	}
}
