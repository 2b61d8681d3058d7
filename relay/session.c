/*
 * Sessions: their states, lines in, replies out, the limits between. Made by listener.c's
 * hand-over, one loop each; freed by session_end(), after the turn.
 */
#include "relay/session.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "mail/sasl.h"
#include "relay/auth.h"
#include "relay/commands.h"
#include "relay/content.h"
#include "relay/intake.h"
#include "relay/keyring.h"
#include "relay/peers.h"

enum {
	/* RFC 5321 4.5.3.1.4 asks for 512; long paths with parameters need more. */
	COMMAND_LINE_MAX = 2048,
	REPLY_LINE_BYTES = 600,
	/* A client that sends but does not read is read no further. */
	REPLIES_PENDING_MAX = 65536
};

#define HANDSHAKE_LIMIT (30 * CLOCK_SECOND)

void
session_set_state(struct session *s, enum session_state next)
{
	static const char *const names[] = {"command", "tls",   "auth",    "login",
					    "data",    "chunk", "storing", "ended"};
#define TO(state) (1u << SESSION_##state)
	static const unsigned allowed[] = {
	    [SESSION_COMMAND] = TO(TLS) | TO(AUTH) | TO(LOGIN) | TO(DATA) | TO(CHUNK) | TO(ENDED),
	    [SESSION_TLS] = TO(COMMAND) | TO(ENDED),
	    [SESSION_AUTH] = TO(AUTH) | TO(LOGIN) | TO(COMMAND) | TO(ENDED),
	    [SESSION_LOGIN] = TO(COMMAND) | TO(ENDED),
	    [SESSION_DATA] = TO(COMMAND) | TO(STORING) | TO(ENDED),
	    [SESSION_CHUNK] = TO(COMMAND) | TO(STORING) | TO(ENDED),
	    [SESSION_STORING] = TO(COMMAND) | TO(ENDED),
	    [SESSION_ENDED] = 0,
	};
#undef TO

	log_debug("%s session.state old=%s new=%s", s->id, names[s->state], names[next]);
	if (!(allowed[s->state] & 1u << next))
		panic("%s session.state old=%s new=%s is not allowed", s->id, names[s->state],
		      names[next]);
	s->state = next;
}

static void
session_reply_line(struct session *s, int code, char behind, const char *status, const char *format,
		   va_list ap)
{
	char line[REPLY_LINE_BYTES];
	size_t len = 0, i;
	int more;

	line[len++] = (char)('0' + code / 100);
	line[len++] = (char)('0' + code / 10 % 10);
	line[len++] = (char)('0' + code % 10);
	line[len++] = behind;
	if (status != NULL) { /* "5.7.100" at most */
		memcpy(line + len, status, strlen(status));
		len += strlen(status);
		line[len++] = ' ';
	}
	more = vsnprintf(line + len, sizeof(line) - 2 - len, format, ap);
	len += more > 0 ? (size_t)more : 0;

	if (len > sizeof(line) - 3)
		len = sizeof(line) - 3;
	/* Whatever an address or a path brought along stays one printable line. */
	for (i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || (unsigned char)line[i] >= 0x7f)
			line[i] = '?';
	log_debug("%s session.reply text=%.*s", s->id, (int)len, line);
	if (line[0] >= '4')
		snprintf(s->refusal, sizeof(s->refusal), "%.*s", (int)len, line);
	line[len++] = '\r';
	line[len++] = '\n';
	conn_write(s->conn, line, len);
}

void
session_reply(struct session *s, int code, const char *status, const char *format, ...)
{
	va_list ap;

	if (s->state == SESSION_ENDED)
		return;
	/* Only what the client got wrong: a refused recipient or message is no fault of its SMTP.
	 */
	if ((code >= 500 && code <= 504) || code == 555)
		s->errors += !s->mail_refused;
	va_start(ap, format);
	session_reply_line(s, code, ' ', status, format, ap);
	va_end(ap);
}

void
session_reply_more(struct session *s, int code, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	session_reply_line(s, code, '-', NULL, format, ap);
	va_end(ap);
}

static void
session_peer_limits(const struct config_listener *l, struct peers_limits *out)
{
	*out = (struct peers_limits){.connections = l->max_client_connections,
				     .errors = l->max_client_errors,
				     .window = l->client_errors_window};
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

/* A reload may have removed who is logged in here, or changed the password. */
static void
session_check_user(struct session *s, const struct users *now)
{
	const struct users *then = keyring_users(s->keys);
	const char *old = s->user != NULL && then != NULL ? users_find(then, s->user) : NULL;
	const char *new = s->user != NULL &&now != NULL ? users_find(now, s->user) : NULL;

	if (s->user == NULL || (old != NULL && new != NULL &&strcmp(old, new) == 0))
		return;
	log_info("%s session.login-ended user=%s", s->id, log_safe(s->user));
	free(s->user);
	s->user = NULL;
}

bool
session_take_policy(struct session *s)
{
	bool under_way = s->message != NULL || s->intake != NULL;

	relay_see_policy(s->rl);
	if (!under_way && (s->policy != s->rl->policy || s->keys != s->rl->keys)) {
		session_check_user(s, keyring_users(s->rl->keys));
		policy_unref(s->policy);
		s->policy = policy_ref(s->rl->policy);
		keyring_unref(s->keys);
		s->keys = keyring_ref(s->rl->keys);
		s->limits = find_limits(policy_config(s->policy), s->listener->name);
		if (s->limits != NULL)
			conn_set_timeouts(s->conn, s->limits->idle_timeout,
					  s->limits->idle_timeout);
	}
	return s->limits != NULL;
}

bool
session_is_welcome(struct session *s)
{
	if (session_take_policy(s) &&
	    (s->limits->tls != CONFIG_TLS_IMPLICIT || conn_security(s->conn) != NULL))
		return true;
	session_reply(s, 421, "4.3.2", "This listener has changed; connect again");
	session_end(s, "listener-changed");
	return false;
}

void
session_reset(struct session *s)
{
	if (s->message != NULL)
		message_free(s->message);
	s->message = NULL;
	if (s->intake != NULL)
		intake_lost_session(s->intake);
	s->intake = NULL;
}

static void
session_greet(struct session *s)
{
	s->greeted = true;
	session_reply(s, 220, NULL, "%s ESMTP mailfuse", policy_config(s->policy)->hostname);
}

static void
session_shake_hands(struct session *s)
{
	int64_t limit =
	    s->limits->idle_timeout < HANDSHAKE_LIMIT ? s->limits->idle_timeout : HANDSHAKE_LIMIT;

	session_set_state(s, SESSION_TLS);
	conn_start_tls(s->conn, keyring_listener(s->keys, s->listener->name), NULL, limit);
}

void
session_start_tls(struct session *s)
{
	session_reply(s, 220, "2.0.0", "Ready to start TLS");
	session_shake_hands(s);
}

/* The handshake is done; all that was said in clear does not count (RFC 3207 4.2). */
static void
session_secured(void *context)
{
	struct session *s = context;
	const struct conn_security *security = conn_security(s->conn);

	log_info("%s session.tls version=%s cipher=%s name=%s", s->id, security->version,
		 security->cipher, log_safe(security->peer_name));
	session_set_state(s, SESSION_COMMAND);
	session_reset(s);
	free(s->helo);
	s->helo = NULL;
	free(s->user);
	s->user = NULL;
	if (!s->greeted)
		session_greet(s);
}

void
session_set_login_state(struct session *s, enum session_state next)
{
	session_set_state(s, next);
	if (next == SESSION_LOGIN)
		conn_pause(s->conn);
	else
		conn_resume(s->conn);
	if (next == SESSION_COMMAND && s->rl->stopping)
		session_stop(s);
}

void
session_begin_data(struct session *s)
{
	session_set_state(s, SESSION_DATA);
	s->content_since = 0;
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

bool
session_add_error(struct session *s, uint32_t weight)
{
	struct peers_limits limits;

	session_peer_limits(s->limits, &limits);
	return peers_error(s->rl->relay->peers, s->client, &limits, clock_mono(), weight);
}

void
session_end_errors(struct session *s)
{
	session_reply(s, 421, "4.7.0", "Too many errors from your address; try again later");
	session_end(s, "client-errors");
}

void
session_count_error(struct session *s)
{
	if (s->state != SESSION_ENDED && !session_add_error(s, 1))
		session_end_errors(s);
}

void
session_end_slow(struct session *s)
{
	session_reply(s, 421, "4.4.2", "Too slow; bye");
	session_end(s, "too-slow");
}

/* A line that takes longer than idle_timeout, although something comes now and then. */
static bool
session_line_is_too_slow(struct session *s)
{
	int64_t now = clock_mono();

	if (s->line_since == 0)
		s->line_since = now;
	if (now - s->line_since <= s->limits->idle_timeout)
		return false;
	session_end_slow(s);
	return true;
}

/* RFC 4954 4 and 4.4: AUTH and its answers may be longer than other lines. */
static size_t
session_line_max(const struct session *s, const char *data, size_t len)
{
	bool auth = s->state == SESSION_AUTH || (len >= 5 && strncasecmp(data, "AUTH ", 5) == 0);

	return auth ? SASL_LINE_MAX : COMMAND_LINE_MAX;
}

static void
session_run_line(struct session *s, const char *data, size_t len)
{
	unsigned errors = s->errors;

	if (s->state != SESSION_AUTH) {
		command_run(s, data, len);
		return;
	}
	auth_take_line(s, data, len);
	if (s->errors > errors)
		session_count_error(s);
}

/* A line that is none: says why, and the rest of it is not looked at. */
static void
session_refuse_line(struct session *s, size_t max)
{
	static const char *const bare = "A line ends with CR LF, not with LF alone";

	if (s->state == SESSION_AUTH)
		auth_cancel(s, 500, "5.5.6", max > 0 ? "That line is too long" : bare);
	else if (max > 0)
		session_reply(s, 500, "5.5.2", "Line too long; the limit is %zu bytes", max);
	else
		session_reply(s, 500, "5.5.2", "%s", bare);
	session_count_error(s);
}

/*
 * One command line out of the input: returns how many bytes it used, 0 if the line is not whole.
 * Only CR LF ends it (RFC 5321 2.3.8): what stands behind a bare LF might be somebody else's
 * command. Who sends nothing but LF is told so at once.
 */
static size_t
session_take_line(struct session *s, const char *data, size_t len)
{
	const char *lf = memchr(data, '\n', len);
	size_t used = lf != NULL ? (size_t)(lf - data) + 1 : len, max;
	bool whole = lf != NULL && lf > data && lf[-1] == '\r';

	max = session_line_max(s, data, len);
	if (lf == NULL) {
		if (session_line_is_too_slow(s) || (len <= max && s->skip == SESSION_SKIP_NONE))
			return 0;
		if (s->skip == SESSION_SKIP_NONE)
			s->skip = SESSION_SKIP_UNTOLD;
		return len - (data[len - 1] == '\r');
	}
	if (!whole) {
		if (s->skip == SESSION_SKIP_NONE)
			session_refuse_line(s, 0);
		s->skip = SESSION_SKIP_TOLD;
		return used;
	}
	s->line_since = 0;
	if (s->skip == SESSION_SKIP_NONE && used <= max) {
		session_run_line(s, data, used - 2);
		return used;
	}
	if (s->skip != SESSION_SKIP_TOLD)
		session_refuse_line(s, max);
	s->skip = SESSION_SKIP_NONE;
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
	case SESSION_AUTH:
		return session_take_line(s, data, len);
	case SESSION_DATA:
	case SESSION_CHUNK:
		return content_take(s, data, len);
	case SESSION_TLS:
	case SESSION_LOGIN:
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

void
session_go_on(struct session *s)
{
	/* It was us who kept the client waiting. */
	s->content_since = 0;
	conn_resume(s->conn);
}

static void
session_drained(void *context)
{
	struct session *s = context;

	if (s->state != SESSION_LOGIN && s->state != SESSION_STORING && s->state != SESSION_ENDED &&
	    (s->intake == NULL || !intake_is_waiting(s->intake)))
		conn_resume(s->conn);
}

/* Leaves the loop's lists and lets go of everything but the connection. */
static void
session_leave(struct session *s, const char *reason)
{
	session_set_state(s, SESSION_ENDED);
	log_info("%s session.end client=%s reason=%s%s%s", s->id, log_safe(s->client), reason,
		 s->refusal[0] != '\0' ? " refused=" : "",
		 s->refusal[0] != '\0' ? log_safe(s->refusal) : "");
	auth_free(s);
	session_reset(s);
	peers_leave(s->rl->relay->peers, s->client);
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
	keyring_unref(s->keys);
	free(s->client);
	free(s->helo);
	free(s->user);
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

	if (s->state == SESSION_TLS)
		log_info("%s session.tls-failed client=%s why=%s", s->id, log_safe(s->client),
			 log_safe(why));
	else if (end == CONN_TIMEOUT)
		session_reply(s, 421, "4.4.2", "Nothing came for too long; bye");
	session_end(s, end == CONN_TIMEOUT ? "timeout"
		       : end == CONN_EOF   ? "disconnected"
					   : "connection-error");
}

void
session_stop(struct session *s)
{
	if (s->state == SESSION_DATA || s->state == SESSION_CHUNK || s->state == SESSION_STORING)
		return;
	if (s->state != SESSION_TLS) /* where nothing can be said */
		session_reply(s, 421, "4.3.2", "Shutting down; try again in a minute");
	session_end(s, "shutdown");
}

static const struct conn_owner session_owner = {
    .secured = session_secured,
    .input = session_input,
    .drained = session_drained,
    .closed = session_closed,
};

/* A one-line farewell to a client for whom there is no session. Sent without waiting. */
static void
refuse(int fd, const char *client, bool in_clear, const char *why)
{
	char line[200];
	int n = snprintf(line, sizeof(line), "421 4.3.2 %s\r\n", why);

	log_warn("- session.refused client=%s reason=%s", log_safe(client), log_safe(why));
	metric_add(METRIC_CONNECTIONS_REFUSED, 1);
	if (in_clear && send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("- session.refused-unheard client=%s", log_safe(client));
	close(fd);
}

/* NULL if the client may come in; it is counted then. */
static const char *
session_obstacle(struct relay_listener *listener, const struct config_listener *limits,
		 const char *client)
{
	struct peers_limits peer;

	if (atomic_fetch_add(&listener->connections, 1) >= limits->max_connections) {
		atomic_fetch_sub(&listener->connections, 1);
		return "Too many connections; try again in a minute";
	}
	session_peer_limits(limits, &peer);
	switch (peers_enter(listener->relay->peers, client, &peer, clock_mono())) {
	case PEERS_OK:
		return NULL;
	case PEERS_CONNECTIONS:
		atomic_fetch_sub(&listener->connections, 1);
		return "Too many connections from your address; try again in a minute";
	case PEERS_ERRORS:
		break;
	}
	atomic_fetch_sub(&listener->connections, 1);
	return "Too many errors from your address; try again later";
}

static struct session *
session_new(struct relay_listener *listener, struct relay_loop *rl, const char *client,
	    const struct config_listener *limits)
{
	struct session *s = mem_zalloc(sizeof(*s));

	s->rl = rl;
	s->listener = listener;
	s->client = mem_strdup(client);
	s->loopback = strncmp(client, "127.", 4) == 0 || strcmp(client, "::1") == 0 ||
		      strncmp(client, "::ffff:127.", 11) == 0;
	s->policy = policy_ref(rl->policy);
	s->keys = keyring_ref(rl->keys);
	s->limits = limits;
	id_format(id_next(), s->id);
	LIST_INSERT_HEAD(&rl->sessions, s, next);
	metric_add(METRIC_CONNECTIONS, 1);
	metric_add(METRIC_CONNECTIONS_NOW, 1);
	log_info("%s session.start client=%s listener=%s", s->id, log_safe(client), listener->name);
	return s;
}

void
session_start(void *context, size_t loop_index, int fd, const char *client)
{
	struct relay_listener *listener = context;
	struct relay_loop *rl = &listener->relay->loops[loop_index];
	const struct config_listener *limits;
	const char *obstacle;
	struct session *s;

	relay_see_policy(rl);
	limits = find_limits(policy_config(rl->policy), listener->name);
	if (limits == NULL || rl->stopping) {
		refuse(fd, client, true, "Shutting down; try again in a minute");
		return;
	}
	obstacle = session_obstacle(listener, limits, client);
	if (obstacle != NULL) {
		refuse(fd, client, limits->tls != CONFIG_TLS_IMPLICIT, obstacle);
		return;
	}
	s = session_new(listener, rl, client, limits);
	s->conn = conn_accepted(rl->loop, fd, &session_owner, s);
	conn_set_timeouts(s->conn, limits->idle_timeout, limits->idle_timeout);
	if (limits->tls != CONFIG_TLS_IMPLICIT) {
		session_greet(s);
		return;
	}
	session_shake_hands(s);
}
