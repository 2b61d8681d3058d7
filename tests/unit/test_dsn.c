/*
 * dsn.h: the words and fields of a notification, row by row, and what must hold of any of them:
 * CRLF only, no long line, four delimiters, whatever the values are. tests/unit/mail_format.py
 * reads them with Python's parser.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "mail/dsn.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* 2026-11-21 12:04:11 UTC */
#define ARRIVED INT64_C(1795262651000000)

static const struct dsn_recipient usual_recipient = {
    .action = DSN_FAILED,
    .address = "bob@example.com",
    .orcpt = "",
    .reply = "550 5.1.1 no such user",
    .remote_mta = "mx.example.com",
    .last_attempt = ARRIVED + 60000000,
};

/* A row sets what is not NULL in it. */
static const struct row {
	const char *name;
	const char *hostname, *id, *to, *envid, *header;
	const char *address, *orcpt, *reply, *remote_mta;
	enum dsn_action action;
	bool eightbit, utf8;
	const char *wanted[4]; /* somewhere in header or body */
	const char *unwanted[2];
} rows[] = {
    {.name = "header",
     .wanted = {"From: Mail Delivery System <MAILER-DAEMON@gate.example>\r\n"
		"To: <app@shop.example>\r\n"
		"Subject: Your message could not be delivered\r\n"
		"Date: Sat, 21 Nov 2026 12:05:11 +0000\r\n"
		"Message-ID: <01ID@gate.example>\r\n"
		"Auto-Submitted: auto-replied\r\n"
		"MIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status;\r\n"
		"\tboundary=\"=_01ID/0\"\r\n"},
     .unwanted = {"Content-Transfer-Encoding"}},
    {.name = "what people read",
     .wanted = {"We are sorry: your message of Sat, 21 Nov 2026 12:04:11 +0000 could not be\r\n"
		"delivered to this address. It will not be tried again.\r\n\r\n"
		"<bob@example.com>\r\n\r\n"
		"    The server mx.example.com answered:\r\n\r\n"
		"        550 5.1.1 no such user\r\n\r\n"
		"    Check the address for a typing mistake",
		"name this id: 01ABOUT\r\n\r\n--=_01ID/0\r\n"}},
    {.name = "what programs read",
     .wanted = {"Content-Type: message/delivery-status\r\n"
		"Content-Description: Delivery report\r\n\r\n"
		"Reporting-MTA: dns; gate.example\r\n"
		"Arrival-Date: Sat, 21 Nov 2026 12:04:11 +0000\r\n"
		"X-Mailfuse-Id: 01ABOUT\r\n\r\n"
		"Final-Recipient: rfc822; bob@example.com\r\n"
		"Action: failed\r\n"
		"Status: 5.1.1\r\n"
		"Remote-MTA: dns; mx.example.com\r\n"
		"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
		"Last-Attempt-Date: Sat, 21 Nov 2026 12:05:11 +0000\r\n\r\n--=_01ID/0\r\n"},
     .unwanted = {"Original-"}},
    {.name = "the original's header",
     .wanted = {"Content-Type: text/rfc822-headers\r\n"
		"Content-Description: Header of the message\r\n\r\n"
		"From: a\r\nSubject: x\r\n\ty\r\n\r\n--=_01ID/0--\r\n"}},
    {.name = "nothing but the header section",
     .header = "From: a\r\n\r\nbody\r\n",
     .wanted = {"\r\n\r\nFrom: a\r\n\r\n--"},
     .unwanted = {"body"}},
    {.name = "no header at all", .header = "", .wanted = {"message\r\n\r\n\r\n--=_01ID/0--\r\n"}},
    {.name = "ENVID is decoded",
     .envid = "QQ+2B+3Dx",
     .wanted = {"Original-Envelope-Id: QQ+=x\r\n"}},
    {.name = "ENVID cannot make a field",
     .envid = "a+0D+0AAction:+20delivered+00",
     .wanted = {"Original-Envelope-Id: a"},
     .unwanted = {"\nAction: delivered"}},
    {.name = "ORCPT is decoded",
     .orcpt = "rfc822;Bob+2Bx@example.com",
     .wanted = {"Original-Recipient: rfc822; Bob+x@example.com\r\nFinal-Recipient: rfc822; bob@",
		"<bob@example.com>\r\nwhich was <Bob+x@example.com> when you sent it\r\n"}},
    {.name = "ORCPT that is the same is not told to people",
     .orcpt = "rfc822;BOB@example.com",
     .wanted = {"Original-Recipient: rfc822; BOB@example.com\r\n"},
     .unwanted = {"which was"}},
    {.name = "ORCPT cannot make a field",
     .orcpt = "rfc822;a+0D+0AStatus:+202.0.0",
     .wanted = {"Original-Recipient: rfc822; a"},
     .unwanted = {"\nStatus: 2.0.0"}},
    {.name = "ORCPT without a type",
     .orcpt = "bob@example.com",
     .unwanted = {"Original-Recipient"}},
    {.name = "our own reason",
     .reply = "4.4.7 gave up after 5 days",
     .remote_mta = "",
     .wanted = {"    What happened:\r\n\r\n        4.4.7 gave up after 5 days\r\n",
		"Status: 4.4.7\r\nDiagnostic-Code: x-mailfuse; 4.4.7 gave up after 5 days\r\n",
		"could not be reached"},
     .unwanted = {"Remote-MTA"}},
    {.name = "no reply at all",
     .reply = "",
     .unwanted = {"Diagnostic-Code", "answered"},
     .wanted = {"Status: 5.0.0\r\n"}},
    {.name = "passed on",
     .action = DSN_RELAYED,
     .reply = "250 2.1.5 ok",
     .wanted = {"Subject: Your message was passed on\r\n", "Action: relayed\r\nStatus: 2.1.5\r\n",
		"was passed on for this\r\naddress"},
     .unwanted = {"sorry"}},
    {.name = "UTF-8 address",
     .address = "j\303\266rg@example.com",
     .eightbit = true,
     .wanted = {"Content-Type: message/global-delivery-status\r\n"
		"Content-Description: Delivery report\r\nContent-Transfer-Encoding: 8bit\r\n",
		"Final-Recipient: utf-8; j\303\266rg@example.com\r\n",
		"Content-Type: text/plain; charset=utf-8\r\n",
		"Content-Type: text/rfc822-headers\r\n"}},
    {.name = "UTF-8 header",
     .header = "Subject: \303\266\r\n",
     .eightbit = true,
     .wanted = {"Content-Type: message/global-headers\r\n", "message/delivery-status", "us-ascii",
		"Content-Transfer-Encoding: 8bit\r\n\r\nSubject: \303\266\r\n"}},
    {.name = "UTF-8 sender",
     .to = "j\303\266rg@shop.example",
     .eightbit = true,
     .utf8 = true,
     .wanted = {"To: <j\303\266rg@shop.example>\r\n", "message/delivery-status"}},
    {.name = "a reply in UTF-8 needs no global form",
     .reply = "550 caf\303\251",
     .eightbit = true,
     .wanted = {"        550 caf\303\251\r\n", "Diagnostic-Code: smtp; 550 caf??\r\n",
		"message/delivery-status"}},
    {.name = "bytes that are no UTF-8",
     .header = "Subject: caf\351 \300\200\r\n",
     .wanted = {"text/rfc822-headers\r\n", "Subject: caf? ??\r\n"}},
    {.name = "C1 controls and bidirectional marks",
     .header = "X: \302\205\342\200\256z\r\n",
     .wanted = {"X: ??z\r\n"}},
    {.name = "reply with line ends and fields",
     .reply = "550 5.7.1 no\r\nStatus: 2.0.0\r\n\r\nAction: delivered\n\001\033[31m",
     .wanted = {"Diagnostic-Code: smtp; 550 5.7.1 no Status: 2.0.0 Action: delivered ??[31m\r\n",
		"matter of its policy"},
     .unwanted = {"\nStatus: 2.0.0", "\nAction: delivered"}},
    {.name = "a long reply is folded",
     .reply = "550 5.7.1 See https://example.com/a/rather/long/"
	      "way?to=say&no=thing for what you may send here",
     .wanted = {"Diagnostic-Code: smtp; 550 5.7.1 See\r\n    https://example.com/a/rather/long/"
		"way?to=say&no=thing for what you may\r\n    send here\r\n"}},
    {.name = "address with quotes and a bracket",
     .address = "\"a\\\" <b>\"@example.com",
     .wanted = {"Final-Recipient: rfc822; \"a\\\" <b>\"@example.com\r\n"}},
    {.name = "address with line ends",
     .address = "a\r\nTo: b@example.com",
     .wanted = {"rfc822; a  To: b@example.com\r\n"},
     .unwanted = {"\nTo: b"}},
    {.name = "sender with line ends",
     .to = "a>\r\nBcc: all@example.com\r\n\r\nx",
     .unwanted = {"\nBcc:"},
     .wanted = {"To: <a>  Bcc: all@example.com    x>\r\n"}},
    {.name = "id with quotes and line ends",
     .id = "a\"\r\nb/@",
     .wanted = {"boundary=\"=_a---b--/0\"\r\n"}},
    {.name = "the boundary in the header",
     .header = "X: =_01ID/0\r\n--=_01ID/1--\r\n",
     .wanted = {"boundary=\"=_01ID/2\"\r\n"}},
    {.name = "the boundary in the reply",
     .reply = "550 --=_01ID/0",
     .wanted = {"boundary=\"=_01ID/1\"\r\n"}},
    {.name = "other boundaries in the header",
     .header = "--abc\r\nContent-Type: a\r\n--abc--\r\n",
     .wanted = {"\r\n--abc\r\n"}},
    {.name = "bare CR, bare LF, NUL's place",
     .header = "A: b\rc\nD: e\r\r\nF: g",
     .wanted = {"\r\n\r\nA: b c\r\nD: e \r\nF: g\r\n\r\n--"}},
};

static size_t
occurrences(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what)) != NULL) {
		text += strlen(what);
		n++;
	}
	return n;
}

static void
check_lines(const struct buf *b)
{
	size_t start = 0, i;

	assert_int_equal(strlen(buf_text(b)), b->len);
	for (i = 0; i < b->len; i++) {
		if (b->data[i] == '\r')
			assert_int_equal(b->data[i + 1], '\n');
		if (b->data[i] != '\n')
			continue;
		assert_true(i > 0 && b->data[i - 1] == '\r');
		assert_true(i - 1 - start <= 998);
		start = i + 1;
	}
	assert_int_equal(start, b->len);
}

/* Builds it, checks what holds of all, and returns header, empty line and body. */
static char *
build(const struct dsn *d, bool *eightbit, bool *utf8)
{
	struct buf header = {0}, body = {0};
	char *boundary, *delimiter, *text;

	dsn_build(d, &header, &body, eightbit, utf8);
	check_lines(&header);
	check_lines(&body);
	assert_null(strstr(header.data, "\r\n\r\n"));
	boundary = strstr(header.data, "boundary=\"");
	assert_non_null(boundary);
	boundary += strlen("boundary=\"");
	boundary = mem_strndup(boundary, strcspn(boundary, "\""));
	assert_true(strlen(boundary) <= 70);
	assert_int_equal(occurrences(body.data, boundary), 4);
	delimiter = mem_printf("\r\n--%s\r\n", boundary);
	assert_int_equal(occurrences(body.data, delimiter), 3);
	free(delimiter);
	delimiter = mem_printf("\r\n--%s--\r\n", boundary);
	assert_string_equal(body.data + body.len - strlen(delimiter), delimiter);
	free(delimiter);
	free(boundary);
	text = mem_printf("%s\r\n%s", header.data, body.data);
	buf_free(&header);
	buf_free(&body);
	return text;
}

static const char *
value_or(const char *value, const char *other)
{
	return value != NULL ? value : other;
}

static struct dsn
usual_dsn(const struct dsn_recipient *recipients, size_t count, const char *header)
{
	return (struct dsn){.hostname = "gate.example",
			    .id = "01ID",
			    .about = "01ABOUT",
			    .to = "app@shop.example",
			    .envid = "",
			    .arrived_at = ARRIVED,
			    .now = ARRIVED + 60000000,
			    .recipients = recipients,
			    .recipient_count = count,
			    .header = header,
			    .header_len = strlen(header)};
}

static void
check_row(const struct row *row)
{
	struct dsn_recipient r = usual_recipient;
	struct dsn d = usual_dsn(&r, 1, value_or(row->header, "From: a\r\nSubject: x\r\n\ty\r\n"));
	bool eightbit, utf8;
	char *text;
	size_t i;

	d.hostname = value_or(row->hostname, d.hostname);
	d.id = value_or(row->id, d.id);
	d.to = value_or(row->to, d.to);
	d.envid = value_or(row->envid, d.envid);
	r.address = value_or(row->address, r.address);
	r.orcpt = value_or(row->orcpt, r.orcpt);
	r.reply = value_or(row->reply, r.reply);
	r.remote_mta = value_or(row->remote_mta, r.remote_mta);
	r.action = row->action;
	text = build(&d, &eightbit, &utf8);
	assert_int_equal(eightbit, row->eightbit);
	assert_int_equal(utf8, row->utf8);
	for (i = 0; i < COUNT(row->wanted) && row->wanted[i] != NULL; i++) {
		if (strstr(text, row->wanted[i]) == NULL)
			fail_msg("%s: no \"%s\" in\n%s", row->name, row->wanted[i], text);
	}
	for (i = 0; i < COUNT(row->unwanted) && row->unwanted[i] != NULL; i++) {
		if (strstr(text, row->unwanted[i]) != NULL)
			fail_msg("%s: \"%s\" in\n%s", row->name, row->unwanted[i], text);
	}
	free(text);
}

static void
test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		print_message("  %s\n", rows[i].name);
		check_row(&rows[i]);
	}
}

static void
test_status(void **state)
{
	static const struct {
		const char *reply;
		enum dsn_action action;
		const char *status;
	} cases[] = {
	    {"550 5.1.1 no such user", DSN_FAILED, "5.1.1"},
	    {"550-5.1.1 no such user", DSN_FAILED, "5.1.1"},
	    {"550 5.123.456", DSN_FAILED, "5.123.456"},
	    {"550 5.1234.1 x", DSN_FAILED, "5.0.0"},
	    {"550 5.1.1.1 x", DSN_FAILED, "5.0.0"},
	    {"550 5.1.x", DSN_FAILED, "5.0.0"},
	    {"550 5.1.", DSN_FAILED, "5.0.0"},
	    {"550 5.", DSN_FAILED, "5.0.0"},
	    {"550", DSN_FAILED, "5.0.0"},
	    {"550 no", DSN_FAILED, "5.0.0"},
	    {"550 4.1.1 another class", DSN_FAILED, "5.0.0"},
	    {"451 4.3.0 later", DSN_FAILED, "4.3.0"},
	    {"451 later", DSN_FAILED, "4.0.0"},
	    {"4.4.7 gave up", DSN_FAILED, "4.4.7"},
	    {"4 days", DSN_FAILED, "5.0.0"},
	    {"", DSN_FAILED, "5.0.0"},
	    {"no words of SMTP", DSN_FAILED, "5.0.0"},
	    {"250 2.0.0 ok", DSN_FAILED, "5.0.0"},
	    {"250 2.1.5 ok", DSN_RELAYED, "2.1.5"},
	    {"250 ok", DSN_RELAYED, "2.0.0"},
	    {"", DSN_RELAYED, "2.0.0"},
	    {"550 5.1.1 no", DSN_RELAYED, "2.0.0"},
	};
	char status[12];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		print_message("  \"%s\"\n", cases[i].reply);
		dsn_status(cases[i].reply, cases[i].action, status);
		assert_string_equal(status, cases[i].status);
	}
}

/* Every recipient has its block, those that failed come first for people. */
static void
test_many_recipients(void **state)
{
	enum { MANY = 300 };
	struct dsn_recipient r[MANY];
	struct dsn d = usual_dsn(r, MANY, "From: a\r\n");
	bool eightbit, utf8;
	char *text, *sorry, *passed;
	size_t i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		r[i] = usual_recipient;
		r[i].action = i % 3 == 0 ? DSN_RELAYED : DSN_FAILED;
	}
	text = build(&d, &eightbit, &utf8);
	assert_int_equal(occurrences(text, "\r\n\r\nFinal-Recipient: "), MANY);
	assert_int_equal(occurrences(text, "\r\nAction: relayed\r\n"), MANY / 3);
	assert_non_null(strstr(text, "Subject: Your message did not reach all of its recipients"));
	sorry = strstr(text, "these 200 addresses");
	passed = strstr(text, "these 100\r\naddresses");
	assert_true(sorry != NULL && passed != NULL && sorry < passed);
	free(text);
}

static char *
text_of(size_t len, const char *unit)
{
	struct buf b = {0};

	while (b.len < len)
		buf_add_text(&b, unit);
	return buf_take(&b);
}

/* 100 KB of this or that in every value: bounded, and the lines hold. */
static void
test_large_values(void **state)
{
	static const char *const units[] = {
	    "x", "ab ",     "\r\n", "\303\266",         "\377", "--=_01ID/0\r\n", "A: b\r\n",
	    " ", "\t\r\n ", "\r",   "\360\237\223\247 "};
	bool eightbit, utf8;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(units); i++) {
		char *large = text_of(100000, units[i]), *text;
		struct dsn_recipient r = {DSN_FAILED, large, large, large, large, 0};
		struct dsn d = {large, large, large, large, large, 0, 0, &r, 1, large, 100000};

		text = build(&d, &eightbit, &utf8);
		assert_true(strlen(text) < 65536 + 20000);
		free(text);
		free(large);
	}
}

/* Whole lines, up to 64 KiB of them; a line that is too long becomes several, losing nothing. */
static void
test_header_limits(void **state)
{
	struct dsn d = usual_dsn(&usual_recipient, 1, "");
	bool eightbit, utf8;
	char *line = text_of(1000, "words and "), *header = text_of(70000, "Field: value\r\n");
	char *text, *folded;

	(void)state;
	d.header = header;
	d.header_len = strlen(header);
	text = build(&d, &eightbit, &utf8);
	assert_int_equal(occurrences(text, "\r\nField: value"), 65536 / strlen("Field: value\r\n"));
	free(text);
	free(header);

	header = mem_printf("Long: %s%s\r\nNext: x\r\n", line, line);
	d.header = header;
	d.header_len = strlen(header);
	text = build(&d, &eightbit, &utf8);
	folded = strstr(text, "Long: words");
	assert_int_equal(occurrences(folded, "words"), 200);
	assert_int_equal(occurrences(folded, "\r\n "), 2);
	assert_non_null(strstr(folded, "\r\nNext: x\r\n"));
	free(text);
	free(header);
	free(line);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_status),
	    cmocka_unit_test(test_many_recipients),
	    cmocka_unit_test(test_large_values),
	    cmocka_unit_test(test_header_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
