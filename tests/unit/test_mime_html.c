/*
 * The HTML part of a message, as a browser is given it: found, decoded, bounded, and without what
 * works beside a frame's policy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "mail/mime.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define HTML "Content-Type: text/html; charset=utf-8\r\n"
#define MULTI(kind) "Content-Type: multipart/" kind "; boundary=b\r\n\r\n"

enum { HANG_SECONDS = 120 };

static const struct {
	const char *name, *input;
	const char *wanted; /* NULL: there is none */
} rows[] = {
    {"plain text", "Content-Type: text/plain\r\n\r\n<p>x\r\n", NULL},
    {"no type", "\r\n<html>x\r\n", NULL},
    {"nothing", "", NULL},
    {"no body", HTML, ""},
    {"an empty body", HTML "\r\n", ""},
    {"html", HTML "\r\n<p>a</p>\r\n", "<p>a</p>\n"},
    {"Latin-1", "Content-Type: text/html; charset=iso-8859-1\r\n\r\n\xfc", "\xc3\xbc"},
    {"a charset that is none", "Content-Type: text/html; charset=\"x\xff\"\r\n\r\na\xfc",
     "a\xef\xbf\xbd"},
    {"UTF-16",
     "Content-Type: text/html; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\n"
     "PABwAD4A\r\n",
     "<p>"},
    {"quoted-printable", HTML "Content-Transfer-Encoding: quoted-printable\r\n\r\n=3Cp=3E=C3=BC",
     "<p>\xc3\xbc"},
    {"base64 that is none", HTML "Content-Transfer-Encoding: base64\r\n\r\n!!!!", ""},
    {"controls", HTML "\r\n<\x01p\x7f>", "< p >"},
    {"beside plain text",
     MULTI("alternative") "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\n" HTML
			  "\r\ny\r\n--b--\r\n",
     "y"},
    {"the first of two", MULTI("mixed") "--b\r\n" HTML "\r\n1\r\n--b\r\n" HTML "\r\n2\r\n--b--\r\n",
     "1"},
    {"an attachment is none",
     MULTI("mixed") "--b\r\n" HTML "Content-Disposition: attachment\r\n\r\n1\r\n--b--\r\n", NULL},
    {"in a message",
     MULTI("mixed") "--b\r\nContent-Type: message/rfc822\r\n\r\n" HTML "\r\n1\r\n--b--\r\n", "1"},
    {"links", HTML "\r\n<link a><LINK><Link/><<link></link>",
     "<x-link a><x-LINK><x-Link/><<x-link></link>"},
    {"meta and base", HTML "\r\n<meta a><base b>", "<x-meta a><x-base b>"},
    {"frames", HTML "\r\n<iframe a></iframe><FRAMESET><embed b><object c>",
     "<x-iframe a></iframe><x-FRAMESET><x-embed b><x-object c>"},
    {"text that looks like it", HTML "\r\n< link <li <b link", "< link <li <b link"},
    {"a control within", HTML "\r\n<li\x01nk>", "<li nk>"},
};

static void
test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = {0};
		bool cut;

		print_message("  %s\n", rows[i].name);
		assert_int_equal(
		    mime_message_html(rows[i].input, strlen(rows[i].input), 1000, &out, &cut),
		    rows[i].wanted != NULL);
		assert_string_equal(buf_text(&out), rows[i].wanted != NULL ? rows[i].wanted : "");
		assert_false(cut);
		buf_free(&out);
	}
}

/* At each length: whole characters, and the beginning of all. */
static void
test_cut(void **state)
{
	static const char input[] = HTML "\r\n<link>\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80<meta>";
	struct buf all = {0};
	bool cut;

	(void)state;
	assert_true(mime_message_html(input, sizeof(input) - 1, 1000, &all, &cut));
	for (size_t max = 0; max <= all.len + 1; max++) {
		struct buf some = {0};

		assert_true(mime_message_html(input, sizeof(input) - 1, max, &some, &cut));
		assert_int_equal(cut, max < all.len);
		assert_true(some.len <= max && some.len + 4 > (max < all.len ? max : all.len));
		assert_true(text_is_utf8(buf_text(&some), some.len));
		assert_memory_equal(buf_text(&some), all.data, some.len);
		buf_free(&some);
	}
	buf_free(&all);
}

static void
test_sizes(void **state)
{
	static const struct {
		const char *name, *start, *unit, *end;
		size_t times;
		bool found;
	} sizes[] = {
	    {"parts in parts", MULTI("mixed"),
	     "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n" HTML "\r\nx",
	     10000, false},
	    {"messages in messages", "", "Content-Type: message/rfc822\r\n\r\n", HTML "\r\nx",
	     50000, false},
	    {"many parts before it", MULTI("mixed"), "--b\r\nContent-Type: image/png\r\n\r\nx\r\n",
	     "--b\r\n" HTML "\r\nx\r\n--b--\r\n", 10000, false},
	    {"elements that are turned off", HTML "\r\n", "<link>", "", 300000, true},
	    {"marks without a name", HTML "\r\n", "<", "", 2000000, true},
	    {"groups in a header", "To: ", "a:", "\r\n" HTML "\r\nx", 200000, true},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(sizes); i++) {
		struct buf in = {0}, out = {0};
		bool cut;

		print_message("  %s\n", sizes[i].name);
		alarm(HANG_SECONDS);
		buf_add_text(&in, sizes[i].start);
		for (size_t n = 0; n < sizes[i].times; n++)
			buf_add_text(&in, sizes[i].unit);
		buf_add_text(&in, sizes[i].end);
		assert_int_equal(mime_message_html(in.data, in.len, 1 << 20, &out, &cut),
				 sizes[i].found);
		assert_true(out.len <= 1 << 20);
		assert_null(strcasestr(buf_text(&out), "<link"));
		buf_free(&in);
		buf_free(&out);
	}
	alarm(0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_cut),
					   cmocka_unit_test(test_sizes)};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
