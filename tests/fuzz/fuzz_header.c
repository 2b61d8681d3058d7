/*
 * header.h over any bytes: nothing is lost or invented, output has CRLF line ends only, and what
 * was written reads back as the same fields.
 */
#include <string.h>

#include "mail/header.h"
#include "tests/fuzz/fuzz.h"

static void
check_crlf(const struct buf *b)
{
	size_t i;

	for (i = 0; i < b->len; i++) {
		FUZZ_CHECK(b->data[i] != '\0');
		FUZZ_CHECK(b->data[i] != '\n' || (i > 0 && b->data[i - 1] == '\r'));
		FUZZ_CHECK(b->data[i] != '\r' || (i + 1 < b->len && b->data[i + 1] == '\n'));
	}
	FUZZ_CHECK(b->len == 0 || b->data[b->len - 1] == '\n');
}

/* Any value set by us is one field: it neither ends early nor starts another. */
static void
check_edit(struct header *h, const char *value)
{
	struct arena arena = {0};
	struct buf out = {0};
	struct header again;
	size_t count = h->count;

	header_prepend(h, "X-First", value);
	header_append(h, "X-Last", value);
	header_replace(h, &h->fields[count / 2], value);
	header_write(h, &out);
	check_crlf(&out);
	header_parse(&again, out.data, out.len, &arena);
	FUZZ_CHECK(again.count <= count + 2);
	FUZZ_CHECK(header_count(&again, "X-First") >= 1);
	FUZZ_CHECK(strcmp(again.fields[0].name, count == 0 ? h->fields[0].name : "X-First") == 0);
	buf_free(&out);
	arena_free(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = {0};
	struct buf once = {0}, twice = {0};
	struct header h, again;
	char *text = arena_strndup(&arena, (const char *)data, size);
	size_t i;

	header_parse(&h, (const char *)data, size, &arena);
	header_write(&h, &once);
	check_crlf(&once);
	/* Behind a "From " line that was left out there may stand another one. */
	if (strncmp(buf_text(&once), "From ", 5) != 0 &&
	    strncmp(buf_text(&once), ">From ", 6) != 0) {
		header_parse(&again, buf_text(&once), once.len, &arena);
		header_write(&again, &twice);
		FUZZ_CHECK(again.count == h.count);
		FUZZ_CHECK(once.len == twice.len);
		FUZZ_CHECK(memcmp(buf_text(&once), buf_text(&twice), once.len) == 0);
	}
	for (i = 0; i < h.count; i++) {
		char *value = header_value(&h, &h.fields[i]);

		FUZZ_CHECK(strpbrk(value, "\r\n") == NULL);
		FUZZ_CHECK(h.fields[i].name[0] != '\0' || i + 1 == h.count);
	}
	if (header_is_clean(&h))
		check_edit(&h, text);
	buf_free(&once);
	buf_free(&twice);
	arena_free(&arena);
	return 0;
}
