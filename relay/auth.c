/*
 * The AUTH exchange: PLAIN (RFC 4616) and LOGIN. Made by auth_start(), freed when the session is
 * back in COMMAND or ends. Names and passwords are wiped as soon as they are handed to login.c.
 */
#include "relay/auth.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/command.h"
#include "mail/sasl.h"
#include "relay/keyring.h"
#include "relay/guesses.h"
#include "relay/login.h"
#include "relay/peers.h"
#include "relay/session.h"

/* After so many wrong ones in one session the client has to connect again. */
enum { FAILED_MAX = 3 };

enum auth_step { AUTH_PLAIN, AUTH_NAME, AUTH_PASSWORD };

struct auth {
	enum auth_step step; /* what the next line is */
	char *name;
	struct login *login;      /* while it is checked */
	struct loop_timer *delay; /* while a no is held back */
	bool too_many;            /* and it will be the last */
};

bool
auth_is_offered(const struct session *s)
{
	bool clear = conn_security(s->conn) == NULL;

	return s->limits->auth != CONFIG_AUTH_OFF && keyring_users(s->keys) != NULL &&
	       (!clear || (s->loopback && s->limits->tls != CONFIG_TLS_REQUIRED));
}

void
auth_free(struct session *s)
{
	struct auth *a = s->auth;

	if (a == NULL)
		return;
	if (a->login != NULL)
		login_forget(a->login);
	loop_timer_free(a->delay);
	free(a->name);
	free(a);
	s->auth = NULL;
}

/* The reply has been written: on with the next command. */
static void
auth_over(struct session *s)
{
	auth_free(s);
	if (s->state == SESSION_AUTH || s->state == SESSION_LOGIN)
		session_set_login_state(s, SESSION_COMMAND);
}

void
auth_cancel(struct session *s, int code, const char *status, const char *text)
{
	session_reply(s, code, status, "%s", text);
	auth_over(s);
}

/* RFC 4954 4: a challenge, in base64. */
static void
auth_ask(struct session *s, enum auth_step step, const char *challenge)
{
	s->auth->step = step;
	session_reply(s, 334, NULL, "%s", challenge);
	session_set_login_state(s, SESSION_AUTH);
}

static void
auth_accept(struct session *s)
{
	s->user = s->auth->name;
	s->auth->name = NULL;
	peers_login_right(s->rl->relay->peers, s->client);
	log_info("%s session.login user=%s client=%s", s->id, log_safe(s->user),
		 log_safe(s->client));
	session_reply(s, 235, "2.7.0", "Authentication successful");
	auth_over(s);
}

/* The wait is over; RFC 4954 4 lets a server hang up after repeated failures. */
static void
auth_refuse(void *context)
{
	struct session *s = context;

	session_reply(s, 535, "5.7.8", "Wrong user name or password");
	if (++s->logins_failed >= FAILED_MAX) {
		session_reply(s, 421, "4.7.0", "Too many failed logins; bye");
		session_end(s, "failed-logins");
		return;
	}
	if (s->auth->too_many)
		session_end_errors(s);
	else
		auth_over(s);
}

/*
 * A guess costs time, more with each one, whatever was wrong with it. It is counted before the
 * wait: who takes the silence for a no and hangs up has made it all the same.
 */
static void
auth_deny(struct session *s)
{
	int64_t wait = peers_login_failed(s->rl->relay->peers, s->client, clock_mono());

	log_warn("%s session.login-failed user=%s client=%s wait_ms=%lld", s->id,
		 log_safe(s->auth->name), log_safe(s->client), (long long)wait / 1000);
	guesses_add(s->rl->relay->guesses, s->client, s->auth->name, clock_mono());
	if (s->state != SESSION_LOGIN)
		session_set_login_state(s, SESSION_LOGIN);
	s->auth->too_many = !session_add_error(s, PEERS_ERROR_LOGIN);
	s->auth->delay = loop_timer_new(s->rl->loop, auth_refuse, s);
	loop_timer_set(s->auth->delay, wait);
}

static void
auth_take_result(struct session *s, enum login_result result)
{
	switch (result) {
	case LOGIN_RIGHT:
		auth_accept(s);
		break;
	case LOGIN_WRONG:
		auth_deny(s);
		break;
	case LOGIN_BUSY:
		auth_cancel(s, 454, "4.7.0",
			    "Too many logins at the moment; try again in a minute");
		break;
	case LOGIN_WAIT:
		session_set_login_state(s, SESSION_LOGIN);
		break;
	}
}

static void
auth_checked(void *context, enum login_result result)
{
	struct session *s = context;

	s->auth->login = NULL;
	auth_take_result(s, result);
}

static void
auth_check(struct session *s, const char *name, const char *password)
{
	struct auth *a = s->auth;

	if (a->name == NULL)
		a->name = mem_strdup(name);
	auth_take_result(s, login_check(s->rl->relay->desk, s->rl->logins, s->rl->loop, s->keys,
					s->client, a->name, password, auth_checked, s, &a->login));
}

static void
auth_take_plain(struct session *s, const struct buf *data)
{
	const char *name, *password;

	if (sasl_read_plain(data, &name, &password))
		auth_check(s, name, password);
	else
		auth_cancel(s, 501, "5.5.2", "That is no PLAIN response (RFC 4616)");
}

static void
auth_take_login(struct session *s, const struct buf *data)
{
	bool is_name = s->auth->step == AUTH_NAME;
	const char *text;

	if (!sasl_read_login(data, is_name ? SASL_NAME_MAX : SASL_PASSWORD_MAX, &text)) {
		auth_cancel(s, 501, "5.5.2", "That is no user name or password");
	} else if (is_name) {
		s->auth->name = mem_strdup(text);
		auth_ask(s, AUTH_PASSWORD, "UGFzc3dvcmQ6"); /* "Password:" */
	} else {
		auth_check(s, s->auth->name, text);
	}
}

/* One response in base64; what was in it does not stay in memory. */
static void
auth_take_response(struct session *s, const char *text, size_t len)
{
	struct buf data = {0};

	if (!base64_decode(text, len, &data))
		auth_cancel(s, 501, "5.5.2", "That is no base64");
	else if (s->auth->step == AUTH_PLAIN)
		auth_take_plain(s, &data);
	else
		auth_take_login(s, &data);
	sasl_wipe(&data);
}

void
auth_take_line(struct session *s, const char *line, size_t len)
{
	if (len == 1 && line[0] == '*')
		auth_cancel(s, 501, "5.7.0", "Authentication cancelled");
	else
		auth_take_response(s, line, len);
}

/* Why AUTH cannot be now; false if it can. */
static bool
auth_has_obstacle(struct session *s)
{
	if (s->limits->auth == CONFIG_AUTH_OFF || keyring_users(s->keys) == NULL)
		session_reply(s, 502, "5.5.1", "AUTH is not offered here");
	else if (!auth_is_offered(s))
		session_reply(s, 538, "5.7.11", "A password needs encryption; send STARTTLS first");
	else if (s->user != NULL)
		session_reply(s, 503, "5.5.1", "You are logged in already");
	else
		return false;
	return true;
}

void
auth_start(struct session *s, const struct command *c)
{
	bool plain = c->mechanism == COMMAND_AUTH_PLAIN;

	if (auth_has_obstacle(s))
		return;
	/* Its other connections do not go on guessing when one has been shown the door. */
	if (!session_add_error(s, 0)) {
		session_end_errors(s);
		return;
	}
	s->auth = mem_zalloc(sizeof(*s->auth));
	s->auth->step = plain ? AUTH_PLAIN : AUTH_NAME;
	/* RFC 4954 4: "=" is an initial response that is there, and empty. */
	if (c->initial != NULL && strcmp(c->initial, "=") == 0)
		auth_take_response(s, "", 0);
	else if (c->initial != NULL)
		auth_take_response(s, c->initial, strlen(c->initial));
	else if (plain)
		auth_ask(s, AUTH_PLAIN, "");
	else
		auth_ask(s, AUTH_NAME, "VXNlcm5hbWU6"); /* "Username:" */
}
