/*
 * mime.h over any bytes: decoded text is clean UTF-8, what is encoded decodes to the same, no
 * address survives a map that changes all of them.
 */
#include <string.h>

#include "base/text.h"
#include "mail/mime.h"
#include "tests/fuzz/fuzz.h"

static const char *
map_to_us(void *context, const char *address)
{
	(void)context;
	(void)address;
	return "us";
}

static const char *
map_keep(void *context, const char *address)
{
	(void)context;
	return address;
}

static void
check_clean(const char *text)
{
	const char *p;

	FUZZ_CHECK(text_is_utf8(text, strlen(text)));
	for (p = text; *p != '\0'; p++)
		FUZZ_CHECK((unsigned char)*p >= ' ' && *p != 127);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {0};
	struct buf readable = {0};
	char *text, *shown, *encoded, *mapped;

	mime_init();
	text = arena_strndup(&arena, (const char *)data, size);
	shown = mime_decode_text(text, &arena);
	check_clean(shown);
	encoded = mime_encode_text(shown, &arena);
	FUZZ_CHECK(strlen(encoded) > MIME_TEXT_MAX ||
		   strcmp(mime_decode_text(encoded, &arena), shown) == 0);
	check_clean(mime_normal_subject(shown, &arena));
	check_clean(mime_normal_subject(text, &arena));

	mapped = mime_map_addresses(text, map_to_us, NULL, &arena);
	if (mapped != NULL) {
		FUZZ_CHECK(strchr(mapped, '@') == NULL);
		FUZZ_CHECK(strchr(mime_decode_text(mapped, &arena), '@') == NULL);
	} else {
		FUZZ_CHECK(strchr(text, '@') == NULL);
	}
	mapped = mime_map_addresses(text, map_keep, NULL, &arena);
	FUZZ_CHECK(mapped == NULL || strpbrk(mapped, "\r\n") == NULL);

	mime_message_text((const char *)data, size, 200, &readable);
	FUZZ_CHECK(readable.len <= 200);
	FUZZ_CHECK(text_is_utf8(buf_text(&readable), readable.len));
	buf_free(&readable);
	arena_free(&arena);
	return 0;
}
