/*
 * The responses of AUTH, decoded. Called by relay/auth.c for what clients send, on its loop. Bytes
 * may be passwords: nothing is kept here.
 */
#include "mail/sasl.h"

#include <stdint.h>
#include <string.h>

#include "base/text.h"

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
