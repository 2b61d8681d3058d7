/*
 * GET /v1/traffic over a history that is made here, so that its size and times are known; and what
 * status says of the counters when they are nearly full.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "filters/counters.h"
#include "mail/mime.h"
#include "tests/unit/control_rig.h"

/* 2026-11-20T00:00:00Z: row N is of its Nth minute, every fourth of staging. */
#define FIRST INT64_C(1795132800000000)
enum { ROWS = 25000 };

static int64_t asked_since, asked_until;
static enum store_result answers;

enum store_result __wrap_store_view_traffic(
    struct store_view *v, int64_t since, int64_t until, int64_t after, uint32_t limit,
    bool (*row)(void *context, int64_t number, const struct store_traffic *t), void *context);

enum store_result
__wrap_store_view_traffic(struct store_view *v, int64_t since, int64_t until, int64_t after,
			  uint32_t limit,
			  bool (*row)(void *context, int64_t number, const struct store_traffic *t),
			  void *context)
{
	(void)v;
	asked_since = since;
	asked_until = until;
	for (int64_t n = after + 1; n <= ROWS && limit > 0; n++) {
		struct store_traffic t = {.minute = FIRST + (n - 1) * CLOCK_MINUTE,
					  .environment = n % 4 == 0 ? "staging" : "production",
					  .source = "shop",
					  .client = "10.1.0.7",
					  .sender = "shop@example.com",
					  .subject = "order \xff#",
					  .campaign = "",
					  .audience = n == 1 ? 4294967295U : 0,
					  .messages = (uint64_t)n,
					  .recipients = 9,
					  .bytes = UINT64_C(5000000000),
					  .passed = 4,
					  .waited = 3,
					  .held = 2,
					  .dropped = 1};

		if (t.minute < since || t.minute >= until)
			continue;
		limit--;
		if (!row(context, n, &t))
			break;
	}
	return answers;
}

size_t __wrap_counters_key_count(struct counters *c);

size_t
__wrap_counters_key_count(struct counters *c)
{
	(void)c;
	return 900000;
}

/* ---- one page */

static void
test_rows(void **state)
{
	static const struct row rows[] = {
	    {"a row", "GET", "/v1/traffic?since=2026-11-20&limit=1", NULL, 200,
	     "{\"items\":[{\"minute\":\"2026-11-20T00:00:00.000Z\",\"environment\":\"production\","
	     "\"source\":\"shop\",\"client\":\"10.1.0.7\",\"sender\":\"shop@example.com\","
	     "\"subject\":\"order \xef\xbf\xbd#\",\"campaign\":\"\",\"audience\":4294967295,"
	     "\"messages\":1,\"recipients\":9,\"bytes\":5000000000,\"passed\":4,\"waited\":3,"
	     "\"held\":2,\"dropped\":1}],\"next\":1}",
	     NULL},
	    {"from a time on", "GET", "/v1/traffic?since=2026-11-20T01:00:00Z&limit=1", NULL, 200,
	     "T01:00:00.000Z", "T00:59"},
	    {"up to, not with, a time", "GET",
	     "/v1/traffic?since=2026-11-20&until=2026-11-20T00:02:00Z", NULL, 200,
	     "T00:01:00.000Z\",\"environment\":\"production\"", "T00:02"},
	    {"the last page", "GET",
	     "/v1/traffic?since=2026-11-20&until=2026-11-20T00:02:00Z&limit=2", NULL, 200,
	     "\"next\":null", NULL},
	    {"the next page", "GET", "/v1/traffic?since=2026-11-20&after=2&limit=1", NULL, 200,
	     "\"next\":3", "\"messages\":2"},
	    {"one environment", "GET", "/v1/traffic?since=2026-11-20&environment=staging&limit=2",
	     NULL, 200, "\"next\":8", "production"},
	    {"so many rows are looked at, and the cursor goes on", "GET",
	     "/v1/traffic?since=2026-11-20&environment=nobody", NULL, 200,
	     "{\"items\":[],\"next\":10000}", NULL},
	    {"to the end of them", "GET",
	     "/v1/traffic?since=2026-11-20&environment=nobody&after=20000", NULL, 200,
	     "{\"items\":[],\"next\":null}", NULL},
	    {"nothing", "GET", "/v1/traffic?since=2026-11-20&until=2026-11-20", NULL, 200,
	     "{\"items\":[],\"next\":null}", NULL},
	    {"no time", "GET", "/v1/traffic?since=yesterday", NULL, 400,
	     "since=yesterday: write a time such as 2026-11-21T12:00:00Z, or how long ago: 30d",
	     NULL},
	    {"no time at its end", "GET", "/v1/traffic?until=2026-02-30", NULL, 400,
	     "until=2026-02-30: ", NULL},
	    {"no cursor", "GET", "/v1/traffic?after=B7", NULL, 400, "after=B7", NULL},
	    {"a negative cursor", "GET", "/v1/traffic?after=-1", NULL, 400, "after=-1", NULL},
	    {"a cursor beyond all", "GET", "/v1/traffic?after=9223372036854775808", NULL, 400,
	     "after=", NULL},
	    {"too many at once", "GET", "/v1/traffic?limit=10001", NULL, 400, "limit=10001", NULL},
	    {"a misspelt parameter", "GET", "/v1/traffic?form=1d", NULL, 400,
	     "unknown parameter form; since, until, after, limit, environment", NULL},
	    {"to be read only", "POST", "/v1/traffic", "{}", 405, NULL, NULL},
	    {"nearly all keys are in use", "GET", "/v1/status", NULL, 200,
	     "the limits count 900000 keys of at most 1000000", NULL}};
	static const struct row fails = {
	    "the store fails", "GET", "/v1/traffic", NULL, 503, NULL, NULL};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	answers = STORE_BUSY;
	check_row(&fails);
	answers = STORE_OK;
	gate_stop();
}

/* ---- all of them, page by page */

static json_t *
get_page(const char *query, int64_t after)
{
	struct buf body = {0};
	char path[200];
	json_t *page;

	snprintf(path, sizeof(path), "/v1/traffic?%s&after=%lld", query, (long long)after);
	assert_int_equal(client_call("GET", path, "", 0, &body), 200);
	page = json_loadb(buf_text(&body), body.len, 0, NULL);
	assert_non_null(page);
	buf_free(&body);
	return page;
}

static size_t
count_pages(const char *query, size_t *pages)
{
	int64_t after = 0, last = 0;
	size_t count = 0;

	*pages = 0;
	do {
		json_t *page = get_page(query, after);
		json_t *items = json_object_get(page, "items"), *item;
		size_t i;

		json_array_foreach(items, i, item)
		{
			int64_t n = json_integer_value(json_object_get(item, "messages"));

			assert_true(n > last); /* none twice, in their order */
			last = n;
			count++;
		}
		after = json_integer_value(json_object_get(page, "next"));
		json_decref(page);
		(*pages)++;
	} while (after > 0);
	return count;
}

static void
test_pages(void **state)
{
	size_t pages;

	(void)state;
	gate_start();
	assert_int_equal(count_pages("since=2026-11-20&limit=10000", &pages), ROWS);
	assert_int_equal(pages, 3);
	assert_int_equal(count_pages("since=2026-11-20&limit=1000&environment=staging", &pages),
			 ROWS / 4);
	assert_int_equal(count_pages("since=2026-11-20&limit=9999&environment=staging", &pages),
			 ROWS / 4);
	assert_int_equal(pages, 3);
	gate_stop();
}

/* How long ago is counted from now. */
static void
test_ago(void **state)
{
	int64_t now = clock_wall();
	struct buf body = {0};

	(void)state;
	gate_start();
	assert_int_equal(client_call("GET", "/v1/traffic?since=7d&until=1h", "", 0, &body), 200);
	assert_true(asked_since >= now - 7 * CLOCK_DAY &&
		    asked_since <= clock_wall() - 7 * CLOCK_DAY);
	assert_true(asked_until >= now - CLOCK_HOUR && asked_until <= clock_wall() - CLOCK_HOUR);
	assert_int_equal(client_call("GET", "/v1/traffic", "", 0, &body), 200);
	assert_true(asked_since >= now - 30 * CLOCK_DAY && asked_since < now);
	assert_true(asked_until > clock_wall());
	buf_free(&body);
	gate_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows), cmocka_unit_test(test_pages), cmocka_unit_test(test_ago)};

	signal(SIGPIPE, SIG_IGN);
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
