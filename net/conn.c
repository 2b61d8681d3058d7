/*
 * Connections over libevent's bufferevents. Owned by a session or an SMTP client of relay/; freed
 * by conn_free() or, after conn_finish(), by itself.
 *
 *   CONNECTING -bev_event-> OPEN        CONNECTING -no address is left-> ENDED
 *   OPEN -bev_event-> ENDED             OPEN -conn_finish-> FINISHING -> ENDED
 *   OPEN -conn_start_tls-> CLEARING -all in clear is sent-> SHAKING -bev_event-> OPEN
 *   CLEARING | SHAKING -error, time limit-> ENDED
 *
 * TLS is a second bufferevent, made by conn_start_tls(): what is written from then on waits in it.
 * The first one, `clear`, sends what it has and then hands over its socket.
 */
#include "net/conn.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls_session.h"

enum conn_state {
	CONN_CONNECTING,
	CONN_OPEN,
	CONN_CLEARING,
	CONN_SHAKING,
	CONN_FINISHING,
	CONN_ENDED
};

struct conn {
	struct loop_rest rest; /* while FINISHING: nobody else knows it then */
	struct bufferevent *bev;
	struct loop *loop;
	struct event *kick; /* a look at things after the turn: conn_kicked() */
	const struct conn_owner *owner;
	void *context;
	enum conn_state state;
	/* CONNECTING: each address of the name is tried, in the resolver's order. */
	struct evdns_getaddrinfo_request *resolving;
	struct evutil_addrinfo *addresses, *next_address;
	int resolve_error;
	bool paused;
	bool freed;    /* conn_free() came while a callback ran */
	int callbacks; /* depth */
	int64_t read_limit, write_limit;
	/* Made when it is needed: of the handshake, of silence under TLS, of FINISHING. */
	struct loop_timer *timer;
	/* TLS, from conn_start_tls() on; `bev` owns the session. */
	struct ssl_st *tls;
	struct bufferevent *clear; /* CLEARING: still has the socket */
	bool secured;
	bool eof_waits; /* the end came with the last bytes, which the owner has paused before */
	struct conn_security security;
	char *peer_name;
	char peer[NI_MAXHOST + NI_MAXSERV + 4];
};

static const char CONN_EOF_TEXT[] = "the peer closed the connection";

static void
conn_destroy(struct conn *c)
{
	if (c->addresses != NULL)
		evutil_freeaddrinfo(c->addresses);
	if (c->clear != NULL)
		bufferevent_free(c->clear);
	bufferevent_free(c->bev);
	loop_timer_free(c->timer);
	event_free(c->kick);
	free(c->peer_name);
	free(c);
}

/* Until secured() the limit and the reading of the handshake's bufferevents are not the owner's. */
static bool
conn_is_shaking(const struct conn *c)
{
	return c->state == CONN_CLEARING || c->state == CONN_SHAKING;
}

static size_t
conn_pending_clear(const struct conn *c)
{
	return c->clear != NULL ? evbuffer_get_length(bufferevent_get_output(c->clear)) : 0;
}

static bool
conn_wants_input(const struct conn *c)
{
	return !c->freed && !c->paused && c->state == CONN_OPEN;
}

static void
conn_leave(struct conn *c)
{
	if (--c->callbacks == 0 && c->freed)
		conn_destroy(c);
}

static void
conn_end_with(struct conn *c, enum conn_end end, const char *why)
{
	/*
	 * After a silence, or where the peer has only closed its side, the owner may still send
	 * what is written and a goodbye, with conn_finish().
	 */
	bufferevent_disable(c->bev, end == CONN_ERROR ? EV_READ | EV_WRITE : EV_READ);
	if (c->timer != NULL)
		loop_timer_cancel(c->timer);
	if (end == CONN_ERROR) {
		c->state = CONN_ENDED;
		if (c->clear != NULL)
			bufferevent_disable(c->clear, EV_WRITE);
	}
	c->callbacks++;
	c->owner->closed(c->context, end, why);
	conn_leave(c);
}

/*
 * Offers the first contiguous run; where the owner can do nothing with it, the whole input (at most
 * CONN_INPUT_MAX) made contiguous. Ends a connection whose owner cannot do anything even with that:
 * it would wait for ever.
 */
static void
conn_offer(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);
	size_t have, run, used;

	c->callbacks++;
	while (conn_wants_input(c)) {
		have = evbuffer_get_length(in);
		if (have == 0)
			break;
		if (have > CONN_INPUT_MAX) /* with TLS, by less than a record */
			have = CONN_INPUT_MAX;
		run = evbuffer_get_contiguous_space(in);
		if (run > have)
			run = have;
		used = c->owner->input(c->context,
				       (const char *)evbuffer_pullup(in, (ev_ssize_t)run), run);
		if (used == 0 && run < have && conn_wants_input(c))
			used = c->owner->input(
			    c->context, (const char *)evbuffer_pullup(in, (ev_ssize_t)have), have);
		if (used == 0 && have == CONN_INPUT_MAX && conn_wants_input(c))
			conn_end_with(c, CONN_ERROR, "the peer sent too long a line");
		if (c->freed || used == 0)
			break;
		evbuffer_drain(in, used);
	}
	if (c->eof_waits && conn_wants_input(c)) {
		c->eof_waits = false;
		conn_end_with(c, CONN_EOF, CONN_EOF_TEXT);
	}
	conn_leave(c);
}

/*
 * With TLS the limit of `read` is ours: libevent's begins anew with each octet on the wire, so a
 * record that trickles, or many without content, would keep a connection for ever.
 */
static void
conn_watch_silence(struct conn *c)
{
	if (!c->secured)
		return;
	if (conn_wants_input(c) && c->read_limit > 0)
		loop_timer_set(c->timer, c->read_limit);
	else
		loop_timer_cancel(c->timer);
}

static void
conn_readable(struct bufferevent *bev, void *context)
{
	(void)bev;
	conn_watch_silence(context);
	conn_offer(context);
}

/*
 * The handshake begins when all that goes in clear has gone. What the peer sent in clear behind its
 * STARTTLS dies with `clear`, unread; behind its answer to ours it is an attack, or broken.
 */
static void
conn_cleared(struct conn *c)
{
	int fd = bufferevent_getfd(c->clear);

	if (c->state != CONN_CLEARING || conn_pending_clear(c) > 0)
		return;
	if (!tls_session_is_server(c->tls) &&
	    evbuffer_get_length(bufferevent_get_input(c->clear)) > 0) {
		conn_end_with(c, CONN_ERROR, "TLS: the peer sent clear text before the handshake");
		return;
	}
	c->state = CONN_SHAKING;
	bufferevent_setfd(c->clear, -1);
	bufferevent_free(c->clear);
	c->clear = NULL;
	if (bufferevent_setfd(c->bev, fd) < 0)
		fatal("out of memory");
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void
conn_writable(struct bufferevent *bev, void *context)
{
	struct conn *c = context;

	if (bev == c->clear) {
		conn_cleared(c);
		return;
	}
	/* Told late: the input's callback, which ran before, has written more. */
	if (conn_pending(c) > 0)
		return;
	if (c->state == CONN_FINISHING) {
		conn_free(c);
		return;
	}
	if (c->state != CONN_OPEN || c->owner->drained == NULL)
		return;
	c->callbacks++;
	c->owner->drained(c->context);
	conn_leave(c);
}

static void
conn_name_peer(struct conn *c)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getpeername(bufferevent_getfd(c->bev), (struct sockaddr *)&ss, &len) == 0 &&
	    getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port, sizeof(port),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(c->peer, sizeof(c->peer), ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
			 host, port);
}

static void
conn_set_nodelay(struct conn *c)
{
	int one = 1;

	setsockopt(bufferevent_getfd(c->bev), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* The next address of the name; conn_event() follows later, but where the kernel refuses at once.
 */
static void
conn_try_next(struct conn *c)
{
	const struct evutil_addrinfo *a;
	int fd, error = 0;

	while ((a = c->next_address) != NULL) {
		c->next_address = a->ai_next;
		fd = bufferevent_getfd(c->bev);
		if (fd >= 0) {
			bufferevent_setfd(c->bev, -1);
			close(fd);
		}
		if (bufferevent_socket_connect(c->bev, a->ai_addr, (int)a->ai_addrlen) == 0) {
			bufferevent_enable(c->bev, EV_READ | EV_WRITE);
			return;
		}
		error = EVUTIL_SOCKET_ERROR();
	}
	conn_end_with(c, CONN_ERROR, evutil_socket_error_to_string(error));
}

static void
conn_apply_timeouts(struct conn *c)
{
	struct timeval r = {.tv_sec = c->read_limit / 1000000, .tv_usec = c->read_limit % 1000000};
	struct timeval w = {.tv_sec = c->write_limit / 1000000,
			    .tv_usec = c->write_limit % 1000000};

	bufferevent_set_timeouts(c->bev, c->read_limit > 0 && !c->secured ? &r : NULL,
				 c->write_limit > 0 ? &w : NULL);
	conn_watch_silence(c);
}

/* The handshake is done. */
static void
conn_secured(struct conn *c)
{
	c->state = CONN_OPEN;
	c->secured = true;
	c->peer_name = tls_session_peer_name(c->tls);
	c->security = (struct conn_security){.version = tls_session_version(c->tls),
					     .cipher = tls_session_cipher(c->tls),
					     .peer_name = c->peer_name};
	conn_apply_timeouts(c);
	if (c->paused)
		bufferevent_disable(c->bev, EV_READ);
	c->callbacks++;
	c->owner->secured(c->context);
	conn_leave(c);
}

static void
conn_fail(struct conn *c, struct bufferevent *bev, int error)
{
	struct buf why = {0};

	tls_session_explain(bev, conn_is_shaking(c), error, &why);
	conn_end_with(c, CONN_ERROR, buf_text(&why));
	buf_free(&why);
}

/* While CLEARING or SHAKING. */
static void
conn_tls_event(struct conn *c, struct bufferevent *bev, short what, int error)
{
	if (what & BEV_EVENT_CONNECTED)
		conn_secured(c);
	else if (what & BEV_EVENT_EOF)
		conn_end_with(c, CONN_ERROR, "TLS: the peer closed the connection");
	else
		conn_fail(c, bev, error);
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

static void
conn_set_timer(struct conn *c, int64_t limit)
{
	if (c->timer == NULL)
		c->timer = loop_timer_new(c->loop, conn_late, c);
	loop_timer_set(c->timer, limit);
}

/*
 * libevent's TLS reads on behind the last bytes, so the end may be there before the owner has seen
 * these. It also stops to write then.
 */
static bool
conn_end_can_wait(struct conn *c, short what)
{
	if (c->tls == NULL || !(what & BEV_EVENT_EOF) || !(what & BEV_EVENT_READING))
		return false;
	if (c->state != CONN_FINISHING && !(c->state == CONN_OPEN && c->paused))
		return false;
	c->eof_waits = true;
	bufferevent_enable(c->bev, EV_WRITE);
	return true;
}

static void
conn_event(struct bufferevent *bev, short what, void *context)
{
	struct conn *c = context;
	int error = EVUTIL_SOCKET_ERROR();

	if (conn_end_can_wait(c, what))
		return;
	if (c->state == CONN_FINISHING) {
		conn_free(c);
		return;
	}
	if (c->state == CONN_ENDED)
		return;
	if (conn_is_shaking(c)) {
		conn_tls_event(c, bev, what, error);
		return;
	}
	if (c->next_address != NULL && c->state == CONN_CONNECTING &&
	    !(what & BEV_EVENT_CONNECTED)) {
		conn_try_next(c);
		return;
	}
	if (what & BEV_EVENT_CONNECTED) {
		c->state = CONN_OPEN;
		conn_name_peer(c);
		conn_set_nodelay(c);
		c->callbacks++;
		c->owner->connected(c->context);
		conn_leave(c);
		return;
	}
	if ((what & BEV_EVENT_TIMEOUT) && (what & BEV_EVENT_WRITING || c->state == CONN_CONNECTING))
		conn_end_with(c, CONN_ERROR, "timed out");
	else if (what & BEV_EVENT_TIMEOUT)
		conn_end_with(c, CONN_TIMEOUT, "timed out");
	else if (what & BEV_EVENT_EOF)
		conn_end_with(c, CONN_EOF, CONN_EOF_TEXT);
	else
		conn_fail(c, bev, error);
}

/* conn_resume() left input to look at, TLS is to begin, or the name is resolved. */
static void
conn_kicked(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;

	(void)fd;
	(void)what;
	if (c->freed)
		return;
	if (c->state == CONN_CLEARING)
		conn_cleared(c);
	else if (c->state != CONN_CONNECTING)
		conn_offer(c);
	else if (c->next_address != NULL)
		conn_try_next(c);
	else
		conn_end_with(c, CONN_ERROR, evutil_gai_strerror(c->resolve_error));
}

/* May be called within conn_connect(), so the rest waits for the next turn. */
static void
conn_resolved(int error, struct evutil_addrinfo *addresses, void *context)
{
	struct conn *c = context;

	c->resolving = NULL;
	c->resolve_error = addresses != NULL ? 0 : error != 0 ? error : EVUTIL_EAI_FAIL;
	c->addresses = c->next_address = addresses;
	if (!c->freed)
		event_active(c->kick, EV_READ, 1);
	conn_leave(c);
}

static struct conn *
conn_new(struct loop *l, int fd, const struct conn_owner *owner, void *context)
{
	struct conn *c = mem_zalloc(sizeof(*c));

	loop_assert(l);
	c->loop = l;
	c->owner = owner;
	c->context = context;
	snprintf(c->peer, sizeof(c->peer), "-");
	c->bev = bufferevent_socket_new(loop_base(l), fd,
					BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
	c->kick = event_new(loop_base(l), -1, 0, conn_kicked, c);
	if (c->bev == NULL || c->kick == NULL)
		fatal("out of memory");
	bufferevent_setcb(c->bev, conn_readable, conn_writable, conn_event, c);
	bufferevent_setwatermark(c->bev, EV_READ, 0, CONN_INPUT_MAX);
	return c;
}

struct conn *
conn_accepted(struct loop *l, int fd, const struct conn_owner *owner, void *context)
{
	struct conn *c = conn_new(l, fd, owner, context);

	c->state = CONN_OPEN;
	conn_name_peer(c);
	conn_set_nodelay(c);
	bufferevent_enable(c->bev, EV_READ | EV_WRITE);
	return c;
}

struct conn *
conn_connect(struct loop *l, const char *host, uint16_t port, int64_t timeout,
	     const struct conn_owner *owner, void *context)
{
	const struct evutil_addrinfo hints = {
	    .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
	struct conn *c = conn_new(l, -1, owner, context);
	struct evdns_getaddrinfo_request *request;
	char service[8];

	c->state = CONN_CONNECTING;
	conn_set_timeouts(c, timeout, timeout);
	snprintf(service, sizeof(service), "%u", port);
	c->callbacks++; /* conn_resolved() gives it back, also when it is cancelled */
	request = evdns_getaddrinfo(loop_dns(l), host, service, &hints, conn_resolved, c);
	if (request != NULL) /* else it has been called already */
		c->resolving = request;
	return c;
}

void
conn_set_timeouts(struct conn *c, int64_t read, int64_t write)
{
	c->read_limit = read;
	c->write_limit = write;
	if (!conn_is_shaking(c))
		conn_apply_timeouts(c);
}

void
conn_pause(struct conn *c)
{
	c->paused = true;
	if (!conn_is_shaking(c))
		bufferevent_disable(c->bev, EV_READ);
	conn_watch_silence(c);
}

void
conn_resume(struct conn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	if (c->state != CONN_OPEN)
		return;
	if (!c->eof_waits)
		bufferevent_enable(c->bev, EV_READ);
	conn_watch_silence(c);
	event_active(c->kick, EV_READ, 1);
}

void
conn_write(struct conn *c, const void *data, size_t len)
{
	if (bufferevent_write(c->bev, data, len) < 0)
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
	if (evbuffer_add_reference(bufferevent_get_output(c->bev), data, len, conn_ref_done, ref) <
	    0)
		fatal("out of memory");
}

void
conn_start_tls(struct conn *c, struct tls *t, const char *host, int64_t limit)
{
	if (c->state != CONN_OPEN || c->tls != NULL)
		panic("TLS is to start on a connection in state %d", c->state);
	c->state = CONN_CLEARING;
	c->tls = tls_session_new(t, host);
	c->clear = c->bev;
	bufferevent_disable(c->clear, EV_READ);
	bufferevent_set_timeouts(c->clear, NULL, NULL); /* `limit` is for all of it */
	c->bev = tls_session_bufferevent(loop_base(c->loop), c->tls);
	bufferevent_setcb(c->bev, conn_readable, conn_writable, conn_event, c);
	conn_set_timer(c, limit);
	/* Not now: the owner may be within input(). */
	event_active(c->kick, EV_READ, 1);
}

const struct conn_security *
conn_security(const struct conn *c)
{
	return c->secured ? &c->security : NULL;
}

size_t
conn_pending(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev)) + conn_pending_clear(c);
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
	struct evbuffer *out = bufferevent_get_output(c->bev);

	/* At once where the kernel takes it: the loop may be about to end. */
	if (c->state == CONN_OPEN && c->tls != NULL) {
		tls_session_write(c->tls, out);
	} else if (c->state == CONN_OPEN && conn_pending(c) > 0) {
		evbuffer_unfreeze(out, 1);
		evbuffer_write(out, bufferevent_getfd(c->bev));
		evbuffer_freeze(out, 1);
	}
	if (c->state != CONN_OPEN || conn_pending(c) == 0) {
		conn_free(c);
		return;
	}
	c->state = CONN_FINISHING;
	c->rest.end = conn_end_rest;
	loop_add_rest(c->loop, &c->rest);
	bufferevent_disable(c->bev, EV_READ);
	conn_set_timeouts(c, 0, 0);
	conn_set_timer(c, limit);             /* in all: a peer that sips would keep it */
	bufferevent_enable(c->bev, EV_WRITE); /* an end that TLS read has stopped it */
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
		if (recv(bufferevent_getfd(c->bev), waste, sizeof(waste), MSG_DONTWAIT) <= 0)
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
	bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	if (c->resolving != NULL)
		evdns_getaddrinfo_cancel(c->resolving);
	if (c->callbacks == 0)
		conn_destroy(c);
}

const char *
conn_peer(const struct conn *c)
{
	return c->peer;
}
