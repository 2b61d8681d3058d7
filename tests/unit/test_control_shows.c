/*
 * How control/ tells of a plan: as JSON, in a batch and the list of them, in status, and what it
 * says to type next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "control/batch.h"
#include "control/next_steps.h"
#include "control/plan_json.h"
#include "control/rings_call.h"
#include "mail/mime.h"
#include "tests/unit/control_fake.h"
#include "tests/unit/control_rig.h"

/* ---- how a plan is told */

static void
check_json(json_t *value, const char *wanted)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

	assert_string_equal(text, wanted);
	free(text);
	json_decref(value);
}

static void
test_plan_json(void **state)
{
	static const struct store_plan plain = {.id = 1,
						.batch = 1,
						.state = STORE_PLAN_ASKED,
						.rings = {.stop_on = -1},
						.total = 9,
						.who = "uid:1(a)",
						.reason = "r",
						.why = "",
						.refusals = "",
						.approvers = 2,
						.approved_by = "",
						.expires_at = NOON};

	(void)state;
	check_json(
	    json_from_plan(&fake_running),
	    "{\"id\":3,\"state\":\"running\",\"rings\":[10,100,\"all\"],\"wait\":600,\"stop_on\":"
	    "2.5,\"rate\":\"100/1m\",\"stream\":3600,\"who\":\"uid:1000(ann)\",\"reason\":"
	    "\"checked\",\"approvers\":3,\"approvals_missing\":0,\"approved_by\":[\"uid:1001(bob)"
	    "\",\"token:eve\"],\"total\":25000,\"released\":110,\"ring\":2,\"ring_size\":100,"
	    "\"ring_released\":100,\"sent\":90,\"failed\":4,\"deferred\":7,\"refused\":10,"
	    "\"refusals\":[{\"count\":7,\"reply\":\"450 4.2.1 slow\"},{\"count\":4,\"reply\":"
	    "\"550 5.1.1 no such user\"}],\"started_at\":\"2026-11-21T12:00:00.000Z\","
	    "\"next_ring_at\":null,\"why\":\"\",\"created_at\":\"2026-11-21T12:00:00.000Z\","
	    "\"changed_at\":\"2026-11-21T12:00:00.000Z\",\"expires_at\":null}");
	check_json(
	    json_from_plan(&plain),
	    "{\"id\":1,\"state\":\"asked\",\"rings\":[\"all\"],\"wait\":0,\"stop_on\":null,"
	    "\"rate\":null,\"stream\":0,\"who\":\"uid:1(a)\",\"reason\":\"r\",\"approvers\":2,"
	    "\"approvals_missing\":1,\"approved_by\":[],\"total\":9,\"released\":0,\"ring\":0,"
	    "\"ring_size\":0,\"ring_released\":0,\"sent\":0,\"failed\":0,\"deferred\":0,"
	    "\"refused\":0,\"refusals\":[],\"started_at\":null,\"next_ring_at\":null,\"why\":\"\","
	    "\"created_at\":null,\"changed_at\":null,\"expires_at\":\"2026-11-21T12:00:00.000Z\"}");
}

/* What is no such list, or no UTF-8, must not end the process. */
static void
test_plan_json_of_odd_rows(void **state)
{
	static const struct {
		const char *refusals, *wanted;
	} rows[] = {{"\n\n", "[]"},
		    {"550 no count", "[{\"count\":550,\"reply\":\"no count\"}]"},
		    {"3", "[{\"count\":3,\"reply\":\"\"}]"},
		    {"3\n4 x", "[{\"count\":3,\"reply\":\"\"},{\"count\":4,\"reply\":\"x\"}]"},
		    {"x", "[{\"count\":0,\"reply\":\"x\"}]"},
		    {"99999999999999999999 x", "[{\"count\":9223372036854775807,\"reply\":\"x\"}]"},
		    {"1 \xff", "[{\"count\":1,\"reply\":\"\\uFFFD\"}]"},
		    {" \n5 x", "[{\"count\":0,\"reply\":\"\"},{\"count\":5,\"reply\":\"x\"}]"},
		    {"1\n 2 x", "[{\"count\":1,\"reply\":\"\"},{\"count\":0,\"reply\":\"2 x\"}]"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_plan p = fake_running;
		json_t *plan;
		char *text;

		p.refusals = rows[i].refusals;
		plan = json_from_plan(&p);
		text =
		    json_dumps(json_object_get(plan, "refusals"), JSON_COMPACT | JSON_ENSURE_ASCII);
		assert_string_equal(text, rows[i].wanted);
		free(text);
		json_decref(plan);
	}
}

static void
test_ring_sizes(void **state)
{
	static const struct {
		struct store_rings rings;
		uint64_t recipients;
		const char *wanted;
	} rows[] = {{{.count = 0}, 8, "[8]"},
		    {{.count = 0}, 0, "[]"},
		    {{.count = 1}, 8, "[8]"},
		    {{.count = 3, .sizes = {10, 100, 0}}, 1000, "[10,100,890]"},
		    {{.count = 3, .sizes = {10, 100, 0}}, 110, "[10,100]"},
		    {{.count = 3, .sizes = {10, 100, 0}}, 9, "[9]"},
		    {{.count = 2, .sizes = {10, 100}}, 109, "[10,99]"}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check_json(rings_sizes(&rows[i].rings, rows[i].recipients), rows[i].wanted);
}

static void
test_next_steps(void **state)
{
	static const struct {
		struct next_steps n;
		const char *first, *has, *lacks;
	} rows[] = {
	    {{.environment = (char *)"staging", .held = 25000},
	     "mailfuse release B17 --rings 10,100,1000,all --wait 10m --stop-on 2% --reason TEXT",
	     "release B17 --percent 5",
	     "pause"},
	    {{.environment = (char *)"staging", .held = 500},
	     "mailfuse release B17 --rings 10,100,all --wait 10m --stop-on 2% --reason TEXT",
	     "release B17 --reason TEXT",
	     "--percent"},
	    {{.environment = (char *)"staging", .held = 8},
	     "mailfuse release B17 --reason TEXT",
	     "discard B17",
	     "--rings"},
	    {{.environment = (char *)"", .held = 8},
	     "mailfuse release B17 --reason TEXT",
	     "discard B17",
	     "restore"},
	    {{.environment = (char *)"box", .held = 8},
	     "mailfuse discard B17 --reason TEXT",
	     "messages B17",
	     "release"},
	    {{.environment = (char *)"gone", .held = 8},
	     "mailfuse discard B17 --reason TEXT",
	     "messages B17",
	     "release"},
	    {{.environment = (char *)"staging", .held = 25000, .plan = STORE_PLAN_ASKED},
	     "mailfuse approve B17",
	     "discard B17",
	     "release"},
	    {{.environment = (char *)"staging",
	      .held = 24000,
	      .plan = STORE_PLAN_RUNNING,
	      .state = STORE_BATCH_RELEASING,
	      .rings_to_come = true},
	     "mailfuse pause B17 --reason TEXT",
	     "discard B17",
	     "release"},
	    {{.environment = (char *)"staging", .held = 20, .plan = STORE_PLAN_RUNNING},
	     "mailfuse pause B17 --reason TEXT",
	     "release B17 --first 10",
	     "resume"},
	    {{.environment = (char *)"staging", .state = STORE_BATCH_RELEASING},
	     "mailfuse pause B17 --reason TEXT",
	     "messages B17",
	     "discard"},
	    {{.environment = (char *)"staging",
	      .held = 24000,
	      .plan = STORE_PLAN_PAUSED,
	      .state = STORE_BATCH_PAUSED},
	     "mailfuse resume B17 --reason TEXT",
	     "discard B17",
	     "release"},
	    {{.environment = (char *)"staging", .held = 8, .plan = STORE_PLAN_DONE},
	     "mailfuse release B17 --reason TEXT",
	     "discard B17",
	     "pause"},
	    {{.environment = (char *)"staging", .discarded = 8, .state = STORE_BATCH_DISCARDED},
	     "mailfuse restore B17 --reason TEXT",
	     "purge B17 --reason TEXT",
	     "release"}};

	(void)state;
	gate_start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct next_steps n = rows[i].n;
		json_t *list;
		char *text;

		n.batch = 17;
		list = next_steps_make(&n, policy_config(gate.policy));
		text = json_dumps(list, JSON_COMPACT);
		assert_string_equal(json_string_value(json_array_get(list, 0)), rows[i].first);
		if (strstr(text, rows[i].has) == NULL || strstr(text, rows[i].lacks) != NULL)
			fail_msg("row %zu: %s", i, text);
		free(text);
		json_decref(list);
	}
	gate_stop();
}

/* ---- batches and status */

static void
test_batches_tell(void **state)
{
	static const struct row rows[] = {
	    {"the plan of one", "GET", "/v1/batches/B1", NULL, 200,
	     "\"plan\":{\"id\":3,\"state\":\"running\"", NULL},
	    {"and what to type", "GET", "/v1/batches/B1", NULL, 200,
	     "\"next\":[\"mailfuse pause B1 --reason TEXT\"", "mailfuse release"},
	    {"nothing is sent any more", "GET", "/v1/batches/B1", NULL, 200, "\"sending\":null",
	     NULL},
	    {"no plan", "GET", "/v1/batches/B2", NULL, 200, "\"plan\":null", NULL},
	    {"no ruling, not seen", "GET", "/v1/batches/B2", NULL, 200, "\"ruling\":null,", NULL},
	    {"its alerts", "GET", "/v1/batches/B1/alerts", NULL, 200,
	     "{\"items\":[{\"id\":9,\"event\":\"batch.opened\",\"at\":\"2026-11-21T12:00:00.000Z\","
	     "\"text\":\"8 held\",\"channel\":\"ops\",\"fate\":\"delivered\",\"done_at\":"
	     "\"2026-11-21T12:00:00.000Z\",\"tries\":2,\"error\":\"\"},{\"id\":9,",
	     NULL},
	    {"given up, and why", "GET", "/v1/batches/B1/alerts", NULL, 200,
	     "\"channel\":\"pager\",\"fate\":\"failed\",\"done_at\":null,\"tries\":7,\"error\":"
	     "\"connection refused\"}],\"next\":null}",
	     NULL},
	    {"only so many", "GET", "/v1/batches/B1/alerts?limit=1", NULL, 200, "\"ops\"",
	     "\"pager\""},
	    {"alerts of no batch", "GET", "/v1/batches/B99/alerts", NULL, 404,
	     "there is no batch B99", NULL},
	    {"alerts of what is none", "GET", "/v1/batches/17/alerts", NULL, 404,
	     "batches look like B17", NULL},
	    {"a parameter", "GET", "/v1/batches/B1/alerts?all=1", NULL, 400, "unknown parameter",
	     NULL},
	    {"a list of too many", "GET", "/v1/batches/B1/alerts?limit=1001", NULL, 400,
	     "1 to 1000", NULL},
	    {"only GET", "POST", "/v1/batches/B1/alerts", "{}", 405, "takes GET, HEAD only", NULL}};
	static const struct row list[] = {
	    {"the list has plans", "GET", "/v1/batches", NULL, 200,
	     "\"plan\":{\"id\":3,\"state\":\"running\"", NULL},
	    {"and where there is none", "GET", "/v1/batches", NULL, 200, "\"plan\":null", NULL}};
	static const struct store_alert_fate fates[] = {{.event_id = 9,
							 .at = NOON,
							 .event = "batch.opened",
							 .text = "8 held",
							 .channel = "ops",
							 .fate = STORE_FATE_DELIVERED,
							 .done_at = NOON,
							 .tries = 2,
							 .error = ""},
							{.event_id = 9,
							 .at = NOON,
							 .event = "batch.opened",
							 .text = "8 held",
							 .channel = "pager",
							 .fate = STORE_FATE_FAILED,
							 .tries = 7,
							 .error = "connection refused"}};

	(void)state;
	gate_start();
	fake.plan = &fake_running;
	fake.fates = fates;
	fake.fate_count = 2;
	CHECK_ROWS(list);
	assert_int_equal(fake.seen, 0);
	CHECK_ROWS(rows);
	gate_stop();
}

static void
test_who_has_seen_it(void **state)
{
	static const struct row rows[] = {
	    {"a look", "GET", "/v1/batches/B1", NULL, 200,
	     "\"seen_by\":\"uid:", "\"seen_at\":null"},
	    {"of none", "GET", "/v1/batches/B99", NULL, 404, NULL, NULL},
	    {"by mistake", "GET", "/v1/batches/B1?x=1", NULL, 400, NULL, NULL}};
	static const struct row drill = {
	    "a drill's", "GET", "/v1/batches/B5", NULL, 200, "\"environment\":\"drill\"", NULL};
	char who[32];

	(void)state;
	gate_start();
	gate_add_held("drill", 3);
	CHECK_ROWS(rows);
	assert_int_equal(fake.seen, 1);
	snprintf(who, sizeof(who), "uid:%u(", (unsigned)geteuid());
	assert_memory_equal(fake.seen_by, who, strlen(who));
	check_row(&drill);
	assert_int_equal(fake.seen, 1);
	gate_stop();
}

static void
test_when_a_silence_is_an_end(void **state)
{
	static const struct {
		uint32_t count;
		int64_t span, after;
	} rows[] = {{0, 0, 0},
		    {1, 0, CLOCK_MINUTE},
		    {5000, 2 * CLOCK_SECOND, CLOCK_MINUTE},
		    {100, 600 * CLOCK_SECOND, CLOCK_MINUTE},
		    {50, 600 * CLOCK_SECOND, 2 * CLOCK_MINUTE},
		    {10, 600 * CLOCK_SECOND, 10 * CLOCK_MINUTE},
		    {2, 86400 * CLOCK_SECOND, 10 * CLOCK_MINUTE},
		    {1, INT64_MAX / 20, 10 * CLOCK_MINUTE}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(batch_quiet_after(rows[i].count, rows[i].span), rows[i].after);
}

static void
test_status_tells(void **state)
{
	static const struct row none = {"no release waits", "GET",    "/v1/status", NULL, 200,
					"\"warnings\":[",   "approve"};
	static const struct row asked = {
	    "a second person",
	    "GET",
	    "/v1/status",
	    NULL,
	    200,
	    "B1: a release of 25,000 recipients waits for a second person since "
	    "2026-11-21T12:00:00.000Z: mailfuse approve B1.",
	    NULL};
	static const struct row third = {
	    "two of four", "GET", "/v1/status", NULL, 200, "waits for 1 more person since", NULL};
	static const struct row paused = {
	    "paused",
	    "GET",
	    "/v1/status",
	    NULL,
	    200,
	    "B1's release is paused since 2026-11-21T12:00:00.000Z: 3 of 10 were refused; mailfuse "
	    "resume B1.",
	    "approve"};
	struct store_plan plan = fake_running;

	(void)state;
	gate_start();
	fake.plan = &plan;
	check_row(&none);
	plan.state = STORE_PLAN_ASKED;
	plan.approvers = 4;
	check_row(&third);
	plan.approvers = 2;
	plan.approved_by = "";
	check_row(&asked);
	plan.state = STORE_PLAN_PAUSED;
	plan.why = "3 of 10 were refused";
	check_row(&paused);
	gate_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_plan_json, fake_reset),
	    cmocka_unit_test_setup(test_plan_json_of_odd_rows, fake_reset),
	    cmocka_unit_test_setup(test_ring_sizes, fake_reset),
	    cmocka_unit_test_setup(test_next_steps, fake_reset),
	    cmocka_unit_test_setup(test_batches_tell, fake_reset),
	    cmocka_unit_test_setup(test_who_has_seen_it, fake_reset),
	    cmocka_unit_test(test_when_a_silence_is_an_end),
	    cmocka_unit_test_setup(test_status_tells, fake_reset)};

	signal(SIGPIPE, SIG_IGN);
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
