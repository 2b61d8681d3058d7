/*
 * mime.h over any bytes: decoded text is clean UTF-8, what is encoded decodes to the same, no
 * address survives a map that changes all of them; the parts of a message are clean and bounded.
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

/* Text of several lines: valid UTF-8 without NUL and controls, not much longer than it was. */
static void
check_lines(const struct buf *b, size_t size)
{
	size_t i;

	FUZZ_CHECK(text_is_utf8(buf_text(b), b->len));
	FUZZ_CHECK(b->len <= 3 * size + 8);
	for (i = 0; i < b->len; i++)
		FUZZ_CHECK((unsigned char)b->data[i] >= ' ' || b->data[i] == '\n' ||
			   b->data[i] == '\t');
}

/* The bytes as a message, split at its empty line, or anywhere if it has none. */
static void
check_parts(const char *data, size_t size)
{
	size_t at = size / 2;
	struct mime_parts parts;
	struct buf seen = {0};
	const char *body = memmem(data, size, "\r\n\r\n", 4);

	if (body != NULL)
		at = (size_t)(body - data) + 2;
	body = size - at >= 2 && memcmp(data + at, "\r\n", 2) == 0 ? data + at + 2 : data + at;
	mime_read_parts(data, at, body, size - (size_t)(body - data), &parts);
	mime_parts_seen(&parts, false, &seen);
	check_lines(&parts.plain, size);
	check_lines(&parts.html, size);
	check_lines(&seen, size);
	FUZZ_CHECK(seen.len > 0 || (!parts.other && !parts.unread));
	buf_free(&seen);
	mime_parts_free(&parts);
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
	check_parts((const char *)data, size);
	arena_free(&arena);
	return 0;
}
