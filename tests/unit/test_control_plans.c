/*
 * Calls about releases that go on by themselves: which are taken, what they ask of the store, what
 * is answered and who is told. The store's answers are given here; what the store itself does with
 * plans is in its own tests.
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

#include "mail/mime.h"
#include "tests/unit/control_fake.h"
#include "tests/unit/control_rig.h"

/* ---- which calls are taken */

#define RELEASE(fields) "{\"ids\":[\"B1\"],\"reason\":\"r\"," fields "}"
#define BAD(name, fields, wanted)                                                                  \
	{                                                                                          \
		name, "POST", "/v1/release", RELEASE(fields), 400, wanted, NULL                    \
	}

static void
test_bad_rings(void **state)
{
	static const struct row rows[] = {
	    BAD("no list", "\"rings\":10", "rings: list 1 to 20 sizes"),
	    BAD("as the command writes it", "\"rings\":\"10,100\"", "rings: list 1 to 20 sizes"),
	    BAD("an object", "\"rings\":{\"0\":10}", "rings: list"),
	    BAD("none", "\"rings\":[]", "rings: list"),
	    BAD("21 of them", "\"rings\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
		"rings: list"),
	    BAD("all first", "\"rings\":[\"all\",10]", "rings: entry 1 is none"),
	    BAD("all in between", "\"rings\":[1,\"all\",\"all\"]", "rings: entry 2 is none"),
	    BAD("another word", "\"rings\":[1,\"rest\"]", "rings: entry 2 is none"),
	    BAD("zero", "\"rings\":[0,\"all\"]", "rings: entry 1 is none"),
	    BAD("negative", "\"rings\":[-10,\"all\"]", "rings: entry 1 is none"),
	    BAD("a fraction", "\"rings\":[1.5]", "rings: entry 1 is none"),
	    BAD("text", "\"rings\":[\"10\"]", "rings: entry 1 is none"),
	    BAD("null", "\"rings\":[null]", "rings: entry 1 is none"),
	    BAD("true", "\"rings\":[true]", "rings: entry 1 is none"),
	    BAD("nested", "\"rings\":[[10]]", "rings: entry 1 is none"),
	    BAD("huge", "\"rings\":[9223372036854775807]", "rings: entry 1 is none"),
	    BAD("too huge for a number", "\"rings\":[99999999999999999999]", "not a JSON object"),
	    BAD("wait without rings", "\"wait\":\"1m\"", "give rings too"),
	    BAD("wait is a number", "\"rings\":[1],\"wait\":60", "wait is not text"),
	    BAD("wait is empty", "\"rings\":[1],\"wait\":\"\"", "is none; write a time"),
	    BAD("rate is empty", "\"rate\":\"\"", "is none; write a number and a time"),
	    BAD("wait is negative", "\"rings\":[1],\"wait\":\"-1m\"", "wait: -1m is none"),
	    BAD("wait too long", "\"rings\":[1],\"wait\":\"31d\"", "wait: 31d is none"),
	    BAD("wait overflows", "\"rings\":[1],\"wait\":\"99999999999999999999d\"", "is none"),
	    BAD("stop_on as text", "\"stop_on\":\"2%\"", "stop_on: write the percent"),
	    BAD("stop_on negative", "\"stop_on\":-0.1", "stop_on:"),
	    BAD("stop_on over 100", "\"stop_on\":100.01", "stop_on:"),
	    BAD("stop_on infinite", "\"stop_on\":1e999", "not a JSON object"),
	    BAD("stop_on NaN", "\"stop_on\":NaN", "not a JSON object"),
	    BAD("stream of nothing", "\"stream\":\"0\"", "stream: 0 is none"),
	    BAD("stream too long", "\"stream\":\"31d\"", "stream: 31d is none"),
	    BAD("stream of a part", "\"stream\":\"1h\",\"first\":1", "leave first, percent"),
	    BAD("stream of a share", "\"stream\":\"1h\",\"percent\":5", "leave first, percent"),
	    BAD("stream of a pattern", "\"stream\":\"1h\",\"to\":\"@a.example.com\"",
		"leave first"),
	    BAD("stream of some rings", "\"stream\":\"1h\",\"rings\":[1,2]",
		"let the last ring be"),
	    BAD("unknown field", "\"ring\":[1]", "unknown field ring"),
	    {"two batches", "POST", "/v1/release",
	     "{\"ids\":[\"B1\",\"B2\"],\"reason\":\"r\",\"rings\":[1]}", 400,
	     "rings is for one batch", NULL},
	    {"single deliveries", "POST", "/v1/release",
	     "{\"ids\":[\"@M.1\"],\"reason\":\"r\",\"stop_on\":1}", 400, "stop_on is for one batch",
	     NULL},
	    {"a batch and one of its deliveries", "POST", "/v1/release",
	     "{\"ids\":[\"B1\",\"@M.1\"],\"reason\":\"r\",\"stream\":\"1h\"}", 400,
	     "stream is for one batch", NULL},
	    {"rings of a discard", "POST", "/v1/discard", RELEASE("\"rings\":[1]"), 400,
	     "unknown field rings", NULL},
	    {"stream of a restore", "POST", "/v1/restore", RELEASE("\"stream\":\"1h\""), 400,
	     "unknown field stream", NULL},
	    {"rate of a purge", "POST", "/v1/purge", RELEASE("\"rate\":\"1/1m\""), 400,
	     "unknown field rate", NULL},
	    {"stream of a part's discard", "POST", "/v1/discard",
	     RELEASE("\"stream\":\"1h\",\"first\":1"), 400, "leave first", NULL}};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	assert_int_equal(fake.asked.op, 0); /* the store was asked for nothing */
	gate_stop();
}

static void
test_bad_plan_calls(void **state)
{
	static const struct row rows[] = {
	    {"no ids", "POST", "/v1/approve", "{}", 400, "ids: name one batch", NULL},
	    {"ids is text", "POST", "/v1/approve", "{\"ids\":\"B1\"}", 400, "ids: name one", NULL},
	    {"two batches", "POST", "/v1/approve", "{\"ids\":[\"B1\",\"B2\"]}", 400,
	     "ids: name one batch", NULL},
	    {"a delivery", "POST", "/v1/pause", "{\"ids\":[\"@M.1\"],\"reason\":\"r\"}", 400,
	     "ids: name one batch", NULL},
	    {"a number", "POST", "/v1/approve", "{\"ids\":[1]}", 400, "ids: name one batch", NULL},
	    {"huge", "POST", "/v1/approve", "{\"ids\":[\"B99999999999999999999\"]}", 400,
	     "ids: name one batch", NULL},
	    {"pause without a reason", "POST", "/v1/pause", "{\"ids\":[\"B1\"]}", 400, "say why",
	     NULL},
	    {"resume without a reason", "POST", "/v1/resume", "{\"ids\":[\"B1\"],\"reason\":\" \"}",
	     400, "say why", NULL},
	    {"plan is text", "POST", "/v1/approve", "{\"ids\":[\"B1\"],\"plan\":\"3\"}", 400,
	     "plan: write", NULL},
	    {"plan 0", "POST", "/v1/approve", "{\"ids\":[\"B1\"],\"plan\":0}", 400, "plan: write",
	     NULL},
	    {"plan negative", "POST", "/v1/approve", "{\"ids\":[\"B1\"],\"plan\":-3}", 400,
	     "plan: write", NULL},
	    {"plan a fraction", "POST", "/v1/approve", "{\"ids\":[\"B1\"],\"plan\":1.0}", 400,
	     "plan: write", NULL},
	    {"rate of an approval", "POST", "/v1/approve", "{\"ids\":[\"B1\"],\"rate\":\"1/1m\"}",
	     400, "unknown field rate", NULL},
	    {"plan of a pause", "POST", "/v1/pause",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"plan\":1}", 400, "unknown field plan", NULL},
	    {"bad rate", "POST", "/v1/resume",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"rate\":\"0/1m\"}", 400, "rate: 0/1m is none",
	     NULL},
	    {"dry_run as text", "POST", "/v1/pause",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"dry_run\":\"no\"}", 400, "true or false", NULL},
	    {"reason of two lines", "POST", "/v1/approve",
	     "{\"ids\":[\"B1\"],\"reason\":\"a\\nb\"}", 400, "control character", NULL},
	    {"an array", "POST", "/v1/pause", "[\"B1\"]", 400, "put it in {}", NULL},
	    {"by GET", "GET", "/v1/approve", NULL, 405, "takes POST only", NULL},
	    {"no such batch", "POST", "/v1/approve", "{\"ids\":[\"B99\"]}", 404,
	     "there is no batch B99", NULL},
	    {"no such batch to resume", "POST", "/v1/resume",
	     "{\"ids\":[\"B99\"],\"reason\":\"r\"}", 404, "there is no batch B99", NULL},
	    {"it may not leave", "POST", "/v1/approve", "{\"ids\":[\"B2\"]}", 409,
	     "environment box captures", NULL},
	    {"nor go on", "POST", "/v1/resume", "{\"ids\":[\"B4\"],\"reason\":\"r\"}", 409,
	     "has no environment gone any more", NULL}};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	assert_int_equal(fake.asked.op, 0);
	assert_int_equal(gate.queue_pokes, 0);
	gate_stop();
}

/* ---- what the store is asked */

static void
test_rings_reach_the_store(void **state)
{
	static const struct {
		const char *name, *fields;
		uint32_t count;
		uint64_t last, first; /* the last size */
		int64_t wait, stream;
		double stop_on;
		const char *wanted;
	} rows[] = {
	    {"none", "\"dry_run\":true", 0, 0, 0, 0, 0, -1,
	     "\"state\":\"released\",\"released\":8,\"rings\":[8],"},
	    {"null is absent", "\"rings\":null,\"stop_on\":null,\"wait\":null,\"dry_run\":true", 0,
	     0, 0, 0, 0, -1, "\"rings\":[8],"},
	    {"rings", "\"rings\":[1,3,\"all\"],\"wait\":\"10m\",\"stop_on\":2.5,\"dry_run\":true",
	     3, 0, 0, 600 * CLOCK_SECOND, 0, 2.5,
	     "\"state\":\"running\",\"released\":1,\"rings\":[1,3,4],"},
	    {"the first refusal stops it", "\"stop_on\":0,\"dry_run\":true", 0, 0, 0, 0, 0, 0,
	     "\"released\":8"},
	    {"without all their sum is meant", "\"rings\":[2,3],\"wait\":\"0\",\"dry_run\":true", 2,
	     3, 5, 0, 0, -1, "\"recipients\":5,\"left\":3,"},
	    {"first is less than their sum", "\"rings\":[2,3],\"first\":4,\"dry_run\":true", 2, 3,
	     4, 0, 0, -1, "\"rings\":[2,2],"},
	    {"more than there are", "\"rings\":[1000000000],\"dry_run\":true", 1, 1000000000,
	     1000000000, 0, 0, -1, "\"state\":\"released\",\"released\":8,\"rings\":[8],"},
	    {"20 of them",
	     "\"rings\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,\"all\"],\"dry_run\":true", 20, 0, 0,
	     0, 0, -1, "\"rings\":[1,1,1,1,1,1,1,1],"},
	    {"a ruling", "\"stream\":\"30d\",\"dry_run\":true", 0, 0, 0, 0, 30 * CLOCK_DAY, -1,
	     "\"plan\":null}"}};

	(void)state;
	gate_start();
	fake.decides = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char body[300];
		struct row row = {rows[i].name, "POST",         "/v1/release", body,
				  200,          rows[i].wanted, NULL};

		snprintf(body, sizeof(body), "{\"ids\":[\"B1\"],\"reason\":\"r\",%s}",
			 rows[i].fields);
		fake.answer.u.decide.recipients =
		    rows[i].first > 0 && rows[i].first < 8 ? rows[i].first : 8;
		fake.answer.u.decide.left = 8 - fake.answer.u.decide.recipients;
		fake.answer.u.decide.released =
		    rows[i].wait > 0 ? 1 : fake.answer.u.decide.recipients;
		check_row(&row);
		assert_int_equal(fake.asked.u.decide.rings.count, rows[i].count);
		if (rows[i].count > 0)
			assert_int_equal(fake.asked.u.decide.rings.sizes[rows[i].count - 1],
					 rows[i].last);
		assert_int_equal(fake.asked.u.decide.selector.first, rows[i].first);
		assert_int_equal(fake.asked.u.decide.rings.wait, rows[i].wait);
		assert_int_equal(fake.asked.u.decide.stream_for, rows[i].stream);
		assert_true(fake.asked.u.decide.rings.stop_on == rows[i].stop_on);
		assert_true(fake.asked.u.decide.dry_run);
	}
	gate_stop();
}

static void
check_limits(const char *ids, uint64_t above, uint32_t approvers, int64_t request_for)
{
	char body[300];
	struct row row = {ids, "POST", "/v1/release", body, 200, "\"decision\":\"release\"", NULL};

	snprintf(body, sizeof(body), "{\"ids\":[%s],\"reason\":\"r\",\"dry_run\":true}", ids);
	check_row(&row);
	assert_int_equal(fake.asked.u.decide.approve_above, above);
	assert_int_equal(fake.asked.u.decide.approvers, approvers);
	assert_int_equal(fake.asked.u.decide.request_for, request_for);
	assert_non_null(fake.asked.u.decide.may_reach);
}

static void
test_limits_reach_the_store(void **state)
{
	(void)state;
	gate_start();
	fake.decides = true;
	check_limits("\"B1\"", 0, 2, 24 * CLOCK_HOUR);
	gate_stop();

	gate_start_with("approval { above = 6 approvers = 3 expires = \"2h\" }");
	check_limits("\"B1\"", 6, 3, 2 * CLOCK_HOUR);
	check_limits("\"@M.1\"", 6, 3, 2 * CLOCK_HOUR);
	gate_stop();
}

/* What goes to the drill's own sink needs no second person; together with other mail it does. */
static void
test_drill_has_no_limits(void **state)
{
	struct buf answer = {0};
	char drill[100], both[200];
	json_t *list, *id;

	(void)state;
	gate_start_drill("approval { above = 6 }");
	gate_add_held("drill", 20);
	fake.decides = true;
	check_limits("\"B5\"", 0, 0, 0);
	check_limits("\"B1\"", 6, 2, 24 * CLOCK_HOUR);
	assert_int_equal(client_call("GET", "/v1/deliveries?batch=B5&limit=1", "", 0, &answer),
			 200);
	list = json_loadb(buf_text(&answer), answer.len, 0, NULL);
	id = json_object_get(json_array_get(json_object_get(list, "items"), 0), "id");
	snprintf(drill, sizeof(drill), "\"%s\"", json_string_value(id));
	snprintf(both, sizeof(both), "%s,\"@M.1\"", drill);
	check_limits(drill, 0, 0, 0);
	check_limits(both, 6, 2, 24 * CLOCK_HOUR);
	json_decref(list);
	buf_free(&answer);
	gate_stop();
}

/* Dropped mail: the policy in force when the call came says who may be written to. */
static void
test_who_may_be_reached(void **state)
{
	static const struct {
		const char *environment, *address;
		bool may;
	} rows[] = {{"staging", "qa@example.com", true},
		    {"staging", "bob@gmail.example", false},
		    {"staging", "", false},
		    {"box", "bob@gmail.example", true},
		    {"gone", "qa@example.com", false},
		    {"", "qa@example.com", false}};
	static const struct row call = {
	    "by id",       "POST",
	    "/v1/release", "{\"ids\":[\"@M.1\"],\"reason\":\"r\",\"dry_run\":true}",
	    200,           NULL,
	    NULL};

	(void)state;
	gate_start();
	fake.decides = true;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fake.reach_environment = rows[i].environment;
		fake.reach_address = rows[i].address;
		fake.reached = !rows[i].may;
		check_row(&call);
		if (fake.reached != rows[i].may)
			fail_msg("%s %s", rows[i].environment, rows[i].address);
	}
	gate_stop();
}

/* ---- what is answered, and who is told */

static void
test_asked(void **state)
{
	static const struct row row = {
	    "asked",
	    "POST",
	    "/v1/release",
	    "{\"ids\":[\"B1\"],\"reason\":\"r\",\"rings\":[1,\"all\"]}",
	    200,
	    "\"recipients\":8,\"left\":8,\"batches\":[\"B1\"],\"dry_run\":false,\"state\":"
	    "\"asked\",\"released\":0,\"rings\":[1,7],\"approvals_missing\":1,\"expires_at\":"
	    "\"2026-11-21T12:00:00.000Z\",\"asked\":[\"B1\"],\"plan\":{\"id\":3,",
	    NULL};

	(void)state;
	gate_start();
	fake.decides = true;
	fake.plan = &fake_running;
	fake.answer.u.decide.asked = true;
	fake.answer.u.decide.recipients = fake.answer.u.decide.left = 8;
	fake.answer.u.decide.approvals_missing = 1;
	fake.answer.u.decide.request_expires_at = NOON;
	check_row(&row);
	gate_stop();
}

static void
check_step(const char *path, const char *fields, bool pauses, enum store_plan_step step)
{
	char body[200], wanted[200];
	struct row row = {path, "POST", path, body, 200, wanted, NULL};
	int queue = gate.queue_pokes, alerts = gate.alert_pokes;

	snprintf(body, sizeof(body), "{\"ids\":[\"B1\"],\"reason\":\"because\"%s}", fields);
	snprintf(wanted, sizeof(wanted),
		 "{\"decision\":\"%s\",\"batch\":\"B1\",\"state\":\"paused\",\"recipients\":5,"
		 "\"left\":3,\"approvals_missing\":2,\"dry_run\":false,\"plan\":{\"id\":3,",
		 path + strlen("/v1/"));
	gate.paused_batch = 0;
	fake.forgotten = 0;
	check_row(&row);
	assert_int_equal(fake.asked.u.plan.step, step);
	assert_int_equal(fake.asked.u.plan.batch, 1);
	assert_int_equal(gate.paused_batch, pauses ? 1 : 0);
	assert_int_equal(gate.queue_pokes, queue + 1);
	assert_int_equal(gate.alert_pokes, alerts + 1);
	assert_int_equal(fake.forgotten, 77);
}

static void
test_plan_steps(void **state)
{
	static const struct row dry = {
	    "dry run",   "POST",
	    "/v1/pause", "{\"ids\":[\"B1\"],\"reason\":\"r\",\"dry_run\":true}",
	    200,         "\"dry_run\":true",
	    NULL};

	(void)state;
	gate_start();
	fake.plan = &fake_running;
	fake.answer.u.plan.state = STORE_PLAN_PAUSED;
	fake.answer.u.plan.recipients = 5;
	fake.answer.u.plan.left = 3;
	fake.answer.u.plan.approvals_missing = 2;
	fake.answer.u.plan.closed = true;
	fake.answer.u.plan.stream_hash = 77;
	check_step("/v1/approve", ",\"plan\":3", false, STORE_APPROVE);
	assert_int_equal(fake.asked.u.plan.plan, 3);
	check_step("/v1/pause", "", true, STORE_PAUSE);
	check_step("/v1/resume", ",\"rate\":\"50/1m\"", false, STORE_RESUME);
	assert_int_equal(fake.asked.u.plan.rate_count, 50);
	assert_int_equal(fake.asked.u.plan.rate_window, CLOCK_MINUTE);
	gate.paused_batch = 0;
	gate.queue_pokes = gate.alert_pokes = 0;
	fake.forgotten = 0;
	check_row(&dry);
	assert_true(fake.asked.u.plan.dry_run);
	assert_int_equal(gate.paused_batch + gate.queue_pokes + gate.alert_pokes, 0);
	assert_int_equal(fake.forgotten, 0);
	gate_stop();
}

static void
test_plan_step_fails(void **state)
{
	static const struct {
		enum store_result result;
		int status;
		const char *error, *wanted;
	} rows[] = {{STORE_REFUSED, 409, "you asked for it yourself", "you asked for it yourself"},
		    {STORE_MISSING, 404, "", "there is no batch B1"},
		    {STORE_BUSY, 503, "", "the store is busy; try again"},
		    {STORE_FULL, 503, "", "the store is full; make room"},
		    {STORE_BROKEN, 503, "disk on fire", "disk on fire"}};

	(void)state;
	gate_start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct row row = {rows[i].wanted,
				  "POST",
				  "/v1/pause",
				  "{\"ids\":[\"B1\"],\"reason\":\"r\"}",
				  rows[i].status,
				  rows[i].wanted,
				  NULL};

		fake.answer.result = rows[i].result;
		snprintf(fake.answer.error, sizeof(fake.answer.error), "%s", rows[i].error);
		check_row(&row);
	}
	assert_int_equal(gate.paused_batch, 0);
	assert_int_equal(gate.alert_pokes, 0);
	gate_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_bad_rings, fake_reset),
	    cmocka_unit_test_setup(test_bad_plan_calls, fake_reset),
	    cmocka_unit_test_setup(test_rings_reach_the_store, fake_reset),
	    cmocka_unit_test_setup(test_limits_reach_the_store, fake_reset),
	    cmocka_unit_test_setup(test_drill_has_no_limits, fake_reset),
	    cmocka_unit_test_setup(test_who_may_be_reached, fake_reset),
	    cmocka_unit_test_setup(test_asked, fake_reset),
	    cmocka_unit_test_setup(test_plan_steps, fake_reset),
	    cmocka_unit_test_setup(test_plan_step_fails, fake_reset)};

	signal(SIGPIPE, SIG_IGN);
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
