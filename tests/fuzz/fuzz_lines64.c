/*
 * lines64.h over any bytes: what was unwrapped is no longer than it was, and wraps to the very same
 * bytes; any list of runs over any bytes gives exactly the length that was asked for, or nothing.
 * The first two bytes of the input divide it into runs and content for the latter.
 */
#include <string.h>

#include "store/lines64.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf runs = {0}, plain = {0}, out = {0};
	const char *text = (const char *)data;
	size_t cut, len;

	lines64_unwrap(text, size, &runs, &plain);
	FUZZ_CHECK(plain.len <= size);
	FUZZ_CHECK(lines64_wrap(runs.data, runs.len, buf_text(&plain), plain.len, size, &out));
	FUZZ_CHECK(out.len == size && (size == 0 || memcmp(out.data, data, size) == 0));
	if (size >= 2) {
		cut = 2 + data[0] % (size - 1);
		len = (size_t)data[1] * 16;
		buf_clear(&out);
		if (lines64_wrap(text + 2, cut - 2, text + cut, size - cut, len, &out))
			FUZZ_CHECK(out.len == len);
		else
			FUZZ_CHECK(out.len == 0);
	}
	buf_free(&runs);
	buf_free(&plain);
	buf_free(&out);
	return 0;
}
