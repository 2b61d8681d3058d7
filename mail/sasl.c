/*
 * The responses of AUTH and base64. Called by relay/login.c for what clients send and by
 * relay/smtp_client.c for what goes to an upstream, on their loops. Bytes may be passwords: nothing
 * is kept here, and the room for what is decoded is made before, so that growing leaves no copies.
 */
#include "mail/sasl.h"

#include <stdint.h>
#include <string.h>

#include "base/text.h"

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
sasl_decode(const char *text, size_t len, struct buf *out)
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
sasl_encode(const void *data, size_t len, struct buf *out)
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

/* A name stands in logs, headers and the audit. */
static bool
is_name(const char *text, size_t len)
{
	return len > 0 && len <= SASL_NAME_MAX && text_is_clean(text, len);
}

static bool
is_password(const char *text, size_t len)
{
	return len > 0 && len <= SASL_PASSWORD_MAX && text_is_utf8(text, len);
}

bool
sasl_read_plain(const struct buf *data, const char **name, const char **password)
{
	const char *role = buf_text(data), *end = role + data->len, *who, *secret;
	size_t who_len;

	who = memchr(role, '\0', data->len);
	if (who == NULL)
		return false;
	who++;
	secret = memchr(who, '\0', (size_t)(end - who));
	if (secret == NULL)
		return false;
	who_len = (size_t)(secret - who);
	secret++;
	if (memchr(secret, '\0', (size_t)(end - secret)) != NULL)
		return false;
	if (!is_name(who, who_len) || !is_password(secret, (size_t)(end - secret)))
		return false;
	if (*role != '\0' && strcmp(role, who) != 0)
		return false;
	*name = who;
	*password = secret;
	return true;
}

bool
sasl_read_login(const struct buf *data, size_t max, const char **text)
{
	const char *p = buf_text(data);

	if (data->len > max || memchr(p, '\0', data->len) != NULL)
		return false;
	if (max <= SASL_NAME_MAX ? !is_name(p, data->len) : !is_password(p, data->len))
		return false;
	*text = p;
	return true;
}

void
sasl_wipe(struct buf *b)
{
	if (b->data != NULL)
		explicit_bzero(b->data, b->cap);
	buf_free(b);
}
