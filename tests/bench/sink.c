/*
 * sink: an SMTP server that takes everything, counts it and forgets it: the smarthost of every
 * measurement of tests/bench/run, for the gate and for Postfix. One thread, one epoll. Its first
 * line of output is the port; then it answers what is asked on stdin, one JSON object a line:
 *
 *     count      what came so far
 *     wait N     the same, once N mails have come
 *     zero       counts from 0 again
 *
 * and ends with stdin.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum { INPUT_BYTES = 65536, LINE_BYTES = 4096, EVENTS = 256 };

struct peer {
	int fd;
	SSL *tls;
	bool shaking; /* the handshake is not done */
	bool data;    /* content, until its final dot */
	bool ending;  /* after QUIT */
	/* How much of CRLF.CRLF the end of the last piece was; DATA's own CRLF counts. */
	unsigned matched;
	char line[LINE_BYTES]; /* a command that is not whole yet */
	size_t line_len;
	struct buf out;
};

static struct {
	int epoll;
	SSL_CTX *tls;
	uint64_t mails, bytes, connections;
	int64_t first_us, last_us; /* monotonic: when a mail came */
	uint64_t wanted;           /* by `wait`; 0 = nobody waits */
	char input[INPUT_BYTES];
	char asked[256];
	size_t asked_len;
} sink;

static int64_t
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* ---- what it says of itself ---- */

static void
print_count(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	printf("{\"mails\": %ju, \"bytes\": %ju, \"connections\": %ju, \"first_us\": %jd, "
	       "\"last_us\": %jd, \"cpu_us\": %jd}\n",
	       (uintmax_t)sink.mails, (uintmax_t)sink.bytes, (uintmax_t)sink.connections,
	       (intmax_t)sink.first_us, (intmax_t)sink.last_us,
	       (intmax_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
		   u.ru_stime.tv_usec);
	fflush(stdout);
}

static void
answer(const char *line)
{
	if (strncmp(line, "wait ", 5) == 0) {
		sink.wanted = strtoull(line + 5, NULL, 10);
		if (sink.wanted > sink.mails)
			return;
		sink.wanted = 0;
	} else if (strcmp(line, "zero") == 0) {
		sink.mails = sink.bytes = sink.connections = 0;
		sink.first_us = sink.last_us = 0;
	}
	print_count();
}

/* False at its end. */
static bool
hear_stdin(void)
{
	ssize_t n = read(STDIN_FILENO, sink.asked + sink.asked_len,
			 sizeof(sink.asked) - 1 - sink.asked_len);
	char *end;

	if (n <= 0)
		return false;
	sink.asked_len += (size_t)n;
	while ((end = memchr(sink.asked, '\n', sink.asked_len)) != NULL) {
		*end = '\0';
		answer(sink.asked);
		sink.asked_len -= (size_t)(end + 1 - sink.asked);
		memmove(sink.asked, end + 1, sink.asked_len);
	}
	return sink.asked_len < sizeof(sink.asked) - 1;
}

static void
count_mail(void)
{
	sink.last_us = now();
	if (sink.mails++ == 0)
		sink.first_us = sink.last_us;
	if (sink.wanted > 0 && sink.mails >= sink.wanted) {
		sink.wanted = 0;
		print_count();
	}
}

/* ---- SMTP ---- */

static void
run_line(struct peer *p, const char *line, size_t len)
{
	static const char features[] = "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n";

	if (len >= 4 && strncasecmp(line, "EHLO", 4) == 0) {
		buf_add_text(&p->out, features);
		if (sink.tls != NULL && p->tls == NULL)
			buf_add_text(&p->out, "250-STARTTLS\r\n");
		buf_add_text(&p->out, "250 SIZE 100000000\r\n");
	} else if (len >= 4 && strncasecmp(line, "DATA", 4) == 0) {
		p->data = true;
		p->matched = 2;
		buf_add_text(&p->out, "354 go on\r\n");
	} else if (len >= 4 && strncasecmp(line, "QUIT", 4) == 0) {
		p->ending = true;
		buf_add_text(&p->out, "221 2.0.0 bye\r\n");
	} else if (len >= 8 && strncasecmp(line, "STARTTLS", 8) == 0 && sink.tls != NULL) {
		p->shaking = true;
		buf_add_text(&p->out, "220 2.0.0 go on\r\n");
	} else {
		buf_add_text(&p->out, "250 2.0.0 ok\r\n");
	}
}

/* Content: returns how many bytes of it were taken. */
static size_t
take_data(struct peer *p, const char *data, size_t len)
{
	static const char mark[] = "\r\n.\r\n";
	size_t i = 0;

	while (i < len) {
		if (p->matched == 0) {
			const char *cr = memchr(data + i, '\r', len - i);

			if (cr == NULL)
				break;
			i = (size_t)(cr - data);
		}
		if (data[i] == mark[p->matched])
			p->matched++;
		else
			p->matched = data[i] == '\r';
		i++;
		if (p->matched == sizeof(mark) - 1) {
			p->data = false;
			sink.bytes += i;
			count_mail();
			buf_add_text(&p->out, "250 2.0.0 taken\r\n");
			return i;
		}
	}
	sink.bytes += len;
	return len;
}

/* Commands: the same. */
static size_t
take_command(struct peer *p, const char *data, size_t len)
{
	const char *end = memchr(data, '\n', len);
	size_t n = end != NULL ? (size_t)(end + 1 - data) : len;

	if (p->line_len + n > sizeof(p->line)) {
		p->ending = true;
		return len;
	}
	if (end != NULL && p->line_len == 0) {
		run_line(p, data, n);
		return n;
	}
	memcpy(p->line + p->line_len, data, n);
	p->line_len += n;
	if (end != NULL) {
		run_line(p, p->line, p->line_len);
		p->line_len = 0;
	}
	return n;
}

static void
take(struct peer *p, const char *data, size_t len)
{
	size_t i = 0;

	while (i < len && !p->ending)
		i += p->data ? take_data(p, data + i, len - i) : take_command(p, data + i, len - i);
}

/* ---- connections ---- */

static void
peer_end(struct peer *p)
{
	SSL_free(p->tls);
	close(p->fd);
	buf_free(&p->out);
	free(p);
}

/* Replies are short: one that the socket does not take at once ends the connection. */
static bool
flush(struct peer *p)
{
	ssize_t n;

	if (p->out.len == 0)
		return true;
	n = p->tls != NULL ? SSL_write(p->tls, p->out.data, (int)p->out.len)
			   : write(p->fd, p->out.data, p->out.len);
	if (n != (ssize_t)p->out.len)
		return false;
	buf_clear(&p->out);
	return true;
}

static bool
shake_hands(struct peer *p)
{
	int n;

	if (p->tls == NULL) {
		p->tls = SSL_new(sink.tls);
		if (p->tls == NULL || SSL_set_fd(p->tls, p->fd) != 1)
			return false;
	}
	n = SSL_accept(p->tls);
	if (n == 1) {
		p->shaking = false;
		return true;
	}
	return SSL_get_error(p->tls, n) == SSL_ERROR_WANT_READ;
}

/* Reads what is there; false ends it. */
static bool
hear(struct peer *p)
{
	ssize_t n;

	do {
		n = p->tls != NULL ? SSL_read(p->tls, sink.input, sizeof(sink.input))
				   : read(p->fd, sink.input, sizeof(sink.input));
		if (n <= 0 && p->tls != NULL)
			return SSL_get_error(p->tls, (int)n) == SSL_ERROR_WANT_READ && flush(p);
		if (n <= 0)
			return n < 0 && (errno == EAGAIN || errno == EINTR);
		take(p, sink.input, (size_t)n);
	} while (p->tls != NULL && !p->ending);
	return flush(p) && !p->ending;
}

static void
peer_go_on(struct peer *p)
{
	bool fine = true;

	if (!p->shaking || p->tls == NULL)
		fine = p->shaking || hear(p);
	if (fine && p->shaking)
		fine = shake_hands(p);
	if (!fine)
		peer_end(p);
}

static void
take_connection(int listener)
{
	struct epoll_event e = {.events = EPOLLIN};
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
	struct peer *p;

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	p = mem_zalloc(sizeof(*p));
	p->fd = fd;
	e.data.ptr = p;
	sink.connections++;
	buf_add_text(&p->out, "220 sink.example ESMTP\r\n");
	if (epoll_ctl(sink.epoll, EPOLL_CTL_ADD, fd, &e) != 0 || !flush(p))
		peer_end(p);
}

/* ---- start ---- */

static void
load_certificate(const char *certificate, const char *key)
{
	sink.tls = SSL_CTX_new(TLS_server_method());
	if (sink.tls == NULL || SSL_CTX_use_certificate_chain_file(sink.tls, certificate) != 1 ||
	    SSL_CTX_use_PrivateKey_file(sink.tls, key, SSL_FILETYPE_PEM) != 1) {
		fputs("sink: the certificate or its key cannot be read\n", stderr);
		exit(2);
	}
	SSL_CTX_set_session_cache_mode(sink.tls, SSL_SESS_CACHE_OFF);
}

static int
listen_on(uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	socklen_t len = sizeof(a);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) != 0 || listen(fd, SOMAXCONN) != 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) != 0) {
		perror("sink: cannot listen");
		exit(1);
	}
	printf("{\"port\": %u}\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

static void
watch(int fd, void *what)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = what};

	if (epoll_ctl(sink.epoll, EPOLL_CTL_ADD, fd, &e) != 0) {
		perror("sink: epoll");
		exit(1);
	}
}

int
main(int argc, char **argv)
{
	static char at_stdin, at_listener;
	struct epoll_event events[EVENTS];
	int listener, i, n;

	if (argc != 2 && argc != 4) {
		fputs("Usage: sink PORT [CERTIFICATE KEY]    port 0: any; its number is printed\n",
		      stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	sink.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (argc == 4)
		load_certificate(argv[2], argv[3]);
	listener = listen_on((uint16_t)strtoul(argv[1], NULL, 10));
	watch(listener, &at_listener);
	watch(STDIN_FILENO, &at_stdin);
	for (;;) {
		n = epoll_wait(sink.epoll, events, EVENTS, -1);
		for (i = 0; i < n; i++) {
			void *who = events[i].data.ptr;

			if (who == &at_listener)
				take_connection(listener);
			else if (who != &at_stdin)
				peer_go_on(who);
			else if (!hear_stdin())
				return 0;
		}
	}
}
