/*
 * One connection: greeting, EHLO, STARTTLS and EHLO again, then mail after mail; MAIL, RCPT and
 * DATA in one write where the server takes PIPELINING, else one by one. It opens again until all
 * mails are begun. A mail that was under way when the connection broke counts as broken and is not
 * sent again, so that what the relay acknowledged can be counted.
 */
#include "tests/bench/talk.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

enum talk_state {
	TALK_CLOSED,
	TALK_GREETING,
	TALK_EHLO,
	TALK_STARTTLS,
	TALK_HANDSHAKE,
	TALK_READY, /* waits for its turn */
	TALK_ENVELOPE,
	TALK_CONTENT,
	TALK_RESET,
	TALK_QUIT,
	TALK_IDLE
};

struct talk {
	struct blast *b;
	enum talk_state state;
	int fd;
	SSL *tls;
	bool pipelining, eightbit, starttls; /* what the server offers */
	bool wants_write;
	struct buf out;
	size_t sent;
	char in[4096];
	size_t in_len;
	int64_t began_at; /* the mail; of the first on a connection, the connection */
	uint64_t number, done;
	unsigned step;  /* command of the envelope whose reply is due */
	unsigned taken; /* recipients */
	unsigned bad;   /* first code that refused something; 0 = none */
};

int64_t
talk_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

struct talk *
talk_new(struct blast *b)
{
	struct talk *t = mem_zalloc(sizeof(*t));

	t->b = b;
	t->fd = -1;
	return t;
}

void
talk_free(struct talk *t)
{
	if (t->tls != NULL)
		SSL_free(t->tls);
	if (t->fd >= 0)
		close(t->fd);
	buf_free(&t->out);
	free(t);
}

static void
end_mail(struct talk *t)
{
	t->b->ended++;
	t->done++;
}

static void
shut(struct talk *t)
{
	struct blast *b = t->b;

	switch (t->state) {
	case TALK_ENVELOPE:
	case TALK_CONTENT:
		b->broken++;
		end_mail(t);
		break;
	case TALK_GREETING:
	case TALK_EHLO:
	case TALK_STARTTLS:
	case TALK_HANDSHAKE:
		b->connecting--;
		/* A server that lets nobody in must not keep us here for ever. */
		if (b->begun < b->count) {
			b->begun++;
			b->unreached++;
			end_mail(t);
		}
		break;
	case TALK_IDLE:
		b->idling--;
		break;
	default:
		break;
	}
	t->state = TALK_CLOSED;
	SSL_free(t->tls);
	t->tls = NULL;
	close(t->fd);
	t->fd = -1;
	b->open--;
	if (!b->idle)
		talk_open(t);
}

void
talk_open(struct talk *t)
{
	struct blast *b = t->b;
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = t};
	int one = 1;

	if (!b->idle && b->begun >= b->count)
		return;
	t->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (t->fd < 0) {
		perror("blast: socket");
		exit(1);
	}
	setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	t->state = TALK_GREETING;
	t->began_at = talk_now();
	t->done = 0;
	t->in_len = t->sent = 0;
	t->wants_write = false;
	buf_clear(&t->out);
	b->open++;
	b->connecting++;
	if ((connect(t->fd, (const struct sockaddr *)&b->server, sizeof(b->server)) != 0 &&
	     errno != EINPROGRESS) ||
	    epoll_ctl(b->epoll, EPOLL_CTL_ADD, t->fd, &e) != 0) {
		perror("blast: connect");
		exit(1);
	}
}

/* ---- bytes ---- */

static void
want_write(struct talk *t, bool want)
{
	struct epoll_event e = {.events = want ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = t};

	if (t->wants_write == want)
		return;
	t->wants_write = want;
	epoll_ctl(t->b->epoll, EPOLL_CTL_MOD, t->fd, &e);
}

/* Bytes moved, 0 = later, -1 = the connection is gone. */
static ssize_t
moved(struct talk *t, ssize_t n)
{
	int why;

	if (n > 0)
		return n;
	if (t->tls == NULL)
		return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
	why = SSL_get_error(t->tls, (int)n);
	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* False if the connection is gone. */
static bool
flush(struct talk *t)
{
	while (t->sent < t->out.len) {
		const char *data = t->out.data + t->sent;
		size_t len = t->out.len - t->sent;
		ssize_t n = moved(t, t->tls != NULL ? SSL_write(t->tls, data, (int)len)
						    : write(t->fd, data, len));

		if (n < 0)
			return false;
		if (n == 0) {
			want_write(t, true);
			return true;
		}
		t->sent += (size_t)n;
	}
	want_write(t, false);
	t->sent = 0;
	buf_clear(&t->out);
	return true;
}

/* ---- one mail ---- */

static void
add_command(struct talk *t, unsigned step)
{
	const struct blast *b = t->b;
	char to[LETTERS_ADDRESS_BYTES];

	if (step == 0) {
		buf_printf(&t->out, "MAIL FROM:<%s>%s\r\n", b->sender,
			   t->eightbit && letters_are_8bit(b->letters) ? " BODY=8BITMIME" : "");
	} else if (step <= b->recipients) {
		letters_address(t->number, step - 1, to);
		buf_printf(&t->out, "RCPT TO:<%s>\r\n", to);
	} else {
		buf_add_text(&t->out, "DATA\r\n");
	}
}

static bool
may_begin(const struct blast *b)
{
	return b->rate <= 0 ||
	       (double)b->begun < (double)(talk_now() - b->started_at) * b->rate / 1e6;
}

static void
begin(struct talk *t)
{
	struct blast *b = t->b;
	unsigned i;

	if (b->idle) {
		t->state = TALK_IDLE;
		b->idling++;
		return;
	}
	if (b->begun >= b->count || (b->per_connection > 0 && t->done >= b->per_connection)) {
		t->state = TALK_QUIT;
		buf_add_text(&t->out, "QUIT\r\n");
		return;
	}
	t->state = TALK_READY;
	if (!may_begin(b))
		return;
	t->state = TALK_ENVELOPE;
	t->number = b->first + b->begun++;
	t->step = t->taken = t->bad = 0;
	if (t->done > 0 || b->rate > 0)
		t->began_at = talk_now();
	for (i = 0; i <= (t->pipelining ? b->recipients + 1 : 0); i++)
		add_command(t, i);
}

void
talk_nudge(struct talk *t)
{
	if (t->state != TALK_READY)
		return;
	begin(t);
	if (!flush(t))
		shut(t);
}

static void
add_content(struct talk *t)
{
	size_t before = t->out.len;

	if (t->taken > 0)
		letters_add(t->b->letters, t->number, &t->out);
	buf_add_text(&t->out, ".\r\n");
	t->b->bytes += t->out.len - before;
	t->state = TALK_CONTENT;
}

static void
take_envelope_reply(struct talk *t, unsigned code)
{
	struct blast *b = t->b;
	bool last = t->step == b->recipients + 1;

	if (t->step > 0 && !last && code < 300)
		t->taken++;
	if (code >= 400 && t->bad == 0)
		t->bad = code;
	if (!last) {
		t->step++;
		if (!t->pipelining)
			add_command(t, t->step);
		return;
	}
	if (code == 354) {
		add_content(t);
		return;
	}
	b->failed[t->bad]++;
	end_mail(t);
	t->state = TALK_RESET;
	buf_add_text(&t->out, "RSET\r\n");
}

static void
take_content_reply(struct talk *t, unsigned code)
{
	struct blast *b = t->b;

	if (code == 250)
		b->latency[b->accepted++] = (uint32_t)(talk_now() - t->began_at);
	else
		b->failed[code]++;
	end_mail(t);
	begin(t);
}

static void
start_tls(struct talk *t)
{
	t->state = TALK_HANDSHAKE;
	t->tls = SSL_new(t->b->tls);
	if (t->tls == NULL || SSL_set_fd(t->tls, t->fd) != 1) {
		fputs("blast: no memory for TLS\n", stderr);
		exit(1);
	}
	SSL_set_connect_state(t->tls);
}

static void
say_ehlo(struct talk *t)
{
	t->state = TALK_EHLO;
	t->pipelining = t->eightbit = t->starttls = false;
	buf_add_text(&t->out, "EHLO client.example\r\n");
}

/* A whole reply; false ends the connection. */
static bool
take_reply(struct talk *t, unsigned code)
{
	bool fine = code >= 200 && code < 400;

	switch (t->state) {
	case TALK_GREETING:
		say_ehlo(t);
		return fine;
	case TALK_EHLO:
		if (!fine)
			return false;
		if (t->b->tls == NULL || t->tls != NULL) {
			t->b->connecting--;
			begin(t);
			return true;
		}
		t->state = TALK_STARTTLS;
		buf_add_text(&t->out, "STARTTLS\r\n");
		return t->starttls;
	case TALK_STARTTLS:
		if (fine)
			start_tls(t);
		return fine;
	case TALK_ENVELOPE:
		take_envelope_reply(t, code);
		return true;
	case TALK_CONTENT:
		take_content_reply(t, code);
		return true;
	case TALK_RESET:
		begin(t);
		return fine;
	default: /* to QUIT; or nobody has asked: 421 */
		return false;
	}
}

/* False ends the connection. */
static bool
take_line(struct talk *t, const char *line, size_t len)
{
	unsigned code;

	if (len < 3 || !isdigit((unsigned char)line[0]) || !isdigit((unsigned char)line[1]) ||
	    !isdigit((unsigned char)line[2]) || line[0] > '5')
		return false;
	code = (unsigned)((line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0'));
	if (t->state == TALK_EHLO && len > 4) {
		t->pipelining |= strncasecmp(line + 4, "PIPELINING", 10) == 0;
		t->eightbit |= strncasecmp(line + 4, "8BITMIME", 8) == 0;
		t->starttls |= strncasecmp(line + 4, "STARTTLS", 8) == 0;
	}
	return (len > 3 && line[3] == '-') || take_reply(t, code);
}

static bool
take_lines(struct talk *t)
{
	char *at = t->in, *end;

	while ((end = memchr(at, '\n', t->in_len - (size_t)(at - t->in))) != NULL) {
		if (!take_line(t, at, (size_t)(end - at)))
			return false;
		at = end + 1;
	}
	t->in_len -= (size_t)(at - t->in);
	memmove(t->in, at, t->in_len);
	return t->in_len < sizeof(t->in);
}

static bool
read_some(struct talk *t)
{
	ssize_t n;

	do {
		size_t room = sizeof(t->in) - t->in_len;

		n = moved(t, t->tls != NULL ? SSL_read(t->tls, t->in + t->in_len, (int)room)
					    : read(t->fd, t->in + t->in_len, room));
		if (n < 0)
			return false;
		t->in_len += (size_t)n;
		if (n > 0 && !take_lines(t))
			return false;
	} while (t->tls != NULL && t->state != TALK_HANDSHAKE && SSL_pending(t->tls) > 0);
	return true;
}

static bool
shake_hands(struct talk *t)
{
	int n = SSL_do_handshake(t->tls), why;

	if (n == 1) {
		want_write(t, false);
		say_ehlo(t);
		return true;
	}
	why = SSL_get_error(t->tls, n);
	want_write(t, why == SSL_ERROR_WANT_WRITE);
	return why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ;
}

void
talk_go_on(struct talk *t)
{
	if (t->state == TALK_CLOSED)
		return;
	if (t->state != TALK_HANDSHAKE && !read_some(t)) {
		shut(t);
		return;
	}
	if (t->state == TALK_HANDSHAKE && !shake_hands(t)) {
		shut(t);
		return;
	}
	if (!flush(t))
		shut(t);
}
