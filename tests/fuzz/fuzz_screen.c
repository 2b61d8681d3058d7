/*
 * Fuzzes what stands between a mail and the operator's terminal: whatever the text, nothing comes
 * out that a terminal obeys, once harmless stays as it is, and what fits a column fits.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/screen.h"
#include "tests/fuzz/fuzz.h"

static void
check_harmless(const char *text, size_t len, bool lines, bool utf8)
{
	size_t i;

	FUZZ_CHECK(text_is_utf8(text, len));
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		FUZZ_CHECK(c >= 0x20 || (lines && (c == '\n' || c == '\t')));
		FUZZ_CHECK(c != 0x7f && (utf8 || c < 0x7f));
		/* U+0080 to U+009F are control characters too; U+2028 to U+202E turn lines. */
		FUZZ_CHECK(c != 0xc2 || (unsigned char)text[i + 1] >= 0xa0);
		FUZZ_CHECK(c != 0xe2 || (unsigned char)text[i + 1] != 0x80 ||
			   (unsigned char)text[i + 2] < 0xa8 || (unsigned char)text[i + 2] > 0xae);
	}
}

static void
check_lines(const char *text, size_t len, bool utf8)
{
	char *shown = NULL;
	size_t shown_len;
	FILE *out = open_memstream(&shown, &shown_len);

	FUZZ_CHECK(out != NULL);
	screen_lines(out, text, len);
	FUZZ_CHECK(fclose(out) == 0);
	check_harmless(shown, shown_len, true, utf8);
	free(shown);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text, *once;
	const char *twice;
	size_t columns, width, bytes, whole;
	bool utf8;

	if (size == 0)
		return 0;
	utf8 = data[0] % 2 == 0;
	setenv("LC_ALL", utf8 ? "C.UTF-8" : "C", 1);
	screen_init();
	check_lines((const char *)data + 1, size - 1, utf8);
	text = mem_strndup((const char *)data + 1, size - 1);
	once = mem_strdup(screen_text(text));
	check_harmless(once, strlen(once), false, utf8);
	twice = screen_text(once);
	FUZZ_CHECK(strcmp(once, twice) == 0);
	whole = screen_width(once);
	for (columns = 0; columns < 20; columns++) {
		bytes = screen_fit(once, columns, &width);
		FUZZ_CHECK(bytes <= strlen(once) && width <= columns && width <= whole);
		FUZZ_CHECK(text_is_utf8(once, bytes));
		FUZZ_CHECK(bytes == strlen(once) || whole > columns);
	}
	free(once);
	free(text);
	return 0;
}
