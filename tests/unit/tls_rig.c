/*
 * Two ends for the tests of TLS: see the header.
 */
#include "tests/unit/tls_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/listener.h"
#include "net/loop.h"

enum { HANG = 60 };

struct loop *loop;
struct end server, client;
uint16_t port;
struct peer peer;

struct certificate *ca, *other_ca, *mx;
const char *ca_file, *other_ca_file, *mx_file;
int released;

static struct listener *listener;
static bool (*wanted)(void);
static bool hangs;
static struct loop_post peer_post;

int
rig_make_all(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	ca = certificate_new(&(struct certificate_wish){.common_name = "CA", .is_ca = true}, NULL);
	other_ca = certificate_new(
	    &(struct certificate_wish){.common_name = "Other CA", .is_ca = true}, NULL);
	mx = certificate_new(
	    &(struct certificate_wish){.common_name = "mx.test", .alternative = "DNS:mx.test"}, ca);
	ca_file = certificate_write(ca, PART_CERTIFICATE);
	other_ca_file = certificate_write(other_ca, PART_CERTIFICATE);
	mx_file = certificate_write(mx, PART_BOTH);
	return 0;
}

int
rig_remove_all(void **state)
{
	(void)state;
	certificate_free(ca);
	certificate_free(other_ca);
	certificate_free(mx);
	certificate_remove_all();
	return 0;
}

void
rig_look(void)
{
	if (wanted != NULL && wanted())
		loop_stop(loop);
}

static void
rig_hangs(void *context)
{
	(void)context;
	hangs = true;
	loop_stop(loop);
}

void
rig_run_until(bool (*is_so)(void))
{
	struct loop_timer *t;

	if (is_so())
		return;
	t = loop_timer_new(loop, rig_hangs, NULL);
	hangs = false;
	wanted = is_so;
	loop_timer_set(t, HANG * CLOCK_SECOND);
	loop_run(loop);
	loop_timer_free(t);
	wanted = NULL;
	assert_false(hangs);
}

static int turns;

static void
rig_turn(void *context)
{
	if (++turns == 20)
		loop_stop(loop);
	else
		loop_timer_set(*(struct loop_timer **)context, 1000);
}

void
rig_turns(void)
{
	struct loop_timer *t = loop_timer_new(loop, rig_turn, &t);

	turns = 0;
	loop_timer_set(t, 1000);
	loop_run(loop);
	loop_timer_free(t);
}

static bool
end_freed(struct end *e, enum rig_place here)
{
	if (e->free_in != here)
		return false;
	conn_free(e->conn);
	e->conn = NULL;
	e->was_freed = true;
	rig_look();
	return true;
}

static void
end_start_tls(struct end *e)
{
	if (e->pause_at_once)
		conn_pause(e->conn);
	conn_start_tls(e->conn, e->tls, e->host, e->limit > 0 ? e->limit : HANG * CLOCK_SECOND);
	if (e->read_limit > 0 || e->write_limit > 0)
		conn_set_timeouts(e->conn, e->read_limit, e->write_limit);
}

static void
end_connected(void *context)
{
	struct end *e = context;

	e->connected++;
	if (end_freed(e, CONNECTED))
		return;
	if (e->tls != NULL && e->word == NULL)
		end_start_tls(e);
	rig_look();
}

static void
end_secured(void *context)
{
	struct end *e = context;
	const struct conn_security *s = conn_security(e->conn);

	e->secured++;
	snprintf(e->version, sizeof(e->version), "%s", s->version);
	snprintf(e->peer_name, sizeof(e->peer_name), "%s", s->peer_name);
	assert_true(strlen(s->cipher) > 0);
	if (end_freed(e, SECURED))
		return;
	if (e->first != NULL)
		conn_write(e->conn, e->first, strlen(e->first));
	if (e->when_secured != NULL)
		e->when_secured(e);
	rig_look();
}

static size_t
end_input(void *context, const char *data, size_t len)
{
	struct end *e = context;
	const char *line = memchr(data, '\n', len);
	size_t used = len;

	if (len > e->longest)
		e->longest = len;
	if (end_freed(e, INPUT))
		return 0;
	if (e->input != NULL)
		return e->input(e, data, len);
	if (e->word != NULL && e->secured == 0 && line != NULL) {
		used = (size_t)(line - data) + 1;
		if (used == strlen(e->word) && memcmp(data, e->word, used) == 0) {
			e->was_secured_early = conn_security(e->conn) != NULL;
			if (e->answer != NULL)
				conn_write(e->conn, e->answer, strlen(e->answer));
			end_start_tls(e);
		}
	}
	buf_add(&e->got, data, used);
	rig_look();
	return used;
}

static void
end_drained(void *context)
{
	struct end *e = context;

	e->drains++;
	if (end_freed(e, DRAINED))
		return;
	if (e->drained != NULL)
		e->drained(e);
	rig_look();
}

static void
end_closed(void *context, enum conn_end how, const char *why)
{
	struct end *e = context;

	e->closed++;
	e->how = how;
	snprintf(e->why, sizeof(e->why), "%s", why);
	if (e->finish_at_end) {
		conn_write(e->conn, "bye", 3);
		conn_finish(e->conn, HANG * CLOCK_SECOND);
	} else {
		conn_free(e->conn);
	}
	e->conn = NULL;
	rig_look();
}

static const struct conn_owner end_owner = {.connected = end_connected,
					    .secured = end_secured,
					    .input = end_input,
					    .drained = end_drained,
					    .closed = end_closed};

static void
rig_serve(void *context, size_t loop_index, int fd, const char *name)
{
	(void)context;
	(void)loop_index;
	(void)name;
	server.conn = conn_accepted(loop, fd, &end_owner, &server);
	server.was_secured_early = conn_security(server.conn) != NULL;
	if (server.tls != NULL && server.word == NULL)
		end_start_tls(&server);
	rig_look();
}

void
rig_start(void)
{
	struct buf error = {0};

	memset(&server, 0, sizeof(server));
	memset(&client, 0, sizeof(client));
	memset(&peer, 0, sizeof(peer));
	sem_init(&peer.go_on, 0, 0);
	loop = loop_new("test");
	listener = listener_new("test", listener_open("test", "127.0.0.1", 0, &error), &loop, 1,
				rig_serve, NULL);
	port = (uint16_t)strtoul(strrchr(listener_address(listener), ':') + 1, NULL, 10);
	listener_resume(listener);
	buf_free(&error);
}

void
rig_stop(void)
{
	conn_free(server.conn);
	conn_free(client.conn);
	buf_free(&server.got);
	buf_free(&client.got);
	buf_free(&peer.got);
	sem_destroy(&peer.go_on);
	tls_unref(server.tls);
	tls_unref(client.tls);
	listener_free(listener);
	loop_free(loop);
}

struct tls *
rig_tls_server(const char *certificate, const char *client_ca)
{
	struct buf error = {0};
	struct tls *t = tls_server_new(certificate, "", client_ca, &error);

	if (t == NULL)
		fail_msg("%s", buf_text(&error));
	buf_free(&error);
	return t;
}

struct tls *
rig_tls_client(const char *trusted, bool verify)
{
	struct buf error = {0};
	struct tls *t = tls_client_new(trusted, verify, &error);

	if (t == NULL)
		fail_msg("%s", buf_text(&error));
	buf_free(&error);
	return t;
}

void
rig_connect(void)
{
	client.conn =
	    conn_connect(loop, "127.0.0.1", port, HANG * CLOCK_SECOND, &end_owner, &client);
}

bool
rig_both_closed(void)
{
	return server.closed > 0 && client.closed > 0;
}

bool
rig_both_secured(void)
{
	return server.secured > 0 && client.secured > 0;
}

bool
rig_client_closed(void)
{
	return client.closed > 0;
}

bool
rig_server_closed(void)
{
	return server.closed > 0;
}

/* ---- the thread at the other end ---- */

void
rig_peer_join(void)
{
	if (!peer.is_joined)
		assert_int_equal(pthread_join(peer.thread, NULL), 0);
	peer.is_joined = true;
}

static void
peer_over(struct loop_post *post)
{
	(void)post;
	rig_peer_join();
	peer.is_done = true;
	rig_look();
}

static void *
peer_thread(void *context)
{
	struct peer *p = context;
	int listening = p->fd;

	if (p->listens) {
		p->fd = accept(listening, NULL, NULL);
		close(listening);
	}
	p->run(p);
	SSL_free(p->ssl);
	SSL_CTX_free(p->context);
	if (p->fd >= 0)
		close(p->fd);
	loop_post(loop, &peer_post);
	return NULL;
}

static void
peer_start(void (*run)(struct peer *p))
{
	peer.run = run;
	peer_post.run = peer_over;
	assert_int_equal(pthread_create(&peer.thread, NULL, peer_thread, &peer), 0);
}

void
rig_peer_start(void (*run)(struct peer *p))
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(peer.fd, (struct sockaddr *)&to, sizeof(to)), 0);
	peer_start(run);
}

void
rig_peer_listen(void (*run)(struct peer *p))
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t len = sizeof(at);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	peer.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	peer.listens = true;
	assert_int_equal(bind(peer.fd, (struct sockaddr *)&at, len), 0);
	assert_int_equal(listen(peer.fd, 1), 0);
	assert_int_equal(getsockname(peer.fd, (struct sockaddr *)&at, &len), 0);
	port = ntohs(at.sin_port);
	peer_start(run);
}

bool
rig_peer_done(void)
{
	return peer.is_done;
}

bool
rig_peer_shake(struct peer *p)
{
	if (p->context == NULL)
		p->context = SSL_CTX_new(TLS_client_method());
	p->ssl = SSL_new(p->context);
	SSL_set_fd(p->ssl, p->fd);
	return SSL_connect(p->ssl) == 1;
}

int
rig_peer_read_all(struct peer *p)
{
	char bytes[16384];
	int n;

	while ((n = SSL_read(p->ssl, bytes, sizeof(bytes))) > 0)
		buf_add(&p->got, bytes, (size_t)n);
	return SSL_get_error(p->ssl, n);
}

void
rig_start_tls(void)
{
	rig_start();
	released = 0;
	server.tls = rig_tls_server(mx_file, "");
	client.tls = rig_tls_client("", false);
	client.host = "mx.test";
}

void
rig_release(void *memory)
{
	free(memory);
	released++;
	rig_look();
}

void
rig_write_large(struct conn *c)
{
	char *memory = mem_zalloc(RIG_LARGE);

	conn_write_ref(c, memory, RIG_LARGE, rig_release, memory);
}

size_t
rig_answer_and_finish(struct end *e, const char *data, size_t len)
{
	buf_add(&e->got, data, len);
	rig_write_large(e->conn);
	conn_finish(e->conn, 60 * CLOCK_SECOND);
	e->conn = NULL;
	rig_look();
	return len;
}

void
rig_peer_reads(struct peer *p)
{
	if (rig_peer_shake(p) && SSL_write(p->ssl, "go", 2) == 2)
		p->result = rig_peer_read_all(p);
}

void
rig_peer_is_deaf(struct peer *p)
{
	if (rig_peer_shake(p))
		SSL_write(p->ssl, "go", 2);
	sem_wait(&p->go_on);
}

void
rig_let_peer_go(void)
{
	sem_post(&peer.go_on);
	rig_run_until(rig_peer_done);
}

bool
rig_server_heard(void)
{
	return server.got.len > 0;
}

bool
rig_server_is_there(void)
{
	return server.conn != NULL;
}
