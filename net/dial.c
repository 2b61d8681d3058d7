/*
 * Connecting. Made by net/conn.c, on the connection's loop; frees itself before it says how it
 * went, or in dial_cancel(), but while the resolver still holds it: then when that lets go.
 *
 *   RESOLVING -addresses-> CONNECTING (in the turn's end)   RESOLVING -none-> done(-1)
 *   CONNECTING -stands-> done(fd)
 *   CONNECTING -refused, late-> CONNECTING (the next address) | done(-1)
 */
#include "net/dial.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

struct dial {
	struct loop_turn turn; /* the resolver may answer within dial_start() */
	struct loop *loop;
	struct evdns_getaddrinfo_request *resolving;
	struct evutil_addrinfo *addresses, *next;
	const char *why; /* of the latest failure */
	int fd;
	struct event connected; /* while fd >= 0 */
	struct timeval limit;
	bool held;      /* the resolver will still call */
	bool cancelled; /* meanwhile */
	dial_done *done;
	void *context;
};

static void
dial_free(struct dial *d)
{
	if (d->addresses != NULL)
		evutil_freeaddrinfo(d->addresses);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

static void
dial_end(struct dial *d, int fd)
{
	dial_done *done = d->done;
	void *context = d->context;
	const char *why = d->why;

	dial_free(d);
	done(context, fd, why);
}

static void dial_answered(evutil_socket_t fd, short what, void *context);

/* False, and why, if the kernel refuses at once. */
static bool
dial_try(struct dial *d, const struct evutil_addrinfo *a)
{
	d->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd >= 0 &&
	    (connect(d->fd, a->ai_addr, a->ai_addrlen) == 0 || errno == EINPROGRESS)) {
		event_assign(&d->connected, loop_base(d->loop), d->fd, EV_WRITE, dial_answered, d);
		if (event_add(&d->connected, &d->limit) < 0)
			fatal("out of memory");
		return true;
	}
	d->why = evutil_socket_error_to_string(errno);
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	return false;
}

static void
dial_next(struct dial *d)
{
	const struct evutil_addrinfo *a;

	while ((a = d->next) != NULL) {
		d->next = a->ai_next;
		if (dial_try(d, a))
			return;
	}
	dial_end(d, -1);
}

static void
dial_answered(evutil_socket_t fd, short what, void *context)
{
	struct dial *d = context;
	int error = 0;
	socklen_t len = sizeof(error);

	if (!(what & EV_TIMEOUT) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
	    error == 0) {
		d->fd = -1;
		dial_end(d, fd);
		return;
	}
	d->why = what & EV_TIMEOUT ? "timed out" : evutil_socket_error_to_string(error);
	close(d->fd);
	d->fd = -1;
	dial_next(d);
}

static void
dial_turn(struct loop_turn *turn)
{
	dial_next((struct dial *)turn);
}

/* May be called within dial_start(), so the rest waits for the turn's end. */
static void
dial_resolved(int error, struct evutil_addrinfo *addresses, void *context)
{
	struct dial *d = context;

	d->held = false;
	d->resolving = NULL;
	d->addresses = d->next = addresses;
	if (addresses == NULL)
		d->why = evutil_gai_strerror(error != 0 ? error : EVUTIL_EAI_FAIL);
	if (d->cancelled)
		dial_free(d);
	else
		loop_after(d->loop, &d->turn);
}

struct dial *
dial_start(struct loop *l, const char *host, uint16_t port, int64_t limit, dial_done *done,
	   void *context)
{
	const struct evutil_addrinfo hints = {
	    .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
	struct dial *d = mem_zalloc(sizeof(*d));
	struct evdns_getaddrinfo_request *request;
	char service[8];

	d->turn.run = dial_turn;
	d->loop = l;
	d->fd = -1;
	d->limit = (struct timeval){.tv_sec = limit / 1000000, .tv_usec = limit % 1000000};
	d->done = done;
	d->context = context;
	d->held = true;
	snprintf(service, sizeof(service), "%u", port);
	request = evdns_getaddrinfo(loop_dns(l), host, service, &hints, dial_resolved, d);
	if (request != NULL) /* else it has been called already */
		d->resolving = request;
	return d;
}

void
dial_cancel(struct dial *d)
{
	d->cancelled = true;
	loop_after_cancel(d->loop, &d->turn);
	if (d->fd >= 0)
		event_del(&d->connected);
	if (!d->held)
		dial_free(d);
	else if (d->resolving != NULL)
		evdns_getaddrinfo_cancel(d->resolving);
}
