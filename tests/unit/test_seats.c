/*
 * Connections of an HTTP server: how many, of whom, and for how long. The patience of these servers
 * is a few milliseconds or a day: a test waits for what has to happen, never to see that nothing
 * does.
 */
#include <arpa/inet.h>
#include <errno.h>
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
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "base/clock.h"
#include "base/mem.h"
#include "control/seats.h"
#include "net/loop.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct {
	struct loop *loop;
	struct evhttp *server;
	struct seats *seats;
	struct sockaddr_in address;
	struct evhttp_request *waiting; /* GET /wait */
} at;

/* / answers at once, /wait never, /large with more than sockets hold. */
static void
answer(struct evhttp_request *http, void *context)
{
	const char *path = evhttp_request_get_uri(http);
	struct evbuffer *body;
	char block[4096];

	(void)context;
	seats_answering(at.seats,
			evhttp_connection_get_bufferevent(evhttp_request_get_connection(http)));
	if (strcmp(path, "/wait") == 0) {
		at.waiting = http;
		return;
	}
	body = evbuffer_new();
	memset(block, 'x', sizeof(block));
	for (int i = 0; i < (strcmp(path, "/large") == 0 ? 4096 : 1); i++)
		evbuffer_add(body, block, sizeof(block));
	evhttp_send_reply(http, 200, "OK", body);
	evbuffer_free(body);
}

static void
serve(const struct seats_rules *rules)
{
	socklen_t len = sizeof(at.address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memset(&at, 0, sizeof(at));
	at.address = (struct sockaddr_in){.sin_family = AF_INET};
	at.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&at.address, sizeof(at.address)), 0);
	assert_int_equal(listen(fd, 128), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at.address, &len), 0);
	at.loop = loop_new("seats");
	at.server = evhttp_new(loop_base(at.loop));
	evhttp_set_timeout(at.server, 3600);
	evhttp_set_gencb(at.server, answer, NULL);
	assert_non_null(evhttp_accept_socket_with_handle(at.server, fd));
	at.seats = seats_new(loop_base(at.loop), at.server, rules, NULL, NULL);
	loop_start(at.loop);
}

static void
unserve(void)
{
	loop_stop(at.loop);
	loop_join(at.loop);
	seats_free(at.seats);
	evhttp_free(at.server);
	loop_free(at.loop);
}

/* 127.0.0.`who` */
static int
connect_as(int who)
{
	struct sockaddr_in own = {.sin_family = AF_INET};
	struct timeval patience = {30, 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + (uint32_t)who);
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&at.address, sizeof(at.address)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static void
say(int fd, const char *text)
{
	(void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* True if it is answered, false if it ends. */
static bool
is_answered(int fd)
{
	char data[65536];
	ssize_t n = recv(fd, data, sizeof(data), 0);

	assert_false(n < 0 && errno == EAGAIN);
	return n >= 12 && memcmp(data, "HTTP/1.1 200", 12) == 0;
}

static bool
ask(int fd)
{
	say(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	return is_answered(fd);
}

/* Waits until the other end is over. */
static void
wait_for_end(int fd)
{
	char data[65536];
	ssize_t n;

	while ((n = recv(fd, data, sizeof(data), 0)) > 0)
		;
	assert_false(n < 0 && errno == EAGAIN);
	close(fd);
}

#define DAY_LONG                                                                                   \
	{                                                                                          \
		CLOCK_DAY, 1                                                                       \
	}
#define SHORT                                                                                      \
	{                                                                                          \
		50000, 1 << 20                                                                     \
	}

static void
test_late(void **state)
{
	static const struct seats_rules rules = {
	    .most = 64, .unread_most = 1 << 20, .request = SHORT, .answer = DAY_LONG};
	static const char *const said[] = {
	    "", "G", "GET / HTTP/1.1\r\nHost: x\r\n",
	    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx",
	    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nxx"};
	int fd;

	(void)state;
	serve(&rules);
	for (size_t i = 0; i < COUNT(said); i++) {
		fd = connect_as(1);
		say(fd, said[i]);
		wait_for_end(fd);
	}
	/* The second request of a connection too, whose first was in time or not. */
	fd = connect_as(1);
	if (ask(fd))
		say(fd, "GET / HTTP");
	wait_for_end(fd);
	unserve();
}

/* What comes a byte at a time comes to no end either. */
static void
test_dribble(void **state)
{
	static const struct seats_rules rules = {
	    .most = 64, .unread_most = 1 << 20, .request = SHORT, .answer = DAY_LONG};
	char byte;
	int fd;

	(void)state;
	serve(&rules);
	fd = connect_as(1);
	say(fd, "GET / HTTP/1.1\r\nX: ");
	while (recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) {
		say(fd, "x");
		usleep(1000);
	}
	close(fd);
	unserve();
}

static void
test_answer_not_taken(void **state)
{
	static const struct seats_rules rules = {
	    .most = 64, .unread_most = 1 << 20, .request = DAY_LONG, .answer = SHORT};
	int fd, other;

	(void)state;
	serve(&rules);
	/* What is not answered yet is not late: it waits as long as it takes. */
	other = connect_as(1);
	say(other, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
	fd = connect_as(1);
	say(fd, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
	/* Nothing is taken until the server has given up: then 16 MB never come. */
	while (send(fd, "x", 1, MSG_NOSIGNAL) == 1)
		usleep(20000);
	close(fd);
	assert_int_equal(recv(other, &(char){0}, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	close(other);
	unserve();
}

/* Four seats: one address may have all, until another comes. */
static void
test_share(void **state)
{
	static const struct seats_rules rules = {
	    .most = 4, .unread_most = 1 << 20, .request = DAY_LONG, .answer = DAY_LONG};
	int first[4], fd;

	(void)state;
	serve(&rules);
	for (size_t i = 0; i < COUNT(first); i++) {
		first[i] = connect_as(1);
		assert_true(ask(first[i]));
	}
	wait_for_end(connect_as(1)); /* the fifth of the same */
	for (size_t i = 0; i < COUNT(first); i++)
		assert_true(ask(first[i]));
	fd = connect_as(2);
	assert_true(ask(fd));
	wait_for_end(first[0]); /* which was silent the longest */
	assert_true(ask(first[1]));
	for (size_t i = 1; i < COUNT(first); i++)
		close(first[i]);
	close(fd);
	unserve();
}

/* A call that is being answered is not ended for a newcomer. */
static void
test_share_answered(void **state)
{
	static const struct seats_rules rules = {
	    .most = 2, .unread_most = 1 << 20, .request = DAY_LONG, .answer = DAY_LONG};
	int waits, idle, fd;

	(void)state;
	serve(&rules);
	waits = connect_as(1);
	say(waits, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
	idle = connect_as(1);
	assert_true(ask(idle));
	/* By then the other's call has come, too: it was sent before. */
	assert_true(ask(idle));
	fd = connect_as(2);
	assert_true(ask(fd));
	wait_for_end(idle);
	assert_int_equal(recv(waits, &(char){0}, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
	close(waits);
	close(fd);
	unserve();
}

/* Who does not take an answer may go for a newcomer, too: else one address could have all seats. */
static void
test_share_untaken(void **state)
{
	static const struct seats_rules rules = {
	    .most = 2, .unread_most = 1 << 20, .request = DAY_LONG, .answer = DAY_LONG};
	int untaken[2], fd;
	char byte;

	(void)state;
	serve(&rules);
	for (size_t i = 0; i < COUNT(untaken); i++) {
		untaken[i] = connect_as(1);
		say(untaken[i], "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
		assert_int_equal(recv(untaken[i], &byte, 1, 0), 1);
	}
	fd = connect_as(2);
	assert_true(ask(fd));
	wait_for_end(untaken[0]); /* which began first */
	close(untaken[1]);
	close(fd);
	unserve();
}

/* All together may have sent 1 MB that nobody has read: who sent the most goes. */
static void
test_unread(void **state)
{
	static const struct seats_rules rules = {
	    .most = 64, .unread_most = 1 << 20, .request = DAY_LONG, .answer = DAY_LONG};
	static const char head[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n";
	static char data[256 << 10];
	int small, large;

	(void)state;
	serve(&rules);
	small = connect_as(1);
	say(small, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
	large = connect_as(1);
	say(large, head);
	memset(data, 'x', sizeof(data));
	while (send(large, data, sizeof(data), MSG_NOSIGNAL) > 0)
		;
	close(large);
	say(small, "67890");
	assert_true(is_answered(small));
	close(small);
	unserve();
}

/* The same of what comes behind a request whose answer is not taken. */
static void
test_unread_behind(void **state)
{
	static const struct seats_rules rules = {
	    .most = 64, .unread_most = 1 << 20, .request = DAY_LONG, .answer = DAY_LONG};
	static char data[256 << 10];
	size_t sent = 0;
	ssize_t n;
	int fd;

	(void)state;
	serve(&rules);
	fd = connect_as(1);
	say(fd, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
	memset(data, 'x', sizeof(data));
	/* Some of it is in the sockets. */
	while (sent < 64 << 20 && (n = send(fd, data, sizeof(data), MSG_NOSIGNAL)) > 0)
		sent += (size_t)n;
	assert_true(sent < 64 << 20);
	close(fd);
	fd = connect_as(1);
	assert_true(ask(fd));
	close(fd);
	unserve();
}

/* A stranger cannot fill the disk with lines: at most one a second of a kind, and none is lost. */
static void
test_log_lines_are_few(void **state)
{
	static const struct seats_rules rules = {
	    .most = 200, .unread_most = 1 << 20, .request = SHORT, .answer = DAY_LONG};
	enum { CLIENTS = 60 };
	int fds[CLIENTS], stderr_fd = dup(2);
	FILE *log = tmpfile();
	char line[1000], *left;
	size_t lines = 0, told = 0;
	int64_t began;

	(void)state;
	assert_non_null(log);
	fflush(stderr);
	dup2(fileno(log), 2);
	serve(&rules);
	began = clock_mono();
	for (size_t i = 0; i < CLIENTS; i++)
		fds[i] = connect_as(1);
	for (size_t i = 0; i < CLIENTS; i++)
		wait_for_end(fds[i]);
	unserve();
	began = clock_mono() - began;
	fflush(stderr);
	dup2(stderr_fd, 2);
	close(stderr_fd);
	rewind(log);
	while (fgets(line, sizeof(line), log) != NULL) {
		if (strstr(line, "http.slow") == NULL)
			continue;
		left = strstr(line, "left_out=");
		assert_non_null(left);
		lines++;
		told += 1 + strtoul(left + strlen("left_out="), NULL, 10);
	}
	fclose(log);
	assert_true(lines >= 1 && lines <= 1 + (size_t)(began / CLOCK_SECOND));
	assert_true(told <= CLIENTS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_late),
	    cmocka_unit_test(test_dribble),
	    cmocka_unit_test(test_answer_not_taken),
	    cmocka_unit_test(test_share),
	    cmocka_unit_test(test_share_answered),
	    cmocka_unit_test(test_share_untaken),
	    cmocka_unit_test(test_unread),
	    cmocka_unit_test(test_unread_behind),
	    cmocka_unit_test(test_log_lines_are_few),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
