/*
 * The sink's half of SMTP, however its input is cut; and what a drill expects of the rules. The
 * drill itself is tested against the daemon in tests/integration/test_drill.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cli/drill_steps.h"
#include "cli/drill_talk.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define START "EHLO gate\r\nMAIL FROM:<>\r\n"

/* "1 2 0": numbers in the order in which they were taken. */
static void
note_number(void *context, uint32_t number)
{
	buf_printf(context, "%u ", number);
}

struct talk_row {
	const char *name, *input;
	const char *taken, *codes; /* of every last line of a reply */
};

static const struct talk_row talk_rows[] = {
    {"one message, pipelined",
     START "RCPT TO:<drill-000007@k.drill.invalid>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n", "7 ",
     "220 250 250 250 354 250 221 "},
    {"two recipients, one of them a stranger",
     START "RCPT TO:<drill-1@k.drill.invalid>\r\nRCPT TO:<anna@customer.example>\r\nDATA\r\n.\r\n",
     "1 0 ", "220 250 250 250 250 354 250 "},
    {"another drill's", START "RCPT TO:<drill-000001@x.drill.invalid>\r\nDATA\r\n.\r\n", "0 ",
     "220 250 250 250 354 250 "},
    {"no number", START "RCPT TO:<drill-@k.drill.invalid>\r\nDATA\r\n.\r\n", "0 ",
     "220 250 250 250 354 250 "},
    {"a number that is too long",
     START "RCPT TO:<drill-9999999999@k.drill.invalid>\r\nDATA\r\n.\r\n", "0 ",
     "220 250 250 250 354 250 "},
    {"a domain that only begins so",
     START "RCPT TO:<drill-1@k.drill.invalid.example>\r\nDATA\r\n.\r\n", "0 ",
     "220 250 250 250 354 250 "},
    {"nothing counts before the final dot",
     START "RCPT TO:<drill-1@k.drill.invalid>\r\nDATA\r\nhello\r\n..\r\n .\r\n", "",
     "220 250 250 250 354 "},
    {"a bare newline ends no message",
     START "RCPT TO:<drill-1@k.drill.invalid>\r\nDATA\r\nhello\n.\nQUIT\r\n.\n", "",
     "220 250 250 250 354 "},
    {"RSET forgets", START "RCPT TO:<drill-1@k.drill.invalid>\r\nRSET\r\nDATA\r\n", "",
     "220 250 250 250 250 503 "},
    {"two messages on one connection",
     START "RCPT TO:<drill-1@k.drill.invalid>\r\nDATA\r\n.\r\nMAIL FROM:<>\r\n"
	   "RCPT TO:<drill-2@k.drill.invalid>\r\nDATA\r\nx\r\n.\r\n",
     "1 2 ", "220 250 250 250 354 250 250 250 354 250 "},
    {"out of order", "DATA\r\nRCPT TO:<drill-1@k.drill.invalid>\r\nMAIL FROM:<>\r\n", "",
     "220 503 503 503 "},
    {"what it does not know", "BDAT 3 LAST\r\nVRFY x\r\n\r\nNOOP\r\n", "", "220 502 502 502 250 "},
    {"nothing after QUIT", "QUIT\r\nNOOP\r\n", "", "220 221 "},
};

static void
add_codes(const struct buf *out, struct buf *codes)
{
	const char *line = buf_text(out);

	for (; *line != '\0'; line = strchr(line, '\n') + 1)
		if (line[3] == ' ')
			buf_printf(codes, "%.3s ", line);
}

static void
check_talk(const struct talk_row *row, size_t step)
{
	struct buf out = {0}, taken = {0}, codes = {0};
	struct drill_talk *t = calloc(1, sizeof(*t));
	size_t len = strlen(row->input), at;

	assert_non_null(t);
	t->domain = "k.drill.invalid";
	t->take = note_number;
	t->context = &taken;
	drill_talk_start(t, &out);
	for (at = 0; at < len; at += step)
		drill_talk_feed(t, row->input + at, len - at < step ? len - at : step, &out);
	add_codes(&out, &codes);
	if (strcmp(buf_text(&taken), row->taken) != 0 || strcmp(buf_text(&codes), row->codes) != 0)
		fail_msg("%s, in pieces of %zu: took %s, said %s", row->name, step,
			 buf_text(&taken), buf_text(&codes));
	buf_free(&out);
	buf_free(&taken);
	buf_free(&codes);
	free(t);
}

static void
talks(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(talk_rows); i++)
		for (size_t step = 1; step < 40; step++)
			check_talk(&talk_rows[i], step);
}

static void
feed_many(struct drill_talk *t, const char *text, size_t times, struct buf *out)
{
	for (size_t i = 0; i < times; i++)
		drill_talk_feed(t, text, strlen(text), out);
}

static void
is_bounded(void **state)
{
	struct buf out = {0}, taken = {0};
	struct drill_talk *t = calloc(1, sizeof(*t));

	(void)state;
	assert_non_null(t);
	t->domain = "k.drill.invalid";
	t->take = note_number;
	t->context = &taken;
	feed_many(t, "NOOPNOOPNOOPNOOP", 10000, &out);
	assert_int_equal(out.len, 0);
	feed_many(t, "\r\n", 1, &out);
	assert_string_equal(buf_text(&out), "500 5.5.2 line too long\r\n");
	feed_many(t, START, 1, &out);
	buf_clear(&out);
	feed_many(t, "RCPT TO:<drill-1@k.drill.invalid>\r\n", DRILL_TALK_RECIPIENTS, &out);
	assert_null(strstr(buf_text(&out), "452"));
	feed_many(t, "RCPT TO:<drill-1@k.drill.invalid>\r\n", 1, &out);
	assert_non_null(strstr(buf_text(&out), "452"));
	buf_free(&out);
	buf_free(&taken);
	free(t);
}

/* ---- rules */

struct rule_row {
	const char *name, *rules; /* as status has them */
	const char *wanted;       /* NULL = none holds a blast */
	uint32_t limit, head;
	int64_t settle;
};

static const struct rule_row rule_rows[] = {
    {"no rule", "[]", NULL, 0, 0, 0},
    {"one, without a head",
     "[{'name':'volume','limit':'50/10m','per':['environment'],'head':null,'settle':null,"
     "'action':'hold'}]",
     "volume", 50, 0, 0},
    {"one with a head",
     "[{'name':'volume','limit':'500/10m','per':['source','subject'],'head':'10/10s',"
     "'settle':'5 s','action':'hold'}]",
     "volume", 500, 10, 5 * CLOCK_SECOND},
    {"a long settle time",
     "[{'name':'v','limit':'500/10m','per':['source'],'head':'10/10s','settle':'2 h 10 min',"
     "'action':'hold'}]",
     "v", 500, 10, 130 * CLOCK_MINUTE},
    {"it only observes",
     "[{'name':'volume','limit':'50/10m','per':['environment'],'action':'alert'}]", NULL, 0, 0, 0},
    {"a cap per recipient never sees a blast",
     "[{'name':'repeat','limit':'5/1h','per':['recipient','subject'],'action':'hold'}]", NULL, 0, 0,
     0},
    {"the smallest of several",
     "[{'name':'day','limit':'5000/1d','per':['source'],'action':'hold'},"
     "{'name':'repeat','limit':'5/1h','per':['recipient','subject'],'action':'hold'},"
     "{'name':'volume','limit':'500/10m','per':['source','subject'],'action':'hold'},"
     "{'name':'watch','limit':'20/10m','per':['source'],'action':'alert'}]",
     "volume", 500, 0, 0},
    {"what cannot be read is no rule",
     "[{'name':'x','limit':'many','per':['source'],'action':'hold'},{},7]", NULL, 0, 0, 0},
};

static json_t *
read_rules(const char *text)
{
	struct buf quoted = {0};
	json_t *rules;

	for (; *text != '\0'; text++)
		buf_add_char(&quoted, *text == '\'' ? '"' : *text);
	rules = json_loads(buf_text(&quoted), 0, NULL);
	assert_non_null(rules);
	buf_free(&quoted);
	return rules;
}

static void
chooses_a_rule(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rule_rows); i++) {
		const struct rule_row *row = &rule_rows[i];
		json_t *rules = read_rules(row->rules);
		struct drill_rule rule;

		drill_choose_rule(rules, &rule);
		if ((rule.name == NULL) != (row->wanted == NULL) ||
		    (rule.name != NULL && strcmp(rule.name, row->wanted) != 0) ||
		    rule.limit != row->limit || rule.head != row->head ||
		    rule.settle != row->settle)
			fail_msg("%s: %s %u %u %lld", row->name,
				 rule.name != NULL ? rule.name : "none", rule.limit, rule.head,
				 (long long)rule.settle);
		json_decref(rules);
	}
}

static void
bounds_the_leak(void **state)
{
	static const struct {
		struct drill_rule rule;
		int64_t trip_after, wanted;
	} rows[] = {
	    /* without a head all of the limit leaves */
	    {{.limit = 50}, CLOCK_SECOND, 50},
	    {{.limit = 500, .head = 10, .head_window = 10 * CLOCK_SECOND}, 0, 500},
	    {{.limit = 500,
	      .head = 10,
	      .head_window = 10 * CLOCK_SECOND,
	      .settle = 5 * CLOCK_SECOND},
	     CLOCK_SECOND,
	     10},
	    /* as soon as what waited has left, too */
	    {{.limit = 500,
	      .head = 10,
	      .head_window = 10 * CLOCK_SECOND,
	      .settle = 5 * CLOCK_SECOND},
	     5 * CLOCK_SECOND,
	     500},
	    /* a head may pass again in each of its windows */
	    {{.limit = 500, .head = 10, .head_window = 10 * CLOCK_SECOND, .settle = CLOCK_MINUTE},
	     25 * CLOCK_SECOND,
	     30},
	    {{.limit = 20, .head = 10, .head_window = CLOCK_SECOND, .settle = CLOCK_MINUTE},
	     25 * CLOCK_SECOND,
	     20},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(drill_bound(&rows[i].rule, rows[i].trip_after), rows[i].wanted);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(talks),
	    cmocka_unit_test(is_bounded),
	    cmocka_unit_test(chooses_a_rule),
	    cmocka_unit_test(bounds_the_leak),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
