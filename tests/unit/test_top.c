/*
 * The screen of `mailfuse top`: what it says of answers, its bounds, its rates. A screen is a table
 * of answers and the lines wanted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cli/screen.h"
#include "cli/top_data.h"
#include "cli/top_draw.h"
#include "cli/top_rows.h"
#include "cli/top_trouble.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static json_t *
parse(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);

	assert_non_null(value);
	return value;
}

/* One look: accepted and sent of "shop", joined by B7. */
static void
look(struct top_data *d, int pid, int sent, int queued, int joined, int64_t at)
{
	char text[512];
	struct top_answers a = {0};

	snprintf(
	    text, sizeof(text),
	    "{\"pid\":%d,\"counts\":[{\"environment\":\"shop\",\"state\":\"sent\",\"count\":%d},"
	    "{\"environment\":\"shop\",\"state\":\"queued\",\"count\":%d}],"
	    "\"environments\":[{\"name\":\"idle\",\"production\":true}],"
	    "\"metrics\":{\"recipients_accepted\":%d,\"recipients_sent\":%d}}",
	    pid, sent, queued, sent + queued, sent);
	a.status = parse(text);
	snprintf(text, sizeof(text), "[{\"id\":\"B7\",\"recipients\":%d}]", joined);
	a.batches = parse(text);
	top_data_take(d, &a, at);
}

static void
check_rate(const struct top_data *d, enum top_count what, const char *name, double wanted)
{
	double got = top_data_rate(d, what, name);

	if (got < wanted - 0.001 || got > wanted + 0.001)
		fail_msg("%d of %s: %f, wanted %f", (int)what, name != NULL ? name : "all", got,
			 wanted);
}

static void
test_rates(void **state)
{
	struct top_data d = {0};

	(void)state;
	check_rate(&d, TOP_ACCEPTED, NULL, -1);
	look(&d, 1, 100, 0, 5, 100 * CLOCK_SECOND);
	check_rate(&d, TOP_ACCEPTED, NULL, -1);
	check_rate(&d, TOP_JOINED, "B7", -1);
	look(&d, 1, 110, 30, 5, 102 * CLOCK_SECOND);
	check_rate(&d, TOP_ACCEPTED, NULL, 20);
	check_rate(&d, TOP_SENT, "shop", 5);
	check_rate(&d, TOP_ACCEPTED, "shop", 20);
	check_rate(&d, TOP_ACCEPTED, "idle", 0);
	check_rate(&d, TOP_JOINED, "B7", 0);
	check_rate(&d, TOP_JOINED, "B8", -1);
	/* The first look is forgotten once there is a newer one that is five seconds old. */
	look(&d, 1, 140, 0, 55, 105 * CLOCK_SECOND);
	look(&d, 1, 140, 0, 55, 110 * CLOCK_SECOND);
	check_rate(&d, TOP_SENT, NULL, 0);
	check_rate(&d, TOP_JOINED, "B7", 0);
	/* Retention takes from the counts, which is no traffic. */
	look(&d, 1, 40, 0, 55, 111 * CLOCK_SECOND);
	check_rate(&d, TOP_SENT, "shop", 0);
	/* Another process counts from nothing. */
	look(&d, 2, 1000, 0, 55, 112 * CLOCK_SECOND);
	check_rate(&d, TOP_ACCEPTED, NULL, -1);
	top_data_free(&d);
}

static void
test_rate_text(void **state)
{
	static const struct {
		double rate;
		const char *wanted;
	} rows[] = {{-1, "-"},    {0, "0"},        {0.04, "<0.1"},
		    {0.1, "0.1"}, {8.26, "8.3"},   {9.96, "10"},
		    {83.4, "83"}, {4990, "4,990"}, {1e300, "1,000,000,000,000,000"}};
	char text[TOP_RATE_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_string_equal(top_rows_rate(rows[i].rate, text), rows[i].wanted);
}

static void
test_environments(void **state)
{
	struct top_data d = {0};
	struct top_environment *list;
	struct top_answers a = {0};
	size_t count;

	(void)state;
	a.status = parse("{\"environments\":[{\"name\":\"z\",\"production\":false},"
			 "{\"name\":\"p\",\"production\":true},{\"name\":\"a\"}],"
			 "\"counts\":[{\"environment\":\"z\",\"state\":\"held\",\"count\":3},"
			 "{\"environment\":\"gone\",\"state\":\"failed\",\"count\":4}]}");
	a.environments = parse("[{\"name\":\"p\",\"policy\":\"observe\"}]");
	a.queue = parse("{\"environments\":[{\"environment\":\"z\","
			"\"oldest_at\":\"1970-01-01T00:01:00.000Z\"}]}");
	top_data_take(&d, &a, 1);
	list = top_data_environments(&d, &count);
	assert_int_equal(count, 4);
	/* Busy, then production, then by name. */
	assert_string_equal(list[0].name, "z");
	assert_int_equal(list[0].held, 3);
	assert_int_equal(list[0].oldest_at, 60);
	assert_string_equal(list[1].name, "p");
	assert_string_equal(list[1].policy, "observe");
	assert_string_equal(list[2].name, "a");
	assert_string_equal(list[3].name, "gone");
	assert_int_equal(list[3].failed, 4);
	assert_int_equal(list[3].oldest_at, -1);
	free(list);
	top_data_free(&d);
}

/* Many of each, so that nothing fits. */
static void
fill(struct top_data *d, size_t count)
{
	struct top_answers a = {.status = json_object(), .batches = json_array()};
	json_t *environments = json_array(), *upstreams = json_array(), *warnings = json_array();

	for (size_t i = 0; i < count; i++) {
		json_t *name = json_sprintf("n%zu", i), *batch;

		json_array_append_new(environments, json_pack("{s:O}", "name", name));
		json_array_append_new(upstreams, json_pack("{s:O}", "name", name));
		json_array_append(warnings, name);
		batch = json_pack("{s:o,s:s}", "id", json_sprintf("B%zu", i), "state", "held");
		if (i % 2 == 0)
			json_object_set_new(batch, "plan", json_pack("{s:s}", "state", "running"));
		json_array_append_new(a.batches, batch);
		json_decref(name);
	}
	json_object_set_new(a.status, "environments", environments);
	json_object_set_new(a.status, "upstreams", upstreams);
	json_object_set_new(a.status, "warnings", warnings);
	top_data_take(d, &a, 1);
}

/* Whatever the size: no more lines than that, none wider, the keys on the last one. */
static void
test_bounds(void **state)
{
	static const size_t counts[] = {0, 1, 3, 500};

	(void)state;
	for (size_t i = 0; i < COUNT(counts); i++) {
		struct top_data d = {0};

		fill(&d, counts[i]);
		for (size_t rows = 1; rows < 70; rows++) {
			struct top_view v = {.rows = rows, .columns = 1 + rows * 7 % 90};
			struct buf out = {0};
			size_t lines = 0, width;
			char *at, *line;

			v.section = (enum top_section)(rows % (TOP_HELP + 1));
			v.offset = rows * 3;
			v.trouble = rows % 3 == 0 ? "gone" : NULL;
			assert_int_equal(top_draw(&d, &v, &out) > 0,
					 v.section != TOP_ALL && v.section != TOP_HELP &&
					     top_rows_count(&d, v.section) > 0);
			at = out.data;
			while ((line = strsep(&at, "\n")) != NULL && at != NULL) {
				lines++;
				width = screen_width(line);
				if (width > v.columns)
					fail_msg("%zu columns: \"%s\"", v.columns, line);
				if (lines == rows && rows > 3)
					assert_memory_equal(line, "q quit",
							    v.columns < 6 ? v.columns : 6);
			}
			if (lines > rows || (rows > 3 && lines != rows))
				fail_msg("%zu lines on %zu rows", lines, rows);
			buf_free(&out);
		}
		top_data_free(&d);
	}
}

/* On a small screen every kind of list still has a row. */
static void
test_shares(void **state)
{
	static const char *const wanted[] = {"\nn", "\nB0", "\nB1", "more: key b", "UPSTREAM"};
	struct top_view v = {.rows = 34, .columns = 80};
	struct top_data d = {0};
	struct buf out = {0};

	(void)state;
	fill(&d, 500);
	top_draw(&d, &v, &out);
	for (size_t i = 0; i < COUNT(wanted); i++)
		if (strstr(buf_text(&out), wanted[i]) == NULL)
			fail_msg("no %s in\n%s", wanted[i], buf_text(&out));
	buf_free(&out);
	top_data_free(&d);
}

static void
test_trouble(void **state)
{
	json_t *status =
	    parse("{\"store\":{\"room\":false,\"why\":\"full\"},"
		  "\"holds\":[{\"scope\":\"environment\",\"name\":\"shop\",\"who\":\"uid:1\","
		  "\"reason\":\"stop\\u001b[2J\"},{\"scope\":\"everything\",\"name\":\"\"}],"
		  "\"alerts\":{\"failed\":2,\"pending\":1},\"last_drill\":{\"passed\":false},"
		  "\"warnings\":[\"the panic button is pressed\",5,\"one\"],"
		  "\"policy_warnings\":[\"two\"]}");
	static const char *const wanted[] = {
	    "The store takes no more mail: full",
	    "On hold: environment shop by uid:1: stop\\x1b[2J",
	    "On hold: everything by -: -",
	    "Alerts: 2 given up: mailfuse log",
	    "Alerts: 1 not delivered since -",
	    "The last drill failed, at -: mailfuse drill",
	    "Warning: one",
	    "Warning: two",
	};
	struct buf out = {0};
	char *at, *line;
	size_t i = 0;

	(void)state;
	assert_int_equal(top_trouble(status, &out), COUNT(wanted));
	at = out.data;
	while ((line = strsep(&at, "\n")) != NULL && at != NULL)
		assert_string_equal(line, wanted[i++]);
	assert_int_equal(i, COUNT(wanted));
	buf_free(&out);
	json_decref(status);
	assert_int_equal(top_trouble(NULL, &out), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rates),        cmocka_unit_test(test_rate_text),
	    cmocka_unit_test(test_environments), cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_shares),       cmocka_unit_test(test_trouble),
	};

	screen_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
