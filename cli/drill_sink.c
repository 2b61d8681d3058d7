/*
 * The sink's sockets: poll(2) over one listener and a few connections. Called by drill.c and
 * drill_blast.c; one thread; drill_sink_free() ends all.
 */
#include "cli/drill_sink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/drill_talk.h"

/* The drill's upstream has two connections; room for some that are on their way out. */
enum { CONNECTIONS = DRILL_SINK_FDS - 1, READ_BYTES = 16384, OUT_MOST = 65536 };

struct sink_connection {
	int fd;
	struct drill_talk talk;
	struct buf out;
};

struct drill_sink {
	int fd;
	uint16_t port;
	char *domain;
	uint32_t count;
	unsigned char *seen; /* a bit for each number from 1 */
	struct drill_sink_counts counts;
	struct sink_connection *connections[CONNECTIONS];
};

static void
sink_take(void *context, uint32_t number)
{
	struct drill_sink *s = context;
	unsigned char bit = (unsigned char)(1u << (number % 8));

	if (number == 0 || number > s->count) {
		s->counts.strange++;
	} else if (s->seen[number / 8] & bit) {
		s->counts.repeated++;
	} else {
		s->seen[number / 8] |= bit;
		s->counts.taken++;
	}
}

struct drill_sink *
drill_sink_new(const char *domain, uint32_t count, struct buf *error)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct drill_sink *s;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(fd, CONNECTIONS) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
		buf_printf(error, "no port on 127.0.0.1 for the sink: %s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	s = mem_zalloc(sizeof(*s));
	s->fd = fd;
	s->port = ntohs(address.sin_port);
	s->domain = mem_strdup(domain);
	drill_sink_expect(s, count);
	return s;
}

static void
connection_free(struct sink_connection *c)
{
	close(c->fd);
	buf_free(&c->out);
	free(c);
}

void
drill_sink_free(struct drill_sink *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < CONNECTIONS; i++)
		if (s->connections[i] != NULL)
			connection_free(s->connections[i]);
	close(s->fd);
	free(s->seen);
	free(s->domain);
	free(s);
}

uint16_t
drill_sink_port(const struct drill_sink *s)
{
	return s->port;
}

void
drill_sink_expect(struct drill_sink *s, uint32_t count)
{
	size_t had = s->seen != NULL ? s->count / 8 + 1 : 0, bytes = count / 8 + 1;

	if (bytes > had) {
		s->seen = mem_resize(s->seen, bytes);
		memset(s->seen + had, 0, bytes - had);
	}
	s->count = count;
}

const struct drill_sink_counts *
drill_sink_counts(const struct drill_sink *s)
{
	return &s->counts;
}

size_t
drill_sink_fds(const struct drill_sink *s, struct pollfd fds[DRILL_SINK_FDS])
{
	size_t n = 0;

	fds[n++] = (struct pollfd){.fd = s->fd, .events = POLLIN};
	for (size_t i = 0; i < CONNECTIONS; i++) {
		const struct sink_connection *c = s->connections[i];

		if (c != NULL)
			fds[n++] = (struct pollfd){
			    .fd = c->fd, .events = c->out.len > 0 ? POLLIN | POLLOUT : POLLIN};
	}
	return n;
}

/* Who comes when all places are taken is hung up on; the relay tries again. */
static void
sink_accept(struct drill_sink *s)
{
	struct sink_connection *c;
	size_t i;
	int fd;

	while ((fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		for (i = 0; i < CONNECTIONS && s->connections[i] != NULL; i++)
			;
		if (i == CONNECTIONS) {
			close(fd);
			continue;
		}
		c = mem_zalloc(sizeof(*c));
		c->fd = fd;
		c->talk.domain = s->domain;
		c->talk.take = sink_take;
		c->talk.context = s;
		drill_talk_start(&c->talk, &c->out);
		s->connections[i] = c;
	}
}

/* False once it is over. */
static bool
connection_serve(struct sink_connection *c)
{
	char data[READ_BYTES];
	ssize_t n;

	/* A peer that reads nothing is read no more from. */
	while (c->out.len < OUT_MOST && c->talk.state != DRILL_TALK_ENDED) {
		n = recv(c->fd, data, sizeof(data), 0);
		if (n == 0)
			return false;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (n < 0)
			break;
		drill_talk_feed(&c->talk, data, (size_t)n, &c->out);
	}
	while (c->out.len > 0) {
		n = send(c->fd, c->out.data, c->out.len, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		buf_drop(&c->out, (size_t)n);
	}
	return c->talk.state != DRILL_TALK_ENDED;
}

void
drill_sink_serve(struct drill_sink *s, int milliseconds)
{
	struct pollfd fds[DRILL_SINK_FDS];
	size_t count = drill_sink_fds(s, fds);

	/* What poll(2) says is not needed: each is asked, none of them blocks. */
	(void)poll(fds, count, milliseconds);
	sink_accept(s);
	for (size_t i = 0; i < CONNECTIONS; i++) {
		if (s->connections[i] == NULL || connection_serve(s->connections[i]))
			continue;
		connection_free(s->connections[i]);
		s->connections[i] = NULL;
	}
}
