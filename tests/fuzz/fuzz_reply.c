/*
 * Fuzzes reply_feed(): the same replies come out of one piece and out of single bytes, and what is
 * kept is bounded and printable.
 */
#include <string.h>

#include "mail/reply.h"
#include "tests/fuzz/fuzz.h"

static void
check_reply(const struct reply *r)
{
	struct buf line = {0};
	size_t i;

	FUZZ_CHECK(r->code >= 200 && r->code <= 599);
	FUZZ_CHECK(r->text.len <= REPLY_TEXT_MAX && strlen(r->status) < sizeof(r->status));
	FUZZ_CHECK(r->status[0] == '\0' || r->status[0] == '0' + r->code / 100);
	reply_format(r, &line);
	FUZZ_CHECK(line.len >= 3 && line.len <= 500);
	for (i = 0; i < line.len; i++)
		FUZZ_CHECK(line.data[i] >= 0x20 && line.data[i] < 0x7f);
	buf_free(&line);
}

/* Feeds single bytes until a reply ends; *used as reply_feed() has it. */
static enum reply_result
feed_bytes(struct reply *r, const char *data, size_t len, size_t *used)
{
	enum reply_result result = REPLY_MORE;
	size_t n;

	for (*used = 0; *used < len && result == REPLY_MORE; *used += n) {
		result = reply_feed(r, data + *used, 1, &n);
		FUZZ_CHECK(n == 1);
	}
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	struct reply whole = {0}, bytes = {0};
	enum reply_result result, other;
	size_t used, used_bytes;

	do {
		result = reply_feed(&whole, p, size, &used);
		FUZZ_CHECK(used <= size && (result != REPLY_MORE || used == size));
		other = feed_bytes(&bytes, p, size, &used_bytes);
		FUZZ_CHECK(result == other);
		/* A flood is cut off at a byte, or at the line that crosses the limit. */
		FUZZ_CHECK(used == used_bytes || result == REPLY_BAD);
		FUZZ_CHECK(whole.line.len <= REPLY_LINE_MAX);
		if (result == REPLY_DONE) {
			check_reply(&whole);
			FUZZ_CHECK(whole.code == bytes.code);
			FUZZ_CHECK(strcmp(whole.status, bytes.status) == 0);
			FUZZ_CHECK(strcmp(buf_text(&whole.text), buf_text(&bytes.text)) == 0);
		}
		reply_reset(&whole);
		reply_reset(&bytes);
		p += used;
		size -= used;
	} while (result == REPLY_DONE && size > 0);
	reply_free(&whole);
	reply_free(&bytes);
	return 0;
}
