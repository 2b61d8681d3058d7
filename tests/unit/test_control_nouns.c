/*
 * The nouns that pages are made of, through the control socket of a gate over the store's twin:
 * environments, rules, alerts, settings, search, HTML, `seen` and events.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "control/feed.h"
#include "mail/mime.h"
#include "tests/unit/control_rig.h"

static const char alert_keys[] =
    "alert \"x\" { type = slack url = \"https://hooks.example/rosebud\" }\n";

static void
test_reads(void **state)
{
	static const struct row rows[] = {
	    {"environments by name", "GET", "/v1/environments?limit=2", NULL, 200,
	     "\"next\":\"box\"", "\"production\",\"conf"},
	    {"environments, next page", "GET", "/v1/environments?after=box", NULL, 200,
	     "\"name\":\"production\"", "\"name\":\"box\""},
	    {"environments behind the last", "GET", "/v1/environments?after=zzz", NULL, 200,
	     "{\"items\":[],\"next\":null}", NULL},
	    {"an environment that observes", "GET", "/v1/environments/production", NULL, 200,
	     "\"policy\":\"observe\"", NULL},
	    {"an environment that captures", "GET", "/v1/environments/box", NULL, 200,
	     "\"upstream\":\"none\",\"captures\":true", NULL},
	    {"an environment with rules", "GET", "/v1/environments/staging", NULL, 200,
	     "\"rewrite_to\":\"qa+%u=%d@example.com\"", NULL},
	    {"its recipients by state", "GET", "/v1/environments/staging", NULL, 200, "\"held\":8",
	     NULL},
	    {"no such environment", "GET", "/v1/environments/no", NULL, 404,
	     "there is no environment no; GET /v1/environments lists them", NULL},
	    {"an unknown parameter", "GET", "/v1/environments?x=1", NULL, 400,
	     "unknown parameter x; limit, after", NULL},
	    {"rules have the same fields", "GET", "/v1/rules?environment=blasts", NULL, 200,
	     "\"header\":null,\"part\":null,\"match\":null", "\"above\""},
	    {"a rule that tripped", "GET", "/v1/rules?environment=staging", NULL, 200,
	     "\"tripped\":1,\"last_batch\":\"B1\"", NULL},
	    {"rules, a page", "GET", "/v1/rules?limit=1&environment=blasts", NULL, 200,
	     "\"next\":\"blasts/burst volume\"", NULL},
	    {"rules, the next", "GET", "/v1/rules?environment=blasts&after=blasts/burst%20volume",
	     NULL, 200, "\"name\":\"placeholder\"", "\"name\":\"volume\""},
	    {"rules of nobody", "GET", "/v1/rules?environment=no", NULL, 200,
	     "{\"items\":[],\"next\":null}", NULL},
	    {"channels", "GET", "/v1/alerts", NULL, 200,
	     "\"channels\":[{\"name\":\"x\",\"type\":\"slack\",\"events\":[\"*\"],\"health\":"
	     "\"untried\"",
	     "rosebud"},
	    {"alerts, a bad cursor", "GET", "/v1/alerts?after=7", NULL, 400,
	     "after=7: write what `next` was", NULL},
	    {"settings without secrets", "GET", "/v1/settings", NULL, 200,
	     "\"name\":\"url\",\"value\":\"(set)\"", "rosebud"},
	    {"settings, a page", "GET", "/v1/settings?limit=3&after=2", NULL, 200, "\"next\":5",
	     NULL},
	    {"settings, a bad cursor", "GET", "/v1/settings?after=-1", NULL, 400,
	     "write the number that `next` was", NULL},
	    {"the log by its other name", "GET", "/v1/audit?last=1", NULL, 200,
	     "\"head\":{\"id\":", NULL},
	    {"the log backwards", "GET", "/v1/audit?before=1&last=2", NULL, 200, "\"items\":[]",
	     NULL},
	    {"the log both ways", "GET", "/v1/audit?before=3&after=1", NULL, 400,
	     "after and before exclude each other: give one", NULL},
	    {"a search", "GET", "/v1/deliveries?batch=B1&q=R3@A", NULL, 200,
	     "\"recipient\":\"r3@a.example.com\"", "\"recipient\":\"r2@"},
	    {"a search that finds nothing", "GET", "/v1/deliveries?batch=B1&q=nobody", NULL, 200,
	     "{\"items\":[],\"next\":null}", NULL},
	    {"a search everywhere", "GET", "/v1/deliveries?q=r3", NULL, 400,
	     "q searches in one environment or one batch", NULL},
	    {"newest first", "GET", "/v1/deliveries?batch=B1&order=newest&limit=1", NULL, 200,
	     "\"next\":", NULL},
	    {"no such order", "GET", "/v1/deliveries?order=up", NULL, 400,
	     "order=up: write oldest or newest", NULL},
	    {"no HTML", "GET", "/v1/messages/@M/html", NULL, 404, "has no HTML", NULL},
	    {"HTML of no message", "GET", "/v1/messages/x/html", NULL, 404,
	     "x is no id of a message of this store", NULL},
	    {"events take nothing", "GET", "/v1/events?since=1", NULL, 400,
	     "unknown parameter since", NULL},
	};

	(void)state;
	gate_start_with(alert_keys);
	CHECK_ROWS(rows);
	gate_stop();
}

#define SEEN(text) "{\"ids\":[\"B1\"],\"reason\":\"r\",\"seen\":" text "}"

static void
test_seen(void **state)
{
	static const struct row rows[] = {
	    {"not an object", "POST", "/v1/release", SEEN("3"), 400, "write what you saw", NULL},
	    {"an unknown field", "POST", "/v1/release", SEEN("{\"helt\":1}"), 400,
	     "unknown field seen.helt; state, held, released, discarded, plan, ring", NULL},
	    {"a state that is none", "POST", "/v1/pause", SEEN("{\"state\":\"new\"}"), 400,
	     "seen.state: write held, releasing", NULL},
	    {"a number below zero", "POST", "/v1/discard", SEEN("{\"held\":-8}"), 400,
	     "seen.held: write the number", NULL},
	    {"held is never null", "POST", "/v1/discard", SEEN("{\"held\":null}"), 400,
	     "seen.held: write the number", NULL},
	    {"of two batches", "POST", "/v1/discard",
	     "{\"ids\":[\"B1\",\"B2\"],\"reason\":\"r\",\"seen\":{}}", 400,
	     "seen is about one batch", NULL},
	    {"less was seen", "POST", "/v1/release", SEEN("{\"held\":1}"), 409,
	     "\"changed\":{\"held\":[1,8]}", NULL},
	    {"in words", "POST", "/v1/release", SEEN("{\"held\":1234567}"), 409,
	     "held was 1,234,567, is 8 now; the batch is still filling: look again", NULL},
	    {"a plan that is not there", "POST", "/v1/discard", SEEN("{\"plan\":4,\"ring\":2}"),
	     409, "plan was 4, is none now, ring was 2, is 0 now", NULL},
	    {"each that differs", "POST", "/v1/discard",
	     SEEN("{\"state\":\"paused\",\"held\":9,\"plan\":null}"), 409,
	     "\"changed\":{\"state\":[\"paused\",\"held\"],\"held\":[9,8]}", NULL},
	    {"more is held than was seen", "POST", "/v1/discard", SEEN("{\"held\":3}"), 200,
	     "\"recipients\":8", NULL},
	    {"what is so", "POST", "/v1/restore",
	     SEEN(
		 "{\"state\":\"discarded\",\"held\":0,\"discarded\":8,\"released\":0,\"plan\":null,"
		 "\"ring\":0}"),
	     200, "\"recipients\":8", NULL},
	};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	gate_stop();
}

/* ---- events */

static void
read_until(int fd, struct buf *got, const char *wanted)
{
	char bytes[4096];
	ssize_t n;

	while (strstr(buf_text(got), wanted) == NULL) {
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			fail_msg("ended without %s: %s", wanted, buf_text(got));
		buf_add(got, bytes, (size_t)n);
	}
}

static void
test_events(void **state)
{
	static const char call[] = "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n";
	static const char discard[] = "{\"ids\":[\"B1\"],\"reason\":\"r\"}";
	struct buf got = {0}, answer = {0};
	int fd;

	(void)state;
	gate_start();
	fd = client_connect();
	client_send(fd, call, sizeof(call) - 1);
	read_until(fd, &got, "event: status\ndata: {\"held\":{\"batches\":4,\"recipients\":11}");
	assert_non_null(strstr(buf_text(&got), "text/event-stream"));
	assert_null(strstr(buf_text(&got), "event: batch"));
	assert_int_equal(client_call("POST", "/v1/discard", discard, sizeof(discard) - 1, &answer),
			 200);
	read_until(fd, &got, "\"state\":\"discarded\"");
	read_until(fd, &got, "{\"batches\":3,\"recipients\":3}");
	read_until(fd, &got, "\"event\":\"batch.discarded\"");
	gate_add_held("staging", 2);
	read_until(fd, &got, "\"held\":2");
	close(fd);
	gate_stop();
	buf_free(&got);
	buf_free(&answer);
}

/* They end with the gate; nothing is left behind. */
static void
test_stop_with_listeners(void **state)
{
	static const char call[] = "GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n";
	struct buf got[3] = {{0}};
	int fd[3];

	(void)state;
	gate_start();
	for (int i = 0; i < 3; i++) {
		fd[i] = client_connect();
		client_send(fd[i], call, sizeof(call) - 1);
		read_until(fd[i], &got[i], "event: status");
	}
	close(fd[1]);
	gate_stop();
	read_until(fd[0], &got[0], "\r\n0\r\n"); /* the last chunk: a whole answer */
	for (int i = 0; i < 3; i++) {
		if (i != 1)
			close(fd[i]);
		buf_free(&got[i]);
	}
}

/* The newest thousand that hold something are watched; more are neither told nor remembered. */
static void
test_feed_is_bounded(void **state)
{
	struct control_deps deps;
	struct feed *feed;
	struct buf told = {0};

	(void)state;
	gate_start();
	loop_stop(gate.loop);
	loop_join(gate.loop);
	deps = gate_deps();
	gate_add_held("first", 1);
	feed = feed_new(&deps);
	feed_begin(feed);
	gate_add_held("first", 1);
	feed_look(feed, &told);
	assert_non_null(strstr(buf_text(&told), "\"environment\":\"first\""));
	for (int i = 0; i < 1000; i++) {
		char name[24];

		snprintf(name, sizeof(name), "env%d", i);
		gate_add_held(name, 1);
	}
	buf_clear(&told);
	feed_look(feed, &told);
	assert_non_null(strstr(buf_text(&told), "event: reload"));
	gate_add_held("first", 1);
	gate_add_held("env999", 1);
	buf_clear(&told);
	feed_look(feed, &told);
	assert_non_null(strstr(buf_text(&told), "\"environment\":\"env999\""));
	assert_null(strstr(buf_text(&told), "\"environment\":\"first\""));
	buf_free(&told);
	feed_free(feed);
	gate_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reads), cmocka_unit_test(test_seen),
	    cmocka_unit_test(test_events), cmocka_unit_test(test_stop_with_listeners),
	    cmocka_unit_test(test_feed_is_bounded)};

	signal(SIGPIPE, SIG_IGN);
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
