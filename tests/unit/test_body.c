/*
 * body.h: what ends a message, what becomes of every odd line end, and that neither the pieces in
 * which bytes come nor the way out and in again make a difference.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/body.h"

static void
collect(void *context, const char *data, size_t len)
{
	buf_add(context, data, len);
}

struct row {
	const char *name, *input, *content;
	bool done, bare;
	const char *rest; /* of the input, behind the end of data */
};

static const struct row rows[] = {
    {"an empty message", ".\r\n", "", true, false, ""},
    {"a line", "a\r\n.\r\n", "a\r\n", true, false, ""},
    {"what follows is the next command", "a\r\n.\r\nQUIT\r\n", "a\r\n", true, false, "QUIT\r\n"},
    {"a dot is taken off", "..\r\n.a\r\n...\r\n.\r\n", ".\r\na\r\n..\r\n", true, false, ""},
    {"only a dot", ",a\r\n/\r\n.\r\n", ",a\r\n/\r\n", true, false, ""},
    {"dots inside a line stay", "a..\r\nb.c\r\n.\r\n", "a..\r\nb.c\r\n", true, false, ""},
    {"no end yet", "a\r\n", "a\r\n", false, false, ""},
    {"a line without an end", "a.\r\nb", "a.\r\nb", false, false, ""},
    {"dot CR is held back", "a\r\n.\r", "a\r\n", false, false, ""},
    {"CR is held back", "a\r", "a", false, false, ""},
    {"LF becomes CRLF", "a\nb\r\n.\r\n", "a\r\nb\r\n", true, true, ""},
    {"LF first", "\n.\r\n", "\r\n.\r\n", false, true, ""},
    {"CR becomes a blank", "a\rb\r\n.\r\n", "a b\r\n", true, true, ""},
    {"LF . LF", "a\n.\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", true, true, ""},
    {"LF . CRLF", "a\n.\r\nb\r\n.\r\n", "a\r\n.\r\nb\r\n", true, true, ""},
    {"CRLF . LF", "a\r\n.\nb\r\n.\r\n", "a\r\n\r\nb\r\n", true, true, ""},
    {"CRLF . CR", "a\r\n.\rb\r\n.\r\n", "a\r\n b\r\n", true, true, ""},
    {"CRLF . CR CRLF", "a\r\n.\r\r\nb\r\n.\r\n", "a\r\n \r\nb\r\n", true, true, ""},
    {"CR . CR", "a\r.\rb\r\n.\r\n", "a . b\r\n", true, true, ""},
    {"CR . CRLF", "a\r.\r\nb\r\n.\r\n", "a .\r\nb\r\n", true, true, ""},
    {"CR CRLF . CRLF", "a\r\r\n.\r\n", "a \r\n", true, true, ""},
    {"LF CRLF . CRLF", "a\n\r\n.\r\n", "a\r\n\r\n", true, true, ""},
    {"LF CR LF .", "a\n\r\n.b\r\n.\r\n", "a\r\n\r\nb\r\n", true, true, ""},
    {"CR CR", "\r\r\r\r\n.\r\n", "   \r\n", true, true, ""},
    {"LF .. stays", "a\n..\r\n.\r\n", "a\r\n..\r\n", true, true, ""},
};

static void
test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct body_in in = {0};
		struct buf out = {0};
		size_t len = strlen(row->input), used;

		print_message("  %s\n", row->name);
		used = body_feed(&in, row->input, len, collect, &out);
		assert_string_equal(buf_text(&out), row->content);
		assert_int_equal(in.bytes, out.len);
		assert_int_equal(in.state == BODY_DONE, row->done);
		assert_int_equal(in.bare_newline, row->bare);
		assert_string_equal(row->input + used, row->rest);
		assert_false(in.nul);
		buf_free(&out);
	}
}

/* The rules of body.h once more, told of the whole input at once: the oracle for what follows. */
static size_t
expect(const char *p, size_t len, struct buf *out, bool *done, bool *bare)
{
	bool start = true;
	size_t i = 0;

	*done = *bare = false;
	while (i < len) {
		size_t left = len - i;

		if (start && left >= 3 && memcmp(p + i, ".\r\n", 3) == 0) {
			*done = true;
			return i + 3;
		}
		if (start && (left == 1 || (left == 2 && p[i + 1] == '\r')) && p[i] == '.')
			return len;
		if (left == 1 && p[i] == '\r')
			return len;
		if (start && p[i] == '.') {
			start = false;
			i++;
		} else if (left >= 2 && p[i] == '\r' && p[i + 1] == '\n') {
			buf_add(out, "\r\n", 2);
			start = true;
			i += 2;
		} else {
			*bare = *bare || p[i] == '\r' || p[i] == '\n';
			start = false;
			if (p[i] == '\r')
				buf_add_char(out, ' ');
			else if (p[i] == '\n')
				buf_add(out, "\r\n", 2);
			else
				buf_add_char(out, p[i]);
			i++;
		}
	}
	return len;
}

/* Feeds [0, cut) and [cut, len), the first part byte by byte where `bytes`. */
static size_t
feed_split(struct body_in *in, const char *p, size_t len, size_t cut, bool bytes, struct buf *out)
{
	size_t used = 0;

	if (!bytes)
		used = body_feed(in, p, cut, collect, out);
	while (bytes && used < cut && in->state != BODY_DONE)
		used += body_feed(in, p + used, 1, collect, out);
	if (in->state != BODY_DONE)
		used += body_feed(in, p + used, len - used, collect, out);
	return used;
}

static void
check_splits(const char *p, size_t len)
{
	struct buf wanted = {0}, out = {0};
	size_t cut, used, used_wanted;
	bool done, bare;

	used_wanted = expect(p, len, &wanted, &done, &bare);
	for (cut = 0; cut <= len; cut++) {
		struct body_in in = {0};

		buf_clear(&out);
		used = feed_split(&in, p, len, cut, cut % 2 == 1 || cut == len, &out);
		assert_int_equal(used, used_wanted);
		assert_int_equal(in.state == BODY_DONE, done);
		assert_int_equal(in.bare_newline, bare);
		assert_int_equal(out.len, wanted.len);
		if (out.len > 0)
			assert_memory_equal(out.data, wanted.data, out.len);
	}
	buf_free(&wanted);
	buf_free(&out);
}

/* The wire form: CRLF only, one end, at the end; and it reads back as the content. */
static void
check_wire(const char *content, size_t len, size_t cut)
{
	struct buf wire = {0}, back = {0};
	struct body_out out = {0};
	struct body_in in = {0};
	size_t i, ends = 0;

	body_stuff(&out, content, cut, collect, &wire);
	body_stuff(&out, content + cut, len - cut, collect, &wire);
	body_finish(&out, collect, &wire);
	for (i = 0; i < wire.len; i++) {
		bool start = i == 0 || (i >= 2 && memcmp(wire.data + i - 2, "\r\n", 2) == 0);

		assert_true(wire.data[i] != '\r' || wire.data[i + 1] == '\n');
		assert_true(wire.data[i] != '\n' || (i > 0 && wire.data[i - 1] == '\r'));
		ends += start && i + 3 <= wire.len && memcmp(wire.data + i, ".\r\n", 3) == 0;
	}
	assert_int_equal(ends, 1);
	assert_memory_equal(wire.data + wire.len - 3, ".\r\n", 3);

	assert_int_equal(body_feed(&in, wire.data, wire.len, collect, &back), wire.len);
	assert_int_equal(in.state, BODY_DONE);
	assert_false(in.bare_newline);
	/* A last line without an end got one. */
	if (len > 0 && (len < 2 || memcmp(content + len - 2, "\r\n", 2) != 0))
		assert_int_equal(back.len, len + 2);
	else
		assert_int_equal(back.len, len);
	if (len > 0)
		assert_memory_equal(back.data, content, len);
	buf_free(&wire);
	buf_free(&back);
}

static const struct {
	const char *name, *input, *content;
	bool bare;
} chunk_rows[] = {
    {"nothing", "", "", false},
    {"lines", "a\r\nb\r\n", "a\r\nb\r\n", false},
    {"no end of the last line", "a\r\nb", "a\r\nb", false},
    {"the end of DATA is content", "a\r\n.\r\nQUIT\r\n", "a\r\n.\r\nQUIT\r\n", false},
    {"dots stay", ".\r\n..a\r\n.b", ".\r\n..a\r\n.b", false},
    {"LF becomes CRLF", "a\nb\n.\n", "a\r\nb\r\n.\r\n", true},
    {"CR becomes a blank", "a\rb", "a b", true},
    {"CR at the end", "a\r", "a ", true},
    {"CR CR at the end", "a\r\r", "a  ", true},
    {"CR CRLF", "\r\r\n", " \r\n", true},
    {"LF CR LF", "\n\r\n", "\r\n\r\n", true},
};

static void
test_chunks(void **state)
{
	size_t i, cut;

	(void)state;
	for (i = 0; i < sizeof(chunk_rows) / sizeof(chunk_rows[0]); i++) {
		const char *input = chunk_rows[i].input;
		size_t len = strlen(input);

		print_message("  %s\n", chunk_rows[i].name);
		for (cut = 0; cut <= len; cut++) {
			struct body_in in = {0};
			struct buf out = {0};

			body_feed_chunk(&in, input, cut, collect, &out);
			body_feed_chunk(&in, input + cut, len - cut, collect, &out);
			assert_int_not_equal(in.state, BODY_DONE);
			body_end_chunks(&in, collect, &out);
			assert_int_equal(in.state, BODY_DONE);
			assert_string_equal(buf_text(&out), chunk_rows[i].content);
			assert_int_equal(in.bytes, out.len);
			assert_int_equal(in.bare_newline, chunk_rows[i].bare);
			assert_false(in.nul);
			assert_false(in.eightbit);
			buf_free(&out);
		}
	}
}

/* The rules for chunks once more, told of the whole input at once. */
static void
expect_chunk(const char *p, size_t len, struct buf *out, bool *bare)
{
	size_t i;

	*bare = false;
	for (i = 0; i < len; i++) {
		bool newline = p[i] == '\r' && i + 1 < len && p[i + 1] == '\n';

		*bare = *bare || (!newline && (p[i] == '\r' || p[i] == '\n'));
		if (newline || p[i] == '\n')
			buf_add(out, "\r\n", 2);
		else
			buf_add_char(out, p[i] == '\r' ? ' ' : p[i]);
		i += newline;
	}
}

/* [0, cut) in one piece or byte by byte, then the rest. */
static void
check_chunk_splits(const char *p, size_t len)
{
	struct buf wanted = {0}, out = {0};
	size_t cut, i;
	bool bare;

	expect_chunk(p, len, &wanted, &bare);
	for (cut = 0; cut <= len; cut++) {
		struct body_in in = {0};

		buf_clear(&out);
		for (i = 0; cut % 2 == 1 && i < cut; i++)
			body_feed_chunk(&in, p + i, 1, collect, &out);
		if (cut % 2 == 0)
			body_feed_chunk(&in, p, cut, collect, &out);
		body_feed_chunk(&in, p + cut, len - cut, collect, &out);
		body_end_chunks(&in, collect, &out);
		assert_int_equal(in.bare_newline, bare);
		assert_int_equal(in.bytes, out.len);
		assert_string_equal(buf_text(&out), buf_text(&wanted));
	}
	buf_free(&wanted);
	buf_free(&out);
}

/* Every input of up to seven bytes of what matters, cut at every place: no variant is left out. */
static void
test_every_short_input(void **state)
{
	static const char alphabet[] = "\r\n.a";
	char input[7];
	size_t len, n, i, count = 1;

	(void)state;
	for (len = 0; len <= sizeof(input); len++, count *= 4) {
		for (n = 0; n < count; n++) {
			struct body_in in = {0};
			struct buf out = {0};
			size_t rest = n;

			for (i = 0; i < len; i++, rest /= 4)
				input[i] = alphabet[rest % 4];
			check_splits(input, len);
			check_chunk_splits(input, len);
			body_feed(&in, input, len, collect, &out);
			check_wire(buf_text(&out), out.len, out.len / 2);
			buf_free(&out);
		}
	}
}

/* xorshift64, a fixed seed: the same inputs each time. */
static uint64_t
next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void
test_random_inputs(void **state)
{
	static const char alphabet[] = "\r\n..\r\nab\r\n\n";
	uint64_t seed = 20261121;
	char input[300];
	int round;

	(void)state;
	for (round = 0; round < 300; round++) {
		size_t len = next_random(&seed) % sizeof(input), i;
		struct body_in in = {0};
		struct buf out = {0};

		for (i = 0; i < len; i++)
			input[i] = alphabet[next_random(&seed) % (sizeof(alphabet) - 1)];
		check_splits(input, len);
		check_chunk_splits(input, len);
		body_feed(&in, input, len, collect, &out);
		for (i = 0; i <= out.len; i++)
			check_wire(buf_text(&out), out.len, i);
		buf_free(&out);
	}
}

static void
test_nul(void **state)
{
	static const char inside[] = "a\0b\r\n.\r\n", behind[] = "a\r\n.\r\n\0";
	struct body_in in = {0}, after = {0};
	struct buf out = {0};

	(void)state;
	body_feed(&in, inside, sizeof(inside) - 1, collect, &out);
	assert_true(in.nul);
	assert_int_equal(in.state, BODY_DONE);
	body_feed(&after, behind, sizeof(behind) - 1, collect, &out);
	assert_int_equal(after.state, BODY_DONE);
	assert_false(after.nul);
	after = (struct body_in){0};
	body_feed_chunk(&after, inside, 1, collect, &out);
	assert_false(after.nul);
	body_feed_chunk(&after, inside + 1, 2, collect, &out);
	assert_true(after.nul);
	buf_free(&out);
}

/* One byte beyond ASCII at each place of a piece of each length. */
static void
test_eightbit(void **state)
{
	enum { LONGEST = 70 };
	char data[LONGEST + 1];
	size_t len, at;

	(void)state;
	for (len = 1; len <= LONGEST; len++) {
		for (at = 0; at <= len; at++) {
			struct body_in in = {0}, chunk = {0};
			struct buf out = {0};

			memset(data, '\177', sizeof(data));
			data[at] = '\200'; /* not among them where at = len */
			body_feed(&in, data, len, collect, &out);
			body_feed_chunk(&chunk, data, len, collect, &out);
			assert_int_equal(in.eightbit, at < len);
			assert_int_equal(chunk.eightbit, at < len);
			body_feed(&in, "a", 1, collect, &out);
			assert_int_equal(in.eightbit, at < len);
			buf_free(&out);
		}
	}
}

/* What stands behind the end of data is no content. */
static void
test_eightbit_behind(void **state)
{
	static const char data[] = "a\r\n.\r\n\303\266";
	struct body_in in = {0};
	struct buf out = {0};

	(void)state;
	body_feed(&in, data, sizeof(data) - 1, collect, &out);
	assert_int_equal(in.state, BODY_DONE);
	assert_false(in.eightbit);
	buf_free(&out);
}

struct slices {
	const char *data;
	size_t count, bytes;
};

static void
count_slice(void *context, const char *data, size_t len)
{
	struct slices *s = context;

	s->count++;
	s->bytes += len;
	if (s->data == NULL)
		s->data = data;
}

static void
test_no_copy(void **state)
{
	static const char plain[] = "one line\r\nanother. one\r\nthe last\r\n";
	struct body_in in = {0};
	struct body_out out = {0};
	struct slices got = {0}, sent = {0};

	(void)state;
	body_feed(&in, plain, sizeof(plain) - 1, count_slice, &got);
	assert_ptr_equal(got.data, plain);
	assert_int_equal(got.count, 1);
	assert_int_equal(got.bytes, sizeof(plain) - 1);
	got = (struct slices){0};
	in = (struct body_in){0};
	body_feed_chunk(&in, plain, sizeof(plain) - 1, count_slice, &got);
	assert_ptr_equal(got.data, plain);
	assert_int_equal(got.count, 1);
	body_stuff(&out, plain, sizeof(plain) - 1, count_slice, &sent);
	assert_ptr_equal(sent.data, plain);
	assert_int_equal(sent.count, 1);
}

/* A flood of CRs in one piece: linear, or this takes minutes. */
static void
test_flood(void **state)
{
	enum { FLOOD = 4 << 20 };
	struct body_in in = {0};
	struct slices got = {0};
	struct buf flood = {0};

	(void)state;
	buf_reserve(&flood, FLOOD);
	memset(flood.data, '\r', FLOOD);
	assert_int_equal(body_feed(&in, flood.data, FLOOD, count_slice, &got), FLOOD);
	assert_int_equal(in.bytes, FLOOD - 1);
	in = (struct body_in){0};
	body_feed_chunk(&in, flood.data, FLOOD, count_slice, &got);
	assert_int_equal(in.bytes, FLOOD - 1);
	buf_free(&flood);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_chunks),
	    cmocka_unit_test(test_eightbit),
	    cmocka_unit_test(test_eightbit_behind),
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_every_short_input),
	    cmocka_unit_test(test_random_inputs),
	    cmocka_unit_test(test_nul),
	    cmocka_unit_test(test_no_copy),
	    cmocka_unit_test(test_flood),
	};

	return cmocka_run_group_tests_name("body", tests, NULL, NULL);
}
