/*
 * Listening sockets over libevent's evconnlistener. Made and freed by relay/.
 */
#include "net/listener.h"

#include <errno.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct listener {
	struct evconnlistener *event;
	char *name;
	char address[NI_MAXHOST + NI_MAXSERV + 4];
	struct loop **loops;
	size_t loop_count, turn;
	listener_start *start;
	void *context;
	struct loop_timer *retry; /* after EMFILE and its like */
};

/* A socket on its way from loop 0 to the loop that will serve it. */
struct accepted {
	struct loop_post post;
	struct listener *listener;
	size_t loop_index;
	int fd;
	char *client;
};

static void
listener_hand_over(struct loop_post *post)
{
	struct accepted *a = (struct accepted *)post;

	a->listener->start(a->listener->context, a->loop_index, a->fd, a->client);
	free(a->client);
	free(a);
}

static void
listener_accept(struct evconnlistener *event, evutil_socket_t fd, struct sockaddr *address, int len,
		void *context)
{
	struct listener *l = context;
	size_t turn = l->turn++ % l->loop_count;
	char client[NI_MAXHOST];
	struct accepted *a;

	(void)event;
	if (getnameinfo(address, (socklen_t)len, client, sizeof(client), NULL, 0, NI_NUMERICHOST) !=
	    0)
		snprintf(client, sizeof(client), "unknown");
	if (turn == 0) { /* it is this loop */
		l->start(l->context, 0, fd, client);
		return;
	}
	a = mem_alloc(sizeof(*a));
	a->post.run = listener_hand_over;
	a->listener = l;
	a->loop_index = turn;
	a->fd = fd;
	a->client = mem_strdup(client);
	loop_post(l->loops[turn], &a->post);
}

/* Out of descriptors or memory: a moment's rest, or accept() would fail in a tight circle. */
static void
listener_failed(struct evconnlistener *event, void *context)
{
	struct listener *l = context;

	log_warn("- listener.accept-failed name=%s error=%s", l->name, log_safe(strerror(errno)));
	evconnlistener_disable(event);
	loop_timer_set(l->retry, CLOCK_SECOND);
}

static void
listener_retry(void *context)
{
	struct listener *l = context;

	evconnlistener_enable(l->event);
}

/* The reason goes into `error`. */
static int
listener_bind(const char *host, uint16_t port, struct buf *error)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
				       .ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
	struct addrinfo *ai = NULL;
	char service[8];
	int fd = -1, one = 1, code;

	snprintf(service, sizeof(service), "%u", port);
	code = getaddrinfo(host, service, &hints, &ai);
	if (code != 0) {
		buf_printf(error, "%s", gai_strerror(code));
		return -1;
	}
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    /* Replies are whole when they are written. Accepted sockets inherit it. */
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 1024) < 0) {
		buf_printf(error, "%s", strerror(errno));
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	freeaddrinfo(ai);
	return fd;
}

static void
listener_name_address(struct listener *l, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[NI_MAXHOST], service[NI_MAXSERV];

	if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0 &&
	    getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), service, sizeof(service),
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(l->address, sizeof(l->address),
			 ss.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, service);
}

int
listener_open(const char *name, const char *host, uint16_t port, struct buf *error)
{
	struct buf why = {0};
	int fd = listener_bind(host, port, &why);

	if (fd < 0)
		buf_printf(error, "listener \"%s\" cannot listen on %s port %u: %s", name, host,
			   port, buf_text(&why));
	buf_free(&why);
	return fd;
}

struct listener *
listener_new(const char *name, int fd, struct loop **loops, size_t loop_count,
	     listener_start *start, void *context)
{
	struct listener *l = mem_zalloc(sizeof(*l));

	l->name = mem_strdup(name);
	l->loops = loops;
	l->loop_count = loop_count;
	l->start = start;
	l->context = context;
	listener_name_address(l, fd);
	l->retry = loop_timer_new(loops[0], listener_retry, l);
	l->event = evconnlistener_new(
	    loop_base(loops[0]), listener_accept, l,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_DISABLED, 0, fd);
	if (l->event == NULL)
		fatal("out of memory");
	evconnlistener_set_error_cb(l->event, listener_failed);
	return l;
}

const char *
listener_address(const struct listener *l)
{
	return l->address;
}

void
listener_pause(struct listener *l)
{
	loop_timer_cancel(l->retry);
	evconnlistener_disable(l->event);
}

void
listener_resume(struct listener *l)
{
	evconnlistener_enable(l->event);
}

void
listener_free(struct listener *l)
{
	if (l == NULL)
		return;
	evconnlistener_free(l->event);
	loop_timer_free(l->retry);
	free(l->name);
	free(l);
}
