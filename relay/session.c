/*
 * Sessions: lines in, replies out, the limits between. Made by listener.c's hand-over, one loop
 * each; freed by session_end(), after the turn.
 */
#include "relay/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "relay/commands.h"
#include "relay/intake.h"

enum {
	/* RFC 5321 4.5.3.1.4 asks for 512; long paths with parameters need more. */
	COMMAND_LINE_MAX = 2048,
	REPLY_LINE_BYTES = 600,
	/* A client that sends but does not read is read no further. */
	REPLIES_PENDING_MAX = 65536
};

static void
session_set_state(struct session *s, enum session_state next)
{
	static const char *const names[] = {"command", "data", "storing", "ended"};
	static const unsigned char allowed[4][4] = {
	    [SESSION_COMMAND] = {[SESSION_DATA] = 1, [SESSION_ENDED] = 1},
	    [SESSION_DATA] = {[SESSION_COMMAND] = 1, [SESSION_STORING] = 1, [SESSION_ENDED] = 1},
	    [SESSION_STORING] = {[SESSION_COMMAND] = 1, [SESSION_ENDED] = 1},
	};

	log_debug("%s session.state old=%s new=%s", s->id, names[s->state], names[next]);
	if (!allowed[s->state][next])
		panic("%s session.state old=%s new=%s is not allowed", s->id, names[s->state],
		      names[next]);
	s->state = next;
}

static void
session_reply_line(struct session *s, const char *head, const char *format, va_list ap)
{
	char line[REPLY_LINE_BYTES];
	int n = snprintf(line, sizeof(line), "%s", head);
	int more = vsnprintf(line + n, sizeof(line) - 2 - (size_t)n, format, ap);
	size_t len = (size_t)n + (more > 0 ? (size_t)more : 0), i;

	if (len > sizeof(line) - 3)
		len = sizeof(line) - 3;
	/* Whatever an address or a path brought along stays one printable line. */
	for (i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || (unsigned char)line[i] >= 0x7f)
			line[i] = '?';
	log_debug("%s session.reply text=%.*s", s->id, (int)len, line);
	line[len++] = '\r';
	line[len++] = '\n';
	conn_write(s->conn, line, len);
}

void
session_reply(struct session *s, int code, const char *status, const char *format, ...)
{
	char head[24];
	va_list ap;

	if (s->state == SESSION_ENDED)
		return;
	/* Only what the client got wrong: a refused recipient or message is no fault of its SMTP.
	 */
	if ((code >= 500 && code <= 504) || code == 555)
		s->errors += !s->mail_refused;
	snprintf(head, sizeof(head), "%d %s%s", code, status ? status : "", status ? " " : "");
	va_start(ap, format);
	session_reply_line(s, head, format, ap);
	va_end(ap);
}

void
session_reply_more(struct session *s, int code, const char *format, ...)
{
	char head[8];
	va_list ap;

	snprintf(head, sizeof(head), "%d-", code);
	va_start(ap, format);
	session_reply_line(s, head, format, ap);
	va_end(ap);
}

static const struct config_listener *
find_limits(const struct config *c, const char *name)
{
	size_t i;

	for (i = 0; i < c->listener_count; i++)
		if (strcmp(c->listeners[i].name, name) == 0)
			return &c->listeners[i];
	return NULL;
}

bool
session_take_policy(struct session *s)
{
	if (s->policy != s->rl->policy) {
		policy_unref(s->policy);
		s->policy = policy_ref(s->rl->policy);
		s->environment = NULL;
		s->limits = find_limits(policy_config(s->policy), s->listener->name);
		if (s->limits != NULL)
			conn_set_timeouts(s->conn, s->limits->idle_timeout,
					  s->limits->idle_timeout);
	}
	return s->limits != NULL;
}

void
session_reset(struct session *s)
{
	if (s->message != NULL)
		message_free(s->message);
	s->message = NULL;
}

void
session_begin_data(struct session *s)
{
	session_set_state(s, SESSION_DATA);
	s->intake = intake_start(s);
	session_reply(s, 354, NULL, "End data with <CR><LF>.<CR><LF>");
}

void
session_message_done(struct session *s)
{
	s->intake = NULL;
	session_reset(s);
	s->idle_commands = 0;
	s->errors = 0;
	session_set_state(s, SESSION_COMMAND);
	if (s->rl->stopping) {
		session_stop(s);
		return;
	}
	conn_resume(s->conn);
}

/* One command line out of the input: returns how many bytes it used, 0 if the line is not whole. */
static size_t
session_take_line(struct session *s, const char *data, size_t len)
{
	const char *end = memchr(data, '\n', len);
	size_t used, line;

	if (end == NULL && len <= COMMAND_LINE_MAX && !s->line_too_long)
		return 0;
	if (end == NULL) {
		s->line_too_long = true;
		return len;
	}
	used = (size_t)(end - data) + 1;
	line = used - 1;
	if (line > 0 && data[line - 1] == '\r')
		line--;
	if (s->line_too_long || used > COMMAND_LINE_MAX) {
		s->line_too_long = false;
		session_reply(s, 500, "5.5.2", "Line too long; the limit is %d bytes",
			      COMMAND_LINE_MAX);
	} else {
		command_run(s, data, line);
	}
	return used;
}

static size_t
session_input(void *context, const char *data, size_t len)
{
	struct session *s = context;

	if (conn_pending(s->conn) > REPLIES_PENDING_MAX) {
		conn_pause(s->conn);
		return 0;
	}
	switch (s->state) {
	case SESSION_COMMAND:
		return session_take_line(s, data, len);
	case SESSION_DATA:
		return intake_feed(s->intake, data, len);
	case SESSION_STORING:
	case SESSION_ENDED:
		break;
	}
	return 0;
}

void
session_storing(struct session *s)
{
	session_set_state(s, SESSION_STORING);
	conn_pause(s->conn);
}

static void
session_drained(void *context)
{
	struct session *s = context;

	if (s->state == SESSION_COMMAND ||
	    (s->state == SESSION_DATA && !intake_is_waiting(s->intake)))
		conn_resume(s->conn);
}

/* Leaves the loop's lists and lets go of everything but the connection. */
static void
session_leave(struct session *s, const char *reason)
{
	session_set_state(s, SESSION_ENDED);
	log_info("%s session.end client=%s reason=%s", s->id, log_safe(s->client), reason);
	if (s->intake != NULL)
		intake_lost_session(s->intake);
	s->intake = NULL;
	session_reset(s);
	LIST_REMOVE(s, next);
	atomic_fetch_sub(&s->listener->connections, 1);
	metric_add(METRIC_CONNECTIONS_NOW, -1);
	relay_check_quiet(s->rl);
}

/* The memory stays until the loop's next turn: a caller up the stack may still look at the state.
 */
static void
session_free(struct session *s)
{
	policy_unref(s->policy);
	s->policy = NULL;
	free(s->client);
	free(s->helo);
	loop_free_later(s->rl->loop, s);
}

void
session_end(struct session *s, const char *reason)
{
	if (s->state == SESSION_ENDED)
		return;
	session_leave(s, reason);
	conn_finish(s->conn, 10 * CLOCK_SECOND);
	session_free(s);
}

static void
session_closed(void *context, enum conn_end end, const char *why)
{
	struct session *s = context;

	(void)why;
	if (end == CONN_TIMEOUT)
		session_reply(s, 421, "4.4.2", "Nothing came for too long; bye");
	session_end(s, end == CONN_TIMEOUT ? "timeout"
		       : end == CONN_EOF   ? "disconnected"
					   : "connection-error");
}

void
session_stop(struct session *s)
{
	if (s->state != SESSION_COMMAND)
		return;
	session_reply(s, 421, "4.3.2", "Shutting down; try again in a minute");
	session_end(s, "shutdown");
}

static const struct conn_owner session_owner = {
    .input = session_input,
    .drained = session_drained,
    .closed = session_closed,
};

/* A one-line farewell to a client for whom there is no session. Sent without waiting. */
static void
refuse(int fd, const char *client, const char *why)
{
	char line[200];
	int n = snprintf(line, sizeof(line), "421 4.3.2 %s\r\n", why);

	log_warn("- session.refused client=%s reason=%s", log_safe(client), log_safe(why));
	metric_add(METRIC_CONNECTIONS_REFUSED, 1);
	if (send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("- session.refused-unheard client=%s", log_safe(client));
	close(fd);
}

void
session_start(void *context, size_t loop_index, int fd, const char *client)
{
	struct relay_listener *listener = context;
	struct relay_loop *rl = &listener->relay->loops[loop_index];
	const struct config_listener *limits;
	struct session *s;

	limits = find_limits(policy_config(rl->policy), listener->name);
	if (limits == NULL || rl->stopping) {
		refuse(fd, client, "Shutting down; try again in a minute");
		return;
	}
	if (atomic_fetch_add(&listener->connections, 1) >= limits->max_connections) {
		atomic_fetch_sub(&listener->connections, 1);
		refuse(fd, client, "Too many connections; try again in a minute");
		return;
	}
	s = mem_zalloc(sizeof(*s));
	s->rl = rl;
	s->listener = listener;
	s->client = mem_strdup(client);
	s->policy = policy_ref(rl->policy);
	s->limits = limits;
	id_format(id_next(), s->id);
	s->conn = conn_accepted(rl->loop, fd, &session_owner, s);
	conn_set_timeouts(s->conn, limits->idle_timeout, limits->idle_timeout);
	LIST_INSERT_HEAD(&rl->sessions, s, next);
	metric_add(METRIC_CONNECTIONS, 1);
	metric_add(METRIC_CONNECTIONS_NOW, 1);
	log_info("%s session.start client=%s listener=%s", s->id, log_safe(client), listener->name);
	session_reply(s, 220, NULL, "%s ESMTP mailfuse", policy_config(s->policy)->hostname);
}
