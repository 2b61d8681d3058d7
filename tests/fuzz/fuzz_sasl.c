/*
 * Fuzzes base64_decode(), sasl_read_plain() and sasl_read_login() with what a client may send, and
 * xtext beside it: what is decoded is encoded back to the same text, any bytes go there and back,
 * and no name that is taken could end a line.
 */
#include <string.h>

#include "base/base64.h"
#include "base/text.h"
#include "mail/sasl.h"
#include "mail/xtext.h"
#include "tests/fuzz/fuzz.h"

static void
check_name(const char *name)
{
	size_t len = strlen(name);

	FUZZ_CHECK(len > 0 && len <= SASL_NAME_MAX && text_is_clean(name, len));
	FUZZ_CHECK(strpbrk(name, "\r\n\033") == NULL);
}

static void
check_responses(const struct buf *data)
{
	const char *name = NULL, *password = NULL, *text = NULL;

	if (sasl_read_plain(data, &name, &password)) {
		check_name(name);
		FUZZ_CHECK(*password != '\0' && strlen(password) <= SASL_PASSWORD_MAX);
		FUZZ_CHECK(password + strlen(password) == data->data + data->len);
		FUZZ_CHECK(name + strlen(name) + 1 == password);
		FUZZ_CHECK(name - data->data == 1 || strcmp(data->data, name) == 0);
	} else {
		FUZZ_CHECK(name == NULL && password == NULL);
	}
	if (sasl_read_login(data, SASL_NAME_MAX, &text)) {
		check_name(text);
		FUZZ_CHECK(strlen(text) == data->len);
	}
	if (sasl_read_login(data, SASL_PASSWORD_MAX, &text))
		FUZZ_CHECK(strlen(text) == data->len && data->len <= SASL_PASSWORD_MAX);
}

static void
check_base64(const char *text, size_t len)
{
	struct buf bytes = {0}, again = {0}, encoded = {0};

	if (base64_decode(text, len, &bytes)) {
		FUZZ_CHECK(len % 4 == 0 && bytes.len <= len / 4 * 3);
		base64_encode(bytes.data, bytes.len, &again);
		FUZZ_CHECK(again.len == len && memcmp(buf_text(&again), text, len) == 0);
		check_responses(&bytes);
	} else {
		FUZZ_CHECK(bytes.len == 0);
	}
	sasl_wipe(&bytes);
	base64_encode(text, len, &encoded);
	FUZZ_CHECK(base64_decode(buf_text(&encoded), encoded.len, &bytes));
	FUZZ_CHECK(bytes.len == len && memcmp(buf_text(&bytes), text, len) == 0);
	sasl_wipe(&bytes);
	buf_free(&again);
	buf_free(&encoded);
}

static void
check_xtext(const char *text)
{
	struct buf encoded = {0}, decoded = {0}, given = {0};
	size_t len = strlen(text);

	xtext_encode(text, &encoded);
	FUZZ_CHECK(xtext_is_valid(buf_text(&encoded)));
	FUZZ_CHECK(xtext_decode(buf_text(&encoded), &decoded) && decoded.len == len);
	FUZZ_CHECK(!text_is_clean(text, len) || strcmp(buf_text(&decoded), text) == 0);
	FUZZ_CHECK(text_is_clean(buf_text(&decoded), decoded.len));
	FUZZ_CHECK(xtext_decode(text, &given) == xtext_is_valid(text));
	FUZZ_CHECK(text_is_clean(buf_text(&given), given.len));
	buf_free(&encoded);
	buf_free(&decoded);
	buf_free(&given);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf raw = {0};

	check_base64((const char *)data, size);
	buf_add(&raw, data, size);
	check_responses(&raw);
	check_xtext(raw.data);
	sasl_wipe(&raw);
	return 0;
}
