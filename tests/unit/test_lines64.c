/*
 * Base64 lines taken out of a message and put back: what is a run and what is not, the same bytes
 * again for each, and what a damaged list of runs gives.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "store/lines64.h"
#include "store/varint.h"

#define L60 "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJz"
#define L32 "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
#define END "\r\n"
#define FOUR L60 END L60 END L60 END L60 END

struct row {
	const char *name, *text;
	size_t runs;
	size_t plain; /* bytes that it unwraps to */
};

static const struct row rows[] = {
    {"nothing", "", 0, 0},
    {"text", "Hello" END "world" END, 0, 14},
    {"three lines are too few", L60 END L60 END L60 END, 0, 186},
    {"four lines", FOUR, 1, 180},
    {"a shorter last line", FOUR "QUJD" END, 1, 183},
    {"padded once", FOUR "QUI=" END, 1, 182},
    {"padded twice", FOUR "QQ==" END, 1, 181},
    {"a full line that is padded",
     FOUR "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXI=" END, 1, 224},
    {"stray bits behind one pad: that line stays", FOUR "QUJ=" END, 1, 186},
    {"stray bits behind two pads: that line stays", FOUR "QR==" END, 1, 186},
    {"padding in the middle", FOUR "QQ==QUJD" END, 1, 190},
    {"only padding", FOUR "====" END, 1, 186},
    {"three pads", FOUR "Q===" END, 1, 186},
    {"a last line of five characters", FOUR "QUJDR" END, 1, 187},
    {"an empty line behind it", FOUR END "text", 1, 186},
    {"a longer line ends the run", FOUR L60 "QUJD" END, 1, 246},
    {"no line end at the end", FOUR L60, 1, 240},
    {"a bare CR at the end", FOUR L60 "\r", 1, 241},
    {"a bare newline is no line end", L60 "\n" L60 "\n" L60 "\n" L60 "\n", 0, 244},
    {"a bare newline among them", L60 END L60 END L60 "\n" L60 END L60 END, 0, 309},
    {"a blank in the fourth", L60 END L60 END L60 END " " L60 END L60 END, 0, 311},
    {"lines that are too short", "QUJDREVG" END "QUJDREVG" END "QUJDREVG" END "QUJDREVG" END, 0,
     40},
    {"the shortest", L32 END L32 END L32 END L32 END, 1, 96},
    {"a run that begins behind a line of another length", "QUJD" L60 END FOUR "--boundary" END, 1,
     66 + 180 + 12},
    {"two runs of different lengths", FOUR L32 END L32 END L32 END L32 END L32 END, 2,
     180 + 24 + 96},
    {"two runs with text between", "a" END FOUR "b" END FOUR "QQ==" END "c", 2,
     3 + 180 + 3 + 181 + 1},
    {"the URL's alphabet is another one",
     L32 END L32 END L32 END "-_"
			     "JDREVGR0hJSktMTU5PUFFSU1RVVldY" END,
     0, 136},
};

static size_t
count_runs(const struct buf *runs)
{
	struct bytes in = {runs->data, runs->len};
	uint64_t ignored;
	size_t n = 0;

	while (in.left > 0) {
		assert_true(varint_take(&in, &ignored));
		n++;
	}
	assert_int_equal(n % 3, 0);
	return n / 3;
}

static void
check_row(const struct row *row, const char *data, size_t len)
{
	struct buf runs = {0}, plain = {0}, out = {0};

	lines64_unwrap(data, len, &runs, &plain);
	if (count_runs(&runs) != row->runs || plain.len != row->plain)
		fail_msg("%s: %zu runs and %zu bytes, not %zu and %zu", row->name,
			 count_runs(&runs), plain.len, row->runs, row->plain);
	buf_add_text(&out, "before");
	if (!lines64_wrap(runs.data, runs.len, buf_text(&plain), plain.len, len, &out) ||
	    out.len != len + 6 || memcmp(out.data + 6, data, len) != 0)
		fail_msg("%s: other bytes", row->name);
	buf_free(&runs);
	buf_free(&plain);
	buf_free(&out);
}

static void
each_comes_back(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* Exactly as long, so that a sanitizer sees a look behind its end. */
		size_t len = strlen(rows[i].text);
		char *copy = malloc(len + 1);

		assert_non_null(copy);
		memcpy(copy + 1, rows[i].text, len);
		check_row(&rows[i], copy + 1, len);
		free(copy);
	}
}

static uint32_t
next_random(uint32_t *seed)
{
	*seed = *seed * 1664525U + 1013904223U;
	return *seed >> 8;
}

/* Any bytes in lines of any width, as base/base64.c writes them: decoded, and the same again. */
static void
every_width(void **state)
{
	struct buf raw = {0}, text = {0}, wrapped = {0}, runs = {0}, plain = {0}, out = {0};
	uint32_t seed = 6;
	size_t width, i;

	(void)state;
	for (width = LINES64_SHORTEST; width <= LINES64_LONGEST; width += 4) {
		buf_clear(&raw);
		buf_clear(&text);
		buf_clear(&wrapped);
		buf_clear(&runs);
		buf_clear(&plain);
		buf_clear(&out);
		for (i = 0; i < width * 3 + width % 101 + 1; i++)
			buf_add_char(&raw, (char)next_random(&seed));
		base64_encode(raw.data, raw.len, &text);
		for (i = 0; i < text.len; i += width) {
			buf_add(&wrapped, text.data + i,
				text.len - i < width ? text.len - i : width);
			buf_add_text(&wrapped, "\r\n");
		}
		lines64_unwrap(wrapped.data, wrapped.len, &runs, &plain);
		if (plain.len != raw.len)
			fail_msg("width %zu: %zu bytes of %zu", width, plain.len, raw.len);
		assert_memory_equal(plain.data, raw.data, raw.len);
		assert_true(
		    lines64_wrap(runs.data, runs.len, plain.data, plain.len, wrapped.len, &out));
		assert_memory_equal(out.data, wrapped.data, wrapped.len);
	}
	buf_free(&raw);
	buf_free(&text);
	buf_free(&wrapped);
	buf_free(&runs);
	buf_free(&plain);
	buf_free(&out);
}

/* Runs that do not fit their bytes are refused, and nothing is left behind. */
static void
wrong_runs(void **state)
{
	static const struct {
		const char *name;
		uint64_t numbers[3];
		size_t plain, len;
	} table[] = {
	    {"more before it than there is", {181, 60, 180}, 180, 248},
	    {"more decoded than there is", {0, 60, 181}, 180, 248},
	    {"a number that overflows", {0, 60, UINT64_MAX}, 180, 248},
	    {"no lines", {0, 0, 180}, 180, 248},
	    {"lines of 30", {0, 30, 180}, 180, 248},
	    {"lines of 2^40", {0, UINT64_C(1) << 40, 180}, 180, 248},
	    {"too few lines", {0, 64, 180}, 180, 248},
	    {"longer than it was", {0, 60, 180}, 180, 247},
	    {"shorter than it was", {0, 60, 180}, 180, 249},
	};
	char plain[200] = {0};
	struct buf runs = {0}, out = {0};
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		buf_clear(&runs);
		for (k = 0; k < 3; k++)
			varint_add(&runs, table[i].numbers[k]);
		if (lines64_wrap(runs.data, runs.len, plain, table[i].plain, table[i].len, &out))
			fail_msg("%s", table[i].name);
		assert_int_equal(out.len, 0);
		/* And cut short. */
		assert_false(lines64_wrap(runs.data, runs.len - 1, plain, table[i].plain,
					  table[i].len, &out));
	}
	buf_clear(&runs);
	varint_add(&runs, 0);
	varint_add(&runs, 60);
	varint_add(&runs, 180);
	assert_true(lines64_wrap(runs.data, runs.len, plain, 180, 248, &out));
	buf_free(&runs);
	buf_free(&out);
}

static void
numbers(void **state)
{
	static const uint64_t values[] = {0, 127, 128, 16383, 16384, INT64_MAX, UINT64_MAX};
	static const char too_large[] = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02";
	struct buf out = {0};
	struct bytes in;
	uint64_t n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		buf_clear(&out);
		varint_add(&out, values[i]);
		in = (struct bytes){out.data, out.len};
		assert_true(varint_take(&in, &n));
		assert_true(n == values[i]);
		assert_int_equal(in.left, 0);
		in = (struct bytes){out.data, out.len - 1};
		assert_false(varint_take(&in, &n));
		assert_int_equal(in.left, out.len - 1);
	}
	in = (struct bytes){too_large, 10};
	assert_false(varint_take(&in, &n));
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_comes_back),
	    cmocka_unit_test(every_width),
	    cmocka_unit_test(wrong_runs),
	    cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
