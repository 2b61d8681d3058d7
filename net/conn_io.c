/*
 * A connection's bytes: reading and what the owner makes of it, sending, the handshake of TLS.
 * Called by the loop's events and net/conn.c, on the connection's loop; owns nothing.
 *
 * What is written goes out when the outermost callback of this connection returns, or, written from
 * elsewhere, at the end of the loop's turn (conn_turn): one write for all that a turn has to say.
 * Only where the socket takes no more, the loop is asked when it will.
 *
 * Input is read into the loop's scratch and shown to the owner there, so that a connection at rest
 * has no buffer; what is left over is kept in `in`. A paused connection stays registered with the
 * loop until something comes: most owners go on before that, and each registration is a system
 * call.
 */
#include "net/conn_io.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "net/tls_session.h"

static void conn_flush(struct conn *c);

void
conn_watch_input(struct conn *c, bool on)
{
	if (c->reads == on)
		return;
	c->reads = on;
	if (on ? event_add(&c->reading, NULL) < 0 : event_del(&c->reading) < 0)
		fatal("out of memory");
}

/* The owner's limit is on the time that passes while nothing can be sent. */
void
conn_watch_output(struct conn *c, bool on)
{
	bool limited = c->state == CONN_OPEN && c->write_limit > 0;
	struct timeval tv = {.tv_sec = c->write_limit / 1000000,
			     .tv_usec = c->write_limit % 1000000};

	if (c->writes == on)
		return;
	c->writes = on;
	if (on ? event_add(&c->writing, limited ? &tv : NULL) < 0 : event_del(&c->writing) < 0)
		fatal("out of memory");
}

/* Until secured() the limit and the reading are the handshake's, not the owner's. */
bool
conn_is_shaking(const struct conn *c)
{
	return c->state == CONN_CLEARING || c->state == CONN_SHAKING;
}

bool
conn_wants_input(const struct conn *c)
{
	return !c->freed && !c->paused && !c->deaf && c->state == CONN_OPEN;
}

static size_t
conn_in_len(const struct conn *c)
{
	return c->in.len - c->in_used;
}

/* The outermost callback's end: what it wrote goes out. */
void
conn_leave(struct conn *c)
{
	if (--c->callbacks > 0)
		return;
	if (c->freed)
		conn_destroy(c);
	else if (conn_pending(c) > 0 || c->ask_drained)
		conn_flush(c);
}

/* Silence begins anew with each octet of content; with TLS not with those on the wire, or a record
 * that trickles, or many without content, would keep a connection for ever. */
void
conn_watch_silence(struct conn *c)
{
	if (conn_wants_input(c) && c->read_limit > 0)
		conn_set_timer(c, c->read_limit);
	else if (c->timer != NULL)
		loop_timer_cancel(c->timer);
}

void
conn_end_with(struct conn *c, enum conn_end end, const char *why)
{
	/*
	 * After a silence, or where the peer has only closed its side, the owner may still send
	 * what is written and a goodbye, with conn_finish().
	 */
	c->deaf = true;
	if (c->fd >= 0)
		conn_watch_input(c, false);
	if (c->timer != NULL)
		loop_timer_cancel(c->timer);
	if (end == CONN_ERROR) {
		c->state = CONN_ENDED;
		if (c->fd >= 0)
			conn_watch_output(c, false);
	}
	c->callbacks++;
	c->owner->closed(c->context, end, why);
	conn_leave(c);
}

static void
conn_fail(struct conn *c, int error)
{
	struct buf why = {0};

	if (c->tls != NULL)
		tls_session_explain(c->tls, conn_is_shaking(c), error, &why);
	else
		buf_add_text(&why, strerror(error));
	conn_end_with(c, CONN_ERROR, buf_text(&why));
	buf_free(&why);
}

/*
 * Offers what there is, at most CONN_INPUT_MAX at once; returns how much was used. Ends a
 * connection whose owner cannot do anything even with that: it would wait for ever.
 */
static size_t
conn_feed(struct conn *c, const char *data, size_t len)
{
	size_t at = 0, have, used;

	while (at < len && conn_wants_input(c)) {
		have = len - at < CONN_INPUT_MAX ? len - at : CONN_INPUT_MAX;
		used = c->owner->input(c->context, data + at, have);
		at += used;
		if (used > 0)
			continue;
		if (have == CONN_INPUT_MAX && conn_wants_input(c))
			conn_end_with(c, CONN_ERROR, "the peer sent too long a line");
		break;
	}
	return at;
}

/* What the owner does not use of `in` stays there, at its beginning. */
static void
conn_offer(struct conn *c)
{
	c->look = false;
	if (conn_in_len(c) == 0)
		return;
	c->in_used += conn_feed(c, c->in.data + c->in_used, conn_in_len(c));
	if (conn_in_len(c) == 0)
		buf_free(&c->in);
	else
		buf_drop(&c->in, c->in_used);
	c->in_used = 0;
}

static void
conn_take(struct conn *c, const char *data, size_t len)
{
	size_t used;

	conn_watch_silence(c);
	if (conn_in_len(c) > 0) {
		buf_add(&c->in, data, len);
		conn_offer(c);
		return;
	}
	used = conn_feed(c, data, len);
	if (used < len && !c->freed)
		buf_add(&c->in, data + used, len - used);
}

static void
conn_end_of_input(struct conn *c)
{
	conn_end_with(c, CONN_EOF, "the peer closed the connection");
}

static void
conn_read_clear(struct conn *c, char *scratch, size_t room)
{
	ssize_t n = recv(c->fd, scratch, room, 0);

	if (n > 0)
		conn_take(c, scratch, (size_t)n);
	else if (n == 0)
		conn_end_of_input(c);
	else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
		conn_fail(c, errno);
}

/* A full record is rarely the last one. */
static void
conn_read_tls(struct conn *c, char *scratch, size_t room)
{
	enum tls_session_result result;
	size_t got, have = 0;
	int error;

	do {
		result = tls_session_read(c->tls, scratch + have, room - have, &got);
		have += got;
	} while (got == TLS_RECORD_BYTES && room - have >= TLS_RECORD_BYTES);
	error = errno;
	if (have > 0)
		conn_take(c, scratch, have);
	if (c->freed || c->state != CONN_OPEN || c->deaf)
		return;
	if (result == TLS_SESSION_EOF && conn_wants_input(c))
		conn_end_of_input(c); /* else it is met again */
	else if (result == TLS_SESSION_FAILED)
		conn_fail(c, error);
	else if (result == TLS_SESSION_WANTS_OUTPUT)
		conn_watch_output(c, true);
}

static void
conn_read(struct conn *c)
{
	char *scratch = loop_scratch(c->loop);

	c->callbacks++;
	if (c->look) /* else there might be no room */
		conn_offer(c);
	if (!conn_wants_input(c))
		;
	else if (c->tls != NULL) /* a record more than an owner sees at once */
		conn_read_tls(c, scratch, LOOP_SCRATCH_BYTES - conn_in_len(c));
	else
		conn_read_clear(c, scratch, CONN_INPUT_MAX - conn_in_len(c));
	conn_leave(c);
}

static void
conn_secured(struct conn *c)
{
	c->state = CONN_OPEN;
	c->secured = true;
	c->peer_name = tls_session_peer_name(c->tls);
	c->security = (struct conn_security){.version = tls_session_version(c->tls),
					     .cipher = tls_session_cipher(c->tls),
					     .peer_name = c->peer_name};
	conn_watch_output(c, false);
	conn_watch_silence(c);
	c->callbacks++;
	c->owner->secured(c->context);
	conn_leave(c);
}

static void
conn_shake(struct conn *c)
{
	enum tls_session_result result = tls_session_shake(c->tls);

	if (result == TLS_SESSION_DONE)
		conn_secured(c);
	else if (result == TLS_SESSION_EOF)
		conn_end_with(c, CONN_ERROR, "TLS: the peer closed the connection");
	else if (result == TLS_SESSION_FAILED)
		conn_fail(c, errno);
	else
		conn_watch_output(c, result == TLS_SESSION_WANTS_OUTPUT);
}

/*
 * The handshake begins when all that goes in clear has gone. What the peer sent in clear behind its
 * STARTTLS dies here, unread; behind its answer to ours it is an attack, or broken.
 */
static void
conn_cleared(struct conn *c)
{
	if (!tls_session_is_server(c->tls) && conn_in_len(c) > 0) {
		conn_end_with(c, CONN_ERROR, "TLS: the peer sent clear text before the handshake");
		return;
	}
	buf_free(&c->in);
	c->in_used = 0;
	c->state = CONN_SHAKING;
	tls_session_attach(c->tls, c->fd);
	conn_watch_input(c, true);
	conn_shake(c);
}

/* No callback within. */
static enum conn_sent
conn_send_clear(struct conn *c, size_t len)
{
	while (len > 0) {
		int n = evbuffer_write_atmost(c->out, c->fd, (ev_ssize_t)len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno != EAGAIN && errno != EWOULDBLOCK ? SENT_FAILED
										: SENT_BLOCKED;
		len -= (size_t)n;
		if (c->state == CONN_CLEARING)
			c->clear_left = len;
	}
	return SENT_ALL;
}

static enum conn_sent
conn_send_tls(struct conn *c)
{
	switch (tls_session_write(c->tls, c->out)) {
	case TLS_SESSION_DONE:
		return SENT_ALL;
	case TLS_SESSION_WANTS_INPUT: /* a handshake within: only TLS 1.2's, which is off */
	case TLS_SESSION_WANTS_OUTPUT:
		return SENT_BLOCKED;
	case TLS_SESSION_EOF:
	case TLS_SESSION_FAILED:
		break;
	}
	return SENT_FAILED;
}

enum conn_sent
conn_send(struct conn *c)
{
	if (c->state == CONN_CLEARING)
		return conn_send_clear(c, c->clear_left);
	if (conn_pending(c) == 0)
		return SENT_ALL;
	return c->tls != NULL ? conn_send_tls(c) : conn_send_clear(c, conn_pending(c));
}

/*
 * An upstream that hangs up on us has mostly said why just before: that is heard first. A client
 * that hangs up is not listened to: it would not hear what became of its message.
 */
static void
conn_cannot_send(struct conn *c, int error)
{
	struct buf why = {0};

	if (c->tls != NULL)
		tls_session_explain(c->tls, false, error, &why);
	else
		buf_add_text(&why, strerror(error));
	conn_watch_output(c, false);
	c->lost = conn_pending(c);
	evbuffer_drain(c->out, c->lost);
	if (c->dialed && conn_wants_input(c))
		conn_read(c);
	if (!c->freed && c->state != CONN_ENDED && !c->deaf)
		conn_end_with(c, CONN_ERROR, buf_text(&why));
	buf_free(&why);
}

/* All is sent: what was waiting for that. */
static void
conn_drained(struct conn *c)
{
	conn_watch_output(c, false);
	c->ask_drained = false;
	if (c->state == CONN_CLEARING)
		conn_cleared(c);
	else if (c->state == CONN_FINISHING)
		conn_free(c);
	else if (c->state == CONN_OPEN && c->owner->drained != NULL)
		c->owner->drained(c->context);
}

/* Sends, and lets the owner write more as long as all of it goes. Never within a callback. */
static void
conn_flush(struct conn *c)
{
	enum conn_sent sent = SENT_ALL;
	int error = 0;

	if (c->flushing)
		return;
	c->flushing = true;
	c->callbacks++;
	while (sent == SENT_ALL && !c->freed &&
	       (c->state == CONN_CLEARING || (c->state == CONN_OPEN && c->ask_drained) ||
		((c->state == CONN_OPEN || c->state == CONN_FINISHING) && conn_pending(c) > 0))) {
		sent = conn_send(c);
		error = errno;
		if (sent == SENT_ALL)
			conn_drained(c);
	}
	if (sent == SENT_BLOCKED)
		conn_watch_output(c, true);
	else if (sent == SENT_FAILED && c->state == CONN_FINISHING)
		conn_free(c);
	else if (sent == SENT_FAILED)
		conn_cannot_send(c, error);
	c->flushing = false;
	if (--c->callbacks == 0 && c->freed)
		conn_destroy(c);
}

void
conn_turn(struct loop_turn *turn)
{
	struct conn *c = (struct conn *)(void *)((char *)turn - offsetof(struct conn, turn));

	c->callbacks++;
	if (c->look)
		conn_offer(c);
	c->callbacks--;
	if (c->freed)
		conn_destroy(c);
	else
		conn_flush(c);
}

void
conn_readable(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;

	(void)fd;
	(void)what;
	if (c->state == CONN_SHAKING)
		conn_shake(c);
	else if (conn_wants_input(c))
		conn_read(c);
	else
		conn_watch_input(c, false);
}

void
conn_writable(evutil_socket_t fd, short what, void *context)
{
	struct conn *c = context;

	(void)fd;
	if (what & EV_TIMEOUT) {
		conn_watch_output(c, false);
		conn_end_with(c, CONN_ERROR, "timed out");
	} else if (c->state == CONN_SHAKING) {
		conn_shake(c);
	} else if (conn_pending(c) > 0) {
		conn_flush(c);
	} else { /* what TLS had to say for itself in conn_read_tls() */
		conn_watch_output(c, false);
		if (conn_wants_input(c))
			conn_read(c);
	}
}
