/*
 * mime_message_html() over any bytes as a message: what it hands out is clean UTF-8, no longer than
 * was asked for, and has none of the elements that work beside a frame's policy.
 */
#include <string.h>

#include "base/text.h"
#include "mail/mime.h"
#include "tests/fuzz/fuzz.h"

static void
check_html(const struct buf *b)
{
	const char *text = buf_text(b);

	FUZZ_CHECK(strlen(text) == b->len);
	FUZZ_CHECK(text_is_utf8(text, b->len));
	FUZZ_CHECK(strcasestr(text, "<link") == NULL);
	FUZZ_CHECK(strcasestr(text, "<meta") == NULL);
	FUZZ_CHECK(strcasestr(text, "<base") == NULL);
	for (size_t i = 0; i < b->len; i++)
		FUZZ_CHECK((unsigned char)text[i] >= ' ' || text[i] == '\n' || text[i] == '\t');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf all = {0}, some = {0};
	bool found, cut, some_cut;
	size_t max;

	mime_init();
	found = mime_message_html((const char *)data, size, SIZE_MAX / 2, &all, &cut);
	FUZZ_CHECK(!cut && (found || all.len == 0));
	FUZZ_CHECK(all.len <= 6 * size + 8);
	check_html(&all);

	/* Cut anywhere it is the beginning of the whole, by whole characters. */
	max = size > 0 ? data[size - 1] % 64 : 0;
	FUZZ_CHECK(mime_message_html((const char *)data, size, max, &some, &some_cut) == found);
	FUZZ_CHECK(some.len <= max && some_cut == (all.len > max));
	FUZZ_CHECK(some.len == 0 || memcmp(some.data, all.data, some.len) == 0);
	FUZZ_CHECK(!some_cut || all.len - some.len == 0 || some.len + 4 > max);
	check_html(&some);
	buf_free(&all);
	buf_free(&some);
	return 0;
}
