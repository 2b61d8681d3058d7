/*
 * command.h: every verb, its arguments, and the reply to each line that cannot be taken.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mail/command.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static const struct good_row {
	const char *line;
	enum command_verb verb;
	const char *argument;
} good_rows[] = {
    {"EHLO client.example.com", COMMAND_EHLO, "client.example.com"},
    {"ehlo [192.0.2.1]", COMMAND_EHLO, "[192.0.2.1]"},
    {"EHLO [IPv6:2001:db8::1]", COMMAND_EHLO, "[IPv6:2001:db8::1]"},
    {"EHLO my_host", COMMAND_EHLO, "my_host"},
    {"EHLO WIN-ABC$", COMMAND_EHLO, "WIN-ABC$"},
    {"EHLO anna's-laptop.local", COMMAND_EHLO, "anna's-laptop.local"},
    {"EHLO 192.0.2.1", COMMAND_EHLO, "192.0.2.1"},
    {"HELO\t localhost  ", COMMAND_HELO, "localhost"},
    {"DATA", COMMAND_DATA, ""},
    {"data  ", COMMAND_DATA, ""},
    {"RSET", COMMAND_RSET, ""},
    {"QuIt", COMMAND_QUIT, ""},
    {"NOOP", COMMAND_NOOP, ""},
    {"NOOP  one  two ", COMMAND_NOOP, "one  two"},
    {"VRFY anna", COMMAND_VRFY, "anna"},
    {"EXPN staff", COMMAND_EXPN, "staff"},
    {"HELP MAIL", COMMAND_HELP, "MAIL"},
    {"STARTTLS", COMMAND_STARTTLS, ""},
    {"AUTH PLAIN AGEAYg==", COMMAND_AUTH, "PLAIN AGEAYg=="},
    {"BDAT 100 LAST", COMMAND_BDAT, "100 LAST"},
    {"GET / HTTP/1.1", COMMAND_HTTP, "/ HTTP/1.1"},
    {"post /\303\251 HTTP/1.1", COMMAND_HTTP, "/\303\251 HTTP/1.1"},
    {"PRI * HTTP/2.0", COMMAND_HTTP, "* HTTP/2.0"},
};

static void
test_good(void **state)
{
	struct arena arena = {0};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(good_rows); i++) {
		struct command c;

		print_message("  %s\n", good_rows[i].line);
		command_parse(good_rows[i].line, strlen(good_rows[i].line), &arena, &c);
		assert_int_equal(c.error_code, 0);
		assert_null(c.error_text);
		assert_int_equal(c.verb, good_rows[i].verb);
		assert_string_equal(c.argument, good_rows[i].argument);
		assert_null(c.path.text);
	}
	arena_free(&arena);
}

static const struct path_row {
	const char *line, *text;
	enum command_verb verb;
	enum command_body body;
	bool has_size;
	uint64_t size;
} path_rows[] = {
    {"MAIL FROM:<a@b.example>", "a@b.example", COMMAND_MAIL, COMMAND_BODY_7BIT, false, 0},
    {"MAIL FROM:<>", "", COMMAND_MAIL, COMMAND_BODY_7BIT, false, 0},
    {"mail from: <a@b.example>", "a@b.example", COMMAND_MAIL, COMMAND_BODY_7BIT, false, 0},
    {"MAIL  From:\t<a@b.example>\t", "a@b.example", COMMAND_MAIL, COMMAND_BODY_7BIT, false, 0},
    {"MAIL FROM:<a@b.example> SIZE=1000 BODY=8BITMIME", "a@b.example", COMMAND_MAIL,
     COMMAND_BODY_8BITMIME, true, 1000},
    {"MAIL FROM:<a@b.example>  body=7bit   size=0 ", "a@b.example", COMMAND_MAIL, COMMAND_BODY_7BIT,
     true, 0},
    {"MAIL FROM:<a@b.example> SIZE=18446744073709551615", "a@b.example", COMMAND_MAIL,
     COMMAND_BODY_7BIT, true, UINT64_MAX},
    {"MAIL FROM:<a@b.example> SIZE=99999999999999999999", "a@b.example", COMMAND_MAIL,
     COMMAND_BODY_7BIT, true, UINT64_MAX},
    {"MAIL FROM:<a@b.example> SIZE=00000000000000000007", "a@b.example", COMMAND_MAIL,
     COMMAND_BODY_7BIT, true, 7},
    {"RCPT TO:<a@b.example>", "a@b.example", COMMAND_RCPT, COMMAND_BODY_7BIT, false, 0},
    {"rcpt to: <\"a > b\"@b.example>", "\"a > b\"@b.example", COMMAND_RCPT, COMMAND_BODY_7BIT,
     false, 0},
    {"RCPT TO:<Postmaster>", "Postmaster", COMMAND_RCPT, COMMAND_BODY_7BIT, false, 0},
};

static void
test_paths(void **state)
{
	struct arena arena = {0};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(path_rows); i++) {
		const struct path_row *row = &path_rows[i];
		struct command c;

		print_message("  %s\n", row->line);
		command_parse(row->line, strlen(row->line), &arena, &c);
		assert_int_equal(c.error_code, 0);
		assert_int_equal(c.verb, row->verb);
		assert_string_equal(c.path.text, row->text);
		assert_int_equal(c.body, row->body);
		assert_int_equal(c.has_size, row->has_size);
		assert_true(c.size == row->size);
	}
	arena_free(&arena);
}

#define LINE(text) text, sizeof(text) - 1

static const struct bad_row {
	const char *line;
	size_t len;
	enum command_verb verb;
	int code;
	const char *status;
	const char *text; /* a part of the reply */
} bad_rows[] = {
    {LINE(""), COMMAND_UNKNOWN, 500, "5.5.2", "empty"},
    {LINE("  "), COMMAND_UNKNOWN, 500, "5.5.2", "empty"},
    {LINE("FOO bar"), COMMAND_UNKNOWN, 500, "5.5.2", "not recognised"},
    {LINE(" NOOP"), COMMAND_UNKNOWN, 500, "5.5.2", "not recognised"},
    {LINE("DATAX"), COMMAND_UNKNOWN, 500, "5.5.2", "not recognised"},
    {LINE("DAT"), COMMAND_UNKNOWN, 500, "5.5.2", "not recognised"},
    {LINE("MAIL\0FROM:<a@b.example>"), COMMAND_UNKNOWN, 500, "5.5.2", "control"},
    {LINE("RCPT TO:<a@b.example\0.c>"), COMMAND_RCPT, 500, "5.5.2", "control"},
    {LINE("NOOP \033[31m"), COMMAND_NOOP, 500, "5.5.2", "control"},
    {LINE("NOOP a\r"), COMMAND_NOOP, 500, "5.5.2", "control"},
    {LINE("NOOP a\nb"), COMMAND_NOOP, 500, "5.5.2", "control"},
    {LINE("NOOP \177"), COMMAND_NOOP, 500, "5.5.2", "control"},
    {LINE("EHLO \303\251"), COMMAND_EHLO, 500, "5.5.2", "ASCII"},
    {LINE("AUTH PLAIN \303\251"), COMMAND_AUTH, 500, "5.5.2", "ASCII"},
    {LINE("EXPN \303\251"), COMMAND_EXPN, 500, "5.5.2", "ASCII"},
    {LINE("\303\251"), COMMAND_UNKNOWN, 500, "5.5.2", "ASCII"},
    {LINE("VRFY \303\251"), COMMAND_VRFY, 553, "5.6.7", "SMTPUTF8"},
    {LINE("VRFY \303\251SMTPUTF8"), COMMAND_VRFY, 553, "5.6.7", "SMTPUTF8"},
    {LINE("VRFY \303"), COMMAND_VRFY, 500, "5.5.2", "UTF-8"},
    {LINE("MAIL FROM:<\300\257@b.example>"), COMMAND_MAIL, 500, "5.5.2", "UTF-8"},
    {LINE("MAIL FROM:<\355\240\200@b.example> SMTPUTF8"), COMMAND_MAIL, 500, "5.5.2", "UTF-8"},
    {LINE("RCPT TO:<a\377@b.example>"), COMMAND_RCPT, 500, "5.5.2", "UTF-8"},
    {LINE("RCPT TO:<a\302\205@b.example>"), COMMAND_RCPT, 501, "5.1.3", "control"},
    {LINE("MAIL FROM:<j\303\266rg@b.example>"), COMMAND_MAIL, 553, "5.6.7", "SMTPUTF8"},
    {LINE("MAIL FROM:<a@b\303\274cher.example> SIZE=1"), COMMAND_MAIL, 553, "5.6.7", "SMTPUTF8"},
    {LINE("MAIL FROM:<a@b.example> SMTPUTF8=1"), COMMAND_MAIL, 501, "5.5.4", "takes no value"},
    {LINE("MAIL FROM:<a@b.example> SMTPUTF8="), COMMAND_MAIL, 501, "5.5.4", "takes no value"},
    {LINE("MAIL FROM:<a@b.example> SMTPUTF8 smtputf8"), COMMAND_MAIL, 501, "5.5.4", "twice"},
    {LINE("MAIL FROM:<a@b.example> S\303\237=1"), COMMAND_MAIL, 555, "5.5.4", "S\x3f\x3f here"},
    {LINE("\026\003\001\002"), COMMAND_UNKNOWN, 500, "5.5.2", "control"},
    {LINE("EHLO"), COMMAND_EHLO, 501, "5.5.4", "EHLO needs"},
    {LINE("HELO  "), COMMAND_HELO, 501, "5.5.4", "HELO needs"},
    {LINE("EHLO two words"), COMMAND_EHLO, 501, "5.5.4", "no host name"},
    {LINE("EHLO a(b)"), COMMAND_EHLO, 501, "5.5.4", "no host name"},
    {LINE("EHLO <a>"), COMMAND_EHLO, 501, "5.5.4", "no host name"},
    {LINE("EHLO a;b"), COMMAND_EHLO, 501, "5.5.4", "no host name"},
    {LINE("EHLO -"), COMMAND_EHLO, 501, "5.5.4", "no host name"},
    {LINE("EHLO " A64 A64 A64 A64), COMMAND_EHLO, 501, "5.5.4", "255"},
    {LINE("DATA now"), COMMAND_DATA, 501, "5.5.4", "DATA takes no argument"},
    {LINE("RSET x"), COMMAND_RSET, 501, "5.5.4", "RSET takes no argument"},
    {LINE("QUIT x"), COMMAND_QUIT, 501, "5.5.4", "QUIT takes no argument"},
    {LINE("STARTTLS x"), COMMAND_STARTTLS, 501, "5.5.4", "STARTTLS takes no argument"},
    {LINE("AUTH"), COMMAND_AUTH, 501, "5.5.4", "AUTH needs a mechanism"},
    {LINE("AUTH CRAM-MD5"), COMMAND_AUTH, 504, "5.5.4", "not offered"},
    {LINE("AUTH PLAINX"), COMMAND_AUTH, 504, "5.5.4", "not offered"},
    {LINE("AUTH PLAI"), COMMAND_AUTH, 504, "5.5.4", "not offered"},
    {LINE("AUTH =AGEAYg=="), COMMAND_AUTH, 504, "5.5.4", "not offered"},
    {LINE("AUTH XOAUTH2 *"), COMMAND_AUTH, 504, "5.5.4", "not offered"},
    {LINE("AUTH PLAIN AGEAYg== x"), COMMAND_AUTH, 501, "5.5.4", "one response"},
    {LINE("AUTH PLAIN = ="), COMMAND_AUTH, 501, "5.5.4", "one response"},
    {LINE("AUTH PLAIN *"), COMMAND_AUTH, 501, "5.5.2", "base64"},
    {LINE("AUTH PLAIN AGEAYg"), COMMAND_AUTH, 501, "5.5.2", "base64"},
    {LINE("AUTH PLAIN AGE=Yg=="), COMMAND_AUTH, 501, "5.5.2", "base64"},
    {LINE("AUTH PLAIN AGE_Yg=="), COMMAND_AUTH, 501, "5.5.2", "base64"},
    {LINE("AUTH LOGIN =="), COMMAND_AUTH, 501, "5.5.2", "base64"},
    {LINE("AUTH LOGIN (a)"), COMMAND_AUTH, 501, "5.5.2", "base64"},
    {LINE("STARTTLS =T"), COMMAND_STARTTLS, 501, "5.5.4", "takes no argument"},
    {LINE("MAIL"), COMMAND_MAIL, 501, "5.5.4", "MAIL FROM:<"},
    {LINE("MAIL <a@b.example>"), COMMAND_MAIL, 501, "5.5.4", "MAIL FROM:<"},
    {LINE("MAIL TO:<a@b.example>"), COMMAND_MAIL, 501, "5.5.4", "MAIL FROM:<"},
    {LINE("RCPT FROM:<a@b.example>"), COMMAND_RCPT, 501, "5.5.4", "RCPT TO:<"},
    {LINE("MAIL FROM:"), COMMAND_MAIL, 501, "5.1.7", "sender address is not in < and >"},
    {LINE("MAIL FROM:a@b.example"), COMMAND_MAIL, 501, "5.1.7", "is not in < and >"},
    {LINE("MAIL FROM:<a>"), COMMAND_MAIL, 501, "5.1.7", "sender address has no domain"},
    {LINE("MAIL FROM:<Postmaster>"), COMMAND_MAIL, 501, "5.1.7", "has no domain"},
    {LINE("MAIL FROM:<a@b.example>SIZE=1"), COMMAND_MAIL, 501, "5.1.7", "behind its >"},
    {LINE("RCPT TO:<>"), COMMAND_RCPT, 501, "5.1.3", "recipient address is empty"},
    {LINE("RCPT TO:<a@b..example>"), COMMAND_RCPT, 501, "5.1.3", "malformed domain"},
    {LINE("RCPT TO:<a@b.example>,<c@d.example>"), COMMAND_RCPT, 501, "5.1.3", "behind its >"},
    {LINE("RCPT TO:<a@b.example> SIZE=1"), COMMAND_RCPT, 555, "5.5.4", "SIZE"},
    {LINE("RCPT TO:<a@b.example> SMTPUTF8"), COMMAND_RCPT, 555, "5.5.4", "SMTPUTF8"},
    {LINE("RCPT TO:<a@b.example> AUTH=<>"), COMMAND_RCPT, 555, "5.5.4", "AUTH"},
    {LINE("RCPT TO:<a@b.example> RET=FULL"), COMMAND_RCPT, 555, "5.5.4", "RET"},
    {LINE("MAIL FROM:<a@b.example> NOTIFY=NEVER"), COMMAND_MAIL, 555, "5.5.4", "NOTIFY"},
    {LINE("MAIL FROM:<a@b.example> ORCPT=rfc822;a@b"), COMMAND_MAIL, 555, "5.5.4", "ORCPT"},
    {LINE("MAIL FROM:<a@b.example> RET"), COMMAND_MAIL, 501, "5.5.4", "RET must"},
    {LINE("MAIL FROM:<a@b.example> RET="), COMMAND_MAIL, 501, "5.5.4", "RET must"},
    {LINE("MAIL FROM:<a@b.example> RET=BODY"), COMMAND_MAIL, 501, "5.5.4", "RET must"},
    {LINE("MAIL FROM:<a@b.example> RET=FULL RET=FULL"), COMMAND_MAIL, 501, "5.5.4", "RET is given"},
    {LINE("MAIL FROM:<a@b.example> ENVID"), COMMAND_MAIL, 501, "5.5.4", "ENVID must"},
    {LINE("MAIL FROM:<a@b.example> ENVID="), COMMAND_MAIL, 501, "5.5.4", "ENVID must"},
    {LINE("MAIL FROM:<a@b.example> ENVID=a=b"), COMMAND_MAIL, 501, "5.5.4", "ENVID must"},
    {LINE("MAIL FROM:<a@b.example> ENVID=a+3d"), COMMAND_MAIL, 501, "5.5.4", "ENVID must"},
    {LINE("MAIL FROM:<a@b.example> ENVID=a+3"), COMMAND_MAIL, 501, "5.5.4", "ENVID must"},
    {LINE("MAIL FROM:<a@b.example> ENVID=a+0D+0ABcc:+20b"), COMMAND_MAIL, 501, "5.5.4", "ENVID"},
    {LINE("MAIL FROM:<a@b.example> ENVID=+7F"), COMMAND_MAIL, 501, "5.5.4", "ENVID must"},
    {LINE("MAIL FROM:<a@b.example> ENVID=+C3+A9"), COMMAND_MAIL, 501, "5.5.4", "ENVID must"},
    {LINE("MAIL FROM:<a@b.example> ENVID=\303\251"), COMMAND_MAIL, 501, "5.5.4", "ENVID must"},
    {LINE("MAIL FROM:<a@b.example> ENVID=" A64 A64), COMMAND_MAIL, 501, "5.5.4", "100"},
    {LINE("MAIL FROM:<a@b.example> ENVID=a ENVID=b"), COMMAND_MAIL, 501, "5.5.4", "ENVID is given"},
    {LINE("MAIL FROM:<a@b.example> AUTH"), COMMAND_MAIL, 501, "5.5.4", "AUTH must"},
    {LINE("MAIL FROM:<a@b.example> AUTH="), COMMAND_MAIL, 501, "5.5.4", "AUTH must"},
    {LINE("MAIL FROM:<a@b.example> AUTH=a+b@c"), COMMAND_MAIL, 501, "5.5.4", "AUTH must"},
    {LINE("MAIL FROM:<a@b.example> AUTH=<> AUTH=<>"), COMMAND_MAIL, 501, "5.5.4", "AUTH is given"},
    {LINE("RCPT TO:<a@b.example> NOTIFY"), COMMAND_RCPT, 501, "5.5.4", "NOTIFY must"},
    {LINE("RCPT TO:<a@b.example> NOTIFY="), COMMAND_RCPT, 501, "5.5.4", "NOTIFY must"},
    {LINE("RCPT TO:<a@b.example> NOTIFY=,"), COMMAND_RCPT, 501, "5.5.4", "NOTIFY must"},
    {LINE("RCPT TO:<a@b.example> NOTIFY=NEVER,SUCCESS"), COMMAND_RCPT, 501, "5.5.4", "NOTIFY"},
    {LINE("RCPT TO:<a@b.example> NOTIFY=DELAY,NEVER"), COMMAND_RCPT, 501, "5.5.4", "NOTIFY must"},
    {LINE("RCPT TO:<a@b.example> NOTIFY=NEVER,NEVER"), COMMAND_RCPT, 501, "5.5.4", "NOTIFY must"},
    {LINE("RCPT TO:<a@b.example> NOTIFY=DELAY,DELAY"), COMMAND_RCPT, 501, "5.5.4", "NOTIFY must"},
    {LINE("RCPT TO:<a@b.example> NOTIFY=DELAY,"), COMMAND_RCPT, 501, "5.5.4", "NOTIFY must"},
    {LINE("RCPT TO:<a@b.example> NOTIFY=ALWAYS"), COMMAND_RCPT, 501, "5.5.4", "NOTIFY must"},
    {LINE("RCPT TO:<a@b.example> NOTIFY=DELAYED"), COMMAND_RCPT, 501, "5.5.4", "NOTIFY must"},
    {LINE("RCPT TO:<a@b.example> NOTIFY=DELAY NOTIFY=DELAY"), COMMAND_RCPT, 501, "5.5.4", "twice"},
    {LINE("RCPT TO:<a@b.example> ORCPT"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT="), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=a@b.example"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=;a@b.example"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=rfc822;"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=rfc822;a=b@c"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=rfc822;a+b@c"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=rfc822;a+00b"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=rfc822;a+0D+0Ab"), COMMAND_RCPT, 501, "5.5.4", "ORCPT"},
    {LINE("RCPT TO:<a@b.example> ORCPT=rfc822;\303\251@b"), COMMAND_RCPT, 501, "5.5.4", "ORCPT"},
    {LINE("RCPT TO:<a@b.example> ORCPT=utf-8;"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=utf-8;a\\b"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=utf-8;\\x{A}"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=utf-8;\\x{0A}"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=utf-8;\\x{D800}"), COMMAND_RCPT, 501, "5.5.4", "ORCPT"},
    {LINE("RCPT TO:<a@b.example> ORCPT=utf-8;\\x{110000}"), COMMAND_RCPT, 501, "5.5.4", "ORCPT"},
    {LINE("RCPT TO:<a@b.example> ORCPT=utf-8;\\x{E9"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=utf-8;a+2Bb"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=utf-8;\302\205"), COMMAND_RCPT, 501, "5.5.4", "ORCPT must"},
    {LINE("RCPT TO:<a@b.example> ORCPT=rfc822;" A64 A64 A64 A64 A64 A64 A64 A64), COMMAND_RCPT, 501,
     "5.5.4", "500"},
    {LINE("RCPT TO:<a@b.example> ORCPT=rfc822;a ORCPT=rfc822;a"), COMMAND_RCPT, 501, "5.5.4",
     "twice"},
    {LINE("MAIL FROM:<a@b.example> SIZES=1"), COMMAND_MAIL, 555, "5.5.4", "SIZES"},
    {LINE("MAIL FROM:<a@b.example> =1"), COMMAND_MAIL, 555, "5.5.4", "parameter"},
    {LINE("MAIL FROM:<a@b.example> SIZE=1 SIZE=1"), COMMAND_MAIL, 501, "5.5.4", "SIZE is given"},
    {LINE("MAIL FROM:<a@b.example> SIZE"), COMMAND_MAIL, 501, "5.5.4", "SIZE needs"},
    {LINE("MAIL FROM:<a@b.example> SIZE="), COMMAND_MAIL, 501, "5.5.4", "SIZE needs"},
    {LINE("MAIL FROM:<a@b.example> SIZE=-1"), COMMAND_MAIL, 501, "5.5.4", "SIZE needs"},
    {LINE("MAIL FROM:<a@b.example> SIZE=1k"), COMMAND_MAIL, 501, "5.5.4", "SIZE needs"},
    {LINE("MAIL FROM:<a@b.example> SIZE=000000000000000000001"), COMMAND_MAIL, 501, "5.5.4",
     "SIZE needs"},
    {LINE("MAIL FROM:<a@b.example> BODY"), COMMAND_MAIL, 501, "5.5.4", "BODY must"},
    {LINE("MAIL FROM:<a@b.example> BODY=BINARYMIME"), COMMAND_MAIL, 555, "5.5.4",
     "BINARYMIME is not offered"},
    {LINE("MAIL FROM:<a@b.example> BODY="), COMMAND_MAIL, 501, "5.5.4", "BODY must"},
    {LINE("MAIL FROM:<a@b.example> BODY=7BIT BODY=7BIT"), COMMAND_MAIL, 501, "5.5.4",
     "BODY is given"},
};

static void
test_bad(void **state)
{
	struct arena arena = {0};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad_rows); i++) {
		const struct bad_row *row = &bad_rows[i];
		struct command c;

		print_message("  %zu: %d %s %s\n", i, row->code, row->status, row->text);
		command_parse(row->line, row->len, &arena, &c);
		assert_int_equal(c.error_code, row->code);
		assert_string_equal(c.error_status, row->status);
		assert_non_null(strstr(c.error_text, row->text));
		assert_int_equal(c.verb, row->verb);
		assert_non_null(c.argument);
	}
	arena_free(&arena);
}

static const struct dsn_row {
	const char *line;
	bool smtputf8, has_auth;
	enum dsn_ret ret;
	const char *envid;
	unsigned notify;
	const char *orcpt;
} dsn_rows[] = {
    {"MAIL FROM:<a@b.example> RET=FULL ENVID=QQ314159", false, false, DSN_RET_FULL, "QQ314159", 0,
     NULL},
    {"MAIL FROM:<a@b.example> envid=a+2Bb+20c ret=hdrs", false, false, DSN_RET_HDRS, "a+2Bb+20c", 0,
     NULL},
    {"MAIL FROM:<a@b.example> AUTH=<>", false, true, 0, NULL, 0, NULL},
    {"MAIL FROM:<a@b.example> AUTH=e+3Dmc2@example.com", false, true, 0, NULL, 0, NULL},
    {"MAIL FROM:<a@b.example> smtputf8 BODY=8BITMIME", true, false, 0, NULL, 0, NULL},
    {"MAIL FROM:<j\303\266rg@b.example> SIZE=1 SMTPUTF8", true, false, 0, NULL, 0, NULL},
    {"RCPT TO:<j\303\266rg@b.example>", false, false, 0, NULL, 0, NULL},
    {"RCPT TO:<a@b.example> NOTIFY=NEVER", false, false, 0, NULL, DSN_NEVER, NULL},
    {"RCPT TO:<a@b.example> NOTIFY=SUCCESS", false, false, 0, NULL, DSN_SUCCESS, NULL},
    {"RCPT TO:<a@b.example> notify=delay,Failure,SUCCESS", false, false, 0, NULL,
     DSN_DELAY | DSN_FAILURE | DSN_SUCCESS, NULL},
    {"RCPT TO:<a@b.example> ORCPT=rfc822;Bob+2Bx@Big-Bucks.example", false, false, 0, NULL, 0,
     "rfc822;Bob+2Bx@Big-Bucks.example"},
    {"RCPT TO:<a@b.example> ORCPT=X400;a+20b NOTIFY=DELAY", false, false, 0, NULL, DSN_DELAY,
     "X400;a+20b"},
    {"RCPT TO:<a@b.example> ORCPT=utf-8;j\\x{F6}rg@b.example", false, false, 0, NULL, 0,
     "utf-8;j\\x{F6}rg@b.example"},
    {"RCPT TO:<a@b.example> ORCPT=UTF-8;j\303\266\360\237\222\251@b.example", false, false, 0, NULL,
     0, "UTF-8;j\\x{F6}\\x{1F4A9}@b.example"},
    {"RCPT TO:<a@b.example> ORCPT=utf-8;a\\x{2B}b\\x{5C}@c", false, false, 0, NULL, 0,
     "utf-8;a\\x{2B}b\\x{5C}@c"},
    {"VRFY j\303\266rg SMTPUTF8", true, false, 0, NULL, 0, NULL},
    {"VRFY anna smtputf8", true, false, 0, NULL, 0, NULL},
    {"VRFY SMTPUTF8", false, false, 0, NULL, 0, NULL},
};

static void
check_text(const char *got, const char *wanted)
{
	if (wanted == NULL)
		assert_null(got);
	else
		assert_string_equal(got, wanted);
}

static void
test_dsn_and_utf8(void **state)
{
	struct arena arena = {0};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(dsn_rows); i++) {
		const struct dsn_row *row = &dsn_rows[i];
		struct command c;

		print_message("  %s\n", row->line);
		command_parse(row->line, strlen(row->line), &arena, &c);
		assert_int_equal(c.error_code, 0);
		assert_int_equal(c.smtputf8, row->smtputf8);
		assert_int_equal(c.has_auth, row->has_auth);
		assert_int_equal(c.ret, row->ret);
		assert_int_equal(c.notify, row->notify);
		check_text(c.envid, row->envid);
		check_text(c.orcpt, row->orcpt);
		if (c.verb != COMMAND_VRFY)
			assert_int_equal(c.path.utf8, strstr(row->line, "rg@b.example>") != NULL);
	}
	arena_free(&arena);
}

static const struct chunk_row {
	const char *line;
	int code;
	bool known, last;
	uint64_t size;
} chunk_rows[] = {
    {"BDAT 0", 0, true, false, 0},
    {"BDAT 1000", 0, true, false, 1000},
    {"bdat\t86   last ", 0, true, true, 86},
    {"BDAT 0 LAST", 0, true, true, 0},
    {"BDAT 18446744073709551615", 0, true, false, UINT64_MAX},
    {"BDAT 99999999999999999999 LAST", 0, true, true, UINT64_MAX},
    {"BDAT 10 FIRST", 501, true, false, 10},
    {"BDAT 10 LAST LAST", 501, true, false, 10},
    {"BDAT 10 LASTLY", 501, true, false, 10},
    {"BDAT", 501, false, false, 0},
    {"BDAT LAST", 501, false, false, 0},
    {"BDAT LAST 10", 501, false, false, 0},
    {"BDAT -1", 501, false, false, 0},
    {"BDAT +1", 501, false, false, 0},
    {"BDAT 0x10", 501, false, false, 0},
    {"BDAT 10,LAST", 501, false, false, 0},
    {"BDAT 000000000000000000001", 501, false, false, 0},
};

static void
test_chunks(void **state)
{
	struct arena arena = {0};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(chunk_rows); i++) {
		const struct chunk_row *row = &chunk_rows[i];
		struct command c;

		print_message("  %s\n", row->line);
		command_parse(row->line, strlen(row->line), &arena, &c);
		assert_int_equal(c.verb, COMMAND_BDAT);
		assert_int_equal(c.error_code, row->code);
		assert_int_equal(c.chunk_known, row->known);
		assert_int_equal(c.chunk_last, row->last);
		assert_true(c.chunk_size == row->size);
	}
	arena_free(&arena);
}

static const struct auth_row {
	const char *line;
	enum command_mechanism mechanism;
	const char *initial;
} auth_rows[] = {
    {"AUTH PLAIN", COMMAND_AUTH_PLAIN, NULL},
    {"auth plain  AGEAYg== ", COMMAND_AUTH_PLAIN, "AGEAYg=="},
    {"AUTH PLAIN =", COMMAND_AUTH_PLAIN, "="},
    {"AUTH LOGIN", COMMAND_AUTH_LOGIN, NULL},
    {"AUTH\tLogin\tYQ==", COMMAND_AUTH_LOGIN, "YQ=="},
    {"AUTH PLAIN ++//", COMMAND_AUTH_PLAIN, "++//"},
};

static void
test_auth(void **state)
{
	struct arena arena = {0};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(auth_rows); i++) {
		struct command c;

		print_message("  %s\n", auth_rows[i].line);
		command_parse(auth_rows[i].line, strlen(auth_rows[i].line), &arena, &c);
		assert_int_equal(c.error_code, 0);
		assert_int_equal(c.mechanism, auth_rows[i].mechanism);
		check_text(c.initial, auth_rows[i].initial);
	}
	arena_free(&arena);
}

static void
test_names(void **state)
{
	(void)state;
	assert_string_equal(command_name(COMMAND_MAIL), "MAIL");
	assert_string_equal(command_name(COMMAND_STARTTLS), "STARTTLS");
	assert_string_equal(command_name(COMMAND_HTTP), "HTTP");
	assert_string_equal(command_name(COMMAND_UNKNOWN), "unknown");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),   cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_bad),    cmocka_unit_test(test_dsn_and_utf8),
	    cmocka_unit_test(test_chunks), cmocka_unit_test(test_auth),
	    cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
