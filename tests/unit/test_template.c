/*
 * Templates: which are refused and for what, and what they become.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/template.h"

struct check_row {
	const char *text;
	const char *bad; /* NULL = it is fine */
};

static void
test_check(void **state)
{
	static const struct check_row rows[] = {
	    {"", NULL},
	    {"plain", NULL},
	    {"%e %b: %t", NULL},
	    {"100%% of %e", NULL},
	    {"%%x", NULL}, /* a percent sign, then an x */
	    {"%x", "%x"},
	    {"%e%", "%"},
	    {"%%%", "%"},
	    {"% e", "% "},
	    {"%E", "%E"},
	    {"%e %\n", "%\n"},
	    {"%\xc3\xbc", "%\xc3\xbc"},
	    {"%\xff\xfe", "%"}, /* no character: nothing of it is quoted */
	};
	char bad[TEMPLATE_BAD_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool ok = template_check(rows[i].text, "ebt", bad);

		if (ok != (rows[i].bad == NULL))
			fail_msg("row %zu: %s", i, rows[i].text);
		assert_string_equal(bad, ok ? "" : rows[i].bad);
	}
}

struct fill_row {
	const char *text, *result;
};

static void
test_fill(void **state)
{
	static const struct template_value values[] = {
	    {'e', "staging"}, {'b', ""}, {'t', "50% off, %e, %%"}, {0, NULL}};
	static const struct fill_row rows[] = {
	    {"", ""},
	    {"plain", "plain"},
	    {"%e", "staging"},
	    {"[%e] %t!", "[staging] 50% off, %e, %%!"}, /* what is filled in is no template */
	    {"<%b>", "<>"},
	    {"100%%", "100%"},
	    {"%%e", "%e"},
	    {"%x%e", "%xstaging"},
	    {"%e%", "staging%"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = {0};

		template_fill(rows[i].text, values, &out);
		assert_string_equal(buf_text(&out), rows[i].result);
		buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_check),
	    cmocka_unit_test(test_fill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
