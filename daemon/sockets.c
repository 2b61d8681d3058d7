/*
 * The listening sockets, before there is a relay to serve them: those that the service manager
 * passes (sd_listen_fds(3)'s protocol), and the others bound here. Called once by daemon.c, on the
 * main thread, while the process may still bind low ports; relay_new() takes the sockets over.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "net/listener.h"

enum { PASSED_FIRST = 3, PASSED_MAX = 1000 };

struct passed {
	char *name; /* of LISTEN_FDNAMES; "" = none */
	char address[NI_MAXHOST + NI_MAXSERV + 4];
	struct sockaddr_storage bound;
	int fd;
	bool bad; /* was reported */
};

/* ---- what was passed */

/* The number of descriptors that are meant for this process; -1 and a reason if it is none. */
static int
passed_count(struct buf *error)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	char ours[24];
	size_t digits;
	long count;

	snprintf(ours, sizeof(ours), "%ld", (long)getpid());
	if (pid == NULL || fds == NULL || strcmp(pid, ours) != 0)
		return 0;
	digits = strspn(fds, "0123456789");
	count = digits > 0 && digits <= 4 && fds[digits] == '\0' ? strtol(fds, NULL, 10) : -1;
	if (count < 0 || count > PASSED_MAX) {
		buf_printf(error,
			   "LISTEN_FDS=%s is no number of sockets; start mailfused by its "
			   "socket unit\n",
			   log_safe(fds));
		return -1;
	}
	return (int)count;
}

/* A part of LISTEN_FDNAMES, which are separated by colons; *at moves on. */
static char *
next_name(const char **at)
{
	size_t len = strcspn(*at, ":");
	char *name = mem_strndup(*at, len);

	*at += len + ((*at)[len] == ':');
	return name;
}

static void
name_address(struct passed *p, socklen_t len)
{
	char host[NI_MAXHOST], service[NI_MAXSERV];

	snprintf(p->address, sizeof(p->address), "no address");
	if ((p->bound.ss_family == AF_INET || p->bound.ss_family == AF_INET6) &&
	    getnameinfo((struct sockaddr *)&p->bound, len, host, sizeof(host), service,
			sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(p->address, sizeof(p->address),
			 p->bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, service);
}

static bool
has_option(int fd, int option, int wanted)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

/* Never inherited by what an exec alert starts, and never waited for. */
static void
passed_look(struct passed *p, struct buf *error)
{
	socklen_t len = sizeof(p->bound);
	int flags = fcntl(p->fd, F_GETFL);

	p->bad = true;
	if (getsockname(p->fd, (struct sockaddr *)&p->bound, &len) != 0)
		p->bound.ss_family = AF_UNSPEC;
	name_address(p, len);
	if (p->bound.ss_family != AF_INET && p->bound.ss_family != AF_INET6)
		buf_printf(error,
			   "descriptor %d that was passed (%s) is no TCP socket; write "
			   "ListenStream=ADDRESS:PORT in its socket unit\n",
			   p->fd, log_safe(p->name));
	else if (!has_option(p->fd, SO_TYPE, SOCK_STREAM) || !has_option(p->fd, SO_ACCEPTCONN, 1))
		buf_printf(error,
			   "socket %d that was passed (%s, %s) does not listen; write "
			   "ListenStream= and Accept=no in its socket unit\n",
			   p->fd, log_safe(p->name), p->address);
	else if (flags < 0 || fcntl(p->fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
		 fcntl(p->fd, F_SETFD, FD_CLOEXEC) != 0)
		buf_printf(error, "socket %d that was passed cannot be used: %s\n", p->fd,
			   strerror(errno));
	else
		p->bad = false;
}

static struct passed *
passed_take(int count, struct buf *error)
{
	struct passed *list = mem_zalloc((size_t)(count + 1) * sizeof(*list));
	const char *names = getenv("LISTEN_FDNAMES");

	if (names == NULL)
		names = "";
	for (int i = 0; i < count; i++) {
		list[i].fd = PASSED_FIRST + i;
		list[i].name = next_name(&names);
		passed_look(&list[i], error);
	}
	return list;
}

static void
passed_free(struct passed *list, int count)
{
	for (int i = 0; list != NULL && i < count; i++)
		free(list[i].name);
	free(list);
	/* So that nobody below takes them for its own. */
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

/* ---- which listener it serves */

static bool
is_bound_to(const struct passed *p, const struct config_listener *l)
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)&p->bound;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&p->bound;
	unsigned char bytes[16];

	if (p->bound.ss_family == AF_INET)
		return inet_pton(AF_INET, l->host, bytes) == 1 &&
		       memcmp(bytes, &v4->sin_addr, 4) == 0 && ntohs(v4->sin_port) == l->port;
	return inet_pton(AF_INET6, l->host, bytes) == 1 && memcmp(bytes, &v6->sin6_addr, 16) == 0 &&
	       ntohs(v6->sin6_port) == l->port;
}

/* By its name, else by its address; the listener's place, or -1. */
static int
find_listener(const struct config *c, const struct passed *p)
{
	for (size_t i = 0; i < c->listener_count; i++)
		if (strcmp(c->listeners[i].name, p->name) == 0)
			return (int)i;
	for (size_t i = 0; i < c->listener_count; i++)
		if (is_bound_to(p, &c->listeners[i]))
			return (int)i;
	return -1;
}

static void
report_stranger(const struct config *c, const struct passed *p, struct buf *error)
{
	buf_printf(error,
		   "socket %d that was passed (%s, %s) belongs to no listener; write "
		   "FileDescriptorName= in its socket unit with one of",
		   p->fd, log_safe(p->name), p->address);
	for (size_t i = 0; i < c->listener_count; i++)
		buf_printf(error, "%s %s", i > 0 ? "," : "", c->listeners[i].name);
	buf_add_char(error, '\n');
}

static void
passed_deal(const struct config *c, const struct passed *p, int *sockets, struct buf *error)
{
	int place;

	if (p->bad)
		return;
	place = find_listener(c, p);
	if (place < 0) {
		report_stranger(c, p, error);
	} else if (sockets[place] >= 0) {
		buf_printf(error,
			   "sockets %d and %d that were passed both belong to listener %s; give "
			   "each a listener of its own\n",
			   sockets[place], p->fd, c->listeners[place].name);
	} else {
		sockets[place] = p->fd;
		log_info("- listener.passed name=%s address=%s", c->listeners[place].name,
			 p->address);
	}
}

/* ---- all */

static void
sockets_bind(const struct config *c, int *sockets, struct buf *error)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		const struct config_listener *l = &c->listeners[i];

		if (sockets[i] >= 0)
			continue;
		sockets[i] = listener_open(l->name, l->host, l->port, error);
		if (sockets[i] < 0)
			buf_add_char(error, '\n');
	}
}

int *
sockets_open(const struct config *c, struct buf *error)
{
	int *sockets = mem_zalloc((c->listener_count + 1) * sizeof(*sockets));
	int count = passed_count(error);
	struct passed *passed = passed_take(count > 0 ? count : 0, error);

	for (size_t i = 0; i < c->listener_count; i++)
		sockets[i] = -1;
	for (int i = 0; i < count; i++)
		passed_deal(c, &passed[i], sockets, error);
	passed_free(passed, count);
	if (error->len == 0)
		sockets_bind(c, sockets, error);
	if (error->len == 0)
		return sockets;
	for (size_t i = 0; i < c->listener_count; i++)
		if (sockets[i] >= 0)
			close(sockets[i]);
	free(sockets);
	return NULL;
}

int
sockets_open_http(const struct config *c, struct buf *error)
{
	return c->http.set ? listener_open("http", c->http.host, c->http.port, error) : -1;
}
