/*
 * Connections over libevent's bufferevents. Owned by a session or an SMTP client of relay/; freed
 * by conn_free() or, after conn_finish(), by itself.
 *
 *   CONNECTING -bev_event-> OPEN        CONNECTING -no address is left-> ENDED
 *   OPEN -bev_event-> ENDED             OPEN -conn_finish-> FINISHING -> ENDED
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

#include "base/log.h"
#include "base/mem.h"

enum conn_state { CONN_CONNECTING, CONN_OPEN, CONN_FINISHING, CONN_ENDED };

struct conn {
	struct loop_rest rest; /* while FINISHING: nobody else knows it then */
	struct bufferevent *bev;
	struct loop *loop;
	struct event *kick; /* looks at the input again after conn_resume() */
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
	char peer[NI_MAXHOST + NI_MAXSERV + 4];
};

static void
conn_destroy(struct conn *c)
{
	if (c->addresses != NULL)
		evutil_freeaddrinfo(c->addresses);
	bufferevent_free(c->bev);
	event_free(c->kick);
	free(c);
}

static void
conn_leave(struct conn *c)
{
	if (--c->callbacks == 0 && c->freed)
		conn_destroy(c);
}

/*
 * Offers the first contiguous run; where the owner can do nothing with it, the whole input (at most
 * CONN_INPUT_MAX, the read watermark) made contiguous.
 */
static void
conn_offer(struct conn *c)
{
	struct evbuffer *in = bufferevent_get_input(c->bev);

	c->callbacks++;
	while (!c->freed && !c->paused && c->state == CONN_OPEN) {
		size_t have = evbuffer_get_length(in), run = evbuffer_get_contiguous_space(in),
		       used;

		if (have == 0)
			break;
		used = c->owner->input(c->context,
				       (const char *)evbuffer_pullup(in, (ev_ssize_t)run), run);
		if (used == 0 && run < have && !c->freed && !c->paused && c->state == CONN_OPEN)
			used = c->owner->input(c->context, (const char *)evbuffer_pullup(in, -1),
					       have);
		if (c->freed || used == 0)
			break;
		evbuffer_drain(in, used);
	}
	conn_leave(c);
}

static void
conn_readable(struct bufferevent *bev, void *context)
{
	(void)bev;
	conn_offer(context);
}

static void
conn_writable(struct bufferevent *bev, void *context)
{
	struct conn *c = context;

	(void)bev;
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

static void
conn_end_with(struct conn *c, enum conn_end end, const char *why)
{
	/*
	 * After a silence, or where the peer has only closed its side, the owner may still send
	 * what is written and a goodbye, with conn_finish().
	 */
	if (end == CONN_ERROR) {
		c->state = CONN_ENDED;
		bufferevent_disable(c->bev, EV_READ | EV_WRITE);
	}
	c->callbacks++;
	c->owner->closed(c->context, end, why);
	conn_leave(c);
}

/* The next address of the name; conn_event() follows later, however it ends. */
static void
conn_try_next(struct conn *c)
{
	const struct evutil_addrinfo *a = c->next_address;
	int fd = bufferevent_getfd(c->bev);

	c->next_address = a->ai_next;
	if (fd >= 0) {
		bufferevent_setfd(c->bev, -1);
		close(fd);
	}
	if (bufferevent_socket_connect(c->bev, a->ai_addr, (int)a->ai_addrlen) == 0)
		bufferevent_enable(c->bev, EV_READ | EV_WRITE);
}

static void
conn_event(struct bufferevent *bev, short what, void *context)
{
	struct conn *c = context;
	int error = EVUTIL_SOCKET_ERROR();

	(void)bev;
	if (c->state == CONN_FINISHING) {
		conn_free(c);
		return;
	}
	if (c->state == CONN_ENDED)
		return;
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
		conn_end_with(c, CONN_EOF, "the peer closed the connection");
	else
		conn_end_with(c, CONN_ERROR,
			      error != 0 ? evutil_socket_error_to_string(error)
					 : "the connection failed");
}

/* conn_resume() left input to look at, or the name is resolved. */
static void
conn_kicked(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;

	(void)fd;
	(void)what;
	if (c->freed)
		return;
	if (c->state != CONN_CONNECTING)
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
	struct timeval r = {.tv_sec = read / 1000000, .tv_usec = read % 1000000};
	struct timeval w = {.tv_sec = write / 1000000, .tv_usec = write % 1000000};

	bufferevent_set_timeouts(c->bev, read > 0 ? &r : NULL, write > 0 ? &w : NULL);
}

void
conn_pause(struct conn *c)
{
	c->paused = true;
	bufferevent_disable(c->bev, EV_READ);
}

void
conn_resume(struct conn *c)
{
	if (!c->paused)
		return;
	c->paused = false;
	if (c->state != CONN_OPEN)
		return;
	bufferevent_enable(c->bev, EV_READ);
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

size_t
conn_pending(const struct conn *c)
{
	return evbuffer_get_length(bufferevent_get_output(c->bev));
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
	if (c->state == CONN_OPEN && conn_pending(c) > 0) {
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
	conn_set_timeouts(c, 0, limit);
}

void
conn_free(struct conn *c)
{
	if (c == NULL || c->freed)
		return;
	if (c->state == CONN_FINISHING)
		loop_remove_rest(&c->rest);
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
