/*
 * The channels as they are: webhook and Slack against a small HTTP server on loopback, exec with
 * real programs. Each try ends once, says why, and takes no longer than its timeout.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "alert/channel.h"
#include "alert/http.h"
#include "base/clock.h"
#include "base/mem.h"

#define TEXT(s) ((char[]){s})

/* ---- the loop, and what a try came to */

struct rig {
	struct loop *loop;
	struct channel_services services;
	struct loop_timer *pulse; /* so that rig_wait() looks at its clock */
	unsigned ended;
	bool ok;
	int64_t leave;
	char why[300];
};

static void
rig_pulse(void *context)
{
	struct rig *r = context;

	loop_timer_set(r->pulse, CLOCK_SECOND / 100);
}

static void
rig_ended(void *context, const struct channel_end *end)
{
	struct rig *r = context;

	r->ended++;
	r->ok = end->ok;
	r->leave = end->leave;
	snprintf(r->why, sizeof(r->why), "%s", end->why);
}

static struct rig *
rig_new(void)
{
	struct rig *r = mem_zalloc(sizeof(*r));

	r->loop = loop_new("test");
	r->services.loop = r->loop;
	r->services.http = http_new(r->loop);
	r->pulse = loop_timer_new(r->loop, rig_pulse, r);
	rig_pulse(r);
	return r;
}

static void
rig_free(struct rig *r)
{
	http_free(r->services.http);
	loop_timer_free(r->pulse);
	loop_free(r->loop);
	free(r);
}

/* Until the try ended, or for so long. */
static void
rig_wait(struct rig *r, int64_t time)
{
	int64_t end = clock_mono() + time;

	while (r->ended == 0 && clock_mono() < end)
		event_base_loop(loop_base(r->loop), EVLOOP_ONCE);
}

static void *
rig_start(struct rig *r, const struct channel_type *type, const struct config_alert *to,
	  const char *json, struct buf *why)
{
	struct store_alert alert = {.event = TEXT("batch.opened"),
				    .environment = TEXT("staging"),
				    .text = TEXT("a $(touch x); `id` \"text\""),
				    .who = TEXT("gate"),
				    .reason = TEXT(""),
				    .channel = TEXT("c"),
				    .batch = 17};
	const struct channel_note note = {.alert = &alert,
					  .gate = "gate.example",
					  .console = "",
					  .json = json,
					  .json_len = strlen(json)};

	return type->start(&r->services, to, &note, rig_ended, r, why);
}

/* ---- a server that answers one request as told */

struct server {
	int fd;
	uint16_t port;
	const char *answer; /* NULL = none at all */
	size_t padding;     /* bytes of body behind the answer */
	pthread_t thread;
	char request[20000];
	size_t len;
};

/* True once header and body are there. */
static bool
server_has_all(const struct server *s)
{
	const char *body = strstr(s->request, "\r\n\r\n");
	const char *length = strstr(s->request, "Content-Length: ");

	return body != NULL && length != NULL &&
	       s->len >= (size_t)(body + 4 - s->request) + strtoul(length + 16, NULL, 10);
}

static void *
server_run(void *context)
{
	struct server *s = context;
	char block[1000];
	int fd = accept(s->fd, NULL, NULL);
	ssize_t n = 1;

	memset(block, 'x', sizeof(block));
	while (fd >= 0 && n > 0 && !server_has_all(s) && s->len < sizeof(s->request) - 1) {
		n = read(fd, s->request + s->len, sizeof(s->request) - 1 - s->len);
		s->len += n > 0 ? (size_t)n : 0;
	}
	if (s->answer != NULL) {
		n = write(fd, s->answer, strlen(s->answer));
		for (size_t i = 0; i < s->padding && n > 0; i += sizeof(block))
			n = send(fd, block, sizeof(block), MSG_NOSIGNAL);
		shutdown(fd, SHUT_WR);
	}
	while (fd >= 0 && read(fd, block, sizeof(block)) > 0)
		; /* until the client closes */
	close(fd);
	return NULL;
}

static void
server_start(struct server *s, const char *answer, size_t padding)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	memset(s, 0, sizeof(*s));
	s->answer = answer;
	s->padding = padding;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(s->fd >= 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
	s->port = ntohs(at.sin_port);
	assert_int_equal(listen(s->fd, 5), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, server_run, s), 0);
}

static void
server_stop(struct server *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
}

struct http_row {
	const char *name, *answer;
	size_t padding;
	bool ok;
	const char *why;
	int64_t leave; /* seconds */
};

static void
test_webhook(void **state)
{
	static const struct http_row rows[] = {
	    {"200", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0, true, "HTTP status 200",
	     0},
	    {"204", "HTTP/1.1 204 No Content\r\n\r\n", 0, true, "HTTP status 204", 0},
	    {"200 and much talk", "HTTP/1.0 200 OK\r\n\r\n", 5000000, true, "HTTP status 200", 0},
	    {"500", "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", 0, false, "HTTP status 500",
	     0},
	    {"500 and much talk", "HTTP/1.0 500 Oops\r\n\r\n", 5000000, false, "HTTP status 500",
	     0},
	    {"404", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 0, false, "HTTP status 404", 0},
	    {"a redirect is not followed",
	     "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 0,
	     false, "HTTP status 302", 0},
	    {"429", "HTTP/1.1 429 Slow\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n", 0, false,
	     "HTTP status 429", 30},
	    {"503 and for ever",
	     "HTTP/1.1 503 No\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n", 0, false,
	     "HTTP status 503", 900},
	    {"a date that is over",
	     "HTTP/1.1 503 No\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n"
	     "Content-Length: 0\r\n\r\n",
	     0, false, "HTTP status 503", 0},
	    {"no wait after success",
	     "HTTP/1.1 200 OK\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n", 0, true,
	     "HTTP status 200", 0},
	    {"no HTTP", "220 smtp ready\r\n", 0, false, "", 0},
	    {"closed at once", "", 0, false, "Server returned nothing", 0},
	    {"no answer", NULL, 0, false, "Timeout was reached", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *r = rig_new();
		struct config_alert to = {.name = TEXT("c"), .timeout = CLOCK_SECOND};
		static struct server s;
		struct buf why = {0};

		server_start(&s, rows[i].answer, rows[i].padding);
		to.url = mem_printf("http://127.0.0.1:%u/hook/secret", s.port);
		assert_non_null(rig_start(r, &channel_webhook, &to, "{\"x\":1}", &why));
		assert_int_equal(r->ended, 0);
		rig_wait(r, 5 * CLOCK_SECOND);
		if (r->ended != 1 || r->ok != rows[i].ok || strstr(r->why, rows[i].why) == NULL)
			fail_msg("%s: ended %u, ok %d, %s", rows[i].name, r->ended, r->ok, r->why);
		assert_int_equal(r->leave, rows[i].leave * CLOCK_SECOND);
		assert_null(strstr(r->why, "secret"));
		rig_free(r);
		server_stop(&s);
		assert_memory_equal(s.request, "POST /hook/secret HTTP/1.1\r\n", 28);
		assert_non_null(strstr(s.request, "\r\nContent-Type: application/json\r\n"));
		assert_non_null(strstr(s.request, "\r\n\r\n{\"x\":1}"));
		free(to.url);
		buf_free(&why);
	}
}

/* A secret signs the time, a dot and the body (the right value: tests/integration/). */
static void
test_signature(void **state)
{
	struct rig *r = rig_new();
	struct config_alert to = {.name = TEXT("c"), .timeout = CLOCK_SECOND};
	static struct server s;
	struct buf why = {0};
	const char *at, *value;

	(void)state;
	server_start(&s, "HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", 0);
	to.url = mem_printf("http://127.0.0.1:%u/s", s.port);
	to.secret = TEXT("0123456789abcdef");
	assert_non_null(rig_start(r, &channel_webhook, &to, "{}", &why));
	rig_wait(r, 5 * CLOCK_SECOND);
	assert_true(r->ok);
	rig_free(r);
	server_stop(&s);
	at = strstr(s.request, "\r\nX-Mailfuse-Timestamp: ");
	value = strstr(s.request, "\r\nX-Mailfuse-Signature: v1=");
	assert_non_null(at);
	assert_non_null(value);
	assert_true(llabs(strtoll(at + 24, NULL, 10) - (long long)(clock_wall() / CLOCK_SECOND)) <
		    100);
	assert_int_equal(strspn(value + 27, "0123456789abcdef"), 64);
	assert_null(strstr(s.request, to.secret));
	free(to.url);
	buf_free(&why);
}

static void
test_chat_channels(void **state)
{
	static const struct {
		const struct channel_type *type;
		const char *body;
	} rows[] = {
	    {&channel_slack, "\r\n\r\n{\"text\":\"a $(touch x); `id` \\\"text\\\"\\n"},
	    {&channel_teams, "\r\n\r\n{\"type\":\"message\",\"attachments\":[{"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *r = rig_new();
		struct config_alert to = {.name = TEXT("c"), .timeout = CLOCK_SECOND};
		static struct server s;
		struct buf why = {0};

		server_start(&s, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 0);
		to.url = mem_printf("http://127.0.0.1:%u/s", s.port);
		assert_non_null(rig_start(r, rows[i].type, &to, "{\"not\":\"this\"}", &why));
		rig_wait(r, 5 * CLOCK_SECOND);
		assert_true(r->ok);
		rig_free(r);
		server_stop(&s);
		assert_non_null(strstr(s.request, rows[i].body));
		free(to.url);
		buf_free(&why);
	}
}

struct url_row {
	const char *name, *url;
	const char *why; /* begins so */
};

static void
test_no_server(void **state)
{
	static const struct url_row rows[] = {
	    {"refused", "http://127.0.0.1:1/secret", "Couldn't connect to server"},
	    {"no TLS there", "https://127.0.0.1:1/secret", "Couldn't connect to server"},
	    {"another protocol", "file:///etc/secret", "Unsupported protocol"},
	    {"no URL", "http://[secret", "URL using bad/illegal format"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *r = rig_new();
		struct config_alert to = {.name = TEXT("c"), .timeout = CLOCK_SECOND};
		struct buf why = {0};

		to.url = mem_strdup(rows[i].url);
		if (rig_start(r, &channel_webhook, &to, "{}", &why) != NULL)
			rig_wait(r, 5 * CLOCK_SECOND);
		if (r->ended != 1 || r->ok ||
		    strncmp(r->why, rows[i].why, strlen(rows[i].why)) != 0)
			fail_msg("%s: ended %u, ok %d, %s", rows[i].name, r->ended, r->ok, r->why);
		assert_null(strstr(r->why, "secret"));
		free(to.url);
		buf_free(&why);
		rig_free(r);
	}
}

static void
test_http_cancel(void **state)
{
	struct rig *r = rig_new();
	struct config_alert to = {.name = TEXT("c"), .timeout = 9 * CLOCK_SECOND};
	static struct server s;
	struct buf why = {0};
	void *attempt;

	(void)state;
	server_start(&s, NULL, 0);
	to.url = mem_printf("http://127.0.0.1:%u/s", s.port);
	attempt = rig_start(r, &channel_webhook, &to, "{}", &why);
	assert_non_null(attempt);
	rig_wait(r, CLOCK_SECOND / 5);
	channel_webhook.cancel(attempt);
	rig_wait(r, CLOCK_SECOND / 5);
	assert_int_equal(r->ended, 0);
	rig_free(r);
	server_stop(&s);
	free(to.url);
	buf_free(&why);
}

/* ---- exec */

struct exec_row {
	const char *name, *script;
	bool ok;
	const char *why;
};

static void
test_exec(void **state)
{
	static const struct exec_row rows[] = {
	    {"exit 0", "exit 0", true, "exit code 0"},
	    {"exit 3", "exit 3", false, "the program ended with exit code 3"},
	    {"a signal", "kill -TERM $$", false, "the program was ended by signal 15"},
	    {"does not read", "exec <&-; exit 0", true, "exit code 0"},
	    {"reads all", "test \"$(wc -c)\" -eq 300002", true, "exit code 0"},
	    {"hangs, and so does its child", "sleep 30 & sleep 30", false,
	     "the program took too long and was killed"},
	    {"its own group",
	     "read -r pid name state parent group rest < /proc/$$/stat && test \"$group\" = $$",
	     true, "exit code 0"},
	    {"nothing else is open",
	     "for n in 3 4 5 6 7 8 9; do test ! -e /proc/self/fd/$n || exit $n; done", true,
	     "exit code 0"},
	    {"environment",
	     "test \"$MAILFUSE_EVENT $MAILFUSE_BATCH $MAILFUSE_ENVIRONMENT\" = 'batch.opened B17 "
	     "staging' "
	     "&& test \"$MAILFUSE_TEXT\" = 'a $(touch x); `id` \"text\"' && test -z "
	     "\"$LEAKED_SECRET\"",
	     true, "exit code 0"},
	    {"arguments stand as they are", "test \"$1\" = '$(touch x) *'", true, "exit code 0"},
	    {"signals are the default ones", "kill -PIPE $$", false, "ended by signal 13"},
	};
	char *json = mem_alloc(300003);

	(void)state;
	memset(json, 'j', 300002);
	json[300002] = '\0';
	setenv("LEAKED_SECRET", "x", 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *r = rig_new();
		char *command[] = {
		    TEXT("/bin/sh"), TEXT("-c"),           mem_strdup(rows[i].script),
		    TEXT("sh"),      TEXT("$(touch x) *"), NULL};
		struct config_alert to = {
		    .name = TEXT("c"), .timeout = CLOCK_SECOND, .command = command};
		struct buf why = {0};

		if (rig_start(r, &channel_exec, &to, json, &why) == NULL)
			fail_msg("%s: %s", rows[i].name, buf_text(&why));
		assert_int_equal(r->ended, 0);
		rig_wait(r, 5 * CLOCK_SECOND);
		if (r->ended != 1 || r->ok != rows[i].ok || strstr(r->why, rows[i].why) == NULL)
			fail_msg("%s: ended %u, ok %d, %s", rows[i].name, r->ended, r->ok, r->why);
		/* Nothing is left to reap. */
		assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
		assert_int_equal(errno, ECHILD);
		free(command[2]);
		buf_free(&why);
		rig_free(r);
	}
	free(json);
}

static void
test_exec_cannot_start(void **state)
{
	static const struct url_row rows[] = {
	    {"missing", "/nowhere/program",
	     "cannot run /nowhere/program: No such file or directory"},
	    {"no program", "/etc/passwd", "cannot run /etc/passwd: Permission denied"},
	    {"a folder", "/etc", "cannot run /etc: Permission denied"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rig *r = rig_new();
		char *command[] = {mem_strdup(rows[i].url), NULL};
		struct config_alert to = {
		    .name = TEXT("c"), .timeout = CLOCK_SECOND, .command = command};
		struct buf why = {0};

		assert_null(rig_start(r, &channel_exec, &to, "{}", &why));
		assert_string_equal(buf_text(&why), rows[i].why);
		assert_int_equal(r->ended, 0);
		free(command[0]);
		buf_free(&why);
		rig_free(r);
	}
}

static void
test_exec_cancel(void **state)
{
	struct rig *r = rig_new();
	char *command[] = {TEXT("/bin/sleep"), TEXT("30"), NULL};
	struct config_alert to = {
	    .name = TEXT("c"), .timeout = 9 * CLOCK_SECOND, .command = command};
	struct buf why = {0};
	void *attempt = rig_start(r, &channel_exec, &to, "{}", &why);

	(void)state;
	assert_non_null(attempt);
	channel_exec.cancel(attempt);
	rig_wait(r, CLOCK_SECOND / 10);
	assert_int_equal(r->ended, 0);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	buf_free(&why);
	rig_free(r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_webhook),           cmocka_unit_test(test_chat_channels),
	    cmocka_unit_test(test_signature),         cmocka_unit_test(test_no_server),
	    cmocka_unit_test(test_http_cancel),       cmocka_unit_test(test_exec),
	    cmocka_unit_test(test_exec_cannot_start), cmocka_unit_test(test_exec_cancel),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
