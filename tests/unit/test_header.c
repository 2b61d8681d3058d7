/*
 * header.h: what is a field and what is none, that untouched fields keep their bytes, how new ones
 * are folded, and that hostile sizes cost no more than their length.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/header.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
	const char *name, *input;
	size_t len; /* 0: strlen(input) */
	size_t fields;
	bool clean;
	const char *first, *value; /* name and unfolded value of the first field, NULL: none */
	const char *written;       /* NULL: as the input */
} parse_rows[] = {
    {"nothing", "", 0, 0, true, NULL, NULL, ""},
    {"one field", "A: b\r\n", 0, 1, true, "A", "b", NULL},
    {"no blank behind the colon", "A:b\r\n", 0, 1, true, "A", "b", NULL},
    {"blanks before the colon", "Bcc \t: b\r\n", 0, 1, true, "Bcc", "b", NULL},
    {"an empty value", "A:\r\n", 0, 1, true, "A", "", NULL},
    {"blanks at both ends", "A: \t b \t\r\n", 0, 1, true, "A", "b", NULL},
    {"folded", "A: b\r\n c\r\n\td\r\nE: f\r\n", 0, 2, true, "A", "b c\td", NULL},
    {"folded before the first word", "A:\r\n b\r\n", 0, 1, true, "A", "b", NULL},
    {"a folded line of blanks only", "A: b\r\n \r\n c\r\n", 0, 1, true, "A", "b  c", NULL},
    {"bytes beyond ASCII in a value", "A: \xc3\xb6\xff\r\n", 0, 1, true, "A", "\xc3\xb6\xff", NULL},
    {"colons in a value", "A: b: c:\r\n", 0, 1, true, "A", "b: c:", NULL},
    {"no colon", "garbage\r\nA: b\r\n", 0, 1, false, "", NULL, NULL},
    {"garbage in the middle", "A: b\r\ngarbage\r\nC: d\r\n", 0, 2, false, "A", "b", NULL},
    {"a blank in the name", "A b: c\r\n", 0, 1, false, "", NULL, NULL},
    {"no name", ": c\r\n", 0, 1, false, "", NULL, NULL},
    {"a control character in the name", "A\x01: c\r\n", 0, 1, false, "", NULL, NULL},
    {"a byte beyond ASCII in the name", "A\xc3: c\r\n", 0, 1, false, "", NULL, NULL},
    {"a continuation of nothing", " A: c\r\nB: d\r\n", 0, 1, false, "", NULL, NULL},
    {"an empty line", "A: b\r\n\r\nC: d\r\n", 0, 2, false, "A", "b", NULL},
    {"a line of mbox on top is left out", "From a@b Sat Nov 21\r\nA: b\r\n", 0, 1, true, "A", "b",
     "A: b\r\n"},
    {"the same, quoted", ">From a@b\r\nA: b\r\n", 0, 1, true, "A", "b", "A: b\r\n"},
    {"From with a blank before its colon", "From : a\r\nA: b\r\n", 0, 2, true, "From", "a", NULL},
    {"a line of mbox further down", "A: b\r\nFrom a@b\r\n", 0, 2, false, "A", "b", NULL},
    {"no end of line", "A: b", 0, 1, true, "A", "b", "A: b\r\n"},
    {"bare LF", "A: b\nC: d\n", 0, 2, true, "A", "b", "A: b\r\nC: d\r\n"},
    {"bare CR", "A: b\rC: d\r\n", 0, 1, true, "A", "b C: d", "A: b C: d\r\n"},
    {"CR CR LF", "A: b\r\r\nC: d\r\n", 0, 2, true, "A", "b", "A: b \r\nC: d\r\n"},
    {"NUL in a value", "A: b\0c\r\n", 8, 1, true, "A", "b c", "A: b c\r\n"},
    {"NUL in a name", "A\0: c\r\n", 7, 1, true, "A", "c", "A : c\r\n"},
    {"NUL only", "\0", 1, 1, false, "", NULL, " \r\n"},
};

static void
test_parse(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(parse_rows); i++) {
		const char *input = parse_rows[i].input, *written = parse_rows[i].written;
		size_t len = parse_rows[i].len > 0 ? parse_rows[i].len : strlen(input);
		struct arena arena = {0};
		struct buf out = {0};
		struct header h;

		print_message("  %s\n", parse_rows[i].name);
		header_parse(&h, input, len, &arena);
		assert_int_equal(h.count, parse_rows[i].fields);
		assert_int_equal(header_is_clean(&h), parse_rows[i].clean);
		if (parse_rows[i].first != NULL)
			assert_string_equal(h.fields[0].name, parse_rows[i].first);
		if (parse_rows[i].value != NULL)
			assert_string_equal(header_value(&h, &h.fields[0]), parse_rows[i].value);
		header_write(&h, &out);
		assert_string_equal(buf_text(&out), written != NULL ? written : input);
		buf_free(&out);
		arena_free(&arena);
	}
}

#define WORDS10 "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd eeeeeeeee fffffffff ggggggggg"
#define LONG100                                                                                    \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"                                       \
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct {
	const char *name, *value, *wanted;
} fold_rows[] = {
    {"short", "b", "X: b\r\n"},
    {"empty", "", "X:\r\n"},
    {"just 78", WORDS10 " 12345", "X: " WORDS10 " 12345\r\n"},
    {"one more", WORDS10 " 123456", "X: " WORDS10 "\r\n 123456\r\n"},
    {"one long word", LONG100, "X: " LONG100 "\r\n"},
    {"a long word behind a short one", "a " LONG100, "X: a\r\n " LONG100 "\r\n"},
    {"two long words", LONG100 " " LONG100, "X: " LONG100 "\r\n " LONG100 "\r\n"},
    {"a run of blanks goes along", WORDS10 "   123456", "X: " WORDS10 "\r\n   123456\r\n"},
    {"blanks at the end are dropped", WORDS10 " 1234        \t", "X: " WORDS10 " 1234\r\n"},
    {"a fold stays", "a\r\n b\r\n\tc", "X: a\r\n b\r\n\tc\r\n"},
    {"columns start anew behind a fold", WORDS10 "\r\n " WORDS10,
     "X: " WORDS10 "\r\n " WORDS10 "\r\n"},
    {"CRLF that folds nothing", "a\r\nBcc: b", "X: a  Bcc: b\r\n"},
    {"LF and CR", "a\nb\rc\r\n", "X: a b c\r\n"},
    {"CR LF at the end", "a\r\n ", "X: a\r\n"},
    {"tabs", "a\tb", "X: a\tb\r\n"},
};

static void
test_fold(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(fold_rows); i++) {
		struct arena arena = {0};
		struct buf out = {0};
		struct header h;

		print_message("  %s\n", fold_rows[i].name);
		header_parse(&h, "", 0, &arena);
		header_append(&h, "X", fold_rows[i].value);
		header_write(&h, &out);
		assert_string_equal(buf_text(&out), fold_rows[i].wanted);
		buf_free(&out);
		arena_free(&arena);
	}
}

static void
test_edit(void **state)
{
	static const char input[] = "To: a\r\nBCC: b\r\nbcc : c\r\n d\r\nX-Mailfuse-A: 1\r\n"
				    "x-mailFUSE-b: 2\r\nX-Mailfuse: 3\r\nto: e\r\nBccc: f\r\n";
	struct arena arena = {0};
	struct buf out = {0};
	struct header h;

	(void)state;
	header_parse(&h, input, strlen(input), &arena);
	assert_int_equal(header_count(&h, "TO"), 2);
	assert_string_equal(header_value(&h, header_find(&h, "tO")), "a");
	header_remove(&h, "Bcc");
	header_remove_prefix(&h, "X-Mailfuse-");
	assert_null(header_find(&h, "Bcc"));
	assert_int_equal(header_count(&h, "X-Mailfuse-A"), 0);
	header_replace(&h, &h.fields[0], "new");
	header_prepend(&h, "First", "1");
	header_prepend(&h, "Zeroth", "0");
	header_append(&h, "Last", "9");
	header_write(&h, &out);
	assert_string_equal(buf_text(&out), "Zeroth: 0\r\nFirst: 1\r\nTo: new\r\nX-Mailfuse: 3\r\n"
					    "to: e\r\nBccc: f\r\nLast: 9\r\n");
	buf_free(&out);
	arena_free(&arena);
}

/* What is no field stays last, and fields added at the bottom stand before it. */
static void
test_append_before_garbage(void **state)
{
	struct arena arena = {0};
	struct buf out = {0};
	struct header h;

	(void)state;
	header_parse(&h, "A: b\r\ngarbage\r\n", 15, &arena);
	header_append(&h, "C", "d");
	header_append(&h, "E", "f");
	assert_false(header_is_clean(&h));
	header_write(&h, &out);
	assert_string_equal(buf_text(&out), "A: b\r\nC: d\r\nE: f\r\ngarbage\r\n");
	buf_free(&out);
	arena_free(&arena);
}

/* A square cost would take minutes here; a second is far more than it needs. */
static void
test_sizes(void **state)
{
	static const struct {
		const char *name, *unit;
		size_t times, fields;
	} rows[] = {
	    {"100,000 fields", "To: a@b.example\r\n", 100000, 100000},
	    {"one line of 1 MB", "aaaaaaaaaa", 100000, 1},
	    {"100,000 continuations", " a\r\n", 100000, 1},
	    {"250,000 shortest fields", "a:\r\n", 250000, 250000},
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct arena arena = {0};
		struct buf in = {0}, out = {0};
		struct header h;

		print_message("  %s\n", rows[i].name);
		if (rows[i].fields == 1)
			buf_add_text(&in, "A:");
		for (n = 0; n < rows[i].times; n++)
			buf_add_text(&in, rows[i].unit);
		header_parse(&h, in.data, in.len, &arena);
		assert_int_equal(h.count, rows[i].fields);
		header_value(&h, &h.fields[0]);
		header_remove_prefix(&h, "X-");
		header_prepend(&h, "A", "b");
		header_write(&h, &out);
		assert_true(arena.total < 20 * in.len);
		buf_free(&in);
		buf_free(&out);
		arena_free(&arena);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse), cmocka_unit_test(test_fold),
	    cmocka_unit_test(test_edit),  cmocka_unit_test(test_append_before_garbage),
	    cmocka_unit_test(test_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
