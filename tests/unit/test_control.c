/*
 * The control API through its real socket: every call, and every error it can answer.
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

#include "control/json.h"
#include "mail/mime.h"
#include "tests/unit/control_rig.h"

/* ---- reading */

static void
test_reads(void **state)
{
	static const struct row rows[] = {
	    {"status names the config", "GET", "/v1/status", NULL, 200, "mailfuse.conf", NULL},
	    {"status counts batches", "GET", "/v1/status", NULL, 200,
	     "\"held\":{\"batches\":4,\"recipients\":11}", NULL},
	    {"status warns of observing", "GET", "/v1/status", NULL, 200,
	     "burst \\\"watch\\\" of environment production only observes", NULL},
	    {"status warns of a dead upstream", "GET", "/v1/status", NULL, 200,
	     "upstream smart (127.0.0.1:2526) is down since 2023-11-14T22:13:20.000Z: connection "
	     "refused",
	     NULL},
	    {"status warns of unknown sources", "GET", "/v1/status", NULL, 200,
	     "1 recipient is held because no environment matches the source", NULL},
	    {"status warns of no alerts", "GET", "/v1/status", NULL, 200,
	     "no alert channel is configured", NULL},
	    {"status warns of allow all", "GET", "/v1/status", NULL, 200,
	     "environment box is not production and may write to everybody", NULL},
	    {"status warns of observing content", "GET", "/v1/status", NULL, 200,
	     "content \\\"test marker\\\" of environment blasts only observes", NULL},
	    {"status has heads and declared audiences", "GET", "/v1/status", NULL, 200,
	     "{\"name\":\"volume\",\"limit\":\"9/10m\",\"per\":[\"source\",\"subject\"],\"head\":"
	     "\"2/10s\",\"settle\":\"7 s\",\"declared\":\"50/1d\",\"action\":\"hold\"}",
	     NULL},
	    {"status has content rules", "GET", "/v1/status", NULL, 200,
	     "{\"name\":\"test "
	     "marker\",\"header\":\"Subject\",\"part\":null,\"match\":\"/\\\\btest\\\\b/"
	     "i\",\"above\":\"3/5m\",\"per\":[\"source\"],\"action\":\"alert\"},{\"name\":"
	     "\"placeholder\",\"header\":null,\"part\":\"body\",\"match\":\"{{\",\"above\":null,"
	     "\"per\":["
	     "\"source\"],\"action\":\"hold\"}",
	     NULL},
	    {"status counts the keys of limits", "GET", "/v1/status", NULL, 200,
	     "\"counters\":{\"keys\":0,\"keys_most\":1000000}", "The limits count"},
	    {"status has every metric", "GET", "/v1/status", NULL, 200, "\"reloads\":0", NULL},
	    {"batches, newest first", "GET", "/v1/batches?limit=1", NULL, 200, "\"next\":\"B4\"",
	     "\"B3\""},
	    {"batches, next page", "GET", "/v1/batches?after=B2", NULL, 200, "\"id\":\"B1\"",
	     "\"B2\""},
	    {"batches of a state", "GET", "/v1/batches?state=released", NULL, 200,
	     "{\"items\":[],\"next\":null}", NULL},
	    {"batch has distinct recipients", "GET", "/v1/batches/B1", NULL, 200,
	     "\"distinct_recipients\":4", NULL},
	    {"batch has its window in seconds", "GET", "/v1/batches/B1", NULL, 200,
	     "\"window\":600", NULL},
	    {"batch: bytes that are no UTF-8", "GET", "/v1/batches/B1", NULL, 200,
	     "Order \xef\xbf\xbd 1", NULL},
	    {"batch tells its domains", "GET", "/v1/batches/B1", NULL, 200,
	     "{\"value\":\"a.example.com\",\"count\":4}", NULL},
	    {"batch tells what to type", "GET", "/v1/batches/B1", NULL, 200,
	     "mailfuse release B1 --reason TEXT", "--first"},
	    {"captured batch is not released", "GET", "/v1/batches/B2", NULL, 200,
	     "mailfuse discard B2 --reason TEXT", "mailfuse release"},
	    {"deliveries of a batch", "GET", "/v1/deliveries?batch=B1", NULL, 200, "\"next\":null",
	     "Captured"},
	    {"deliveries, a page", "GET", "/v1/deliveries?batch=B1&limit=3", NULL, 200,
	     "\"next\":\"@M.3\"", "\"number\":4"},
	    {"deliveries, after it", "GET", "/v1/deliveries?batch=B1&after=@M.3&limit=1", NULL, 200,
	     "\"id\":\"@M.4\"", NULL},
	    {"deliveries of an environment", "GET", "/v1/deliveries?environment=box", NULL, 200,
	     "Captured", "Order"},
	    {"deliveries of a state", "GET", "/v1/deliveries?state=sent", NULL, 200, "\"items\":[]",
	     NULL},
	    {"deliveries of a message", "GET", "/v1/deliveries?message=@M", NULL, 200,
	     "\"reason\":\"6 of 5\"", "Order 2"},
	    {"message", "GET", "/v1/messages/@M", NULL, 200, "\"text\":\"Hello ", NULL},
	    {"message: its header", "GET", "/v1/messages/@M", NULL, 200,
	     "\"header\":\"From: shop@example.com\\r\\nSubject:", NULL},
	    {"raw message", "GET", "/v1/messages/@M/raw", NULL, 200,
	     "\r\n\r\nHello \xff there.\r\n", NULL},
	    {"queue", "GET", "/v1/queue", NULL, 200, "{\"environments\":[],\"deliveries\":[]}",
	     NULL},
	    {"log", "GET", "/v1/log?last=1", NULL, 200, "\"next\":", NULL},
	    {"log from the end", "GET", "/v1/log?after=1000000", NULL, 200,
	     "{\"items\":[],\"next\":1000000,\"head\":{", NULL}};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	gate_stop();
}

static void
test_bad_reads(void **state)
{
	static const struct row rows[] = {
	    {"unknown path", "GET", "/v1/nothing", NULL, 404, "docs/api.md", NULL},
	    {"root", "GET", "/", NULL, 404, NULL, NULL},
	    {"path traversal", "GET", "/v1/messages/../../etc/passwd", NULL, 404, NULL, NULL},
	    {"encoded path traversal", "GET", "/v1/batches/%2e%2e%2f%2e%2e", NULL, 404, NULL, NULL},
	    {"empty segment", "GET", "/v1/batches/", NULL, 404, NULL, NULL},
	    {"no final slash", "GET", "/v1/status/", NULL, 404, NULL, NULL},
	    {"wrong method", "POST", "/v1/status", "{}", 405, "takes GET, HEAD only", NULL},
	    {"wrong method for a change", "GET", "/v1/release", NULL, 405, "takes POST only", NULL},
	    {"made-up method", "BREW", "/v1/status", NULL, 405, NULL, NULL},
	    {"body on a GET", "GET", "/v1/status", "{}", 400, "takes no body", NULL},
	    {"misspelt parameter", "GET", "/v1/deliveries?batc=B1", NULL, 400,
	     "unknown parameter batc; batch, environment", NULL},
	    {"parameter where none is", "GET", "/v1/status?x=1", NULL, 400, "takes none", NULL},
	    {"limit 0", "GET", "/v1/batches?limit=0", NULL, 400, "1 to 1000", NULL},
	    {"limit too large", "GET", "/v1/batches?limit=1001", NULL, 400, NULL, NULL},
	    {"limit huge", "GET", "/v1/batches?limit=99999999999999999999999", NULL, 400, NULL,
	     NULL},
	    {"limit negative", "GET", "/v1/batches?limit=-1", NULL, 400, NULL, NULL},
	    {"no such batch", "GET", "/v1/batches/B99", NULL, 404, "there is no batch B99", NULL},
	    {"no batch at all", "GET", "/v1/batches/17", NULL, 404, "batches look like B17", NULL},
	    {"huge batch", "GET", "/v1/batches/B99999999999999999999999999", NULL, 404, NULL, NULL},
	    {"bad state", "GET", "/v1/batches?state=lost", NULL, 400, "state=lost: write held",
	     NULL},
	    {"bad cursor", "GET", "/v1/deliveries?after=7", NULL, 400, NULL, NULL},
	    {"bad state of deliveries", "GET", "/v1/deliveries?state=lost", NULL, 400, NULL, NULL},
	    {"bad batch of deliveries", "GET", "/v1/deliveries?batch=B0", NULL, 400, NULL, NULL},
	    {"bad message of deliveries", "GET", "/v1/deliveries?message=x", NULL, 400, NULL, NULL},
	    {"bad message", "GET", "/v1/messages/xyz", NULL, 404, "no id of a message", NULL},
	    {"message of another store", "GET", "/v1/messages/01JD8Z2E3M0G4S7T2V9W1X5Y6Z", NULL,
	     404, NULL, NULL},
	    {"bad log cursor", "GET", "/v1/log?after=B1", NULL, 400, NULL, NULL},
	    {"bad query", "GET", "/v1/status?=&=&", NULL, 400, NULL, NULL}};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	gate_stop();
}

/* ---- deciding */

static void
test_bad_decisions(void **state)
{
	static const struct row rows[] = {
	    {"no body", "POST", "/v1/release", "", 400, "not a JSON object", NULL},
	    {"no JSON", "POST", "/v1/release", "{\"ids\":", 400, "not a JSON object", NULL},
	    {"an array", "POST", "/v1/release", "[]", 400, "put it in {}", NULL},
	    {"a field twice", "POST", "/v1/release", "{\"ids\":[],\"ids\":[]}", 400, NULL, NULL},
	    {"misspelt field", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"frist\":1}", 400, "unknown field frist", NULL},
	    {"no reason", "POST", "/v1/release", "{\"ids\":[\"B1\"]}", 400,
	     "say why: --reason TEXT", NULL},
	    {"blank reason", "POST", "/v1/discard", "{\"ids\":[\"B1\"],\"reason\":\"  \"}", 400,
	     "say why: --reason TEXT", NULL},
	    {"reason of two lines", "POST", "/v1/discard",
	     "{\"ids\":[\"B1\"],\"reason\":\"a\\nb\"}", 400, "control character", NULL},
	    {"reason is a number", "POST", "/v1/discard", "{\"ids\":[\"B1\"],\"reason\":1}", 400,
	     "not text", NULL},
	    {"NUL in a reason", "POST", "/v1/discard", "{\"ids\":[\"B1\"],\"reason\":\"a\\u0000\"}",
	     400, NULL, NULL},
	    {"no ids", "POST", "/v1/release", "{\"ids\":[],\"reason\":\"r\"}", 400, "ids: list",
	     NULL},
	    {"ids is text", "POST", "/v1/release", "{\"ids\":\"B1\",\"reason\":\"r\"}", 400,
	     "ids: list", NULL},
	    {"an id that is none", "POST", "/v1/release", "{\"ids\":[\"17\"],\"reason\":\"r\"}",
	     400, "is no batch", NULL},
	    {"an id of another type", "POST", "/v1/release", "{\"ids\":[17],\"reason\":\"r\"}", 400,
	     "is no batch", NULL},
	    {"first 0", "POST", "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"r\",\"first\":0}",
	     400, "first:", NULL},
	    {"first negative", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"first\":-5}", 400, "first:", NULL},
	    {"first too large to be a number", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"first\":99999999999999999999}", 400, NULL, NULL},
	    {"percent 0", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"percent\":0}", 400, "percent:", NULL},
	    {"percent over 100", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"percent\":100.5}", 400, "percent:", NULL},
	    {"percent as text", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"percent\":\"5\"}", 400, "percent:", NULL},
	    {"first and percent", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"percent\":5,\"first\":1}", 400, "exclude", NULL},
	    {"percent of single ids", "POST", "/v1/release",
	     "{\"ids\":[\"@M\"],\"reason\":\"r\",\"percent\":5}", 400, "share of a batch", NULL},
	    {"bad pattern of addresses", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"to\":\"/(/\"}", 400, "to:", NULL},
	    {"bad pattern of subjects", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"subject\":\"/[/\"}", 400, "subject:", NULL},
	    {"bad rate", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"rate\":\"fast\"}", 400, "100/1m", NULL},
	    {"dry_run as text", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"dry_run\":\"yes\"}", 400, "true or false", NULL},
	    {"a rate is for releases", "POST", "/v1/discard",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"rate\":\"1/1m\"}", 400, "unknown field rate",
	     NULL},
	    {"no such batch to release", "POST", "/v1/release",
	     "{\"ids\":[\"B99\"],\"reason\":\"r\"}", 404, "there is no batch B99", NULL},
	    {"no such batch to discard", "POST", "/v1/discard",
	     "{\"ids\":[\"B99\"],\"reason\":\"r\"}", 404, "there is no batch B99", NULL},
	    {"captured", "POST", "/v1/release", "{\"ids\":[\"B2\"],\"reason\":\"r\"}", 409,
	     "environment box captures", NULL},
	    {"unknown source", "POST", "/v1/release", "{\"ids\":[\"B3\"],\"reason\":\"r\"}", 409,
	     "its source 10.9.0.1 matches no environment", NULL},
	    {"environment is gone", "POST", "/v1/release", "{\"ids\":[\"B4\"],\"reason\":\"r\"}",
	     409, "has no environment gone any more", NULL},
	    {"one of two may not leave", "POST", "/v1/release",
	     "{\"ids\":[\"B1\",\"B2\"],\"reason\":\"r\"}", 409, "batch B2 cannot be released",
	     NULL},
	    {"nothing moved", "GET", "/v1/status", NULL, 200,
	     "\"held\":{\"batches\":4,\"recipients\":11}", NULL}};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	assert_int_equal(gate.queue_pokes, 0);
	gate_stop();
}

static void
test_decisions(void **state)
{
	static const struct row rows[] = {
	    {"dry run", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"try\",\"dry_run\":true}", 200,
	     "\"recipients\":8,\"left\":", NULL},
	    {"the dry run moved nothing", "GET", "/v1/batches/B1", NULL, 200, "\"held\":8", NULL},
	    {"first", "POST", "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"ring\",\"first\":1}",
	     200,
	     "{\"decision\":\"release\",\"messages\":1,\"recipients\":1,\"left\":7,\"batches\":["
	     "\"B1\"],\"dry_run\":false,\"state\":\"released\",\"released\":1,",
	     NULL},
	    {"to", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"b\",\"to\":\"@b.example.com\"}", 200,
	     "\"recipients\":4,\"left\":3", NULL},
	    {"subject", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"s\",\"subject\":\"Order 2\"}", 200,
	     "\"recipients\":2,\"left\":1", NULL},
	    {"no pattern fits", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"s\",\"subject\":\"Invoice\"}", 409,
	     "nothing that B1 holds matches", NULL},
	    {"the queue has them", "GET", "/v1/queue", NULL, 200,
	     "\"environment\":\"staging\",\"upstream\":\"smart\",\"up\":false,\"queued\":7", NULL},
	    {"a delivery", "POST", "/v1/discard", "{\"ids\":[\"@M.3\"],\"reason\":\"one\"}", 200,
	     "\"messages\":1,\"recipients\":1", NULL},
	    {"a discarded delivery may come back", "GET", "/v1/batches/B1", NULL, 200,
	     "mailfuse restore B1 --reason TEXT", "mailfuse release"},
	    {"restore", "POST", "/v1/restore", "{\"ids\":[\"B1\"],\"reason\":\"back\"}", 200,
	     "\"decision\":\"restore\",\"messages\":1,\"recipients\":1,\"left\":1", NULL},
	    {"several, and one twice", "POST", "/v1/discard",
	     "{\"ids\":[\"B2\",\"B3\",\"B2\"],\"reason\":\"junk\"}", 200,
	     "\"recipients\":2,\"left\":0,\"batches\":[\"B2\",\"B3\"]", NULL},
	    {"first ends with the first batch", "POST", "/v1/release",
	     "{\"ids\":[\"B1\",\"@M.1\"],\"reason\":\"f\",\"first\":1,\"dry_run\":true}", 200,
	     "\"recipients\":1,\"left\":0,\"batches\":[\"B1\"]", NULL},
	    {"batch and delivery together", "POST", "/v1/discard",
	     "{\"ids\":[\"B4\",\"@M.3\",\"@M.3\"],\"reason\":\"mixed\"}", 200, "\"recipients\":2",
	     NULL},
	    {"who did it", "GET", "/v1/log?last=3", NULL, 200, "uid:@U(", NULL},
	    {"why", "GET", "/v1/log?last=100", NULL, 200, "\"reason\":\"ring\"", NULL}};
	char uid[32];

	(void)state;
	gate_start();
	snprintf(uid, sizeof(uid), "\"who\":\"uid:%u(", (unsigned)geteuid());
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct row row = rows[i];

		if (strcmp(row.name, "who did it") == 0)
			row.wanted = uid;
		check_row(&row);
	}
	assert_int_equal(gate.queue_pokes, 3); /* each release; not the dry run */
	assert_int_equal(gate.alert_pokes, 9); /* each batch of each decision */
	gate_stop();
}

static void
test_button(void **state)
{
	static const struct row pressed[] = {
	    {"no reason", "POST", "/v1/hold", "{\"scope\":\"everything\"}", 400, "say why", NULL},
	    {"no scope", "POST", "/v1/hold", "{\"reason\":\"r\"}", 400,
	     "everything, environment or source", NULL},
	    {"bad scope", "POST", "/v1/hold", "{\"scope\":\"all\",\"reason\":\"r\"}", 400,
	     "scope all", NULL},
	    {"which one", "POST", "/v1/hold", "{\"scope\":\"source\",\"reason\":\"r\"}", 400,
	     "name which source", NULL},
	    {"everything has no name", "POST", "/v1/hold",
	     "{\"scope\":\"everything\",\"name\":\"x\",\"reason\":\"r\"}", 400, "takes no name",
	     NULL},
	    {"misspelt environment", "POST", "/v1/hold",
	     "{\"scope\":\"environment\",\"name\":\"stagin\",\"reason\":\"r\"}", 404,
	     "there are: staging, box, production", NULL},
	    {"pressed", "POST", "/v1/hold",
	     "{\"scope\":\"environment\",\"name\":\"staging\",\"reason\":\"blast\"}", 200,
	     "{\"changed\":true,\"stopped\":0}", NULL},
	    {"pressed again", "POST", "/v1/hold",
	     "{\"scope\":\"environment\",\"name\":\"staging\",\"reason\":\"blast\"}", 200,
	     "\"changed\":false", NULL},
	    {"a source too", "POST", "/v1/hold",
	     "{\"scope\":\"source\",\"name\":\"10.1.0.1\",\"reason\":\"blast\"}", 200,
	     "\"changed\":true", NULL},
	    {"status says so", "GET", "/v1/status", NULL, 200,
	     "the panic button is pressed: environment staging", NULL},
	    {"no release meanwhile", "POST", "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"r\"}",
	     409, "mailfuse unhold", NULL}};
	static const struct row let_go[] = {
	    {"let go", "POST", "/v1/unhold",
	     "{\"scope\":\"environment\",\"name\":\"staging\",\"reason\":\"over\"}", 200,
	     "{\"changed\":true}", NULL},
	    {"let go again", "POST", "/v1/unhold",
	     "{\"scope\":\"environment\",\"name\":\"staging\",\"reason\":\"over\"}", 200,
	     "{\"changed\":false}", NULL},
	    {"release again", "POST", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"first\":1}", 200, "\"recipients\":1", NULL}};

	(void)state;
	gate_start();
	CHECK_ROWS(pressed);
	assert_true(counters_is_held(gate.counters, "staging", "10.2.0.9"));
	assert_true(counters_is_held(gate.counters, "production", "10.1.0.1"));
	assert_false(counters_is_held(gate.counters, "production", "10.1.0.2"));
	assert_int_equal(gate.held, 3); /* each that was pressed, also again */
	CHECK_ROWS(let_go);
	assert_int_equal(gate.held, 3);
	assert_false(counters_is_held(gate.counters, "staging", "10.2.0.9"));
	assert_true(counters_is_held(gate.counters, "production", "10.1.0.1"));
	gate_stop();
}

/* A batch of the panic button has no environment of its own: what it holds decides. */
static void
test_mixed_batch(void **state)
{
	static const char everything[] = "{\"scope\":\"everything\",\"reason\":\"r\"}";
	static const struct row one[] = {
	    {"pressed", "POST", "/v1/hold", everything, 200, "\"stopped\":1}", NULL},
	    {"let go", "POST", "/v1/unhold", everything, 200, "true", NULL},
	    {"may leave", "POST", "/v1/release", "{\"ids\":[\"B5\"],\"reason\":\"r\"}", 200,
	     "\"recipients\":1,\"left\":0", NULL}};
	static const struct row two[] = {
	    {"pressed", "POST", "/v1/hold", everything, 200, "\"stopped\":3}", NULL},
	    {"let go", "POST", "/v1/unhold", everything, 200, "true", NULL},
	    {"a part may not leave", "POST", "/v1/release", "{\"ids\":[\"B6\"],\"reason\":\"r\"}",
	     409,
	     "batch B6 cannot be released: it holds mail of environment box, and environment box "
	     "captures",
	     NULL},
	    {"discarded", "POST", "/v1/discard", "{\"ids\":[\"B6\"],\"reason\":\"r\"}", 200,
	     "\"recipients\":2", NULL},
	    {"release after that", "POST", "/v1/release", "{\"ids\":[\"B6\"],\"reason\":\"r\"}",
	     409, "`mailfuse restore B6` brings it back", NULL}};

	(void)state;
	gate_start();
	gate_add_queued("staging", "10.2.0.7");
	CHECK_ROWS(one);
	/* What B5 released goes back to B5; these two become B6. */
	gate_add_queued("staging", "10.2.0.8");
	gate_add_queued("box", "10.3.0.1");
	CHECK_ROWS(two);
	gate_stop();
}

/* ---- explaining */

static void
test_explain(void **state)
{
	static const struct row rows[] = {
	    {"rewritten", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"from\":\"a@example.com\",\"to\":[\"bob@gmail.example\","
	     "\"qa@example.com\"]}",
	     200,
	     "{\"address\":\"bob@gmail.example\",\"final\":\"qa+bob=gmail.example@example.com\","
	     "\"verdict\":\"rewrite\"",
	     NULL},
	    {"passed", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"from\":\"\",\"to\":[\"qa@example.com\"]}", 200,
	     "\"verdict\":\"pass\"", NULL},
	    {"environment and why", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"from\":\"\",\"to\":[\"qa@example.com\"]}", 200,
	     "\"environment\":\"staging\",\"production\":false,\"match\":\"network "
	     "10.2.0.0/16\",\"source\":\"10.2.0.7\",\"upstream\":\"smart\"",
	     NULL},
	    {"the header as it would leave", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"from\":\"a@example.com\",\"to\":[\"qa@example.com\"],"
	     "\"message\":\"Subject: Hi\\nBcc: x@y.example\\n\\nBody: 1\\n\"}",
	     200, "Subject: [STAGING] Hi\\r\\n", "x@y.example"},
	    {"the body is no header", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"from\":\"a@example.com\",\"to\":[\"qa@example.com\"],"
	     "\"message\":\"Subject: Hi\\r\\n\\r\\nBody: 1\\r\\n\"}",
	     200, "X-Mailfuse-Environment: staging", "Body: 1"},
	    {"without an empty line the end of its last line is the writer's", "POST",
	     "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"from\":\"a@example.com\",\"to\":[\"qa@example.com\"],"
	     "\"message\":\"Subject: Hi\\r\\nno field\\r\\n\"}",
	     200, "\\r\\n\\r\\nno field\"", NULL},
	    {"a blast would be held", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"from\":\"\",\"to\":[\"1@example.com\",\"2@example.com\","
	     "\"3@example.com\",\"4@example.com\",\"5@example.com\",\"6@example.com\"]}",
	     200, "\"verdict\":\"hold\",\"rule\":\"burst small\"", NULL},
	    {"and nothing was counted", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"from\":\"\",\"to\":[\"qa@example.com\"]}", 200,
	     "\"limit\":5,\"window\":600,\"before\":0,\"after\":1,", NULL},
	    {"beyond the head it waits", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\",\"2@x.example\","
	     "\"3@x.example\"]}",
	     200,
	     "\"address\":\"3@x.example\",\"final\":\"3@x.example\",\"verdict\":\"wait\",\"rule\":"
	     "\"burst volume\",",
	     NULL},
	    {"so long", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\",\"2@x.example\","
	     "\"3@x.example\"]}",
	     200, ",\"settle\":7,\"observed\":null}]", NULL},
	    {"every field of a rule", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\"],\"message\":"
	     "\"Subject: "
	     "Hi\\n\\nx\\n\"}",
	     200,
	     "{\"rule\":\"burst volume\",\"key\":\"source=10.4.0.7 "
	     "subject=\\\"hi\\\"\",\"applies\":true,\"note\":\"\",\"limit\":9,\"window\":600,"
	     "\"before\":0,\"after\":1,\"head\":2,\"head_window\":10,\"head_before\":0,\"settle\":"
	     "7,"
	     "\"holds\":true,\"trips\":false}]",
	     NULL},
	    {"a rule that does not count it, and why", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\"]}", 200,
	     "{\"rule\":\"audience\",\"key\":\"\",\"applies\":false,\"note\":\"no audience is "
	     "declared\"",
	     NULL},
	    {"a marker is only observed", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\",\"2@x.example\","
	     "\"3@x.example\",\"4@x.example\"],\"message\":\"Subject: A "
	     "=?utf-8?q?T=65st?=\\n\\n\"}",
	     200, "\"observed\":\"content test marker\"", "\"verdict\":\"hold\""},
	    {"the body is looked at", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\"],\"message\":"
	     "\"Subject: "
	     "Hi\\nContent-Transfer-Encoding: base64\\n\\nRGVhciB7e25hbWV9fSwK\\n\"}",
	     200, "\"verdict\":\"hold\",\"rule\":\"content placeholder\"", NULL},
	    {"a message of any bytes", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\"],"
	     "\"message_base64\":\"U3ViamVjdDogSGkNCg0K/3t7AAo=\"}",
	     200, "\"verdict\":\"hold\",\"rule\":\"content placeholder\"", NULL},
	    {"no base64", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\"],"
	     "\"message_base64\":\"U3ViamVjdDogSGk\"}",
	     400, "message_base64", NULL},
	    {"two messages", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\"],\"message\":\"\","
	     "\"message_base64\":\"\"}",
	     400, "one of them", NULL},
	    {"a declared campaign", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\",\"2@x.example\","
	     "\"3@x.example\"],\"message\":\"Subject: Hi\\nX-Mailfuse-Campaign: "
	     "may\\nX-Mailfuse-Audience: 2\\n\\n\"}",
	     200, "\"refused\":null,\"campaign\":\"may\",\"audience\":2", "X-Mailfuse-Campaign"},
	    {"its surplus is held", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\",\"2@x.example\","
	     "\"3@x.example\"],\"message\":\"Subject: Hi\\nX-Mailfuse-Campaign: "
	     "may\\nX-Mailfuse-Audience: 2\\n\\n\"}",
	     200,
	     "\"address\":\"3@x.example\",\"final\":\"3@x.example\",\"verdict\":\"hold\",\"rule\":"
	     "\"audience\"",
	     "\"wait\""},
	    {"a bad declaration is refused", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\"],\"message\":"
	     "\"Subject: "
	     "Hi\\nX-Mailfuse-Campaign: may\\nX-Mailfuse-Audience: many\\n\\n\"}",
	     200, "\"refused\":\"550 5.6.0 X-Mailfuse-Audience", "\"pass\""},
	    {"and nothing of it leaves", "POST", "/v1/explain",
	     "{\"client\":\"10.4.0.7\",\"from\":\"\",\"to\":[\"1@x.example\"],\"message\":"
	     "\"Subject: "
	     "Hi\\nX-Mailfuse-Audience: 3\\n\\n\"}",
	     200, "\"rules\":[],\"header\":\"\"", NULL},
	    {"unknown source", "POST", "/v1/explain",
	     "{\"client\":\"192.0.2.1\",\"from\":\"\",\"to\":[\"qa@example.com\"]}", 200,
	     "\"environment\":\"unknown\"", "\"pass\""},
	    {"captured", "POST", "/v1/explain",
	     "{\"client\":\"10.3.0.1\",\"from\":\"\",\"to\":[\"qa@example.com\"]}", 200,
	     "\"upstream\":\"none\"", "\"pass\""},
	    {"no client", "POST", "/v1/explain", "{\"to\":[\"qa@example.com\"]}", 400,
	     "no IP address", NULL},
	    {"client is a name", "POST", "/v1/explain",
	     "{\"client\":\"localhost\",\"to\":[\"qa@example.com\"]}", 400, "no IP address", NULL},
	    {"no recipient", "POST", "/v1/explain", "{\"client\":\"10.2.0.7\",\"to\":[]}", 400,
	     "to:", NULL},
	    {"recipient of another type", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"to\":[null]}", 400, "to:", NULL},
	    {"bad recipient", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"to\":[\"nobody\"]}", 400, "to: nobody", NULL},
	    {"bad sender", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"from\":\"a@\",\"to\":[\"qa@example.com\"]}", 400,
	     "from: a@", NULL},
	    {"header injection by an address", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"from\":\"a@b.example\\r\\nX: y\",\"to\":[\"qa@"
	     "example.com\"]}",
	     400, "control character", NULL},
	    {"no such listener", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"listener\":\"x\",\"to\":[\"qa@example.com\"]}", 400,
	     "no listener", NULL},
	    {"message of another type", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"to\":[\"qa@example.com\"],\"message\":1}", 400, "message",
	     NULL},
	    {"empty message", "POST", "/v1/explain",
	     "{\"client\":\"10.2.0.7\",\"to\":[\"qa@example.com\"],\"message\":\"\"}", 200, NULL,
	     NULL}};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	gate_stop();
}

/* ---- JSON */

static void
test_json_text(void **state)
{
	static const struct {
		const char *name, *bytes;
		size_t len;
		const char *wanted;
	} rows[] = {{"plain", "abc", 3, "\"abc\""},
		    {"empty", "", 0, "\"\""},
		    {"UTF-8", "gr\xc3\xbc\xc3\x9f", 6, "\"gr\xc3\xbc\xc3\x9f\""},
		    {"Latin-1", "gr\xfc", 3, "\"gr\xef\xbf\xbd\""},
		    {"cut in a character", "a\xe2\x82", 3, "\"a\xef\xbf\xbd\xef\xbf\xbd\""},
		    {"surrogate", "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		    {"too long a form", "\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
		    {"beyond Unicode", "\xf4\x90\x80\x80", 4,
		     "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
		    {"NUL", "a\0b", 3,
		     "\"a\xef\xbf\xbd"
		     "b\""},
		    {"escape", "\x1b[2J", 4, "\"\\u001B[2J\""},
		    {"four bytes", "\xf0\x9f\x92\xa3", 4, "\"\xf0\x9f\x92\xa3\""}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *value = json_text(rows[i].bytes, rows[i].len);
		char *text = json_dumps(value, JSON_ENCODE_ANY);

		if (strcmp(text, rows[i].wanted) != 0)
			fail_msg("%s: %s", rows[i].name, text);
		free(text);
		json_decref(value);
	}
	assert_int_equal(json_estimate_values("[1,2,\"a,b\\\",c\"]", 15), 4);
}

static void
test_json_tells_of_the_sender(void **state)
{
	static const struct {
		enum store_notice_state notice;
		const char *told, *wanted;
	} rows[] = {
	    {STORE_NOTICE_NONE, "", "\"sender_told\":\"no\",\"sender_notice\":\"\"}"},
	    {STORE_NOTICE_NONE, "held", "\"sender_told\":\"no\",\"sender_notice\":\"held\"}"},
	    {STORE_NOTICE_PENDING, "", "\"sender_told\":\"pending\",\"sender_notice\":\"\"}"},
	    {STORE_NOTICE_TOLD, "01J", "\"sender_told\":\"yes\",\"sender_notice\":\"01J\"}"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *o = json_from_delivery(
		    &(struct store_delivery){.notice = rows[i].notice, .told = rows[i].told});
		char *text = json_dumps(o, JSON_COMPACT);

		if (strstr(text, rows[i].wanted) == NULL)
			fail_msg("%s is not in %s", rows[i].wanted, text);
		free(text);
		json_decref(o);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_reads),
					   cmocka_unit_test(test_bad_reads),
					   cmocka_unit_test(test_bad_decisions),
					   cmocka_unit_test(test_decisions),
					   cmocka_unit_test(test_button),
					   cmocka_unit_test(test_mixed_batch),
					   cmocka_unit_test(test_explain),
					   cmocka_unit_test(test_json_text),
					   cmocka_unit_test(test_json_tells_of_the_sender)};

	signal(SIGPIPE, SIG_IGN);
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
