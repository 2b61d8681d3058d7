/*
 * Fuzzes drill_talk_feed(): the same is taken and said whether the input comes in one piece or in
 * single bytes, and what is kept is bounded.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/drill_talk.h"
#include "tests/fuzz/fuzz.h"

struct seen {
	uint64_t sum, count;
};

static void
take(void *context, uint32_t number)
{
	struct seen *seen = context;

	FUZZ_CHECK(number <= 999999999);
	seen->count++;
	seen->sum = seen->sum * 31 + number;
}

static void
run(const uint8_t *data, size_t size, size_t step, struct seen *seen, struct buf *out)
{
	struct drill_talk *t = calloc(1, sizeof(*t));
	size_t at;

	FUZZ_CHECK(t != NULL);
	t->domain = "k.drill.invalid";
	t->take = take;
	t->context = seen;
	drill_talk_start(t, out);
	for (at = 0; at < size; at += step)
		drill_talk_feed(t, (const char *)data + at, size - at < step ? size - at : step,
				out);
	FUZZ_CHECK(t->line_len < DRILL_TALK_LINE);
	FUZZ_CHECK(t->recipient_count <= DRILL_TALK_RECIPIENTS);
	free(t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = {0}, bytes = {0};
	struct seen a = {0}, b = {0};

	run(data, size, size > 0 ? size : 1, &a, &whole);
	run(data, size, 1, &b, &bytes);
	FUZZ_CHECK(a.sum == b.sum && a.count == b.count);
	FUZZ_CHECK(whole.len == bytes.len && memcmp(whole.data, bytes.data, whole.len) == 0);
	buf_free(&whole);
	buf_free(&bytes);
	return 0;
}
