/*
 * The command line's parser and what people see: options, distances, harmless text, widths,
 * tables, numbers and times. The verbs are tested against a server in tests/integration.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/chart.h"
#include "cli/options.h"
#include "cli/screen.h"
#include "cli/table.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct option global_options[] = {
    {"control", 0, OPTION_TEXT, 0, "PATH", ""},
    {"json", 'j', OPTION_FLAG, 0, NULL, ""},
    {"url", 0, OPTION_TEXT, OPTION_LATER, "URL", ""},
    {0},
};

static const struct option own_options[] = {
    {"reason", 0, OPTION_TEXT, 0, "TEXT", ""},      {"from", 0, OPTION_ANY, 0, "ADDRESS", ""},
    {"to", 't', OPTION_LIST, 0, "ADDRESS", ""},     {"first", 0, OPTION_NUMBER, 0, "N", ""},
    {"percent", 0, OPTION_PERCENT, 0, "P", ""},     {"rate", 0, OPTION_RATE, 0, "RATE", ""},
    {"stop-on", 0, OPTION_SHARE, 0, "PERCENT", ""}, {"wait", 0, OPTION_DURATION, 0, "TIME", ""},
    {"rings", 0, OPTION_RINGS, 0, "N,N,all", ""},   {0},
};

/* What was parsed, as one text: "name=value name=value | word word", or "! error". */
static void
describe(const struct options *o, struct buf *out)
{
	size_t i;

	for (i = 0; i < o->value_count; i++)
		buf_printf(out, "%s=%s ", o->values[i].option->name, o->values[i].text);
	buf_add_char(out, '|');
	for (i = 0; i < o->word_count; i++)
		buf_printf(out, " %s", o->words[i]);
}

static void
test_options(void **state)
{
	static const struct {
		const char *name;
		const char *argv[8];
		const char *wanted;
	} rows[] = {
	    {"nothing", {NULL}, "|"},
	    {"words", {"a", "b"}, "| a b"},
	    {"a dash is a word", {"-"}, "| -"},
	    {"value behind", {"--reason", "x y", "B1"}, "reason=x y | B1"},
	    {"value with =", {"B1", "--reason=x=y"}, "reason=x=y | B1"},
	    {"flag of all verbs", {"B1", "--json"}, "json= | B1"},
	    {"flags may be repeated", {"--json", "--json"}, "json= json= |"},
	    {"letter", {"-j", "-t", "a@b"}, "json= to=a@b |"},
	    {"list", {"--to", "a", "--to=b", "c"}, "to=a to=b | c"},
	    {"end of options", {"--", "--json", "--"}, "| --json --"},
	    {"value is a dash", {"--reason", "-"}, "reason=- |"},
	    {"value starts with a dash", {"--reason", "-5"}, "reason=-5 |"},
	    {"value looks like an option", {"--reason=--first"}, "reason=--first |"},
	    {"any may be empty", {"--from", ""}, "from= |"},
	    {"largest number", {"--first", "4000000000"}, "first=4000000000 |"},
	    {"percent sign", {"--percent", "2.5%"}, "percent=2.5% |"},
	    {"rate", {"--rate", "100/m"}, "rate=100/m |"},
	    {"a share may be nothing", {"--stop-on", "0"}, "stop-on=0 |"},
	    {"a share with its sign", {"--stop-on", "2%"}, "stop-on=2% |"},
	    {"a share over all",
	     {"--stop-on", "100.5"},
	     "! --stop-on takes a percentage from 0 to 100, not \"100.5\""},
	    {"a share below nothing",
	     {"--stop-on", "-1"},
	     "! --stop-on takes a percentage from 0 to 100, not \"-1\""},
	    {"shortest time", {"--wait", "1s"}, "wait=1s |"},
	    {"longest time", {"--wait", "30d"}, "wait=30d |"},
	    {"no time",
	     {"--wait", "0"},
	     "! --wait takes a time from 1s to 30d such as 10m (s, m, h, d), not \"0\""},
	    {"too long",
	     {"--wait", "721h"},
	     "! --wait takes a time from 1s to 30d such as 10m (s, m, h, d), not \"721h\""},
	    {"a number without its unit",
	     {"--wait", "10"},
	     "! --wait takes a time from 1s to 30d such as 10m (s, m, h, d), not \"10\""},
	    {"option forgotten",
	     {"--reason", "--first", "1"},
	     "! --reason needs a value before --first; if that is the value, write "
	     "--reason=--first"},
	    {"value forgotten", {"--first"}, "! --first needs a value; write --first N"},
	    {"empty text", {"--reason="}, "! --reason is empty; write --reason TEXT"},
	    {"blank text", {"--reason", " \t"}, "! --reason is empty; write --reason TEXT"},
	    {"empty list", {"--to", ""}, "! --to is empty; write --to ADDRESS"},
	    {"twice", {"--first=1", "--first=1"}, "! --first is given twice; give it once"},
	    {"flag with value", {"--json=yes"}, "! --json takes no value"},
	    {"later", {"--url", "x"}, "! --url: not available in this version"},
	    {"nearest", {"--raeson", "x"}, "! unknown option --raeson; do you mean --reason?"},
	    {"nearest with value",
	     {"--reson=x"},
	     "! unknown option --reson; do you mean --reason?"},
	    {"nearest of all verbs", {"--jsno"}, "! unknown option --jsno; do you mean --json?"},
	    {"start of a name", {"--perc", "1"}, "! unknown option --perc; do you mean --percent?"},
	    {"nothing near", {"--xyzzy"}, "! unknown option --xyzzy"},
	    {"letters together", {"-jt"}, "! unknown option -jt"},
	    {"no number",
	     {"--first", "1k"},
	     "! --first takes a whole number from 1 to 4000000000, not \"1k\""},
	    {"zero",
	     {"--first", "0"},
	     "! --first takes a whole number from 1 to 4000000000, not \"0\""},
	    {"too large",
	     {"--first", "4000000001"},
	     "! --first takes a whole number from 1 to 4000000000, not \"4000000001\""},
	    {"no percent",
	     {"--percent", "1.%"},
	     "! --percent takes a number above 0 and up to 100, not \"1.%\""},
	    {"over 100",
	     {"--percent", "100.1"},
	     "! --percent takes a number above 0 and up to 100, not \"100.1\""},
	    {"no rate",
	     {"--rate", "100"},
	     "! --rate takes recipients per time such as 100/1m (s, m, h, d), not \"100\""},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		struct options o = {0};
		struct buf got = {0}, error = {0};
		int argc = 0, at = 0;

		while (argc < 8 && rows[i].argv[argc] != NULL)
			argc++;
		if (options_parse(&o, argc, (char **)(uintptr_t)rows[i].argv, &at, global_options,
				  own_options, false, &error))
			describe(&o, &got);
		else
			buf_printf(&got, "! %s", buf_text(&error));
		if (strcmp(buf_text(&got), rows[i].wanted) != 0)
			fail_msg("%s: got \"%s\", wanted \"%s\"", rows[i].name, buf_text(&got),
				 rows[i].wanted);
		options_free(&o);
		buf_free(&got);
		buf_free(&error);
	}
}

/* "10 100 0", or "! error"; %s stands for --rings and the value in an error. */
static void
test_options_rings(void **state)
{
	static const char few[] = "! --rings has a ring that is neither a number from 1 to "
				  "1000000000 nor \"all\"; write sizes such as 10,100,1000,all, "
				  "not \"%s\"";
	static const char behind[] = "! --rings goes on behind \"all\", which is all that is left; "
				     "write sizes such as 10,100,1000,all, not \"%s\"";
	static const char many[] = "! --rings has more than 20 rings; write sizes such as "
				   "10,100,1000,all, not \"%s\"";
	static const struct {
		const char *text, *wanted;
	} rows[] = {
	    {"all", "0"},
	    {"1", "1"},
	    {"10,100,1000,all", "10 100 1000 0"},
	    {"5,5,5", "5 5 5"},
	    {"007,1000000000", "7 1000000000"},
	    {"1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,all",
	     "1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 0"},
	    {"1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,all", many},
	    {"all,10", behind},
	    {"all,", behind},
	    {"all,all", behind},
	    {"", few},
	    {",", few},
	    {"10,", few},
	    {",10", few},
	    {"10,,20", few},
	    {"0", few},
	    {"-1", few},
	    {"+1", few},
	    {"10, 20", few},
	    {"1e3", few},
	    {"1000000001", few},
	    {"99999999999999999999", few},
	    {"ALL", few},
	    {"al", few},
	    {"alll", few},
	    {"10%", few},
	    {"\033[2J", few},
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		const char *argv[] = {"--rings", rows[i].text};
		uint64_t sizes[OPTIONS_RINGS_MAX];
		struct options o = {0};
		struct buf got = {0}, error = {0};
		char wanted[400];
		size_t count;
		int at = 0;

		snprintf(wanted, sizeof(wanted), "%s", rows[i].wanted);
		if (wanted[0] == '!') {
			size_t end = strlen(wanted) - 3; /* %s" */

			snprintf(wanted + end, sizeof(wanted) - end, "%s\"", rows[i].text);
		}
		if (options_parse(&o, 2, (char **)(uintptr_t)argv, &at, global_options, own_options,
				  false, &error)) {
			count = options_rings(&o, "rings", sizes);
			for (j = 0; j < count; j++)
				buf_printf(&got, "%s%llu", j > 0 ? " " : "",
					   (unsigned long long)sizes[j]);
		} else {
			buf_printf(&got, "! %s", buf_text(&error));
			assert_int_equal(options_rings(&o, "rings", sizes), 0);
		}
		if (strcmp(buf_text(&got), wanted) != 0)
			fail_msg("%s: got \"%s\", wanted \"%s\"", rows[i].text, buf_text(&got),
				 wanted);
		options_free(&o);
		buf_free(&got);
		buf_free(&error);
	}
}

static void
test_options_stop(void **state)
{
	const char *argv[] = {"--json", "--control", "/s", "show", "--json", "B1"};
	struct options o = {0};
	struct buf error = {0};
	int at = 0;

	(void)state;
	assert_true(options_parse(&o, 6, (char **)(uintptr_t)argv, &at, global_options, NULL, true,
				  &error));
	assert_int_equal(at, 3);
	assert_string_equal(options_text(&o, "control"), "/s");
	assert_false(options_has(&o, "reason"));
	at++;
	assert_true(options_parse(&o, 6, (char **)(uintptr_t)argv, &at, global_options, own_options,
				  false, &error));
	assert_int_equal(o.word_count, 1);
	assert_string_equal(o.words[0], "B1");
	options_free(&o);
}

static void
test_options_distance(void **state)
{
	static const struct {
		const char *a, *b;
		size_t wanted;
	} rows[] = {
	    {"", "", 0},
	    {"", "abc", 3},
	    {"release", "release", 0},
	    {"relase", "release", 1},
	    {"releasse", "release", 1},
	    {"relaese", "release", 1},
	    {"rolease", "release", 1},
	    {"kitten", "sitting", 3},
	    {"ab", "ba", 1},
	    {"0123456789012345678901234567890123456789012345678901234567890123", "x", SIZE_MAX},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		assert_int_equal(options_distance(rows[i].a, rows[i].b), rows[i].wanted);
		assert_int_equal(options_distance(rows[i].b, rows[i].a), rows[i].wanted);
	}
}

static void
test_screen_text(void **state)
{
	static const struct {
		const char *name, *input, *wanted;
		size_t width;
	} rows[] = {
	    {"plain", "Your order", "Your order", 10},
	    {"nothing", "", "", 0},
	    {"null", NULL, "-", 1},
	    {"escape", "\033[31mred", "\\x1b[31mred", 11},
	    {"line ends", "a\r\nb", "a\\x0d\\nb", 8},
	    {"delete", "\x7f", "\\x7f", 4},
	    {"C1",
	     "\xc2\x9b"
	     "2J",
	     "\\u009b2J", 8},
	    {"right to left override",
	     "\xe2\x80\xae"
	     "exe",
	     "\\u202eexe", 9},
	    {"isolate", "\xe2\x81\xa6", "\\u2066", 6},
	    {"zero width space",
	     "a\xe2\x80\x8b"
	     "b",
	     "a\\u200bb", 8},
	    {"byte order mark", "\xef\xbb\xbf", "\\ufeff", 6},
	    {"tag", "\xf3\xa0\x81\x81", "\\ue0041", 7},
	    {"umlaut", "f\xc3\xbcr", "f\xc3\xbcr", 3},
	    {"wide", "\xe4\xb8\xad\xe6\x96\x87", "\xe4\xb8\xad\xe6\x96\x87", 4},
	    {"combining", "e\xcc\x81", "e\xcc\x81", 1},
	    {"a pile of marks", "e\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81",
	     "e\xcc\x81\xcc\x81\xcc\x81\xcc\x81", 1},
	    {"joiner",
	     "a\xe2\x80\x8d"
	     "b",
	     "a\xe2\x80\x8d"
	     "b",
	     2},
	    {"no utf-8",
	     "a\xff"
	     "b\xc3",
	     "a?b?", 4},
	    {"overlong", "\xc0\xaf\xe0\x80\xaf", "?????", 5},
	    {"surrogate", "\xed\xa0\x80", "???", 3},
	    {"beyond unicode", "\xf4\x90\x80\x80", "????", 4},
	    {"cut character", "\xf0\x9f\x98", "???", 3},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		const char *got = screen_text(rows[i].input);

		if (strcmp(got, rows[i].wanted) != 0 || screen_width(got) != rows[i].width)
			fail_msg("%s: got \"%s\", %zu columns, wanted \"%s\", %zu", rows[i].name,
				 got, screen_width(got), rows[i].wanted, rows[i].width);
	}
}

static void
test_screen_fit(void **state)
{
	static const struct {
		const char *text;
		size_t columns, bytes, width;
	} rows[] = {
	    {"abc", 5, 3, 3},
	    {"abc", 2, 2, 2},
	    {"abc", 0, 0, 0},
	    /* A wide character is not halved; a mark stays with its letter. */
	    {"\xe4\xb8\xad\xe6\x96\x87", 3, 3, 2},
	    {"e\xcc\x81x", 1, 3, 1},
	};
	size_t i, width;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		assert_int_equal(screen_fit(rows[i].text, rows[i].columns, &width), rows[i].bytes);
		assert_int_equal(width, rows[i].width);
	}
}

static void
test_screen_lines(void **state)
{
	static const char text[] = "a\r\n\tb\033\n\xc3\xbc\0c\rd";
	char *got = NULL;
	size_t len;
	FILE *out = open_memstream(&got, &len);

	(void)state;
	screen_lines(out, text, sizeof(text) - 1);
	screen_lines(out, "", 0);
	fclose(out);
	assert_string_equal(got, "a\n\tb\\x1b\n\xc3\xbc\\x00c\\x0dd\n");
	free(got);
}

static void
test_screen_count(void **state)
{
	static const struct {
		int64_t n;
		const char *wanted;
	} rows[] = {{0, "0"},
		    {999, "999"},
		    {1000, "1,000"},
		    {4990, "4,990"},
		    {1234567, "1,234,567"},
		    {-1000, "-1,000"},
		    {INT64_MIN, "-9,223,372,036,854,775,808"}};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		assert_string_equal(screen_count(rows[i].n), rows[i].wanted);
	assert_string_equal(screen_counted(1, "batch", "batches"), "1 batch");
	assert_string_equal(screen_counted(2000, "batch", "batches"), "2,000 batches");
}

static void
test_screen_time(void **state)
{
	static const struct {
		const char *iso, *wanted;
	} rows[] = {
	    {"2026-11-21T10:04:11.123Z", "2026-11-21 12:04:11"},
	    {"2026-12-31T23:00:00Z", "2027-01-01 01:00:00"},
	    {NULL, "-"},
	    {"", "-"},
	    {"soon\n", "soon\\n"},
	    {"2026-11-21", "2026-11-21"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++)
		assert_string_equal(screen_time(rows[i].iso), rows[i].wanted);
}

static void
test_table(void **state)
{
	static const struct table_column columns[] = {
	    {"ID", 0}, {"N", TABLE_RIGHT}, {"TEXT", TABLE_SHRINKS}, {"LAST", TABLE_SHRINKS}};
	static const struct {
		size_t limit;
		const char *wanted;
	} rows[] = {
	    {0, "  ID      N  TEXT                        LAST\n"
		"  a   4,990  a text that is rather long  x\n"
		"  b       1  \xe4\xb8\xad\xe6\x96\x87                        -\n"},
	    {100, "  ID      N  TEXT                        LAST\n"
		  "  a   4,990  a text that is rather long  x\n"
		  "  b       1  \xe4\xb8\xad\xe6\x96\x87                        -\n"},
	    {30, "  ID      N  TEXT         LAST\n"
		 "  a   4,990  a text tha\xe2\x80\xa6  x\n"
		 "  b       1  \xe4\xb8\xad\xe6\x96\x87         -\n"},
	    /* No column gets narrower than can be read. */
	    {5, "  ID      N  TEXT  LAST\n"
		"  a   4,990  a t\xe2\x80\xa6  x\n"
		"  b       1  \xe4\xb8\xad\xe6\x96\x87  -\n"},
	};
	struct table t;
	size_t i;

	(void)state;
	table_init(&t, columns, COUNT(columns));
	t.indent = "  ";
	table_add(&t, "a");
	table_add_count(&t, 4990);
	table_add(&t, "a text that is rather long");
	table_add(&t, "x");
	table_add(&t, "b");
	table_add_count(&t, 1);
	table_add(&t, "\xe4\xb8\xad\xe6\x96\x87");
	table_add(&t, "");
	for (i = 0; i < COUNT(rows); i++) {
		char *got = NULL;
		size_t len;
		FILE *out = open_memstream(&got, &len);

		table_print(&t, out, rows[i].limit);
		fclose(out);
		assert_string_equal(got, rows[i].wanted);
		free(got);
	}
	table_free(&t);
}

static void
test_table_optional(void **state)
{
	static const struct table_column columns[] = {
	    {"A", 0}, {"BB", TABLE_OPTIONAL}, {"CCC", TABLE_OPTIONAL}, {"TEXT", TABLE_SHRINKS}};
	static const struct {
		size_t limit;
		const char *wanted;
	} rows[] = {
	    {24, "A  BB  CCC  TEXT\n1  2   3    long long te\n"},
	    {20, "A  BB  CCC  TEXT\n1  2   3    long lo\xe2\x80\xa6\n"},
	    {19, "A  BB  TEXT\n1  2   long long te\n"},
	    {14, "A  TEXT\n1  long long \xe2\x80\xa6\n"},
	    {9, "A  TEXT\n1  long \xe2\x80\xa6\n"},
	    {2, "A  TEXT\n1  lon\xe2\x80\xa6\n"},
	};
	struct table t;
	size_t i;

	(void)state;
	table_init(&t, columns, COUNT(columns));
	table_add(&t, "1");
	table_add(&t, "2");
	table_add(&t, "3");
	table_add(&t, "long long te");
	for (i = 0; i < COUNT(rows); i++) {
		char *got = NULL;
		size_t len;
		FILE *out = open_memstream(&got, &len);

		table_print(&t, out, rows[i].limit);
		fclose(out);
		assert_string_equal(got, rows[i].wanted);
		free(got);
	}
	table_free(&t);
}

static void
test_chart(void **state)
{
	static const struct {
		const char *name;
		struct chart_point points[4];
		size_t count, columns;
		int64_t step, wanted_step;
		const char *wanted;
		struct chart_marks marks;
	} rows[] = {
	    {.name = "the limit, and the trip",
	     .points = {{100, 8}, {110, 40}, {130, 80}},
	     .count = 3,
	     .columns = 60,
	     .step = 10,
	     .wanted_step = 10,
	     .wanted = "   \xe2\x96\x88\n   \xe2\x96\x88\n"
		       "\xe2\x95\x8c\xe2\x96\x84\xe2\x95\x8c\xe2\x96\x88 limit\n"
		       " \xe2\x96\x88 \xe2\x96\x88\n"
		       "\xe2\x96\x84\xe2\x96\x88 \xe2\x96\x88\n"
		       " \xe2\x96\xb2 tripped\n",
	     .marks = {4, 119, "tripped"}},
	    {.name = "a limit above all, a trip at the edge",
	     .points = {{0, 1}, {10, 1}, {20, 1}, {30, 1}},
	     .count = 4,
	     .columns = 4,
	     .step = 10,
	     .wanted_step = 10,
	     .wanted = "\xe2\x95\x8c\xe2\x95\x8c\xe2\x95\x8c\xe2\x95\x8c limit\n\n\n"
		       "\xe2\x96\x86\xe2\x96\x86\xe2\x96\x86\xe2\x96\x86\n"
		       "\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88\xe2\x96\x88\n"
		       "x \xe2\x96\xb2\n",
	     .marks = {0.3, 29, "x"}},
	    {.name = "a limit far above all",
	     .points = {{0, 1}},
	     .count = 1,
	     .columns = 4,
	     .step = 10,
	     .wanted_step = 10,
	     .wanted = "\xe2\x96\x88\n\xe2\x96\x88\n\xe2\x96\x88\n\xe2\x96\x88\n\xe2\x96\x88\n",
	     .marks = {0.5, 0, NULL}},
	    {.name = "a trip before and after all there is",
	     .points = {{100, 1}},
	     .count = 1,
	     .columns = 60,
	     .step = 10,
	     .wanted_step = 10,
	     .wanted = "\xe2\x96\x88\n\xe2\x96\x88\n\xe2\x96\x88\n\xe2\x96\x88\n"
		       "\xe2\x96\x88\n\xe2\x96\xb2 x\n",
	     .marks = {0, 1, "x"}},
	    {"nothing", {{0, 0}}, 0, 60, 10, 10, "", {0, 0, NULL}},
	    {"one",
	     {{100, 7}},
	     1,
	     60,
	     10,
	     10,
	     "\xe2\x96\x88\n\xe2\x96\x88\n\xe2\x96\x88\n"
	     "\xe2\x96\x88\n\xe2\x96\x88\n",
	     {0, 0, NULL}},
	    {"a gap, and little is seen",
	     {{100, 1}, {120, 1000}},
	     2,
	     60,
	     10,
	     10,
	     "  \xe2\x96\x88\n  \xe2\x96\x88\n  \xe2\x96\x88\n  \xe2\x96\x88\n"
	     "\xe2\x96\x81 \xe2\x96\x88\n",
	     {0, 0, NULL}},
	    {"added up",
	     {{0, 5}, {10, 5}, {20, 5}, {30, 5}},
	     4,
	     2,
	     10,
	     20,
	     "\xe2\x96\x88\xe2\x96\x88\n\xe2\x96\x88\xe2\x96\x88\n\xe2\x96\x88\xe2\x96\x88\n"
	     "\xe2\x96\x88\xe2\x96\x88\n\xe2\x96\x88\xe2\x96\x88\n",
	     {0, 0, NULL}},
	    {"a clock set back",
	     {{100, 5}, {50, 5}},
	     2,
	     60,
	     10,
	     10,
	     "\xe2\x96\x88\n"
	     "\xe2\x96\x88\n\xe2\x96\x88\n\xe2\x96\x88\n\xe2\x96\x88\n",
	     {0, 0, NULL}},
	    {"no step, hostile numbers",
	     {{0, -5}, {INT64_MAX / 2, INT64_MAX}},
	     2,
	     2,
	     0,
	     INT64_MAX / 4 + 1,
	     " \xe2\x96\x88\n \xe2\x96\x88\n \xe2\x96\x88\n \xe2\x96\x88\n \xe2\x96\x88\n",
	     {0, 0, NULL}},
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(rows); i++) {
		char *got = NULL;
		size_t len;
		FILE *out = open_memstream(&got, &len);
		int64_t step = chart_print(out, rows[i].points, rows[i].count, rows[i].step,
					   rows[i].columns, "", &rows[i].marks);

		fclose(out);
		if (strcmp(got, rows[i].wanted) != 0 || step != rows[i].wanted_step)
			fail_msg("%s: got\n%s%lld", rows[i].name, got, (long long)step);
		free(got);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_options),        cmocka_unit_test(test_options_rings),
	    cmocka_unit_test(test_options_stop),   cmocka_unit_test(test_options_distance),
	    cmocka_unit_test(test_screen_text),    cmocka_unit_test(test_screen_fit),
	    cmocka_unit_test(test_screen_lines),   cmocka_unit_test(test_screen_count),
	    cmocka_unit_test(test_screen_time),    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_table_optional), cmocka_unit_test(test_chart),
	};

	setenv("LC_ALL", "C.UTF-8", 1);
	setenv("TZ", "UTC-2", 1);
	setenv("NO_COLOR", "1", 1);
	screen_init();
	return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
