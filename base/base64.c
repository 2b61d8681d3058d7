/*
 * base64, for what clients and upstreams say in AUTH and for messages in JSON. What is decoded may
 * be a password: nothing is kept here.
 */
#include "base/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int
sextet(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* How many bytes `text` stands for; -1 if it is no base64. */
static ptrdiff_t
decoded_length(const char *text, size_t len)
{
	size_t pad = 0, i;

	if (len % 4 != 0)
		return -1;
	while (pad < 2 && pad < len && text[len - 1 - pad] == '=')
		pad++;
	for (i = 0; i < len - pad; i++)
		if (sextet(text[i]) < 0)
			return -1;
	/* RFC 4648 3.5: the bits that the padding leaves over are zero. */
	if (pad > 0 && (sextet(text[len - pad - 1]) & (pad == 1 ? 0x03 : 0x0f)) != 0)
		return -1;
	return (ptrdiff_t)(len / 4 * 3 - pad);
}

bool
base64_decode(const char *text, size_t len, struct buf *out)
{
	ptrdiff_t left = decoded_length(text, len);
	size_t i, k;

	if (left < 0)
		return false;
	buf_reserve(out, (size_t)left);
	for (i = 0; i < len; i += 4) {
		uint32_t bits = 0;

		for (k = 0; k < 4; k++)
			bits = bits << 6 | (text[i + k] == '=' ? 0 : (uint32_t)sextet(text[i + k]));
		for (k = 0; k < 3 && left > 0; k++, left--)
			buf_add_char(out, (char)(bits >> (16 - 8 * k) & 0xff));
	}
	return true;
}

void
base64_encode(const void *data, size_t len, struct buf *out)
{
	const unsigned char *p = data;

	buf_reserve(out, (len + 2) / 3 * 4);
	for (; len > 0; len -= len < 3 ? len : 3, p += 3) {
		uint32_t bits = (uint32_t)p[0] << 16;

		if (len > 1)
			bits |= (uint32_t)p[1] << 8;
		if (len > 2)
			bits |= p[2];
		buf_add_char(out, alphabet[bits >> 18]);
		buf_add_char(out, alphabet[bits >> 12 & 63]);
		buf_add_char(out, len > 1 ? alphabet[bits >> 6 & 63] : '=');
		buf_add_char(out, len > 2 ? alphabet[bits & 63] : '=');
	}
}
