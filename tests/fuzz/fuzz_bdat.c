/*
 * Fuzzes body_feed_chunk(): wherever BDAT cuts the octets and wherever the network cuts the chunks,
 * the content is the same as in one piece, and it has CRLF only; and it leaves as a message that
 * ends once, at its end. The first bytes of the input choose the sizes of the pieces.
 */
#include <string.h>

#include "mail/body.h"
#include "tests/fuzz/fuzz.h"

enum { SIZES = 4 };

static void
collect(void *context, const char *data, size_t len)
{
	FUZZ_CHECK(len > 0);
	buf_add(context, data, len);
}

/* In pieces of sizes[0], sizes[1], ... in turn; a size of 0 is an empty chunk. */
static void
feed(struct body_in *in, const char *data, size_t len, const uint8_t sizes[SIZES], struct buf *out)
{
	size_t at = 0, turn = 0;

	while (at < len) {
		size_t n = sizes[turn++ % SIZES] % 32;

		if (turn > SIZES && n == 0)
			n = 1;
		if (n > len - at)
			n = len - at;
		body_feed_chunk(in, data + at, n, collect, out);
		FUZZ_CHECK(in->state != BODY_DONE && in->bytes == out->len);
		at += n;
	}
	body_end_chunks(in, collect, out);
	FUZZ_CHECK(in->state == BODY_DONE && in->bytes == out->len);
}

/* Every byte of the content in its order, line ends aside; no bare CR or LF. */
static void
check_content(const uint8_t *data, size_t size, const struct buf *content, bool bare)
{
	const char *p = buf_text(content);
	size_t i = 0, at = 0;
	bool odd = false;

	for (i = 0; i < content->len; i++) {
		if (p[i] == '\r')
			FUZZ_CHECK(p[i + 1] == '\n');
		if (p[i] == '\n')
			FUZZ_CHECK(i > 0 && p[i - 1] == '\r');
	}
	for (i = 0; i < size; i++) {
		bool pair = data[i] == '\r' && i + 1 < size && data[i + 1] == '\n';

		if (pair || data[i] == '\n') {
			FUZZ_CHECK(at + 2 <= content->len && memcmp(p + at, "\r\n", 2) == 0);
			at += 2;
		} else {
			FUZZ_CHECK(at < content->len);
			FUZZ_CHECK(p[at] == (data[i] == '\r' ? ' ' : (char)data[i]));
			at++;
		}
		odd = odd || (!pair && (data[i] == '\r' || data[i] == '\n'));
		i += pair;
	}
	FUZZ_CHECK(at == content->len && odd == bare);
}

static void
check_flags(const struct body_in *in, const uint8_t *data, size_t size)
{
	bool high = false;
	size_t i;

	for (i = 0; i < size; i++)
		high = high || data[i] >= 0x80;
	FUZZ_CHECK(in->eightbit == high);
	FUZZ_CHECK(in->nul == (size > 0 && memchr(data, '\0', size) != NULL));
}

/* A dot on a line of its own was content in a chunk; after DATA it must not end the message. */
static void
check_wire(const struct buf *content)
{
	struct body_out out = {0};
	struct body_in in = {0};
	struct buf wire = {0}, back = {0};

	if (content->len > 0)
		body_stuff(&out, content->data, content->len, collect, &wire);
	body_finish(&out, collect, &wire);
	FUZZ_CHECK(body_feed(&in, wire.data, wire.len, collect, &back) == wire.len);
	FUZZ_CHECK(in.state == BODY_DONE && !in.bare_newline);
	FUZZ_CHECK(back.len == content->len || back.len == content->len + 2);
	FUZZ_CHECK(content->len == 0 || memcmp(back.data, content->data, content->len) == 0);
	buf_free(&wire);
	buf_free(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct body_in whole = {0}, pieces = {0};
	struct buf content = {0}, same = {0};
	const uint8_t *sizes = data;

	if (size < SIZES)
		return 0;
	data += SIZES;
	size -= SIZES;
	body_feed_chunk(&whole, (const char *)data, size, collect, &content);
	body_end_chunks(&whole, collect, &content);
	feed(&pieces, (const char *)data, size, sizes, &same);
	FUZZ_CHECK(content.len == same.len);
	FUZZ_CHECK(content.len == 0 || memcmp(content.data, same.data, content.len) == 0);
	FUZZ_CHECK(whole.bare_newline == pieces.bare_newline && whole.nul == pieces.nul &&
		   whole.eightbit == pieces.eightbit);
	check_content(data, size, &content, whole.bare_newline);
	check_flags(&whole, data, size);
	check_wire(&content);
	buf_free(&content);
	buf_free(&same);
	return 0;
}
