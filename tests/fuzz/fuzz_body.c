/*
 * Fuzzes body_feed() and body_stuff(): pieces make no difference, the wire form of whatever came in
 * has CRLF only and ends once, at its end, and reads back as the same content. The first byte of
 * the input chooses the size of the pieces.
 */
#include <string.h>

#include "mail/body.h"
#include "tests/fuzz/fuzz.h"

static void
collect(void *context, const char *data, size_t len)
{
	FUZZ_CHECK(len > 0);
	buf_add(context, data, len);
}

static size_t
feed(struct body_in *in, const char *data, size_t len, size_t piece, struct buf *out)
{
	size_t at = 0;

	while (at < len && in->state != BODY_DONE) {
		size_t n = len - at < piece ? len - at : piece;
		size_t used = body_feed(in, data + at, n, collect, out);

		FUZZ_CHECK(used == n || (used < n && in->state == BODY_DONE));
		at += used;
	}
	FUZZ_CHECK(in->bytes == out->len);
	return at;
}

static void
stuff(const struct buf *content, size_t piece, struct buf *wire)
{
	struct body_out out = {0};
	size_t at, n;

	for (at = 0; at < content->len; at += n) {
		n = content->len - at < piece ? content->len - at : piece;
		body_stuff(&out, content->data + at, n, collect, wire);
	}
	body_finish(&out, collect, wire);
}

static void
check_wire(const struct buf *wire)
{
	static const char end[] = "\r\n.\r\n";
	const char *p = wire->data;
	size_t i;

	FUZZ_CHECK(wire->len >= 3 && memcmp(p + wire->len - 3, ".\r\n", 3) == 0);
	for (i = 0; i < wire->len; i++) {
		if (p[i] == '\r')
			FUZZ_CHECK(i + 1 < wire->len && p[i + 1] == '\n');
		if (p[i] == '\n')
			FUZZ_CHECK(i > 0 && p[i - 1] == '\r');
	}
	if (wire->len > 3) {
		FUZZ_CHECK(memcmp(p, ".\r\n", 3) != 0);
		FUZZ_CHECK(memmem(p, wire->len, end, 5) == p + wire->len - 5);
	}
}

static void
check_round_trip(const struct buf *content, const struct buf *wire)
{
	struct body_in in = {0};
	struct buf back = {0};

	FUZZ_CHECK(feed(&in, wire->data, wire->len, wire->len, &back) == wire->len);
	FUZZ_CHECK(in.state == BODY_DONE && !in.bare_newline);
	FUZZ_CHECK(back.len == content->len || back.len == content->len + 2);
	FUZZ_CHECK(content->len == 0 || memcmp(back.data, content->data, content->len) == 0);
	buf_free(&back);
}

static bool
has_high(const uint8_t *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (data[i] >= 0x80)
			return true;
	return false;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct body_in in = {0}, in_pieces = {0};
	struct buf content = {0}, pieces = {0}, wire = {0}, wire_pieces = {0};
	size_t piece, used, used_pieces;

	if (size == 0)
		return 0;
	piece = (size_t)data[0] % 16 + 1;
	data++;
	size--;
	used = feed(&in, (const char *)data, size, size, &content);
	used_pieces = feed(&in_pieces, (const char *)data, size, piece, &pieces);
	FUZZ_CHECK(used == used_pieces && in.state == in_pieces.state);
	FUZZ_CHECK(in.bare_newline == in_pieces.bare_newline && in.nul == in_pieces.nul);
	FUZZ_CHECK(content.len == pieces.len);
	FUZZ_CHECK(content.len == 0 || memcmp(content.data, pieces.data, content.len) == 0);
	FUZZ_CHECK(in.eightbit == in_pieces.eightbit && in.eightbit == has_high(data, used));
	FUZZ_CHECK(in.nul == (used > 0 && memchr(data, '\0', used) != NULL));

	stuff(&content, SIZE_MAX, &wire);
	stuff(&content, piece, &wire_pieces);
	FUZZ_CHECK(wire.len == wire_pieces.len);
	FUZZ_CHECK(memcmp(wire.data, wire_pieces.data, wire.len) == 0);
	check_wire(&wire);
	check_round_trip(&content, &wire);
	buf_free(&content);
	buf_free(&pieces);
	buf_free(&wire);
	buf_free(&wire_pieces);
	return 0;
}
