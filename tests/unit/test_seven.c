/*
 * seven.h: messages before and after, row by row, each in pieces of several sizes, with the same
 * result. That what a reader decodes is the same is checked by tests/unit/mail_format.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mail/mime.h"
#include "mail/seven.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

#define MIME "MIME-Version: 1.0\r\n"
#define TEXT "Content-Type: text/plain; charset=utf-8\r\n"
#define PDF "Content-Type: application/pdf\r\n"
#define EIGHT "Content-Transfer-Encoding: 8bit\r\n"
#define SEVEN "Content-Transfer-Encoding: 7bit\r\n"
#define QUOTED "Content-Transfer-Encoding: quoted-printable\r\n"
#define BASE64 "Content-Transfer-Encoding: base64\r\n"
#define MIXED "Content-Type: multipart/mixed; boundary=b\r\n"
#define OE "\303\266"
#define QOE "=C3=B6"
#define A70 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg"

/* `after` NULL: not a byte changes. */
static const struct row {
	const char *name, *before, *after;
} rows[] = {
    /* leaves */
    {"text in 8 bits", MIME TEXT EIGHT "\r\n" OE "\r\n", MIME TEXT QUOTED "\r\n" QOE "\r\n"},
    {"binary, in any case", MIME TEXT "content-transfer-ENCODING: BINARY\r\n\r\n" OE "\r\n",
     MIME TEXT "content-transfer-ENCODING: quoted-printable\r\n\r\n" QOE "\r\n"},
    {"not text", MIME PDF EIGHT "\r\n%" OE "\r\n\r\nab", MIME PDF BASE64 "\r\nJcO2DQoNCmFi\r\n"},
    {"no encoding said", MIME TEXT "\r\n" OE "\r\n", MIME TEXT QUOTED "\r\n" QOE "\r\n"},
    {"7bit that is not", MIME TEXT SEVEN "\r\nabc " OE "\r\n",
     MIME TEXT QUOTED "\r\nabc " QOE "\r\n"},
    {"7bit that is", MIME TEXT SEVEN "\r\n=C3 \r\n", NULL},
    {"8bit that is 7bit", MIME TEXT EIGHT "\r\na=b\r\n", MIME TEXT QUOTED "\r\na=3Db\r\n"},
    {"quoted-printable stays", MIME TEXT QUOTED "\r\n" QOE " \r\n", NULL},
    {"base64 stays", MIME PDF BASE64 "\r\nJcO2DQoNCmFi\r\n", NULL},
    {"base64 with a byte beyond", MIME PDF BASE64 "\r\nJc\377\r\n", MIME PDF BASE64 "\r\nJc?\r\n"},
    {"an encoding of one's own stays",
     MIME PDF "Content-Transfer-Encoding: x-uuencode\r\n\r\nM\r\n", NULL},
    {"an unknown encoding is 8bit", MIME TEXT "Content-Transfer-Encoding: utf-8\r\n\r\n" OE "\r\n",
     MIME TEXT QUOTED "\r\n" QOE "\r\n"},
    {"comments in the encoding",
     MIME TEXT "Content-Transfer-Encoding: (a (b\\)) c) base64 (d)\r\n\r\nJcO2\r\n", NULL},
    {"folded encoding", MIME TEXT "Content-Transfer-Encoding:\r\n\t8bit\r\n\r\n" OE "\r\n",
     MIME TEXT QUOTED "\r\n" QOE "\r\n"},
    {"the encoding twice", MIME EIGHT TEXT BASE64 "\r\n" OE "\r\n",
     MIME QUOTED TEXT "\r\n" QOE "\r\n"},
    {"no MIME at all", "Subject: x\r\n\r\n" OE "\r\n",
     "Subject: x\r\n" MIME "Content-Type: text/plain; charset=unknown-8bit\r\n" QUOTED "\r\n" QOE
     "\r\n"},
    {"no MIME and 7-bit", "Subject: x\r\n\r\nx\r\n", NULL},
    {"bytes in the header stay", "Subject: " OE "\r\n" MIME TEXT EIGHT "\r\nx\r\n",
     "Subject: " OE "\r\n" MIME TEXT QUOTED "\r\nx\r\n"},
    {"no body", "Subject: x\r\n", NULL},
    {"nothing", "", NULL},
    {"no line end", MIME TEXT EIGHT "\r\n" OE, MIME TEXT QUOTED "\r\n" QOE},
    {"a line that is no field", "Subject: x\r\nnonsense " OE "\r\n\r\ny\r\n",
     "Subject: x\r\n" MIME "Content-Type: text/plain; charset=unknown-8bit\r\n" QUOTED
     "\r\nnonsense " QOE "\r\n\r\ny\r\n"},
    {"From of mbox", "From a " OE "\r\nSubject: x\r\n\r\ny\r\n",
     "From a ??\r\nSubject: x\r\n\r\ny\r\n"},
    {"empty lines", MIME TEXT EIGHT "\r\n\r\n\r\n" OE "\r\n\r\n\r\n",
     MIME TEXT QUOTED "\r\n\r\n\r\n" QOE "\r\n\r\n\r\n"},
    /* quoted-printable */
    {"blanks at a line's end", MIME TEXT EIGHT "\r\na b \r\nc\t\r\n \r\n",
     MIME TEXT QUOTED "\r\na b=20\r\nc=09\r\n=20\r\n"},
    {"a blank at the end", MIME TEXT EIGHT "\r\na ", MIME TEXT QUOTED "\r\na=20"},
    {"75 characters", MIME TEXT EIGHT "\r\n" A70 "hhhhh\r\n",
     MIME TEXT QUOTED "\r\n" A70 "hhhhh\r\n"},
    {"76 characters", MIME TEXT EIGHT "\r\n" A70 "hhhhhi\r\n",
     MIME TEXT QUOTED "\r\n" A70 "hhhhh=\r\ni\r\n"},
    {"no token is split", MIME TEXT EIGHT "\r\n" A70 "hhh" OE "\r\n",
     MIME TEXT QUOTED "\r\n" A70 "hhh=\r\n" QOE "\r\n"},
    {"a blank at the edge", MIME TEXT EIGHT "\r\n" A70 "hhhhh \r\n",
     MIME TEXT QUOTED "\r\n" A70 "hhhhh=\r\n=20\r\n"},
    {"no false delimiter by a soft break", MIME TEXT EIGHT "\r\n" A70 "hhhhh--b\r\n",
     MIME TEXT QUOTED "\r\n" A70 "hhhhh=\r\n=2D-b\r\n"},
    {"dots and From", MIME TEXT EIGHT "\r\n.\r\n..a\r\nFrom x\r\n",
     MIME TEXT QUOTED "\r\n.\r\n..a\r\nFrom x\r\n"},
    {"control characters", MIME TEXT EIGHT "\r\na\001\177\rb\r\n",
     MIME TEXT QUOTED "\r\na=01=7F=0Db\r\n"},
    /* multiparts */
    {"parts of all kinds",
     MIME MIXED EIGHT "\r\npre" OE "\r\n--b\r\n" TEXT EIGHT "\r\n" OE "\r\n\r\n--b\r\n" PDF EIGHT
		      "\r\nab\r\n--b\r\n" BASE64 "\r\nJcO2\r\n--b--\r\nepi" OE "\r\n",
     MIME MIXED SEVEN "\r\npre??\r\n--b\r\n" TEXT QUOTED "\r\n" QOE "\r\n\r\n--b\r\n" PDF BASE64
		      "\r\nYWI=\r\n--b\r\n" BASE64 "\r\nJcO2\r\n--b--\r\nepi??\r\n"},
    {"a part without a header", MIME MIXED "\r\n--b\r\n\r\n" OE "\r\n--b--\r\n",
     MIME MIXED "\r\n--b\r\n" QUOTED "\r\n" QOE "\r\n--b--\r\n"},
    {"a part without a body", MIME MIXED "\r\n--b\r\n" TEXT "--b\r\n\r\n--b--\r\n", NULL},
    {"a part's 7 bits stay",
     MIME MIXED "\r\n--b\r\n" TEXT "\r\na \r\n--b\r\n" TEXT "\r\n" OE "\r\n--b--\r\n",
     MIME MIXED "\r\n--b\r\n" TEXT "\r\na \r\n--b\r\n" TEXT QUOTED "\r\n" QOE "\r\n--b--\r\n"},
    {"no MIME-Version", MIXED "\r\n--b\r\n\r\n" OE "\r\n--b--\r\n",
     MIXED MIME "\r\n--b\r\n" QUOTED "\r\n" QOE "\r\n--b--\r\n"},
    {"nested",
     MIME MIXED "\r\n--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n" EIGHT
		"\r\n--bb\r\n" TEXT EIGHT "\r\n" OE "\r\n--bb--\r\n\r\n--b\r\n" TEXT EIGHT "\r\n" OE
		"\r\n--b--\r\n",
     MIME MIXED "\r\n--b\r\nContent-Type: multipart/alternative; boundary=bb\r\n" SEVEN
		"\r\n--bb\r\n" TEXT QUOTED "\r\n" QOE "\r\n--bb--\r\n\r\n--b\r\n" TEXT QUOTED
		"\r\n" QOE "\r\n--b--\r\n"},
    {"the outer delimiter ends the inner multipart",
     MIME MIXED "\r\n--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n" TEXT EIGHT
		"\r\n" OE "\r\n--b\r\n" TEXT EIGHT "\r\n" OE "\r\n--bb\r\n--b--\r\n",
     MIME MIXED "\r\n--b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\n" TEXT QUOTED
		"\r\n" QOE "\r\n--b\r\n" TEXT QUOTED "\r\n" QOE "\r\n--bb\r\n--b--\r\n"},
    {"no final delimiter", MIME MIXED "\r\n--b\r\n" TEXT EIGHT "\r\n" OE "\r\n",
     MIME MIXED "\r\n--b\r\n" TEXT QUOTED "\r\n" QOE "\r\n"},
    {"the end in a delimiter", MIME MIXED "\r\n--b\r\n" TEXT EIGHT "\r\n" OE "\r\n--b--",
     MIME MIXED "\r\n--b\r\n" TEXT QUOTED "\r\n" QOE "\r\n--b--"},
    {"the end in a part's header", MIME MIXED "\r\n--b\r\n" TEXT, NULL},
    {"blanks behind a delimiter",
     MIME MIXED "\r\n--b \t\r\n" TEXT EIGHT "\r\n" OE "\r\n--b-- \r\n" OE,
     MIME MIXED "\r\n--b \t\r\n" TEXT QUOTED "\r\n" QOE "\r\n--b-- \r\n??"},
    {"lines that are no delimiter",
     MIME MIXED "\r\n--b\r\n" TEXT EIGHT
		"\r\n--bc\r\n--b-\r\n--b---\r\n --b\r\n-b\r\n--\r\nx--b\r\n--b x\r\n" OE
		"\r\n--b--\r\n",
     MIME MIXED "\r\n--b\r\n" TEXT QUOTED
		"\r\n--bc\r\n--b-\r\n--b---\r\n --b\r\n-b\r\n--\r\nx--b\r\n--b x\r\n" QOE
		"\r\n--b--\r\n"},
    {"a boundary in quotes, comments, folds",
     MIME
     "Content-Type: multipart/mixed (boundary=x);\r\n\tcharset=\"; boundary=y\";\r\n\tBoundary "
     "= \"a (b\\\"\" (z)\r\n\r\n--x\r\n" OE "\r\n--a (b\"\r\n\r\n" OE "\r\n--a (b\"--\r\n",
     MIME
     "Content-Type: multipart/mixed (boundary=x);\r\n\tcharset=\"; boundary=y\";\r\n\tBoundary "
     "= \"a (b\\\"\" (z)\r\n\r\n--x\r\n??\r\n--a (b\"\r\n" QUOTED "\r\n" QOE "\r\n--a (b\"--\r\n"},
    {"Content-Type twice: the first counts", MIME MIXED PDF "\r\n--b\r\n\r\n" OE "\r\n--b--\r\n",
     MIME MIXED PDF "\r\n--b\r\n" QUOTED "\r\n" QOE "\r\n--b--\r\n"},
    {"no boundary", MIME "Content-Type: multipart/mixed\r\n\r\n--b\r\n" OE "\r\n",
     MIME "Content-Type: multipart/mixed\r\n" QUOTED "\r\n--b\r\n" QOE "\r\n"},
    {"a boundary beyond ASCII",
     MIME "Content-Type: multipart/mixed; boundary=\"" OE "\"\r\n\r\n--" OE "\r\n\r\nx\r\n",
     MIME "Content-Type: multipart/mixed; boundary=\"" OE "\"\r\n" QUOTED "\r\n--" QOE
	  "\r\n\r\nx\r\n"},
    {"digest",
     MIME "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n" MIME EIGHT
	  "\r\n" OE "\r\n--b--\r\n",
     MIME "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n" MIME QUOTED
	  "Content-Type: text/plain; charset=unknown-8bit\r\n\r\n" QOE "\r\n--b--\r\n"},
    /* messages in messages */
    {"a message",
     MIME "Content-Type: message/rfc822\r\n" EIGHT "\r\nSubject: " OE "\r\n" MIME TEXT EIGHT
	  "\r\n" OE "\r\n",
     MIME "Content-Type: message/rfc822\r\n" SEVEN "\r\nSubject: " OE "\r\n" MIME TEXT QUOTED
	  "\r\n" QOE "\r\n"},
    {"a multipart in a message in a multipart",
     MIME MIXED "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" MIME
		"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" TEXT EIGHT "\r\n" OE
		"\r\n--b\r\n" TEXT "\r\n--c\r\n" OE "\r\n--b--\r\n",
     MIME MIXED "\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" MIME
		"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n" TEXT QUOTED "\r\n" QOE
		"\r\n--b\r\n" TEXT QUOTED "\r\n--c\r\n" QOE "\r\n--b--\r\n"},
    {"an encoded message stays", MIME "Content-Type: message/rfc822\r\n" BASE64 "\r\nJcO2\r\n",
     NULL},
    {"a delivery status is for people too",
     MIME "Content-Type: message/delivery-status\r\n" EIGHT "\r\nA: " OE "\r\n",
     MIME "Content-Type: message/delivery-status\r\n" QUOTED "\r\nA: " QOE "\r\n"},
    /* RFC 1847 */
    {"what is signed in 7 bits stays",
     MIME
     "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n"
     "\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\na \r\n--c--\r\n\r\n--b\r\n"
     "Content-Type: application/pgp-signature\r\n\r\nabc\r\n--b--\r\n",
     NULL},
    {"what is signed in 8 bits is readable at least",
     MIME "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" TEXT EIGHT "\r\n" OE
	  "\r\n--b--\r\n",
     MIME "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" TEXT QUOTED "\r\n" QOE
	  "\r\n--b--\r\n"},
};

static void
collect(void *context, const char *data, size_t len)
{
	buf_add(context, data, len);
}

static char *
convert(const char *before, size_t len, size_t piece)
{
	struct seven *s = seven_new();
	struct buf out = {0};
	size_t at, n;

	for (at = 0; at < len; at += n) {
		n = len - at < piece ? len - at : piece;
		seven_feed(s, before + at, n, collect, &out);
	}
	seven_finish(s, collect, &out);
	seven_free(s);
	return buf_take(&out);
}

static void
test_rows(void **state)
{
	static const size_t pieces[] = {SIZE_MAX, 1, 2, 7};
	size_t i, p;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		const char *after = rows[i].after != NULL ? rows[i].after : rows[i].before;

		print_message("  %s\n", rows[i].name);
		for (p = 0; p < COUNT(pieces); p++) {
			char *got = convert(rows[i].before, strlen(rows[i].before), pieces[p]);

			assert_string_equal(got, after);
			free(got);
		}
	}
}

static void
add_times(struct buf *b, size_t n, const char *unit)
{
	for (; n > 0; n--)
		buf_add_text(b, unit);
}

/* The first 64 KiB decide; what is sealed and looked 7-bit so long keeps its lines in any case. */
static void
test_late_bytes(void **state)
{
	static const struct {
		const char *name, *type, *encoding, *last;
	} cases[] = {
	    {"early enough is encoded as its type wants", "application/pdf", BASE64, NULL},
	    {"late is quoted-printable", "application/pdf", QUOTED, "\r\nx" QOE "\r\n"},
	    {"signed keeps its bytes", "multipart/signed; boundary=b", "", "\r\nx??\r\n"},
	    {"encrypted keeps its bytes", "multipart/encrypted; boundary=b", "", "\r\nx??\r\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		struct buf b = {0};
		char *whole, *pieces, *header;

		print_message("  %s\n", cases[i].name);
		buf_printf(&b, MIME "Content-Type: %s\r\n\r\n", cases[i].type);
		if (strncmp(cases[i].type, "multipart", 9) == 0)
			buf_add_text(&b, "--b\r\n\r\n");
		add_times(&b, cases[i].last != NULL ? 6600 : 6500, "12345678\r\n");
		buf_add_text(&b, "x" OE "\r\n");
		whole = convert(b.data, b.len, SIZE_MAX);
		pieces = convert(b.data, b.len, 1);
		assert_string_equal(whole, pieces);
		header =
		    mem_printf(MIME "Content-Type: %s\r\n%s\r\n", cases[i].type, cases[i].encoding);
		assert_memory_equal(whole, header, strlen(header));
		if (cases[i].last != NULL)
			assert_string_equal(whole + strlen(whole) - strlen(cases[i].last),
					    cases[i].last);
		free(header);
		free(whole);
		free(pieces);
		buf_free(&b);
	}
}

/* 30 multiparts in each other: the 21st is a leaf, and what is in it is 7-bit too. */
static void
test_depth(void **state)
{
	struct buf b = {0};
	char *got;
	int i;

	(void)state;
	buf_add_text(&b, MIME);
	for (i = 0; i < 30; i++)
		buf_printf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i,
			   i);
	buf_add_text(&b, TEXT EIGHT "\r\n" OE "\r\n--b19--\r\n" OE "\r\n--b0\r\n\r\n" OE "\r\n");
	got = convert(b.data, b.len, 1);
	assert_non_null(strstr(got, "boundary=3Db21\r\n\r\n--b21"));
	assert_non_null(strstr(got, "\r\n--b19--\r\n??\r\n--b0\r\n" QUOTED "\r\n" QOE "\r\n"));
	free(got);
	buf_free(&b);
}

/* A delimiter with more blanks than a line may have is none; a line may be as long as it likes. */
static void
test_long_lines(void **state)
{
	struct buf b = {0};
	char *got;

	(void)state;
	buf_add_text(&b, MIME MIXED "\r\n--b\r\n" TEXT EIGHT "\r\n--b");
	add_times(&b, 1000, " ");
	buf_add_text(&b, "\r\n");
	add_times(&b, 100000, OE);
	buf_add_text(&b, "\r\n--b--\r\n");
	got = convert(b.data, b.len, 1000);
	assert_non_null(strstr(got, QUOTED "\r\n--b   "));
	assert_int_equal(strlen(strstr(got, "--b--")), 7);
	free(got);
	buf_free(&b);
}

/* Whatever comes, no more than the limits of seven.c is kept: the rest has been handed on. */
static void
test_bounded(void **state)
{
	static const struct {
		const char *name, *start, *unit;
		size_t kept;
	} cases[] = {
	    {"header without an end", "Subject: x\r\n", "X: abcdefghijklmnopqrstuvwxyz\r\n",
	     (2 << 20) + 65536},
	    {"part header without an end", MIME MIXED "\r\n--b\r\n", "X: abcdefghijklmnopqrst\r\n",
	     (128 << 10) + 65536},
	    {"line in a part header", MIME MIXED "\r\n--b\r\n", "X: abcdefghijklmnopqrst",
	     (128 << 10) + 65536},
	    {"leaf", MIME TEXT "\r\n", "abcdefghijklmnopqrstuvwxyz\r\n", 65536},
	    {"line", MIME MIXED "\r\n--b\r\n\r\n--b", "                              ", 65536},
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		struct seven *s = seven_new();
		struct buf out = {0};
		size_t fed = 0;

		print_message("  %s\n", cases[i].name);
		seven_feed(s, cases[i].start, strlen(cases[i].start), collect, &out);
		for (n = 0; n < 200000; n++) {
			seven_feed(s, cases[i].unit, strlen(cases[i].unit), collect, &out);
			fed += strlen(cases[i].unit);
			if (fed > cases[i].kept + 4096)
				assert_true(out.len + cases[i].kept + 4096 > fed);
		}
		seven_finish(s, collect, &out);
		assert_true(out.len >= fed);
		seven_free(s);
		buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),    cmocka_unit_test(test_late_bytes),
	    cmocka_unit_test(test_depth),   cmocka_unit_test(test_long_lines),
	    cmocka_unit_test(test_bounded),
	};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
