/*
 * reply.h: replies of good, odd and hostile servers, whole and byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/reply.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct row {
	const char *name, *input;
	enum reply_result result;
	int code;
	const char *status, *text, *line, *rest;
} rows[] = {
    {"greeting", "220 mx.example ESMTP\r\n", REPLY_DONE, 220, "", "mx.example ESMTP",
     "220 mx.example ESMTP", ""},
    {"enhanced code", "451 4.3.0 Try later\r\n", REPLY_DONE, 451, "4.3.0", "Try later",
     "451 4.3.0 Try later", ""},
    {"several lines", "250-mx.example\r\n250-SIZE 1000\r\n250 8BITMIME\r\n", REPLY_DONE, 250, "",
     "mx.example\nSIZE 1000\n8BITMIME", "250 mx.example SIZE 1000 8BITMIME", ""},
    {"enhanced code on each line", "550-5.1.1 No such\r\n550 5.1.1 user\r\n", REPLY_DONE, 550,
     "5.1.1", "No such\nuser", "550 5.1.1 No such user", ""},
    {"enhanced code on the first line", "550-5.1.1 No such\r\n550 user\r\n", REPLY_DONE, 550,
     "5.1.1", "No such\nuser", "550 5.1.1 No such user", ""},
    {"enhanced code alone", "250 2.0.0\r\n", REPLY_DONE, 250, "2.0.0", "", "250 2.0.0", ""},
    {"enhanced code of another class", "550 4.1.1 x\r\n", REPLY_DONE, 550, "", "4.1.1 x",
     "550 4.1.1 x", ""},
    {"longest enhanced code", "550 5.123.456 x\r\n", REPLY_DONE, 550, "5.123.456", "x",
     "550 5.123.456 x", ""},
    {"an IP address is no enhanced code", "250 2.0.0.1 x\r\n", REPLY_DONE, 250, "", "2.0.0.1 x",
     "250 2.0.0.1 x", ""},
    {"a long number is no enhanced code", "250 2.0.1234 x\r\n", REPLY_DONE, 250, "", "2.0.1234 x",
     "250 2.0.1234 x", ""},
    {"code alone", "354\r\n", REPLY_DONE, 354, "", "", "354", ""},
    {"code and blank", "250 \r\n", REPLY_DONE, 250, "", "", "250", ""},
    {"an empty line within", "250-\r\n250 b\r\n", REPLY_DONE, 250, "", "b", "250 b", ""},
    {"bare LF", "250-a\n250 b\n", REPLY_DONE, 250, "", "a\nb", "250 a b", ""},
    {"pipelined", "250 a\r\n550 b\r\n", REPLY_DONE, 250, "", "a", "250 a", "550 b\r\n"},
    {"control characters and bytes", "250 \033[31m caf\303\251\177\r\n", REPLY_DONE, 250, "",
     "?[31m caf???", "250 ?[31m caf???", ""},
    {"nothing", "", REPLY_MORE, 0, "", "", "", ""},
    {"no end of line", "250 ok", REPLY_MORE, 0, "", "", "", ""},
    {"no last line", "250-ok\r\n", REPLY_MORE, 0, "", "", "", ""},
    {"codes that differ", "250-a\r\n550 b\r\n", REPLY_BAD, 0, "", "", "", ""},
    {"HTTP", "HTTP/1.1 400 Bad Request\r\n", REPLY_BAD, 0, "", "", "", ""},
    {"an empty line", "\r\n", REPLY_BAD, 0, "", "", "", ""},
    {"two digits", "25 x\r\n", REPLY_BAD, 0, "", "", "", ""},
    {"four digits", "2500\r\n", REPLY_BAD, 0, "", "", "", ""},
    {"1xx", "150 x\r\n", REPLY_BAD, 0, "", "", "", ""},
    {"6xx", "600 x\r\n", REPLY_BAD, 0, "", "", "", ""},
    {"a blank first", " 250 x\r\n", REPLY_BAD, 0, "", "", "", ""},
};

static void
check_row(const struct row *row, size_t piece)
{
	struct reply r = {0};
	struct buf line = {0};
	enum reply_result result = REPLY_MORE;
	size_t len = strlen(row->input), at = 0, used;

	while (at < len && result == REPLY_MORE) {
		size_t n = len - at < piece ? len - at : piece;

		result = reply_feed(&r, row->input + at, n, &used);
		at += used;
	}
	assert_int_equal(result, row->result);
	if (result == REPLY_DONE) {
		assert_int_equal(r.code, row->code);
		assert_string_equal(r.status, row->status);
		assert_string_equal(buf_text(&r.text), row->text);
		assert_string_equal(row->input + at, row->rest);
		reply_format(&r, &line);
		assert_string_equal(buf_text(&line), row->line);
	}
	buf_free(&line);
	reply_free(&r);
}

static void
test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		print_message("  %s\n", rows[i].name);
		check_row(&rows[i], SIZE_MAX);
		check_row(&rows[i], 1);
		check_row(&rows[i], 3);
	}
}

/* One struct, one reply after the other out of one buffer: nothing of the last one is left. */
static void
test_pipelined(void **state)
{
	static const char input[] = "250-2.1.0 a\r\n250 2.1.0 b\r\n550 5.1.1 c\r\n354\r\n22";
	static const struct {
		int code;
		const char *status, *text;
	} wanted[] = {{250, "2.1.0", "a\nb"}, {550, "5.1.1", "c"}, {354, "", ""}};
	struct reply r = {0};
	size_t at = 0, used, i;

	(void)state;
	for (i = 0; i < COUNT(wanted); i++) {
		assert_int_equal(reply_feed(&r, input + at, strlen(input) - at, &used), REPLY_DONE);
		assert_int_equal(r.code, wanted[i].code);
		assert_string_equal(r.status, wanted[i].status);
		assert_string_equal(buf_text(&r.text), wanted[i].text);
		at += used;
		reply_reset(&r);
	}
	assert_int_equal(reply_feed(&r, input + at, strlen(input) - at, &used), REPLY_MORE);
	assert_string_equal(input + at + used, "");
	assert_int_equal(reply_feed(&r, "1 x\r\n", 5, &used), REPLY_DONE);
	assert_int_equal(r.code, 221);
	reply_free(&r);
}

static enum reply_result
feed_fill(struct reply *r, const char *start, char fill, size_t count)
{
	struct buf input = {0};
	enum reply_result result;
	size_t used;

	buf_add_text(&input, start);
	while (count-- > 0)
		buf_add_char(&input, fill);
	result = reply_feed(r, input.data, input.len, &used);
	buf_free(&input);
	return result;
}

static void
test_long_line(void **state)
{
	struct reply r = {0};
	struct buf line = {0};
	size_t used;

	(void)state;
	assert_int_equal(feed_fill(&r, "451 4.3.0 ", 'x', 10000), REPLY_MORE);
	assert_int_equal(r.line.len, REPLY_LINE_MAX);
	assert_int_equal(reply_feed(&r, "\r\n", 2, &used), REPLY_DONE);
	assert_string_equal(r.status, "4.3.0");
	assert_int_equal(r.text.len, REPLY_LINE_MAX - strlen("451 4.3.0 "));
	buf_add_text(&line, "before: ");
	reply_format(&r, &line);
	assert_int_equal(line.len, strlen("before: ") + 500);
	buf_free(&line);
	reply_free(&r);
}

/* A server that never stops: cut off, and until then little is kept. */
static void
test_floods(void **state)
{
	struct reply r = {0};
	enum reply_result result = REPLY_MORE;
	size_t used, total = 0;

	(void)state;
	assert_int_equal(feed_fill(&r, "250 ", 'x', REPLY_BYTES_MAX), REPLY_BAD);
	assert_in_range(r.line.len, 0, REPLY_LINE_MAX);
	reply_reset(&r);
	while (result == REPLY_MORE) {
		result = reply_feed(&r, "250-again and again\r\n", 21, &used);
		total += used;
		assert_in_range(r.text.len, 0, REPLY_TEXT_MAX);
	}
	assert_int_equal(result, REPLY_BAD);
	assert_in_range(total, REPLY_BYTES_MAX, REPLY_BYTES_MAX + 21);
	assert_int_equal(r.text.len, REPLY_TEXT_MAX);
	reply_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_pipelined),
	    cmocka_unit_test(test_long_line),
	    cmocka_unit_test(test_floods),
	};

	return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
