/*
 * Parts of a batch, released, discarded, restored and purged through the control socket and the
 * real store; and two people who decide at the same moment: linked with --wrap=writer_submit.
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
#include "tests/unit/control_rig.h"

#define POST(name, call, fields, wanted)                                                           \
	{                                                                                          \
		name, "POST", "/v1/" call, "{\"ids\":[\"B1\"],\"reason\":\"r\"" fields "}", 200,   \
		    wanted, NULL                                                                   \
	}
#define LEFT(held, discarded)                                                                      \
	{"so many are held", "GET", "/v1/batches/B1", NULL, 200, "\"held\":" held ",", NULL},      \
	{                                                                                          \
		"so many are discarded", "GET", "/v1/batches/B1", NULL, 200,                       \
		    "\"discarded\":" discarded ",", NULL                                           \
	}

static void
test_parts(void **state)
{
	static const struct row rows[] = {
	    POST("a dry run of a part", "discard", ",\"first\":3,\"dry_run\":true",
		 "\"recipients\":3,\"left\":5"),
	    LEFT("8", "0"),
	    POST("by number", "discard", ",\"first\":3", "\"recipients\":3,\"left\":5"),
	    LEFT("5", "3"),
	    POST("a part back", "restore", ",\"first\":1", "\"recipients\":1,\"left\":6"),
	    LEFT("6", "2"),
	    POST("by recipient", "discard", ",\"to\":\"@b.example.com\"", "\"left\":3"),
	    LEFT("3", "5"),
	    POST("back by recipient", "restore", ",\"to\":\"r2@b.example.com\"",
		 "\"decision\":\"restore\""),
	    POST("by subject", "discard", ",\"subject\":\"Order 2\"", "\"decision\":\"discard\""),
	    POST("what is left is released", "release", "", "\"left\":0,"),
	    {"only once", "POST", "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"r\"}", 409,
	     "B1 holds nothing; it was released by", NULL},
	    POST("half of the rest is back", "restore", ",\"percent\":50",
		 "\"decision\":\"restore\"")};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	gate_stop();
}

static void
test_bad_parts(void **state)
{
	static const struct row rows[] = {
	    {"first of a discard", "POST", "/v1/discard",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"first\":0}", 400, "first:", NULL},
	    {"percent of a restore", "POST", "/v1/restore",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"percent\":1e-400}", 400, NULL, NULL},
	    {"both of a purge", "POST", "/v1/purge",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"percent\":1,\"first\":1}", 400, "exclude", NULL},
	    {"a pattern of a purge", "POST", "/v1/purge",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"to\":\"/(/\"}", 400, "to:", NULL},
	    {"a purge without a reason", "POST", "/v1/purge", "{\"ids\":[\"B1\"]}", 400, "say why",
	     NULL},
	    {"a purge of what is held", "POST", "/v1/purge", "{\"ids\":[\"B1\"],\"reason\":\"r\"}",
	     409, NULL, NULL},
	    {"a purge of a delivery that is held", "POST", "/v1/purge",
	     "{\"ids\":[\"@M.1\"],\"reason\":\"r\"}", 409, "is held", NULL},
	    {"a purge of none", "POST", "/v1/purge", "{\"ids\":[\"B99\"],\"reason\":\"r\"}", 404,
	     "there is no batch B99", NULL},
	    {"nothing to restore", "POST", "/v1/restore",
	     "{\"ids\":[\"B1\"],\"reason\":\"r\",\"first\":1}", 409, "nothing to restore", NULL},
	    LEFT("8", "0")};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	gate_stop();
}

static void
test_purge(void **state)
{
	static const struct row rows[] = {
	    POST("discarded", "discard", ",\"first\":4", "\"recipients\":4"),
	    POST("dry run", "purge", ",\"first\":3,\"dry_run\":true",
		 "{\"decision\":\"purge\",\"messages\":1,\"recipients\":3,"),
	    LEFT("4", "4"),
	    POST("a part", "purge", ",\"first\":3", "\"recipients\":3"),
	    LEFT("4", "4"), /* it was discarded, though it is gone */
	    POST("what is not purged comes back", "restore", "", "\"recipients\":1,\"left\":5"),
	    {"but not the others", "POST", "/v1/restore", "{\"ids\":[\"B1\"],\"reason\":\"r\"}",
	     409, NULL, NULL},
	    {"nor by id", "POST", "/v1/restore", "{\"ids\":[\"@M.1\"],\"reason\":\"r\"}", 404,
	     "there is no delivery @M.1", NULL},
	    {"who did it", "GET", "/v1/log?last=100", NULL, 200, "\"action\":\"batch.purged\"",
	     NULL}};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	gate_stop();
}

/* ---- releases that go on */

static void
test_rings(void **state)
{
	static const struct row rows[] = {
	    {"nothing to pause", "POST", "/v1/pause", "{\"ids\":[\"B1\"],\"reason\":\"r\"}", 409,
	     "B1", NULL},
	    {"nothing to resume", "POST", "/v1/resume", "{\"ids\":[\"B1\"],\"reason\":\"r\"}", 409,
	     "B1", NULL},
	    {"nothing to approve", "POST", "/v1/approve", "{\"ids\":[\"B1\"]}", 409, "B1", NULL},
	    POST("a dry run", "release",
		 ",\"rings\":[1,3,\"all\"],\"wait\":\"1h\",\"dry_run\":true",
		 "\"recipients\":8,\"left\":7,\"batches\":[\"B1\"],\"dry_run\":true,\"state\":"
		 "\"running\",\"released\":1,\"rings\":[1,3,4],\"approvals_missing\":0,\"expires_"
		 "at\":null,\"asked\":[],\"plan\":null}"),
	    LEFT("8", "0"),
	    POST("rings", "release",
		 ",\"rings\":[1,3,\"all\"],\"wait\":\"1h\",\"stop_on\":2,\"rate\":\"100/1m\"",
		 "\"state\":\"running\",\"released\":1,\"rings\":[1,3,4],\"approvals_missing\":0,"
		 "\"expires_at\":null,\"asked\":[],\"plan\":{\"id\":1,\"state\":\"running\","
		 "\"rings\":[1,3,\"all\"],\"wait\":3600,\"stop_on\":2.0,\"rate\":\"100/1m\","),
	    {"it is releasing", "GET", "/v1/batches?state=releasing", NULL, 200,
	     "\"ring\":1,\"ring_size\":1,\"ring_released\":1,", NULL},
	    {"which can be paused", "GET", "/v1/batches/B1", NULL, 200,
	     "\"next\":[\"mailfuse pause B1 --reason TEXT\"", "mailfuse release"},
	    {"no other meanwhile", "POST", "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"again\"}",
	     409, "mailfuse pause B1", NULL},
	    POST("a pause", "pause", "",
		 "{\"decision\":\"pause\",\"batch\":\"B1\",\"state\":\"paused\",\"recipients\":"
		 "1,\"left\":8,\"approvals_missing\":0,\"dry_run\":false,\"plan\":{\"id\":1,"),
	    {"status tells", "GET", "/v1/status", NULL, 200, "B1's release is paused since", NULL},
	    {"as does the list", "GET", "/v1/batches?state=paused", NULL, 200,
	     "\"state\":\"paused\"", NULL},
	    {"once is enough", "POST", "/v1/pause", "{\"ids\":[\"B1\"],\"reason\":\"r\"}", 409,
	     "paused already", NULL},
	    POST("it would go on", "resume", ",\"dry_run\":true",
		 "\"state\":\"running\",\"recipients\":1,\"left\":7"),
	    POST("at another rate", "resume", ",\"rate\":\"9/1m\"", "\"rate\":\"9/1m\""),
	    {"going already", "POST", "/v1/resume", "{\"ids\":[\"B1\"],\"reason\":\"r\"}", 409,
	     "is not paused", NULL},
	    POST("stopped again", "pause", "", "\"state\":\"paused\""),
	    POST("another takes its place", "release", "",
		 "\"recipients\":8,\"left\":0,\"batches\":[\"B1\"],\"dry_run\":false,\"state\":"
		 "\"released\",\"released\":8,\"rings\":[8],"),
	    LEFT("0", "0")};

	(void)state;
	gate_start();
	CHECK_ROWS(rows);
	assert_int_equal(gate.paused_batch, 1);
	gate_stop();
}

static void
test_approval(void **state)
{
	static const struct row rows[] = {
	    POST("a dry run tells", "release", ",\"dry_run\":true",
		 "\"recipients\":8,\"left\":8,\"batches\":[\"B1\"],\"dry_run\":true,\"state\":"
		 "\"asked\",\"released\":0,\"rings\":[8],\"approvals_missing\":1,\"expires_at\":"
		 "\"20"),
	    POST("up to the limit it is alone", "release", ",\"first\":6,\"dry_run\":true",
		 "\"left\":2,\"batches\":[\"B1\"],\"dry_run\":true,\"state\":\"released\","),
	    POST("all of it is asked for", "release", ",\"rings\":[2,\"all\"]",
		 "\"recipients\":8,\"left\":8,\"batches\":[\"B1\"],\"dry_run\":false,\"state\":"
		 "\"asked\",\"released\":0,\"rings\":[2,6],\"approvals_missing\":1,"),
	    {"status tells", "GET", "/v1/status", NULL, 200,
	     "B1: a release of 8 recipients waits for a second person since", NULL},
	    {"and the batch", "GET", "/v1/batches/B1", NULL, 200,
	     "\"next\":[\"mailfuse approve B1\"", "mailfuse release"},
	    {"not by who asked", "POST", "/v1/approve", "{\"ids\":[\"B1\"]}", 409,
	     "another person has to approve it", NULL},
	    {"not of another plan", "POST", "/v1/approve", "{\"ids\":[\"B1\"],\"plan\":99}", 409,
	     "look at it again", NULL},
	    POST("discarded instead", "discard", "", "\"recipients\":8,\"left\":0"),
	    {"nothing waits any more", "POST", "/v1/approve", "{\"ids\":[\"B1\"]}", 409, "B1",
	     NULL}};

	(void)state;
	gate_start_with("approval { above = 6 }");
	CHECK_ROWS(rows);
	gate_stop();
}

/* One batch is small enough, the other is not. */
static void
test_asked_in_part(void **state)
{
	static const struct row row = {
	    "two batches",
	    "POST",
	    "/v1/release",
	    "{\"ids\":[\"B5\",\"B1\"],\"reason\":\"r\"}",
	    200,
	    "\"messages\":3,\"recipients\":11,\"left\":8,\"batches\":[\"B5\",\"B1\"],\"dry_run\":"
	    "false,\"state\":\"asked\",\"released\":3,\"rings\":[11],\"approvals_missing\":1,",
	    NULL};
	static const struct row asked = {"which one waits",
					 "GET",
					 "/v1/status",
					 NULL,
					 200,
					 "B1: a release of 8 recipients waits",
					 "B5: a release"};

	(void)state;
	gate_start_with("approval { above = 6 }");
	gate_add_held("production", 3);
	check_row(&row);
	check_row(&asked);
	gate_stop();
}

/* Nothing takes its mail any more. */
static void
test_drill_that_is_over(void **state)
{
	static const struct row row = {
	    "a drill's",   "POST",
	    "/v1/release", "{\"ids\":[\"B5\"],\"reason\":\"r\",\"dry_run\":true}",
	    409,           "it is mail of a drill that is over",
	    NULL};

	(void)state;
	gate_start_with("approval { above = 6 }");
	gate_add_held("drill", 20);
	check_row(&row);
	gate_stop();
}

/* ---- at the same moment */

static struct {
	pthread_mutex_t lock;
	bool waits;
	struct store_job *jobs[8];
	int count;
} desk = {.lock = PTHREAD_MUTEX_INITIALIZER};

void __real_writer_submit(struct store *s, struct store_job *job);
void __wrap_writer_submit(struct store *s, struct store_job *job);

void
__wrap_writer_submit(struct store *s, struct store_job *job)
{
	bool waits;

	pthread_mutex_lock(&desk.lock);
	waits = desk.waits;
	if (waits)
		desk.jobs[desk.count++] = job;
	pthread_mutex_unlock(&desk.lock);
	if (!waits)
		__real_writer_submit(s, job);
}

static void
wait_for_jobs(int wanted)
{
	int count = 0;

	for (int i = 0; count < wanted; i++) {
		if (i == 20000)
			fail_msg("%d of %d calls came", count, wanted);
		usleep(1000);
		pthread_mutex_lock(&desk.lock);
		count = desk.count;
		pthread_mutex_unlock(&desk.lock);
	}
}

static int
send_call(const char *path, const char *body)
{
	char text[500];
	int fd = client_connect();

	snprintf(text, sizeof(text),
		 "POST %s HTTP/1.1\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s", path,
		 strlen(body), body);
	client_send(fd, text, strlen(text));
	return fd;
}

static void
go_on(void)
{
	pthread_mutex_lock(&desk.lock);
	desk.waits = false;
	for (int k = 0; k < desk.count; k++)
		__real_writer_submit(gate.store, desk.jobs[k]);
	desk.count = 0;
	pthread_mutex_unlock(&desk.lock);
}

/* Both were read and checked before either was written: the second meets what the first left. */
static void
test_two_at_once(void **state)
{
	static const struct {
		const char *name, *first, *first_body, *second, *second_body;
		int status;
		const char *wanted, *held;
	} rows[] = {
	    {"two releases", "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"a\"}", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"b\"}", 409, "B1 holds nothing", "\"held\":0,"},
	    {"a release and a discard", "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"a\"}",
	     "/v1/discard", "{\"ids\":[\"B1\"],\"reason\":\"b\"}", 409, "B1 holds nothing",
	     "\"discarded\":0,"},
	    {"a discard and a release", "/v1/discard", "{\"ids\":[\"B1\"],\"reason\":\"a\"}",
	     "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"b\"}", 409, "restore",
	     "\"released\":0,"},
	    {"two parts", "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"a\",\"first\":3}",
	     "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"b\",\"first\":3}", 200,
	     "\"recipients\":3,\"left\":2", "\"held\":2,"},
	    {"rings, and all of it", "/v1/release",
	     "{\"ids\":[\"B1\"],\"reason\":\"a\",\"rings\":[1,\"all\"],\"wait\":\"1h\"}",
	     "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"b\"}", 409, "ring", "\"held\":7,"},
	    {"two pauses", "/v1/pause", "{\"ids\":[\"B1\"],\"reason\":\"a\"}", "/v1/pause",
	     "{\"ids\":[\"B1\"],\"reason\":\"b\"}", 409, "B1", "\"held\":8,"}};
	struct buf answer = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct row after = {rows[i].name, "GET",        "/v1/batches", NULL,
				    200,          rows[i].held, NULL};
		int first, second;

		gate_start();
		desk.waits = true;
		first = send_call(rows[i].first, rows[i].first_body);
		wait_for_jobs(1);
		second = send_call(rows[i].second, rows[i].second_body);
		wait_for_jobs(2);
		go_on();
		if (client_read(first, &answer) != 200 && strstr(rows[i].name, "pauses") == NULL)
			fail_msg("%s, the first: %s", rows[i].name, buf_text(&answer));
		if (client_read(second, &answer) != rows[i].status ||
		    strstr(buf_text(&answer), rows[i].wanted) == NULL)
			fail_msg("%s, the second: %s", rows[i].name, buf_text(&answer));
		check_row(&after);
		gate_stop();
	}
	buf_free(&answer);
}

/* What needs the writer, and is under way when its client, or control itself, goes away. */
static const struct {
	const char *path, *body;
} calls[] = {{"/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"r\",\"rings\":[1,\"all\"]}"},
	     {"/v1/approve", "{\"ids\":[\"B1\"]}"},
	     {"/v1/pause", "{\"ids\":[\"B1\"],\"reason\":\"r\"}"},
	     {"/v1/resume", "{\"ids\":[\"B1\"],\"reason\":\"r\"}"},
	     {"/v1/purge", "{\"ids\":[\"B1\"],\"reason\":\"r\"}"}};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

static void
test_clients_leave(void **state)
{
	static const struct row after = {
	    "what was asked was done", "GET", "/v1/batches/B1", NULL, 200,
	    "\"ring_released\":1,",    NULL};

	(void)state;
	gate_start();
	desk.waits = true;
	for (int i = 0; i < CALLS; i++) {
		close(send_call(calls[i].path, calls[i].body));
		wait_for_jobs(i + 1);
	}
	go_on();
	gate_wait_writer();
	check_row(&after);
	gate_stop();
}

/* They are done, and answered first. */
static void
test_stop_with_calls(void **state)
{
	struct buf answer = {0};
	int fd[CALLS];

	(void)state;
	gate_start();
	desk.waits = true;
	for (int i = 0; i < CALLS; i++) {
		fd[i] = send_call(calls[i].path, calls[i].body);
		wait_for_jobs(i + 1);
	}
	loop_stop(gate.loop);
	loop_join(gate.loop);
	go_on();
	gate_stop();
	for (int i = 0; i < CALLS; i++)
		assert_int_not_equal(client_read(fd[i], &answer), 0);
	buf_free(&answer);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts),
					   cmocka_unit_test(test_bad_parts),
					   cmocka_unit_test(test_purge),
					   cmocka_unit_test(test_rings),
					   cmocka_unit_test(test_approval),
					   cmocka_unit_test(test_asked_in_part),
					   cmocka_unit_test(test_drill_that_is_over),
					   cmocka_unit_test(test_two_at_once),
					   cmocka_unit_test(test_clients_leave),
					   cmocka_unit_test(test_stop_with_calls)};

	signal(SIGPIPE, SIG_IGN);
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
