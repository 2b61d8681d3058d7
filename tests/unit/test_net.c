/*
 * net/: posts arrive once, in order, on the loop's thread; timers; connections over loopback:
 * input in pieces, pause and resume, output without a copy, timeouts, refusal, the last word.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <event2/dns.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/conn.h"
#include "net/listener.h"
#include "net/loop.h"

enum { POSTS = 1000, POSTERS = 4 };

struct counted_post {
	struct loop_post post;
	int poster, number;
};

static int next_number[POSTERS];
static int posts_run;
static struct loop *the_loop;

static void
count_post(struct loop_post *post)
{
	struct counted_post *p = (struct counted_post *)post;

	assert_int_equal(p->number, next_number[p->poster]++);
	posts_run++;
	loop_assert(the_loop);
	free(p);
}

static void *
poster(void *context)
{
	int i;

	for (i = 0; i < POSTS; i++) {
		struct counted_post *p = mem_zalloc(sizeof(*p));

		p->post.run = count_post;
		p->poster = (int)(intptr_t)context;
		p->number = i;
		loop_post(the_loop, &p->post);
	}
	return NULL;
}

static void
test_posts(void **state)
{
	pthread_t threads[POSTERS];
	intptr_t i;

	(void)state;
	posts_run = 0;
	memset(next_number, 0, sizeof(next_number));
	the_loop = loop_new("test");
	loop_start(the_loop);
	for (i = 0; i < POSTERS; i++)
		pthread_create(&threads[i], NULL, poster, (void *)i);
	for (i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	loop_stop(the_loop); /* what came before is run first */
	loop_join(the_loop);
	loop_drain(the_loop);
	assert_int_equal(posts_run, POSTS * POSTERS);
	loop_free(the_loop);
}

/* ---- a pair of connections on one loop ---- */

struct end {
	struct conn *conn;
	struct buf got;
	size_t take;     /* how many bytes one input() uses at most; 0 = all */
	size_t at_least; /* uses nothing until so many are there */
	int connected, drained, closed;
	enum conn_end how;
	bool finish_at_end;
	size_t stop_at; /* stops the loop when so many bytes have come */
};

static struct loop *loop;
static struct end server, client;
static int released;

static void
stop_when_done(void *context)
{
	(void)context;
	loop_stop(loop);
}

static size_t
end_input(void *context, const char *data, size_t len)
{
	struct end *e = context;

	if (len < e->at_least)
		return 0;
	if (e->take > 0 && len > e->take)
		len = e->take;
	buf_add(&e->got, data, len);
	if (e->stop_at > 0 && e->got.len >= e->stop_at)
		loop_stop(loop);
	return len;
}

static void
end_connected(void *context)
{
	((struct end *)context)->connected++;
}

static void
end_drained(void *context)
{
	((struct end *)context)->drained++;
}

static void
end_closed(void *context, enum conn_end how, const char *why)
{
	struct end *e = context;

	assert_non_null(why);
	e->closed++;
	e->how = how;
	if (e->finish_at_end) {
		conn_write(e->conn, "bye", 3);
		conn_finish(e->conn, CLOCK_SECOND);
	} else {
		conn_free(e->conn);
	}
	e->conn = NULL;
	if (e == &client)
		loop_stop(loop);
}

static const struct conn_owner end_owner = {
    .connected = end_connected, .input = end_input, .drained = end_drained, .closed = end_closed};

static void
serve(void *context, size_t loop_index, int fd, const char *name)
{
	(void)context;
	assert_int_equal(loop_index, 0);
	assert_string_equal(name, "127.0.0.1");
	server.conn = conn_accepted(loop, fd, &end_owner, &server);
}

static struct listener *
listen_here(uint16_t *port)
{
	struct buf error = {0};
	struct listener *l = listener_new("test", listener_open("test", "127.0.0.1", 0, &error),
					  &loop, 1, serve, NULL);

	assert_non_null(l);
	*port = (uint16_t)strtoul(strrchr(listener_address(l), ':') + 1, NULL, 10);
	listener_resume(l);
	buf_free(&error);
	return l;
}

static void
setup(void)
{
	memset(&server, 0, sizeof(server));
	memset(&client, 0, sizeof(client));
	loop = loop_new("test");
	released = 0;
}

static void
finish(struct listener *l)
{
	if (server.conn != NULL)
		conn_free(server.conn);
	if (client.conn != NULL)
		conn_free(client.conn);
	buf_free(&server.got);
	buf_free(&client.got);
	listener_free(l);
	loop_free(loop);
}

static void
run_for(int64_t us)
{
	struct loop_timer *t = loop_timer_new(loop, stop_when_done, NULL);

	loop_timer_set(t, us);
	loop_run(loop);
	loop_timer_free(t);
}

static void
release_bytes(void *arg)
{
	free(arg);
	released++;
}

static void
test_echo(void **state)
{
	struct listener *l;
	char *big = mem_alloc(200000);
	uint16_t port;

	(void)state;
	setup();
	l = listen_here(&port);
	memset(big, 'x', 200000);
	server.take = 7;
	client.conn = conn_connect(loop, "localhost", port, 5 * CLOCK_SECOND, &end_owner, &client);
	conn_write(client.conn, "hello ", 6);
	conn_write_ref(client.conn, big, 200000, release_bytes, big);
	client.finish_at_end = false;
	conn_finish(client.conn, 0); /* not open yet: ends at once, nothing is sent */
	client.conn = NULL;
	run_for(50000);
	assert_int_equal(released, 1);
	assert_int_equal(client.connected, 0);

	big = mem_alloc(200000);
	memset(big, 'x', 200000);
	client.conn = conn_connect(loop, "127.0.0.1", port, 5 * CLOCK_SECOND, &end_owner, &client);
	conn_write(client.conn, "hello ", 6);
	conn_write_ref(client.conn, big, 200000, release_bytes, big);
	server.stop_at = 200006;
	run_for(20 * CLOCK_SECOND);
	assert_int_equal(client.connected, 1);
	assert_true(client.drained >= 1);
	assert_int_equal(released, 2);
	assert_int_equal(server.got.len, 200006);
	assert_memory_equal(server.got.data, "hello xxx", 9);
	finish(l);
}

static void
test_pause(void **state)
{
	struct listener *l;
	uint16_t port;

	(void)state;
	setup();
	l = listen_here(&port);
	client.conn = conn_connect(loop, "127.0.0.1", port, 5 * CLOCK_SECOND, &end_owner, &client);
	conn_write(client.conn, "one", 3);
	run_for(100000);
	assert_string_equal(buf_text(&server.got), "one");
	conn_pause(server.conn);
	conn_write(client.conn, "two", 3);
	run_for(100000);
	assert_string_equal(buf_text(&server.got), "one");
	server.at_least = 5; /* and then not before enough is there */
	conn_resume(server.conn);
	run_for(100000);
	assert_string_equal(buf_text(&server.got), "one");
	conn_write(client.conn, "six", 3);
	run_for(100000);
	assert_string_equal(buf_text(&server.got), "onetwosix");
	finish(l);
}

static void
test_timeout_has_a_last_word(void **state)
{
	struct listener *l;
	uint16_t port;

	(void)state;
	setup();
	l = listen_here(&port);
	client.conn = conn_connect(loop, "127.0.0.1", port, 5 * CLOCK_SECOND, &end_owner, &client);
	run_for(50000);
	assert_non_null(server.conn);
	server.finish_at_end = true;
	conn_set_timeouts(server.conn, 20000, 0);
	run_for(5 * CLOCK_SECOND); /* the client's end stops the loop */
	assert_int_equal(server.closed, 1);
	assert_int_equal(server.how, CONN_TIMEOUT);
	assert_string_equal(buf_text(&client.got), "bye");
	assert_int_equal(client.closed, 1);
	assert_int_equal(client.how, CONN_EOF);
	finish(l);
}

static void
test_refused(void **state)
{
	struct listener *l;
	uint16_t port;

	(void)state;
	setup();
	l = listen_here(&port);
	listener_free(l);
	l = listen_here(&(uint16_t){0});
	client.conn = conn_connect(loop, "127.0.0.1", port, 5 * CLOCK_SECOND, &end_owner, &client);
	assert_int_equal(client.closed, 0); /* never within the call */
	run_for(5 * CLOCK_SECOND);
	assert_int_equal(client.closed, 1);
	assert_int_equal(client.connected, 0);
	assert_int_equal(client.how, CONN_ERROR);
	finish(l);
}

/* A name with two addresses, of which only the second answers. */
static void
test_each_address_is_tried(void **state)
{
	static const char hosts[] = "127.0.0.2 two.test\n127.0.0.1 two.test\n127.0.0.3 two.test\n";
	char path[] = "/tmp/mailfuse-test-XXXXXX";
	int fd = mkstemp(path);
	struct listener *l;
	uint16_t port;

	(void)state;
	assert_int_equal(write(fd, hosts, sizeof(hosts) - 1), sizeof(hosts) - 1);
	close(fd);
	setup();
	l = listen_here(&port);
	assert_int_equal(evdns_base_load_hosts(loop_dns(loop), path), 0);
	unlink(path);
	server.stop_at = 5;
	client.conn = conn_connect(loop, "two.test", port, 5 * CLOCK_SECOND, &end_owner, &client);
	conn_write(client.conn, "hello", 5);
	run_for(10 * CLOCK_SECOND);
	assert_int_equal(client.connected, 1);
	assert_int_equal(client.closed, 0);
	assert_string_equal(buf_text(&server.got), "hello");
	finish(l);
}

/* No network leads to an address, which the kernel says at once and libevent does not tell. */
static void
test_unreachable_address(void **state)
{
	static const char hosts[] = "255.255.255.255 one.test\n255.255.255.255 two.test\n"
				    "127.0.0.1 two.test\n255.255.255.255 two.test\n";
	char path[] = "/tmp/mailfuse-test-XXXXXX";
	int fd = mkstemp(path);
	struct listener *l;
	uint16_t port;

	(void)state;
	assert_int_equal(write(fd, hosts, sizeof(hosts) - 1), sizeof(hosts) - 1);
	close(fd);
	setup();
	l = listen_here(&port);
	assert_int_equal(evdns_base_load_hosts(loop_dns(loop), path), 0);
	unlink(path);
	client.conn = conn_connect(loop, "one.test", port, 60 * CLOCK_SECOND, &end_owner, &client);
	run_for(20 * CLOCK_SECOND); /* its end stops the loop */
	assert_int_equal(client.closed, 1);
	assert_int_equal(client.how, CONN_ERROR);
	assert_int_equal(client.connected, 0);

	client.closed = 0;
	server.stop_at = 5;
	client.conn = conn_connect(loop, "two.test", port, 60 * CLOCK_SECOND, &end_owner, &client);
	conn_write(client.conn, "hello", 5);
	run_for(20 * CLOCK_SECOND);
	assert_int_equal(client.connected, 1);
	assert_int_equal(client.closed, 0);
	assert_string_equal(buf_text(&server.got), "hello");
	finish(l);
}

/* A name that does not resolve ends as an error, and freeing it meanwhile is safe. */
static void
test_no_such_name(void **state)
{
	struct conn *gone;

	(void)state;
	setup();
	client.conn = conn_connect(loop, "not a name", 25, CLOCK_SECOND, &end_owner, &client);
	gone = conn_connect(loop, "also.invalid", 25, CLOCK_SECOND, &end_owner, &server);
	conn_free(gone);
	run_for(20 * CLOCK_SECOND);
	assert_int_equal(client.closed, 1);
	assert_int_equal(client.how, CONN_ERROR);
	assert_int_equal(server.closed, 0);
	gone = conn_connect(loop, "never.invalid", 25, CLOCK_SECOND, &end_owner, &server);
	conn_free(gone); /* the loop ends before the resolver does */
	buf_free(&client.got);
	loop_free(loop);
}

static void
test_no_such_address(void **state)
{
	struct buf error = {0};

	(void)state;
	setup();
	assert_int_equal(listener_open("apps", "192.0.2.1", 0, &error), -1);
	assert_non_null(strstr(buf_text(&error), "listener \"apps\" cannot listen on 192.0.2.1"));
	buf_clear(&error);
	assert_int_equal(listener_open("apps", "no name", 0, &error), -1);
	assert_non_null(strstr(buf_text(&error), "\"apps\""));
	buf_free(&error);
	loop_free(loop);
}

/*
 * Input and an empty output queue told in one turn: what the input's callback writes then is not
 * gone, whatever was gone before it.
 */
enum { LARGE = 8 << 20 };

struct talk {
	struct conn *conn;
	int peer; /* the other end's socket */
	bool finish;
	int inputs, early; /* drained() calls with bytes left */
	size_t got;
};

static struct talk talk;

static size_t
talk_input(void *context, const char *data, size_t len)
{
	char *large;

	(void)context;
	(void)data;
	if (talk.inputs++ == 0) {
		conn_write(talk.conn, "x", 1);
		assert_int_equal(send(talk.peer, "2", 1, 0), 1);
		return len;
	}
	large = mem_zalloc(LARGE);
	conn_write(talk.conn, large, LARGE);
	free(large);
	if (talk.finish) {
		conn_finish(talk.conn, 20 * CLOCK_SECOND);
		talk.conn = NULL;
	}
	return len;
}

static void
talk_drained(void *context)
{
	(void)context;
	talk.early += conn_pending(talk.conn) > 0;
	if (talk.inputs > 1 && conn_pending(talk.conn) == 0) {
		/* All is the kernel's now, which still delivers it. */
		conn_free(talk.conn);
		talk.conn = NULL;
	}
}

static void
talk_closed(void *context, enum conn_end how, const char *why)
{
	(void)context;
	(void)how;
	(void)why;
	conn_free(talk.conn);
	talk.conn = NULL;
}

static const struct conn_owner talk_owner = {
    .input = talk_input, .drained = talk_drained, .closed = talk_closed};

static void
talk_serve(void *context, size_t loop_index, int fd, const char *name)
{
	(void)context;
	(void)loop_index;
	(void)name;
	talk.conn = conn_accepted(loop, fd, &talk_owner, NULL);
}

static void *
talk_read(void *context)
{
	static char bytes[65536];
	ssize_t n;

	(void)context;
	while ((n = recv(talk.peer, bytes, sizeof(bytes), 0)) > 0)
		talk.got += (size_t)n;
	loop_stop(loop);
	return NULL;
}

static void
check_written_last(bool end)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct buf error = {0};
	struct listener *l;
	pthread_t reader;

	loop = loop_new("test");
	talk = (struct talk){.finish = end};
	l = listener_new("test", listener_open("test", "127.0.0.1", 0, &error), &loop, 1,
			 talk_serve, NULL);
	assert_non_null(l);
	listener_resume(l);
	to.sin_port = htons((uint16_t)strtoul(strrchr(listener_address(l), ':') + 1, NULL, 10));
	talk.peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(talk.peer, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(talk.peer, "1", 1, 0), 1);
	assert_int_equal(pthread_create(&reader, NULL, talk_read, NULL), 0);
	run_for(20 * CLOCK_SECOND);
	assert_int_equal(pthread_join(reader, NULL), 0);
	assert_int_equal(talk.inputs, 2);
	assert_int_equal(talk.early, 0);
	assert_int_equal(talk.got, LARGE + 1);
	if (talk.conn != NULL)
		conn_free(talk.conn);
	close(talk.peer);
	listener_free(l);
	loop_free(loop);
}

static void
test_finish_sends_all(void **state)
{
	(void)state;
	check_written_last(true);
}

static void
test_drained_means_all(void **state)
{
	(void)state;
	check_written_last(false);
}

struct asked {
	struct conn *conn;
	int drained, within;
	bool asking;
};

/* Asks once more from within, where nothing was written either. */
static void
asked_drained(void *context)
{
	struct asked *a = context;

	a->within += a->asking;
	if (a->drained++ == 0) {
		a->asking = true;
		conn_ask_drained(a->conn);
		a->asking = false;
		return;
	}
	loop_stop(loop);
}

static size_t
asked_input(void *context, const char *data, size_t len)
{
	struct asked *a = context;

	(void)data;
	a->asking = true;
	conn_ask_drained(a->conn);
	a->asking = false;
	return len;
}

static const struct conn_owner asked_owner = {.input = asked_input, .drained = asked_drained};

static void
test_drained_without_a_byte(void **state)
{
	size_t i;

	(void)state;
	/* From outside of any callback without and with a byte; from input() without. */
	for (i = 0; i < 3; i++) {
		struct asked a = {0};
		int pair[2];

		loop = loop_new("test");
		assert_int_equal(
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
		a.conn = conn_accepted(loop, pair[0], &asked_owner, &a);
		if (i == 1)
			conn_write(a.conn, "x", 1);
		if (i < 2)
			conn_ask_drained(a.conn);
		else
			assert_int_equal(send(pair[1], "1", 1, 0), 1);
		assert_int_equal(a.drained, 0);
		run_for(20 * CLOCK_SECOND);
		assert_int_equal(a.drained, 2);
		assert_int_equal(a.within, 0);
		conn_free(a.conn);
		close(pair[1]);
		loop_free(loop);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_posts),
	    cmocka_unit_test(test_echo),
	    cmocka_unit_test(test_pause),
	    cmocka_unit_test(test_timeout_has_a_last_word),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_each_address_is_tried),
	    cmocka_unit_test(test_unreachable_address),
	    cmocka_unit_test(test_no_such_name),
	    cmocka_unit_test(test_no_such_address),
	    cmocka_unit_test(test_finish_sends_all),
	    cmocka_unit_test(test_drained_means_all),
	    cmocka_unit_test(test_drained_without_a_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
