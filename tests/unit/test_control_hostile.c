/*
 * The control socket against clients that mean harm, that go away, and against wrong paths.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "mail/mime.h"
#include "tests/unit/control_rig.h"

/* ---- clients that mean harm, or go away */

static void
check_alive(void)
{
	static const struct row row = {"alive", "GET", "/v1/batches?limit=1", NULL, 200,
				       "items", NULL};

	check_row(&row);
}

/* `count` times `unit`, between head and tail. */
static int
call_repeated(const char *path, const char *head, const char *unit, size_t count, const char *tail,
	      struct buf *answer)
{
	struct buf body = {0};
	int status;

	buf_add_text(&body, head);
	for (size_t i = 0; i < count; i++)
		buf_add_text(&body, unit);
	buf_add_text(&body, tail);
	status = client_call("POST", path, body.data, body.len, answer);
	buf_free(&body);
	return status;
}

static void
test_hostile_bodies(void **state)
{
	static const struct {
		const char *name, *path, *head, *unit;
		size_t count;
		const char *tail;
		int status;
		const char *wanted;
	} rows[] = {{"deep nesting", "/v1/release", "{\"ids\":", "[", 50000, "", 400, "JSON"},
		    {"too many values", "/v1/explain", "{\"to\":[0", ",0", 4000000, "]}", 400,
		     "more than 100000 values"},
		    {"33 MB", "/v1/explain", "{\"message\":\"", "0123456789abcdef", 33 << 16, "\"}",
		     413, "at most 32 MB"},
		    {"2 MB of ids", "/v1/release", "{\"reason\":\"", "0123456789abcdef", 2 << 16,
		     "\"}", 413, "at most 1 MB"},
		    {"too many ids", "/v1/release", "{\"reason\":\"r\",\"ids\":[\"B1\"", ",\"B1\"",
		     10000, "]}", 400, "ids: list"},
		    {"reason too long", "/v1/release", "{\"ids\":[\"B1\"],\"reason\":\"", "x", 501,
		     "\"}", 400, "at most 500"},
		    {"10 MB message", "/v1/explain",
		     "{\"client\":\"10.2.0.7\",\"to\":[\"qa@example.com\"],\"message\":\"Subject: "
		     "x\\n\\n",
		     "0123456789abcde\\n", 10 << 16, "\"}", 200, "staging"}};
	struct buf answer = {0};

	(void)state;
	gate_start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int status = call_repeated(rows[i].path, rows[i].head, rows[i].unit, rows[i].count,
					   rows[i].tail, &answer);

		if (status != rows[i].status || strstr(buf_text(&answer), rows[i].wanted) == NULL)
			fail_msg("%s: %d %.300s", rows[i].name, status, buf_text(&answer));
		check_alive();
	}
	buf_free(&answer);
	gate_stop();
}

/* What is refused by libevent itself: the status counts, not the text. */
static void
test_hostile_http(void **state)
{
	static const struct {
		const char *name, *bytes;
		bool may_hang_up;
	} rows[] = {
	    {"no HTTP", "EHLO client.example\r\n\r\n", true},
	    {"half a header", "GET /v1/status HTTP/1.1\r\nHost: a\r\n", true},
	    {"half a body", "POST /v1/release HTTP/1.1\r\nContent-Length: 100\r\n\r\n{", true},
	    {"negative length", "POST /v1/release HTTP/1.1\r\nContent-Length: -1\r\n\r\n", true},
	    {"huge length",
	     "POST /v1/release HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", true},
	    {"broken chunks",
	     "POST /v1/release HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", true},
	    {"two calls at once",
	     "GET /v1/queue HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/log HTTP/1.1\r\nHost: "
	     "a\r\nConnection: close\r\n\r\n",
	     false},
	    {"NUL bytes", "GET /v1/status\0 HTTP/1.1\r\n\r\n", true}};
	struct buf answer = {0};

	(void)state;
	gate_start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = client_connect(), status;

		client_send(fd, rows[i].bytes, strlen(rows[i].bytes));
		shutdown(fd, SHUT_WR);
		status = client_read(fd, &answer);
		if (rows[i].may_hang_up ? status != 0 && (status < 400 || status > 501)
					: status != 200)
			fail_msg("%s: %d", rows[i].name, status);
		check_alive();
	}
	buf_free(&answer);
	gate_stop();
}

/* ---- a store that fails, or takes its time: linked with --wrap=writer_submit */

static struct {
	pthread_mutex_t lock;
	enum store_result result; /* of writes, from the one on that `good` counts down to */
	int good;
	bool paused;
	struct store_job *waiting[16];
	int count;
} fault = {.lock = PTHREAD_MUTEX_INITIALIZER};

void __real_writer_submit(struct store *s, struct store_job *job);
void __wrap_writer_submit(struct store *s, struct store_job *job);

void
__wrap_writer_submit(struct store *s, struct store_job *job)
{
	bool fails, waits;

	pthread_mutex_lock(&fault.lock);
	fails = fault.result != STORE_OK && fault.good-- <= 0;
	waits = fault.paused;
	if (waits)
		fault.waiting[fault.count++] = job;
	pthread_mutex_unlock(&fault.lock);
	if (waits)
		return;
	if (!fails) {
		__real_writer_submit(s, job);
		return;
	}
	job->result = fault.result;
	snprintf(job->error, sizeof(job->error), "disk on fire");
	job->done(job);
}

static void
fault_set(enum store_result result, int good)
{
	pthread_mutex_lock(&fault.lock);
	fault.result = result;
	fault.good = good;
	pthread_mutex_unlock(&fault.lock);
}

static void
fault_pause(void)
{
	pthread_mutex_lock(&fault.lock);
	fault.paused = true;
	pthread_mutex_unlock(&fault.lock);
}

/* Until so many calls wait for the writer. */
static void
fault_wait(int wanted)
{
	int count = 0;

	for (int i = 0; count < wanted; i++) {
		if (i == 5000)
			fail_msg("%d of %d calls came", count, wanted);
		usleep(1000);
		pthread_mutex_lock(&fault.lock);
		count = fault.count;
		pthread_mutex_unlock(&fault.lock);
	}
}

static void
fault_go_on(void)
{
	pthread_mutex_lock(&fault.lock);
	for (int i = 0; i < fault.count; i++)
		__real_writer_submit(gate.store, fault.waiting[i]);
	fault.count = 0;
	fault.paused = false;
	pthread_mutex_unlock(&fault.lock);
}

static int
fault_reset(void **state)
{
	(void)state;
	pthread_mutex_lock(&fault.lock);
	fault.result = STORE_OK;
	fault.paused = false;
	fault.count = 0;
	pthread_mutex_unlock(&fault.lock);
	return 0;
}

static void
test_store_fails(void **state)
{
	static const struct {
		enum store_result result;
		int good;
		struct row row;
	} rows[] = {
	    {STORE_BUSY,
	     0,
	     {"busy", "POST", "/v1/discard", "{\"ids\":[\"B1\"],\"reason\":\"r\"}", 503,
	      "the store is busy; try again", NULL}},
	    {STORE_FULL,
	     0,
	     {"full", "POST", "/v1/discard", "{\"ids\":[\"B1\"],\"reason\":\"r\"}", 503,
	      "the store is full; make room", NULL}},
	    {STORE_BROKEN,
	     0,
	     {"broken", "POST", "/v1/discard", "{\"ids\":[\"B1\"],\"reason\":\"r\"}", 503,
	      "disk on fire", NULL}},
	    {STORE_REFUSED,
	     0,
	     {"refused", "POST", "/v1/restore", "{\"ids\":[\"B1\"],\"reason\":\"r\"}", 409,
	      "\"detail\":\"disk on fire\"", NULL}},
	    {STORE_MISSING,
	     0,
	     {"missing", "POST", "/v1/discard", "{\"ids\":[\"B1\"],\"reason\":\"r\"}", 404,
	      "\"detail\":\"disk on fire\"", NULL}},
	    {STORE_BROKEN,
	     1,
	     {"the second of two", "POST", "/v1/discard",
	      "{\"ids\":[\"B1\",\"B2\"],\"reason\":\"r\"}", 503,
	      "disk on fire (before that, the discard of 8 recipients was done", NULL}},
	    {STORE_BROKEN,
	     0,
	     {"a hold", "POST", "/v1/hold",
	      "{\"scope\":\"source\",\"name\":\"10.1.0.1\",\"reason\":\"r\"}", 503,
	      "the hold is in force now, but it could not be written down", NULL}},
	    {STORE_BROKEN,
	     0,
	     {"an unhold", "POST", "/v1/unhold",
	      "{\"scope\":\"source\",\"name\":\"10.1.0.1\",\"reason\":\"r\"}", 503,
	      "the hold is still in force", NULL}},
	    {STORE_OK,
	     0,
	     {"another hold", "POST", "/v1/hold",
	      "{\"scope\":\"source\",\"name\":\"10.1.0.2\",\"reason\":\"r\"}", 200, "true", NULL}}};
	static const struct row unhold = {
	    "unhold what was never written",
	    "POST",
	    "/v1/unhold",
	    "{\"scope\":\"source\",\"name\":\"10.1.0.1\",\"reason\":\"r\"}",
	    200,
	    "{\"changed\":true}",
	    NULL};

	(void)state;
	gate_start();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fault_set(rows[i].result, rows[i].good);
		check_row(&rows[i].row);
		fault_set(STORE_OK, 0);
	}
	assert_true(counters_is_held(gate.counters, "production", "10.1.0.1"));
	assert_true(counters_is_held(gate.counters, "production", "10.1.0.2"));
	check_row(&unhold);
	assert_false(counters_is_held(gate.counters, "production", "10.1.0.1"));
	assert_true(counters_is_held(gate.counters, "production", "10.1.0.2"));
	gate_stop();
}

/* The panic button works before the store has written it. */
static void
test_hold_is_at_once(void **state)
{
	static const char text[] = "POST /v1/hold HTTP/1.1\r\nConnection: close\r\n"
				   "Content-Length: 38\r\n\r\n"
				   "{\"scope\":\"everything\",\"reason\":\"stop\"}";
	struct buf answer = {0};
	int fd;

	(void)state;
	gate_start();
	fault_pause();
	fd = client_connect();
	client_send(fd, text, strlen(text));
	fault_wait(1);
	assert_true(counters_is_held(gate.counters, "production", "x"));
	fault_go_on();
	assert_int_equal(client_read(fd, &answer), 200);
	assert_true(counters_is_held(gate.counters, "production", "x"));
	buf_free(&answer);
	gate_stop();
}

/* Each asks for something that the writer has to do, and hangs up before it is done. */
static void
test_clients_leave(void **state)
{
	static const char *const calls[] = {
	    "POST /v1/discard HTTP/1.1\r\nContent-Length: 30\r\n\r\n"
	    "{\"ids\":[\"B1\"],\"reason\":\"gone\"}",
	    "POST /v1/hold HTTP/1.1\r\nContent-Length: 38\r\n\r\n"
	    "{\"scope\":\"everything\",\"reason\":\"gone\"}",
	    "POST /v1/unhold HTTP/1.1\r\nContent-Length: 38\r\n\r\n"
	    "{\"scope\":\"everything\",\"reason\":\"gone\"}"};
	const struct linger hard = {1, 0};

	(void)state;
	gate_start();
	fault_pause();
	for (int i = 0; i < 12; i++) {
		int fd = client_connect();

		client_send(fd, calls[i % 3], strlen(calls[i % 3]));
		if (i % 2 == 0)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		close(fd);
	}
	fault_wait(12);
	fault_go_on();
	check_alive();
	gate_stop();
}

/* How much has come that was not read, once it is more than `before`, or has not grown for long. */
static int
client_unread(int fd, int before)
{
	int n = before;

	for (int i = 0; i < 500 && n <= before; i++) {
		usleep(1000);
		assert_int_equal(ioctl(fd, FIONREAD, &n), 0);
	}
	return n;
}

/*
 * True if a call waits for the writer while its own "100 Continue" does not fit into the socket,
 * which is full of answers that nobody takes; `skip` answers more come first.
 */
static bool
call_behind_full_socket(int fd, int skip)
{
	static const char head[] = "POST /v1/discard HTTP/1.1\r\nExpect: 100-continue\r\n"
				   "Content-Length: 30\r\n\r\n";
	static const char body[] = "{\"ids\":[\"B1\"],\"reason\":\"gone\"}";
	static const char wrong[] = "{\"ids\":[\"B1\"],\"raisin\":\"gone\"}";
	int unread = 0, now;

	for (int i = 0; i < skip; i++) {
		client_send(fd, "GET /livez HTTP/1.1\r\n\r\n", 25);
		unread = client_unread(fd, unread);
	}
	for (;;) {
		client_send(fd, head, strlen(head));
		now = client_unread(fd, unread);
		if (now == unread) {
			client_send(fd, body, strlen(body));
			return true;
		}
		unread = now;
		client_send(fd, wrong, strlen(wrong));
		now = client_unread(fd, unread);
		if (now == unread)
			return false; /* it is the answer that does not fit */
		unread = now;
	}
}

/* The connection fails, and not only ends, while its call waits for the writer. */
static void
test_connection_fails_behind_call(void **state)
{
	bool found = false;

	(void)state;
	gate_start();
	fault_pause();
	for (int skip = 0; skip < 6 && !found; skip++) {
		int fd = client_connect();

		found = call_behind_full_socket(fd, skip);
		if (found)
			fault_wait(1);
		close(fd);
	}
	assert_true(found);
	check_alive();
	fault_go_on();
	check_alive();
	gate_stop();
}

/* Control is stopped while calls wait for the writer: they are done, and answered first. */
static void
test_stop_with_calls(void **state)
{
	static const char text[] = "POST /v1/discard HTTP/1.1\r\nConnection: close\r\n"
				   "Content-Length: 33\r\n\r\n"
				   "{\"ids\":[\"B1\"],\"reason\":\"stopped\"}";
	struct buf answer = {0};
	int fd[8];

	(void)state;
	gate_start();
	fault_pause();
	for (int i = 0; i < 8; i++) {
		fd[i] = client_connect();
		client_send(fd[i], text, strlen(text));
	}
	fault_wait(8);
	loop_stop(gate.loop);
	loop_join(gate.loop);
	fault_go_on();
	gate_stop();
	for (int i = 0; i < 8; i++)
		assert_int_not_equal(client_read(fd[i], &answer), 0);
	buf_free(&answer);
}

/* ---- the socket */

static void
test_socket(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct control_deps deps;
	struct control *other;
	struct buf error = {0};
	char path[200], long_path[300];
	struct stat st;
	int fd;

	(void)state;
	gate_start();
	deps = gate_deps();
	assert_int_equal(stat(gate.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);

	assert_null(control_new(&deps, gate.path, &error));
	assert_non_null(strstr(buf_text(&error), "another mailfused answers on"));
	buf_clear(&error);
	assert_null(control_new(&deps, "", &error));
	assert_non_null(strstr(buf_text(&error), "control is empty"));
	buf_clear(&error);
	memset(long_path, 'x', sizeof(long_path) - 1);
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	assert_null(control_new(&deps, long_path, &error));
	assert_non_null(strstr(buf_text(&error), "the path of a socket may have 107"));
	buf_clear(&error);
	snprintf(path, sizeof(path), "%s/no/control.sock", gate.directory);
	assert_null(control_new(&deps, path, &error));
	assert_non_null(strstr(buf_text(&error), "install -d -m 0750"));
	buf_clear(&error);
	assert_null(control_new(&deps, gate.config_path, &error));
	assert_non_null(strstr(buf_text(&error), "is not a socket"));
	assert_int_equal(stat(gate.config_path, &st), 0);
	buf_clear(&error);

	/* A stale one: bound, but nobody listens. */
	snprintf(path, sizeof(path), "%s/stale.sock", gate.directory);
	snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	loop_stop(gate.loop);
	loop_join(gate.loop);
	other = control_new(&deps, path, &error);
	assert_non_null(other);
	control_free(other);
	assert_int_equal(stat(path, &st), -1);
	buf_free(&error);
	gate_stop();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_hostile_bodies, fault_reset),
	    cmocka_unit_test_setup(test_hostile_http, fault_reset),
	    cmocka_unit_test_setup(test_store_fails, fault_reset),
	    cmocka_unit_test_setup(test_hold_is_at_once, fault_reset),
	    cmocka_unit_test_setup(test_clients_leave, fault_reset),
	    cmocka_unit_test_setup(test_connection_fails_behind_call, fault_reset),
	    cmocka_unit_test_setup(test_stop_with_calls, fault_reset),
	    cmocka_unit_test_setup(test_socket, fault_reset)};

	signal(SIGPIPE, SIG_IGN);
	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
