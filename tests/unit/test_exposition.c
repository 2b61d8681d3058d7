/*
 * The exposition format 0.0.4, byte for byte: what each call adds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "control/exposition.h"

static void
check(struct exposition *x, const char *wanted)
{
	assert_string_equal(buf_text(&x->out), wanted);
	buf_free(&x->out);
}

static void
test_family(void **state)
{
	struct exposition x = {.name = ""};

	(void)state;
	exposition_family(&x, "a_total", EXPOSITION_COUNTER, "Of \"x\" \\ two\nlines.");
	exposition_count(&x, 7, NULL);
	exposition_count(&x, -1, "e", "production", NULL);
	exposition_count(&x, INT64_MAX, "e", "", "rule", "burst volume", NULL);
	exposition_family(&x, "b", EXPOSITION_GAUGE, "");
	check(&x, "# HELP a_total Of \"x\" \\\\ two\\nlines.\n"
		  "# TYPE a_total counter\n"
		  "a_total 7\n"
		  "a_total{e=\"production\"} -1\n"
		  "a_total{e=\"\",rule=\"burst volume\"} 9223372036854775807\n"
		  "# HELP b \n"
		  "# TYPE b gauge\n");
}

static void
test_label_values(void **state)
{
	static const struct {
		const char *value, *told;
	} rows[] = {
	    {"plain", "plain"},
	    {"a\"b", "a\\\"b"},
	    {"a\\b", "a\\\\b"},
	    {"\\n", "\\\\n"},
	    {"a\nb", "a\\nb"},
	    {"a\r\tb", "a\r\tb"}, /* the format has no escapes for these */
	    {"\"} 1\nx 2", "\\\"} 1\\nx 2"},
	    {"gr\xc3\xbcn", "gr\xc3\xbcn"},
	    {"\xf0\x9f\x92\xa3", "\xf0\x9f\x92\xa3"},
	    {"bad \xff end", "bad \xef\xbf\xbd end"},
	    {"cut \xc3", "cut \xef\xbf\xbd"},
	    {"surrogate \xed\xa0\x80", "surrogate \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
	    {"overlong \xc0\xaf", "overlong \xef\xbf\xbd\xef\xbf\xbd"},
	};
	struct exposition x = {.name = "m"};
	struct buf wanted = {0};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		exposition_count(&x, 1, "v", rows[i].value, NULL);
		buf_printf(&wanted, "m{v=\"%s\"} 1\n", rows[i].told);
		assert_string_equal(buf_text(&x.out), buf_text(&wanted));
		buf_clear(&x.out);
		buf_clear(&wanted);
	}
	buf_free(&x.out);
	buf_free(&wanted);
}

static void
test_seconds(void **state)
{
	static const struct {
		int64_t microseconds;
		const char *told;
	} rows[] = {
	    {0, "0"},
	    {1, "0.000001"},
	    {100, "0.0001"},
	    {250, "0.00025"},
	    {1000000, "1"},
	    {1500000, "1.5"},
	    {60000001, "60.000001"},
	    {-1500000, "-1.5"},
	    {INT64_C(1795323056902287), "1795323056.902287"},
	    {INT64_MAX, "9223372036854.775807"},
	    {INT64_MIN, "-9223372036854.775808"},
	};
	struct exposition x = {.name = "m"};
	struct buf wanted = {0};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		exposition_seconds(&x, rows[i].microseconds, NULL);
		buf_printf(&wanted, "m %s\n", rows[i].told);
		assert_string_equal(buf_text(&x.out), buf_text(&wanted));
		buf_clear(&x.out);
		buf_clear(&wanted);
	}
	buf_free(&x.out);
	buf_free(&wanted);
}

static void
test_histogram(void **state)
{
	struct exposition x = {.name = ""};

	(void)state;
	histogram_observe(HISTOGRAM_COMMIT_JOBS, 1);
	histogram_observe(HISTOGRAM_COMMIT_JOBS, 3);
	histogram_observe(HISTOGRAM_COMMIT_JOBS, 1000);
	exposition_histogram(&x, "jobs", "H.", HISTOGRAM_COMMIT_JOBS, false);
	check(&x, "# HELP jobs H.\n"
		  "# TYPE jobs histogram\n"
		  "jobs_bucket{le=\"1\"} 1\n"
		  "jobs_bucket{le=\"2\"} 1\n"
		  "jobs_bucket{le=\"4\"} 2\n"
		  "jobs_bucket{le=\"8\"} 2\n"
		  "jobs_bucket{le=\"16\"} 2\n"
		  "jobs_bucket{le=\"32\"} 2\n"
		  "jobs_bucket{le=\"64\"} 2\n"
		  "jobs_bucket{le=\"128\"} 2\n"
		  "jobs_bucket{le=\"256\"} 2\n"
		  "jobs_bucket{le=\"+Inf\"} 3\n"
		  "jobs_sum 1004\n"
		  "jobs_count 3\n");
	histogram_observe(HISTOGRAM_COMMIT, 1700000);
	exposition_histogram(&x, "t_seconds", "H.", HISTOGRAM_COMMIT, true);
	assert_non_null(strstr(buf_text(&x.out), "\nt_seconds_bucket{le=\"0.00025\"} 0\n"));
	assert_non_null(strstr(buf_text(&x.out), "\nt_seconds_bucket{le=\"1\"} 0\n"));
	assert_non_null(strstr(buf_text(&x.out), "\nt_seconds_bucket{le=\"5\"} 1\n"));
	assert_non_null(strstr(buf_text(&x.out), "\nt_seconds_sum 1.7\nt_seconds_count 1\n"));
	buf_free(&x.out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_family),
	    cmocka_unit_test(test_label_values),
	    cmocka_unit_test(test_seconds),
	    cmocka_unit_test(test_histogram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
