/*
 * Traces: what rows become of CSV, and what is said of what cannot be read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "simulate/trace.h"

#define NAMES "time,client,user,sender,subject,recipients,size\n"
#define ALL                                                                                        \
	"label,body,listener,tls_name,audience,campaign,over,size,recipients,subject,sender,user," \
	"client,time\n"

/* "1:0 10.1.0.7 - a@b.c Hi x@y.z*1 100": the line, then what is not empty, "-" for empty. */
static void
dump_row(const struct trace *t, const struct trace_row *row, struct buf *out)
{
	buf_printf(out, "%llu: %lld+%lld", (unsigned long long)trace_line(t), (long long)row->at,
		   (long long)row->over);
	buf_printf(out, " [%s|%s|%s|%s] [%s|%s|%s|%s]", row->client, row->user, row->tls_name,
		   row->listener, row->sender, row->subject, row->campaign, row->body);
	buf_printf(out, " [%s]*%llu %llu %u%s\n", row->recipients != NULL ? row->recipients : "",
		   (unsigned long long)row->count, (unsigned long long)row->size, row->audience,
		   row->blast ? " blast" : "");
}

static char *
read_all(const char *text, size_t len)
{
	/* fmemopen() refuses an empty memory. */
	FILE *file = len > 0 ? fmemopen((void *)(uintptr_t)text, len, "r") : tmpfile();
	struct buf out = {0};
	struct trace_row row;
	struct trace *t;
	int result = 0;

	assert_non_null(file);
	t = trace_open(file, &out);
	while (t != NULL && (result = trace_read(t, &row, &out)) != 0) {
		if (result > 0)
			dump_row(t, &row, &out);
	}
	trace_close(t);
	fclose(file);
	return out.len > 0 ? buf_take(&out) : mem_strdup("");
}

static const struct {
	const char *name, *text, *wanted;
} rows[] = {
    {"plain", NAMES "0,10.1.0.7,,a@b.c,Hi,x@y.z,100\n",
     "2: 0+0 [10.1.0.7|||] [a@b.c|Hi||] [x@y.z]*1 100 0\n"},
    {"no line end at the end", NAMES "0,::1,u,,Hi,3,100", "2: 0+0 [::1|u||] [|Hi||] []*3 100 0\n"},
    {"CRLF, a mark, an empty line",
     "\xef\xbb\xbf"
     "time,client,sender,subject,recipients\r\n\r\n1.5,::1,,Hi,3\r\n",
     "3: 1500000+0 [::1|||] [|Hi||] []*3 0 0\n"},
    {"quotes", NAMES "0,::1,\"\",\"a@b.c\",\"He said \"\"Hi, all\"\"\",\"x@y.z, q\",1\n",
     "2: 0+0 [::1|||] [a@b.c|He said \"Hi, all\"||] [x@y.z, q]*2 1 0\n"},
    {"a line end in quotes counts as a line", NAMES "0,::1,,,\"a\nb\r\nc\",1,1\n7,::1,,,d,1,1\n",
     "2: 0+0 [::1|||] [|a\nb\r\nc||] []*1 1 0\n5: 7000000+0 [::1|||] [|d||] []*1 1 0\n"},
    {"other order, every column",
     ALL "blast,Body,apps,tls.example,300,c1,60,25KB,a@b.c d@e.f,S,x@y.z,u,10.0.0.1,12.000001\n",
     "2: 12000001+60000000 [10.0.0.1|u|tls.example|apps] [x@y.z|S|c1|Body] [a@b.c d@e.f]*2 25600 "
     "300 blast\n"},
    {"nothing declared", ALL "ok,,,,,,,,1,S,,,::1,0\n", "2: 0+0 [::1|||] [|S||] []*1 0 0\n"},
    {"digits beyond a microsecond are cut", NAMES "0.12345678,::1,,,S,1,\n",
     "2: 123456+0 [::1|||] [|S||] []*1 0 0\n"},
    {"an address that begins like a number", NAMES "0,::1,,,S,1@b.c,\n",
     "2: 0+0 [::1|||] [|S||] [1@b.c]*1 0 0\n"},
};

#define NAMES_HINT                                                                                 \
	"; the first line names the columns: time,client,user,sender,subject,recipients,size\n"

static const struct {
	const char *name, *text, *wanted;
} wrong[] = {
    {"empty", "", "line 1: the trace is empty" NAMES_HINT},
    {"no names", "0,::1,,,S,1,1\n", "line 1: there is no column \"0\"; "},
    {"a name twice", "time,time,client,sender,subject,recipients\n",
     "line 1: column time is there twice; leave one out\n"},
    {"a name is missing", "time,client,sender,recipients\n",
     "line 1: column subject is missing" NAMES_HINT},
    {"too few values", NAMES "0,::1\n",
     "line 2: 2 values, but there are 7 columns; put a value with commas in quotes\n"},
    {"too many values", NAMES "0,::1,,,Hi, all,1,1\n",
     "line 2: 8 values, but there are 7 columns; put a value with commas in quotes\n"},
    {"a quote in a value", NAMES "0,::1,,,a\"b,1,1\n",
     "line 2: subject: a quote in a value without quotes; put the value in quotes and write the "
     "quote twice\n"},
    {"text behind quotes", NAMES "0,::1,,,\"a\"b,1,1\n",
     "line 2: subject: text behind the closing quote; write a quote inside quotes twice\n"},
    {"quotes that do not close", NAMES "0,::1,,,\"a,1,1\n0,::1,,,S,1,1\n",
     "line 2: subject: a closing quote is missing\n"},
    {"a lone CR", NAMES "0,::1,,,a\rb,1,1\n",
     "line 2: subject: a carriage return without a line feed; end lines with LF or CRLF\n"},
    {"no time", NAMES "soon,::1,,,S,1,1\n",
     "line 2: time: is no time; write seconds since the start, such as 12.5\n"},
    {"a negative time", NAMES "-1,::1,,,S,1,1\n", "line 2: time: is no time; "},
    {"a time without digits behind its point", NAMES "1.,::1,,,S,1,1\n",
     "line 2: time: is no time; "},
    {"a time that is too long", NAMES "1234567890,::1,,,S,1,1\n", "line 2: time: is no time; "},
    {"back in time", NAMES "2,::1,,,S,1,1\n1.999999,::1,,,S,1,1\n",
     "line 3: time: is before the row above; sort the trace by time\n"},
    {"no client", NAMES "0,,,,S,1,1\n",
     "line 2: client: is empty; write the IP address that it comes from\n"},
    {"no recipients", NAMES "0,::1,,,S, ,1\n",
     "line 2: recipients: is empty; write addresses with spaces between them, or a number\n"},
    {"nobody", NAMES "0,::1,,,S,0,1\n", "line 2: recipients: is no number of recipients; "},
    {"too many", NAMES "0,::1,,,S,1000000001,1\n",
     "line 2: recipients: is no number of recipients; "},
    {"size", NAMES "0,::1,,,S,1,big\n", "line 2: size: is no size; write bytes, such as 20000\n"},
    {"audience 0", ALL "ok,,,,0,c,,,1,S,,,::1,0\n", "line 2: audience: is no audience; "},
    {"audience too large", ALL "ok,,,,4294967296,c,,,1,S,,,::1,0\n",
     "line 2: audience: is no audience; "},
    {"over", ALL "ok,,,,,,1m,,1,S,,,::1,0\n", "line 2: over: is no time; "},
    {"label", ALL "bad,,,,,,,,1,S,,,::1,0\n",
     "line 2: label: is no label; write blast for what should be held, else ok\n"},
    {"no UTF-8", NAMES "0,::1,,,\xff,1,1\n",
     "line 2: subject: is no UTF-8; save the trace as UTF-8\n"},
};

static void
test_rows(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *got = read_all(rows[i].text, strlen(rows[i].text));

		if (strcmp(got, rows[i].wanted) != 0)
			fail_msg("%s\nwanted: %s\ngot: %s", rows[i].name, rows[i].wanted, got);
		free(got);
	}
}

static void
test_wrong(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		char *got = read_all(wrong[i].text, strlen(wrong[i].text));

		if (strstr(got, wrong[i].wanted) == NULL)
			fail_msg("%s\nwanted: %s\ngot: %s", wrong[i].name, wrong[i].wanted, got);
		free(got);
	}
}

/* What is wrong is told row by row, and what is right is still read. */
static void
test_goes_on(void **state)
{
	static const char text[] = NAMES "0,::1,,,a\"b,1,1\nx,::1,,,S,1,1\n3,::1,,,S,1,1\n4,::1\n";
	char *got = read_all(text, strlen(text));

	(void)state;
	assert_string_equal(
	    got, "line 2: subject: a quote in a value without quotes; put the value in quotes and "
		 "write the quote twice\n"
		 "line 3: time: is no time; write seconds since the start, such as 12.5\n"
		 "4: 3000000+0 [::1|||] [|S||] []*1 1 0\n"
		 "line 5: 2 values, but there are 7 columns; put a value with commas in quotes\n");
	free(got);
}

static void
test_nul(void **state)
{
	static const char text[] = NAMES "0,::1,,,a\0b,1,1\n";
	char *got = read_all(text, sizeof(text) - 1);

	(void)state;
	assert_string_equal(got, "line 2: subject: a NUL byte; save the trace as UTF-8 text\n");
	free(got);
}

static void
test_bounded(void **state)
{
	struct buf text = {0};
	size_t i;
	char *got;

	(void)state;
	buf_add_text(&text, NAMES "0,::1,,,\"");
	for (i = 0; i < 200000; i++)
		buf_add_text(&text, "abcdefghij");
	buf_add_text(&text, "\n5,::1,,,S,1,1\n");
	got = read_all(text.data, text.len);
	assert_string_equal(got,
			    "line 2: subject: the row is over 1 MB; is a closing quote missing?\n"
			    "3: 5000000+0 [::1|||] [|S||] []*1 1 0\n");
	free(got);
	buf_clear(&text);
	buf_add_text(&text, NAMES "0");
	for (i = 0; i < 100; i++)
		buf_add_char(&text, ',');
	buf_add_text(&text, "\n");
	got = read_all(text.data, text.len);
	assert_string_equal(got, "line 2: more than 64 values\n");
	free(got);
	buf_free(&text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),    cmocka_unit_test(test_wrong),
	    cmocka_unit_test(test_goes_on), cmocka_unit_test(test_nul),
	    cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
