/*
 * mime.h and html.h: decoding of what clients really send and of what nobody should, the normal
 * form of subjects, address lists through a map, and the readable text of a message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "mail/html.h"
#include "mail/mime.h"

/* Work that grows with the square of these sizes would never end: SIGALRM ends the program. */
enum { HANG_SECONDS = 300 };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct row {
	const char *name, *input, *wanted;
};

static const struct row decode_rows[] = {
    {"nothing", "", ""},
    {"plain", "Hello, World?", "Hello, World?"},
    {"tab and controls", "a\tb\x1b[31m\x7f", "a b [31m "},
    {"Q", "=?utf-8?Q?caf=C3=A9_x?= y", "caf\xc3\xa9 x y"},
    {"B", "=?UTF-8?b?SsO2cmc=?=", "J\xc3\xb6rg"},
    {"Latin-1", "=?iso-8859-1?q?J=F6rg?=", "J\xc3\xb6rg"},
    {"Windows-1252", "=?windows-1252?q?=80_5?=", "\xe2\x82\xac 5"},
    {"ISO-2022-JP", "=?iso-2022-jp?b?GyRCJCIbKEI=?=", "\xe3\x81\x82"},
    {"white space between two is dropped", "=?utf-8?q?a?= \t =?utf-8?q?b?=", "ab"},
    {"between two charsets too", "=?utf-8?q?a?= =?iso-8859-1?q?=F6?=", "a\xc3\xb6"},
    {"beside plain text it stays", "a =?utf-8?q?b?= c", "a b c"},
    {"a character split over two words", "=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "\xc3\xa9"},
    {"a language", "=?utf-8*de?q?=C3=A9?=", "\xc3\xa9"},
    {"raw UTF-8", "J\xc3\xb6rg", "J\xc3\xb6rg"},
    {"raw Latin-1", "J\xf6rg", "J\xc3\xb6rg"},
    {"invalid base64", "=?utf-8?b?!!!?= z", " z"},
    {"invalid UTF-8 inside", "=?utf-8?q?a=FFb?=", "a?b"},
    {"an unknown charset is UTF-8", "=?evil/../x?q?J=C3=B6rg?=", "J\xc3\xb6rg"},
    {"a charset that hides ASCII", "=?utf-7?q?+AEA-?=", "+AEA-"},
    {"controls inside", "=?utf-8?q?a=0D=0ABcc:_b=1B[2J=C2=9B?=", "a  Bcc: b [2J  "},
    {"not ended", "=?utf-8?q?abc", "=?utf-8?q?abc"},
    {"no such encoding", "=?utf-8?x?abc?=", "=?utf-8?x?abc?="},
};

static void
test_decode(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(decode_rows); i++) {
		struct arena arena = {0};

		print_message("  %s\n", decode_rows[i].name);
		assert_string_equal(mime_decode_text(decode_rows[i].input, &arena),
				    decode_rows[i].wanted);
		arena_free(&arena);
	}
}

static const struct row encode_rows[] = {
    {"plain stays", "Hello, World", "Hello, World"},
    {"beyond ASCII",
     "pr\xc3\xbc"
     "f ",
     "=?UTF-8?Q?pr=C3=BCf_?="},
    {"what looks like an encoded word", "=?utf-8?q?a?=", "=?UTF-8?Q?=3D=3Futf-8=3Fq=3Fa=3F=3D?="},
    {"a control character", "a\nb", "=?UTF-8?Q?a=0Ab?="},
    {"at most 75 characters a word, whole characters",
     "\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82"
     "\xac",
     "=?UTF-8?Q?=E2=82=AC=E2=82=AC=E2=82=AC=E2=82=AC=E2=82=AC=E2=82=AC=E2=82=AC?= "
     "=?UTF-8?Q?=E2=82=AC?="},
    {"not UTF-8", "a\xff", "=?UTF-8?Q?a=EF=BF=BD?="},
};

static void
test_encode(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(encode_rows); i++) {
		struct arena arena = {0};
		char *text;

		print_message("  %s\n", encode_rows[i].name);
		text = mime_encode_text(encode_rows[i].input, &arena);
		assert_string_equal(text, encode_rows[i].wanted);
		arena_free(&arena);
	}
}

static const struct row subject_rows[] = {
    {"nothing", "", ""},
    {"case and white space", "  Hello \t World ", "hello world"},
    {"an order", "Your order #4711 is on its way", "your order ## is on its way"},
    {"runs of digits", "12:34:56 2024-01-02 1,234.50", "#:#:# #-#-# #,#.#"},
    {"reply prefixes", "Re: FW: Fwd: AW: WG: SV: Antw: x", "x"},
    {"counted replies", "RE[2]: Re(3) : x", "x"},
    {"fullwidth colon", "Re\xef\xbc\x9a x", "x"},
    {"no reply prefix", "Reminder: pay", "reminder: pay"},
    {"no colon", "re pay", "re pay"},
    {"environment prefix", "[STAGING] Hello", "hello"},
    {"prefixes mixed", "Re: [STAGING] Re: [qa] Hello", "hello"},
    {"a bracket and nothing else", "[Alert]", "[alert]"},
    {"a bracket that does not end", "[Alert x", "[alert x"},
    {"a long bracket is text", "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa] x",
     "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa] x"},
    {"only a reply prefix", "Re:", ""},
    {"hexadecimal token", "commit A1b2c3D4 x", "commit # x"},
    {"six are enough", "a1b2c3", "#"},
    {"five are not", "a1b2c", "a#b#c"},
    {"words stay words", "decade facade deadbeef", "decade facade deadbeef"},
    {"a longer token is none", "a1b2c3x", "a#b#c#x"},
    {"UUID", "550e8400-e29b-41d4-a716-446655440000 done", "# done"},
    {"UUID of letters", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "#"},
    {"no UUID", "550e8400-e29b-41d4-a716-44665544000g", "#-e#b-#d#-a#-#g"},
    {"digits between letters of another script",
     "\xc3\xa9"
     "123abc4",
     "\xc3\xa9#abc#"},
    {"digits of another script", "\xd9\xa1\xd9\xa2 x", "# x"},
    {"Unicode case", "\xc3\x84RGER STRASSE", "\xc3\xa4rger strasse"},
    {"sharp s is ss",
     "stra\xc3\x9f"
     "e",
     "strasse"},
    {"no-break space", "a\xc2\xa0 b", "a b"},
    {"not UTF-8", "a\xff", "a\xef\xbf\xbd"},
};

static void
test_normal_subject(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(subject_rows); i++) {
		struct arena arena = {0};

		print_message("  %s\n", subject_rows[i].name);
		assert_string_equal(mime_normal_subject(subject_rows[i].input, &arena),
				    subject_rows[i].wanted);
		arena_free(&arena);
	}
}

/* ok.test is allowed; all others become qa@ok.test. */
static const char *
map_policy(void *context, const char *address)
{
	const char *at = strchr(address, '@');

	(void)context;
	return at != NULL && strcmp(at, "@ok.test") == 0 ? address : "qa@ok.test";
}

/* wanted NULL: the field stays as it is. */
static const struct row map_rows[] = {
    {"one", "a@b.example", "qa@ok.test"},
    {"one that is allowed", "a@ok.test", NULL},
    {"all allowed", "A <a@ok.test>, \"B, C\" <b@ok.test>", NULL},
    {"nothing", "", NULL},
    {"blanks", " \t", NULL},
    {"some allowed", "a@ok.test, b@c.example, d@ok.test", "a@ok.test, qa@ok.test, d@ok.test"},
    {"a display name", "Jane Doe <j@d.example>", "Jane Doe <qa@ok.test>"},
    {"a comma in a quoted name", "\"Doe, Jane\" <j@d.example>", "\"Doe, Jane\" <qa@ok.test>"},
    {"a tab in a quoted name", "\"Doe,\tJane\" <j@d.example>", "\"Doe, Jane\" <qa@ok.test>"},
    {"a quoted name that does not end", "\"Doe <j@d.example>", "_Doe <qa@ok.test>"},
    {"a quote in a quoted name", "\"a\\\"b\" <j@d.example>", "=?UTF-8?Q?a=22b?= <qa@ok.test>"},
    {"an encoded name", "=?utf-8?q?J=C3=B6rg?= <j@d.example>",
     "=?UTF-8?Q?J=C3=B6rg?= <qa@ok.test>"},
    {"an encoded name, base64, two words", "=?utf-8?b?SsO2?= =?utf-8?b?cmc=?= <j@d.example>",
     "=?UTF-8?Q?J=C3=B6rg?= <qa@ok.test>"},
    {"a raw name, UTF-8", "J\xc3\xb6rg <j@d.example>", "=?UTF-8?Q?J=C3=B6rg?= <qa@ok.test>"},
    {"a raw name, Latin-1", "J\xf6rg <j@d.example>", "=?UTF-8?Q?J=C3=B6rg?= <qa@ok.test>"},
    {"an address as a name", "\"j@d.example\" <j@d.example>", "qa@ok.test"},
    {"an address as the name of an allowed one", "\"j@d.example\" <a@ok.test>", "a@ok.test"},
    {"an encoded address as a name", "=?utf-8?q?j=40d.example?= <j@d.example>", "qa@ok.test"},
    {"an unquoted address as a name", "j@d.example <a@ok.test>", "a@ok.test"},
    {"an encoded word as an address", "=?utf-8?q?j=40d.example?=", "qa@ok.test"},
    {"an equals sign in a name", "\"=40\xc3\xb6\" <j@d.example>",
     "=?UTF-8?Q?=3D40=C3=B6?= <qa@ok.test>"},
    {"a comment becomes a name", "j@d.example (Jane)", "Jane <qa@ok.test>"},
    {"an address in a comment", "a@ok.test (j@d.example)", "a@ok.test"},
    {"a comment that does not end", "j@[192.0.2.1](x", "qa@ok.test, qa@ok.test"},
    {"a comment with quotes and brackets", "a@ok.test (x \"[ \\( y), j@d.example",
     "\"x [ ( y\" <a@ok.test>, qa@ok.test"},
    {"a group", "Team: a@ok.test, j@d.example;, k@d.example",
     "Team: a@ok.test, qa@ok.test;, qa@ok.test"},
    {"a group without members", "undisclosed-recipients:;", NULL},
    {"a group with an address as name", "\"j@d.example\": a@ok.test;", "group: a@ok.test;"},
    {"a quoted local part", "\"j d\"@d.example", "qa@ok.test"},
    {"a quoted local part with an at", "\"j@x\"@d.example", "qa@ok.test"},
    {"an address literal", "j@[192.0.2.1]", "qa@ok.test"},
    {"a source route", "<@ok.test,@x.example:j@d.example>", "qa@ok.test"},
    {"no domain", "root", "qa@ok.test"},
    {"a domain beyond ASCII",
     "j@b\xc3\xbc"
     "cher.example",
     "qa@ok.test"},
    {"a local part beyond ASCII", "j\xc3\xb6@d.example", "qa@ok.test"},
    {"no bracket at the end", "a@ok.test, <j@d.example", "a@ok.test, qa@ok.test"},
    {"no comma", "a@ok.test j@d.example", "a@ok.test, qa@ok.test"},
    {"a semicolon instead of a comma", "a@ok.test; j@d.example", "a@ok.test"},
    {"unread text with an at", "a@ok.test, j d@d.example", "a@ok.test"},
    {"nothing that can be read", "j d@d.example", ""},
    {"only ats", "@,@@", ""},
    {"empty members", "a@ok.test,, ,j@d.example,", "a@ok.test, qa@ok.test"},
    {"a control character", "a\x01@ok.test", "a_@ok.test"},
    {"an address literal that does not end", "j@[192.0.2.1, a@ok.test", "qa@ok.test, a@ok.test"},
    {"a bracket in a quoted name", "\"[x y\" <j@d.example>", "\"[x y\" <qa@ok.test>"},
    {"a hidden charset in a bracket", "[=?evil?q?a?=] <j@d.example>", ""},
    {"a question mark outside an encoded word", "what?@ok.test", "what_@ok.test"},
    {"a charset put together from pieces", "\"=\"?evil?q?a?= <a@ok.test>",
     "=_evil_q_a_= <a@ok.test>"},
};

static void
test_map(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(map_rows); i++) {
		struct arena arena = {0};
		char *out;

		print_message("  %s\n", map_rows[i].name);
		out = mime_map_addresses(map_rows[i].input, map_policy, NULL, &arena);
		if (map_rows[i].wanted == NULL)
			assert_null(out);
		else if (out == NULL)
			fail_msg("the field was left as it is");
		else
			assert_string_equal(out, map_rows[i].wanted);
		arena_free(&arena);
	}
}

static const char *
map_null(void *context, const char *address)
{
	(void)context;
	(void)address;
	return NULL;
}

static const char *
map_unsafe(void *context, const char *address)
{
	(void)context;
	(void)address;
	return "qa@ok.test>, <j@d.example";
}

/* What the map says is not trusted either. */
static void
test_map_refuses(void **state)
{
	struct arena arena = {0};

	(void)state;
	assert_string_equal(mime_map_addresses("a@b.example", map_null, NULL, &arena), "");
	assert_string_equal(mime_map_addresses("a@b.example", map_unsafe, NULL, &arena), "");
	arena_free(&arena);
}

/* Each would be slow, or end in a full stack, without a bound. */
static void
test_map_sizes(void **state)
{
	static const struct {
		const char *name, *unit;
		size_t times;
		const char *start; /* of the result; NULL: the field stays */
	} rows[] = {
	    {"500 addresses", "j@d.example, ", 500, "qa@ok.test, qa@ok.test, "},
	    {"500 allowed ones", "a@ok.test, ", 500, NULL},
	    {"groups in groups", "a:", 200000, ""},
	    {"comments in comments", "(", 200000, ""},
	    {"brackets", "<", 200000, ""},
	    {"quotes", "\"", 200001, ""},
	    {"routes", "<@", 200000, ""},
	    {"encoded words", "=?x?q?a?= ", 20000, ""},
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct arena arena = {0};
		struct buf in = {0};
		char *out;

		print_message("  %s\n", rows[i].name);
		alarm(HANG_SECONDS);
		for (n = 0; n < rows[i].times; n++)
			buf_add_text(&in, rows[i].unit);
		out = mime_map_addresses(in.data, map_policy, NULL, &arena);
		assert_int_equal(out == NULL, rows[i].start == NULL);
		if (out != NULL)
			assert_memory_equal(out, rows[i].start,
					    strlen(rows[i].start) + (rows[i].start[0] == '\0'));
		buf_free(&in);
		arena_free(&arena);
	}
}

#define B64 "Content-Transfer-Encoding: base64\r\n"
#define HTML "Content-Type: text/html; charset=utf-8\r\n"

static const struct row text_rows[] = {
    {"nothing", "", ""},
    {"no header", "\r\nhello\r\n", "hello\n"},
    {"no body", "Subject: x\r\n", ""},
    {"plain", "Subject: x\r\n\r\nhello\r\nworld\r\n", "hello\nworld\n"},
    {"base64", B64 "\r\naGVsbG8=\r\n", "hello"},
    {"broken base64", B64 "\r\n!!!!####\r\n", ""},
    {"quoted-printable, Latin-1",
     "Content-Type: text/plain; charset=iso-8859-1\r\n"
     "Content-Transfer-Encoding: quoted-printable\r\n\r\nJ=F6rg",
     "J\xc3\xb6rg"},
    {"an unknown charset", "Content-Type: text/plain; charset=evil\r\n\r\na\xff", "a\xef\xbf\xbd"},
    {"controls", "\r\na\x1b[2J\tb\x7f\r\n", "a [2J\tb \n"},
    {"HTML alone", HTML "\r\n<p>Hello <b>you</b> &amp; me</p>", "Hello you & me\n"},
    {"text before HTML",
     "Content-Type: multipart/alternative; boundary=x\r\n\r\n--x\r\n" HTML
     "\r\n<b>no</b>\r\n--x\r\nContent-Type: text/plain\r\n\r\nyes\r\n--x--\r\n",
     "yes"},
    {"in a forwarded message", "Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\ninside\r\n",
     "inside\n"},
    {"no text at all", "Content-Type: image/png\r\n\r\nx\r\n", ""},
    {"a boundary that never comes", "Content-Type: multipart/mixed; boundary=x\r\n\r\nhello\r\n",
     ""},
    {"cut between characters",
     "\r\n\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6"
     "\xc3\xb6"
     "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3"
     "\xb6\xc3\xb6",
     "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3"
     "\xb6"
     "\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6\xc3\xb6"},
};

static void
test_text(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(text_rows); i++) {
		struct buf out = {0};

		print_message("  %s\n", text_rows[i].name);
		mime_message_text(text_rows[i].input, strlen(text_rows[i].input), 41, &out);
		assert_string_equal(buf_text(&out), text_rows[i].wanted);
		buf_free(&out);
	}
}

static void
test_text_sizes(void **state)
{
	static const struct {
		const char *name, *start, *unit;
		size_t times;
	} rows[] = {
	    {"parts in parts", "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
	     "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", 10000},
	    {"messages in messages", "", "Content-Type: message/rfc822\r\n\r\n", 50000},
	    {"many parts", "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
	     "--b\r\nContent-Type: image/png\r\n\r\nx\r\n", 10000},
	    {"groups in groups in a header", "To: ", "a:", 200000},
	    /* fewer: GMime grows its line by one piece at a time, which costs ASan a copy each */
	    {"the same, folded", "To: ", "\r\n a:", 50000},
	    {"comments", HTML "\r\n", "<!--", 100000},
	    {"styles", HTML "\r\n", "<style>", 100000},
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct buf in = {0}, out = {0};

		print_message("  %s\n", rows[i].name);
		alarm(HANG_SECONDS);
		buf_add_text(&in, rows[i].start);
		for (n = 0; n < rows[i].times; n++)
			buf_add_text(&in, rows[i].unit);
		mime_message_text(in.data, in.len, 1000, &out);
		assert_int_equal(out.len, 0);
		buf_free(&in);
		buf_free(&out);
	}
}

/* What costs too much is not parsed to its end, and that is said: also what has no depth at all. */
static void
test_what_is_not_parsed(void **state)
{
#define BOXED "Content-Type: multipart/mixed; boundary=b\r\n"
	static const struct {
		const char *name, *head, *body, *unit;
		size_t times;
		bool unread;
	} rows[] = {
	    {"lines that are like boundaries", "", "", "-- or so\r\n", 5000, false},
	    {"the same in one part of two", BOXED, "--b\r\n\r\n", "-- or so\r\n", 900, false},
	    {"boundaries", BOXED, "", "--b\r\n", 5000, true},
	    {"nothing between them", BOXED, "", "--b\r\n\r\n", 5000, true},
	    {"a type in capitals", "CONTENT-TYPE:\r\n MULTIPART/x; boundary=b\r\n", "",
	     "--b\r\n\r\n", 5000, true},
	    {"in a message", "Content-Type: message/rfc822\r\n", BOXED "\r\n", "--b\r\n\r\n", 5000,
	     true},
	    {"fields of a part", BOXED, "--b\r\n", "X: y\r\n", 20000, true},
	    {"fields of a message", "Content-Type: message/rfc822\r\n", "", "X: y\r\n", 20000,
	     true},
	    {"what looks like fields", "", "", "X: y\r\n", 20000, false},
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct mime_parts parts;
		struct buf head = {0}, body = {0};

		print_message("  %s\n", rows[i].name);
		alarm(HANG_SECONDS);
		buf_add_text(&head, rows[i].head);
		buf_add_text(&body, rows[i].body);
		for (n = 0; n < rows[i].times; n++)
			buf_add_text(&body, rows[i].unit);
		mime_read_parts(head.data, head.len, body.data, body.len, &parts);
		assert_int_equal(parts.unread, rows[i].unread);
		mime_parts_free(&parts);
		buf_free(&head);
		buf_free(&body);
	}
}

static const struct row html_rows[] = {
    {"plain", "a b", "a b"},
    {"white space", " a \r\n\t b", "a b"},
    {"tags", "<p>a<br>b</p><i>c</i>", "a\nb\nc"},
    {"not shown", "<title>t</title><STYLE x>a{}</style><script>x<y</script>a", "a"},
    {"a comment", "a<!-- <b> -->b", "ab"},
    {"entities", "&lt;&gt;&quot;&#65;&#x20AC;&nbsp;&amp;lt;", "<>\"A\xe2\x82\xac &lt;"},
    {"no entities", "& &x; &#0; &#xD800; &#99999999999;", "& &x; &#0; &#xD800; &#99999999999;"},
    {"entities by name", "&zwnj;&auml;&Auml;&rsquo;&AUML;",
     "\xe2\x80\x8c\xc3\xa4\xc3\x84\xe2\x80\x99&AUML;"},
    {"not ended", "a<b", "a"},
    {"no tags", "1 < 2 <3 <%= x %> <", "1 < 2 <3 <%= x %> <"},
    {"an ampersand at the end", "a&", "a&"},
};

static void
test_html(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(html_rows); i++) {
		struct buf out = {0};

		print_message("  %s\n", html_rows[i].name);
		html_add_text(&out, html_rows[i].input, 1000);
		assert_string_equal(buf_text(&out), html_rows[i].wanted);
		buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_decode),
	    cmocka_unit_test(test_encode),
	    cmocka_unit_test(test_normal_subject),
	    cmocka_unit_test(test_map),
	    cmocka_unit_test(test_map_refuses),
	    cmocka_unit_test(test_map_sizes),
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_text_sizes),
	    cmocka_unit_test(test_what_is_not_parsed),
	    cmocka_unit_test(test_html),
	};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
