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
    {LINE("VRFY \303\251"), COMMAND_VRFY, 500, "5.5.2", "ASCII"},
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
    {LINE("AUTH"), COMMAND_AUTH, 501, "5.5.4", "AUTH needs an argument"},
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
    {LINE("RCPT TO:<a@b.example> NOTIFY=NEVER"), COMMAND_RCPT, 555, "5.5.4", "NOTIFY"},
    {LINE("RCPT TO:<a@b.example> SIZE=1"), COMMAND_RCPT, 555, "5.5.4", "SIZE"},
    {LINE("MAIL FROM:<a@b.example> SMTPUTF8"), COMMAND_MAIL, 555, "5.5.4", "SMTPUTF8"},
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
    {LINE("MAIL FROM:<a@b.example> BODY=BINARYMIME"), COMMAND_MAIL, 501, "5.5.4", "BODY must"},
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
	    cmocka_unit_test(test_good),
	    cmocka_unit_test(test_paths),
	    cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
