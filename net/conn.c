/*
 * Connections: a socket, what of its input the owner could not use yet, and what waits to be sent.
 * Owned by a session or an SMTP client of relay/; freed by conn_free() or, after conn_finish(), by
 * itself.
 *
 *   CONNECTING -conn_dialed-> OPEN      CONNECTING -no address is left-> ENDED
 *   OPEN -conn_end_with-> ENDED         OPEN -conn_finish-> FINISHING -all is sent-> ENDED
 *   OPEN -conn_start_tls-> CLEARING -all in clear is sent-> SHAKING -conn_shake-> OPEN
 *   CLEARING | SHAKING -error, time limit-> ENDED
 */
#include "net/conn.h"

#include <errno.h>
#include <event2/buffer.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/conn_io.h"
#include "net/dial.h"
#include "net/tls_session.h"

void
conn_destroy(struct conn *c)
{
	loop_after_cancel(c->loop, &c->turn);
	if (c->dial != NULL)
		dial_cancel(c->dial);
	tls_session_free(c->tls);
	if (c->fd >= 0)
		close(c->fd);
	if (c->out != NULL)
		evbuffer_free(c->out);
	loop_timer_free(c->timer);
	buf_free(&c->in);
	free(c->peer_name);
	free(c->peer);
	free(c);
}

static void
conn_late(void *context)
{
	struct conn *c = context;

	if (conn_is_shaking(c))
		conn_end_with(c, CONN_ERROR, "TLS: the handshake took too long");
	else if (c->state == CONN_FINISHING)
		conn_free(c);
	else
		conn_end_with(c, CONN_TIMEOUT, "timed out");
}

void
conn_set_timer(struct conn *c, int64_t limit)
{
	if (c->timer == NULL)
		c->timer = loop_timer_new(c->loop, conn_late, c);
	loop_timer_set(c->timer, limit);
}

static struct conn *
conn_new(struct loop *l, const struct conn_owner *owner, void *context)
{
	struct conn *c = mem_zalloc(sizeof(*c));

	loop_assert(l);
	c->turn.run = conn_turn;
	c->loop = l;
	c->owner = owner;
	c->context = context;
	c->fd = -1;
	return c;
}

static void
conn_open(struct conn *c, int fd)
{
	c->state = CONN_OPEN;
	c->fd = fd;
	event_assign(&c->reading, loop_base(c->loop), fd, EV_READ | EV_PERSIST, conn_readable, c);
	event_assign(&c->writing, loop_base(c->loop), fd, EV_WRITE | EV_PERSIST, conn_writable, c);
	conn_watch_input(c, true);
	conn_watch_silence(c);
}

struct conn *
conn_accepted(struct loop *l, int fd, const struct conn_owner *owner, void *context)
{
	struct conn *c = conn_new(l, owner, context);

	conn_open(c, fd);
	return c;
}

static void
conn_dialed(void *context, int fd, const char *why)
{
	struct conn *c = context;
	int one = 1;

	c->dial = NULL;
	if (fd < 0) {
		conn_end_with(c, CONN_ERROR, why);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	conn_open(c, fd);
	conn_peer(c); /* it can be asked only while it is there */
	c->callbacks++;
	c->owner->connected(c->context);
	conn_leave(c);
}

struct conn *
conn_connect(struct loop *l, const char *host, uint16_t port, int64_t timeout,
	     const struct conn_owner *owner, void *context)
{
	struct conn *c = conn_new(l, owner, context);

	c->state = CONN_CONNECTING;
	c->dialed = true;
	c->read_limit = c->write_limit = timeout;
	c->dial = dial_start(l, host, port, timeout, conn_dialed, c);
	return c;
}

void
conn_set_timeouts(struct conn *c, int64_t read, int64_t write)
{
	c->read_limit = read;
	c->write_limit = write;
	if (!conn_is_shaking(c) && c->state != CONN_FINISHING)
		conn_watch_silence(c);
	if (c->writes && c->state == CONN_OPEN) {
		conn_watch_output(c, false);
		conn_watch_output(c, true);
	}
}

void
conn_pause(struct conn *c)
{
	c->paused = true;
	if (c->state == CONN_OPEN)
		conn_watch_silence(c);
}

void
conn_resume(struct conn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	if (!conn_wants_input(c))
		return;
	conn_watch_input(c, true);
	conn_watch_silence(c);
	if (c->in.len == 0)
		return;
	c->look = true;
	loop_after(c->loop, &c->turn);
}

/* Within a callback of this connection conn_leave() will send it. */
static struct evbuffer *
conn_out(struct conn *c)
{
	if (c->out == NULL)
		c->out = evbuffer_new();
	if (c->out == NULL)
		fatal("out of memory");
	if (c->callbacks == 0 && !c->writes)
		loop_after(c->loop, &c->turn);
	return c->out;
}

void
conn_write(struct conn *c, const void *data, size_t len)
{
	if (evbuffer_add(conn_out(c), data, len) < 0)
		fatal("out of memory");
}

/* libevent hands back data and length too; the owner only needs its own argument. */
struct conn_ref {
	void (*release)(void *arg);
	void *arg;
};

static void
conn_ref_done(const void *data, size_t len, void *context)
{
	struct conn_ref *ref = context;

	(void)data;
	(void)len;
	ref->release(ref->arg);
	free(ref);
}

void
conn_write_ref(struct conn *c, const void *data, size_t len, void (*release)(void *arg), void *arg)
{
	struct conn_ref *ref = mem_alloc(sizeof(*ref));

	ref->release = release;
	ref->arg = arg;
	if (evbuffer_add_reference(conn_out(c), data, len, conn_ref_done, ref) < 0)
		fatal("out of memory");
}

void
conn_start_tls(struct conn *c, struct tls *t, const char *host, int64_t limit)
{
	if (c->state != CONN_OPEN || c->tls != NULL)
		panic("TLS is to start on a connection in state %d", c->state);
	c->tls = tls_session_new(t, host);
	c->clear_left = conn_pending(c);
	conn_watch_output(c, false); /* `limit` is for all of it */
	c->state = CONN_CLEARING;
	conn_watch_input(c, false);
	conn_set_timer(c, limit);
	/* Not now: the owner may be within input(). */
	loop_after(c->loop, &c->turn);
}

void
conn_ask_drained(struct conn *c)
{
	c->ask_drained = true;
	if (c->callbacks == 0 && (!c->writes || conn_pending(c) == 0))
		loop_after(c->loop, &c->turn);
}

size_t
conn_pending(const struct conn *c)
{
	return c->out != NULL ? evbuffer_get_length(c->out) : 0;
}

const struct conn_security *
conn_security(const struct conn *c)
{
	return c->secured ? &c->security : NULL;
}

size_t
conn_unsent(const struct conn *c)
{
	return conn_pending(c) + c->lost;
}

static void
conn_end_rest(struct loop_rest *rest)
{
	struct conn *c = (struct conn *)rest;

	c->state = CONN_ENDED;
	conn_free(c);
}

void
conn_finish(struct conn *c, int64_t limit)
{
	/* At once where the kernel takes it: the loop may be about to end. */
	if (c->state != CONN_OPEN || conn_send(c) != SENT_BLOCKED) {
		conn_free(c);
		return;
	}
	conn_watch_input(c, false);
	conn_watch_output(c, false);
	c->state = CONN_FINISHING;
	c->rest.end = conn_end_rest;
	loop_add_rest(c->loop, &c->rest);
	conn_set_timer(c, limit); /* in all: a peer that sips would keep it */
	conn_watch_output(c, true);
}

/*
 * Only behind all that was written: what was cut short must not look whole. Bytes of the peer that
 * nobody has read (with TLS, its own goodbye) would make a reset of close(), which takes our last
 * words away from it.
 */
static void
conn_say_goodbye(struct conn *c)
{
	char waste[4096];
	int i;

	if (c->secured)
		tls_session_close(c->tls);
	for (i = 0; i < 16; i++)
		if (recv(c->fd, waste, sizeof(waste), MSG_DONTWAIT) <= 0)
			break;
}

void
conn_free(struct conn *c)
{
	if (c == NULL || c->freed)
		return;
	if (c->state == CONN_FINISHING)
		loop_remove_rest(&c->rest);
	if ((c->state == CONN_OPEN || c->state == CONN_FINISHING) && conn_pending(c) == 0)
		conn_say_goodbye(c);
	if (c->timer != NULL)
		loop_timer_cancel(c->timer);
	c->state = CONN_ENDED;
	c->freed = true;
	if (c->fd >= 0) {
		conn_watch_input(c, false);
		conn_watch_output(c, false);
	}
	if (c->dial != NULL)
		dial_cancel(c->dial);
	c->dial = NULL;
	if (c->callbacks == 0)
		conn_destroy(c);
}

static void
conn_name_peer(struct conn *c)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[NI_MAXHOST], port[NI_MAXSERV], text[NI_MAXHOST + NI_MAXSERV + 4];

	if (c->fd < 0 || getpeername(c->fd, (struct sockaddr *)&ss, &len) < 0 ||
	    getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return;
	snprintf(text, sizeof(text), ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	c->peer = mem_strdup(text);
}

const char *
conn_peer(struct conn *c)
{
	if (c->peer == NULL)
		conn_name_peer(c);
	return c->peer != NULL ? c->peer : "-";
}
