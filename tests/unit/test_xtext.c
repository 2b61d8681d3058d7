/*
 * xtext.h: what is xtext, what it stands for once it is safe to show, and that encoding what any
 * client could send gives it back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/xtext.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct row {
	const char *name, *text, *decoded; /* NULL: no xtext */
} rows[] = {
    {"empty", "", ""},
    {"plain", "QQ314159", "QQ314159"},
    {"every plain character", "!\"#$%&'()*,-./09:;<>?@AZ[\\]^_`az{|}~",
     "!\"#$%&'()*,-./09:;<>?@AZ[\\]^_`az{|}~"},
    {"plus and equals", "a+2Bb+3Dc", "a+b=c"},
    {"a blank", "a+20b", "a b"},
    {"plus behind plus", "+2B2B", "+2B"},
    {"UTF-8", "j+C3+B6rg", "j\303\266rg"},
    {"UTF-8 in part plain", "+F0+9F+92+A9!", "\360\237\222\251!"},
    {"a new line", "a+0D+0ABcc:+20b", "a??Bcc: b"},
    {"NUL", "a+00b", "a?b"},
    {"DEL", "+7F", "?"},
    {"a C1 control", "a+C2+85b", "a??b"},
    {"no UTF-8", "j+F6rg", "j?rg"},
    {"UTF-8 cut short", "j+C3", "j?"},
    {"UTF-8 cut short by ASCII", "+C3a", "?a"},
    {"an overlong slash", "+C0+AF", "??"},
    {"a surrogate", "+ED+A0+80", "???"},
    {"a noncharacter", "+EF+BF+BF", "???"},
    {"lower case digits", "a+3d", NULL},
    {"one digit", "a+3", NULL},
    {"no digit", "a+", NULL},
    {"no hexadecimal digit", "a+3G", NULL},
    {"a blank as it is", "a b", NULL},
    {"equals as it is", "a=b", NULL},
    {"a tab", "a\tb", NULL},
    {"a line end", "a\r\nb", NULL},
    {"DEL as it is", "\177", NULL},
    {"UTF-8 as it is", "\303\266", NULL},
    {"good, then bad", "abc+2Bdef+", NULL},
};

static void
test_decode(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct buf out = {0};

		print_message("  %s\n", rows[i].name);
		buf_add_text(&out, "before ");
		assert_int_equal(xtext_is_valid(rows[i].text), rows[i].decoded != NULL);
		assert_int_equal(xtext_decode(rows[i].text, &out), rows[i].decoded != NULL);
		assert_memory_equal(out.data, "before ", 7);
		assert_string_equal(out.data + 7, rows[i].decoded != NULL ? rows[i].decoded : "");
		buf_free(&out);
	}
}

static const struct {
	const char *text, *encoded;
} encode_rows[] = {
    {"", ""},
    {"anna@b.example", "anna@b.example"},
    {"a+b=c d", "a+2Bb+3Dc+20d"},
    {"a\r\nb", "a+0D+0Ab"},
    {"j\303\266rg", "j+C3+B6rg"},
    {"\001\177\377", "+01+7F+FF"},
};

static void
test_encode(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(encode_rows); i++) {
		struct buf out = {0};

		xtext_encode(encode_rows[i].text, &out);
		assert_string_equal(buf_text(&out), encode_rows[i].encoded);
		assert_true(xtext_is_valid(buf_text(&out)));
		buf_free(&out);
	}
}

/* Each byte alone: as it is, or the one way to write it. */
static void
test_every_byte(void **state)
{
	int c;

	(void)state;
	for (c = 1; c < 256; c++) {
		char text[2] = {(char)c, '\0'}, wanted[2] = {(char)c, '\0'};
		struct buf encoded = {0}, decoded = {0};

		xtext_encode(text, &encoded);
		assert_true(xtext_decode(encoded.data, &decoded));
		if (c < ' ' || c >= 0x7f)
			wanted[0] = '?';
		assert_string_equal(decoded.data, wanted);
		assert_int_equal(xtext_is_valid(text), encoded.len == 1);
		buf_free(&encoded);
		buf_free(&decoded);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_decode),
	    cmocka_unit_test(test_encode),
	    cmocka_unit_test(test_every_byte),
	};

	return cmocka_run_group_tests_name("xtext", tests, NULL, NULL);
}
