/*
 * What is said to an upstream before the first message: greeting, EHLO, TLS, login. Called by
 * smtp_client.c on the connection's loop; the machine is drawn in smtp_client.h.
 *
 * Whatever goes wrong here says nothing about any message: the connection ends, the upstream is
 * asked again later, and mail waits. Never is anything sent in clear that TLS was to protect.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"
#include "mail/sasl.h"
#include "relay/smtp_client.h"
#include "relay/upstream.h"

#define HANDSHAKE_LIMIT (30 * CLOCK_SECOND)

/* RFC 5321 4.5.3.1.4, RFC 4954 4: a longer initial response waits for the 334. */
enum { COMMAND_LINE_MAX = 510 };

static void
greet(struct smtp_client *c, enum smtp_client_state next, const char *verb)
{
	struct buf line = {0};

	smtp_client_set_state(c, next);
	buf_printf(&line, "%s %s", verb, policy_config(c->rl->policy)->hostname);
	smtp_client_say(c, buf_text(&line));
	buf_free(&line);
}

static void
start_handshake(struct smtp_client *c)
{
	int64_t limit = c->config->timeout < HANDSHAKE_LIMIT ? c->config->timeout : HANDSHAKE_LIMIT;

	smtp_client_set_state(c, CLIENT_HANDSHAKE);
	/* The connection has the handshake's limit; ours must not come before its reason. */
	smtp_client_expect(c, limit + CLOCK_SECOND);
	conn_start_tls(c->conn, c->tls, c->config->host, limit);
}

void
smtp_opening_connected(struct smtp_client *c)
{
	if (c->config->tls != CONFIG_UPSTREAM_TLS_IMPLICIT) {
		smtp_client_set_state(c, CLIENT_GREETING);
		smtp_client_expect(c, c->config->timeout);
	} else if (c->tls == NULL) {
		smtp_client_end(c, "TLS: nothing is loaded to check it against; reload the "
				   "configuration");
	} else {
		start_handshake(c);
	}
}

void
smtp_opening_secured(struct smtp_client *c)
{
	if (c->config->tls == CONFIG_UPSTREAM_TLS_IMPLICIT) {
		smtp_client_set_state(c, CLIENT_GREETING);
		smtp_client_expect(c, c->config->timeout);
	} else {
		/* What was offered in clear may have been put there by anybody (RFC 3207 4.2). */
		c->has = (struct smtp_extensions){0};
		greet(c, CLIENT_EHLO, "EHLO");
	}
}

static void
refused(struct smtp_client *c, const char *what, const char *cure)
{
	struct buf why = {0};

	buf_printf(&why, "%s: ", what);
	reply_format(&c->reply, &why);
	buf_add_text(&why, cure);
	smtp_client_end(c, buf_text(&why));
	buf_free(&why);
}

/* ---- AUTH ---- */

/* True if what passes on this connection stays on this machine. */
static bool
is_loopback(const char *peer)
{
	const char *colon = strrchr(peer, ':');
	size_t len = colon != NULL ? (size_t)(colon - peer) : strlen(peer);
	char host[INET6_ADDRSTRLEN];
	struct in_addr v4;
	struct in6_addr v6;

	if (*peer == '[' && len > 2) {
		peer++;
		len -= 2;
	}
	if (len >= sizeof(host))
		return false;
	memcpy(host, peer, len);
	host[len] = '\0';
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, host, &v6) == 1 &&
	       (IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127));
}

void
smtp_opening_forget(struct smtp_client *c)
{
	size_t i;

	for (i = 0; i < sizeof(c->secrets) / sizeof(c->secrets[0]); i++)
		sasl_wipe(&c->secrets[i]);
	c->secret_count = c->secrets_said = 0;
}

/* A server that quotes the password must not bring it into our log. */
static bool
tells_secrets(const struct smtp_client *c)
{
	const char *text = buf_text(&c->reply.text);
	size_t i;

	if (strstr(text, c->config->password) != NULL)
		return true;
	for (i = 0; i < c->secret_count; i++)
		if (c->secrets[i].len > 0 && strstr(text, buf_text(&c->secrets[i])) != NULL)
			return true;
	return false;
}

static void
login_refused(struct smtp_client *c)
{
	const char *cure =
	    c->reply.code / 100 == 5 ? "; set its user and password right, then reload" : "";
	char why[160];

	if (!tells_secrets(c)) {
		refused(c, "AUTH refused", cure);
		return;
	}
	snprintf(why, sizeof(why), "AUTH refused: %d, in words that hold the password%s",
		 c->reply.code, cure);
	smtp_client_end(c, why);
}

static void
prepare_plain(struct smtp_client *c)
{
	struct buf plain = {0};

	buf_reserve(&plain, strlen(c->config->user) + strlen(c->config->password) + 3);
	buf_add_char(&plain, '\0');
	buf_add_text(&plain, c->config->user);
	buf_add_char(&plain, '\0');
	buf_add_text(&plain, c->config->password);
	base64_encode(plain.data, plain.len, &c->secrets[0]);
	sasl_wipe(&plain);
	c->secret_count = 1;
}

static void
prepare_login(struct smtp_client *c)
{
	base64_encode(c->config->user, strlen(c->config->user), &c->secrets[0]);
	base64_encode(c->config->password, strlen(c->config->password), &c->secrets[1]);
	c->secret_count = 2;
}

static void
say_command_with_secret(struct smtp_client *c)
{
	struct buf line = {0};

	buf_reserve(&line, COMMAND_LINE_MAX + 1);
	buf_printf(&line, "AUTH PLAIN %s", buf_text(&c->secrets[c->secrets_said++]));
	smtp_client_say(c, buf_text(&line));
	sasl_wipe(&line);
}

/* True if it has shown who it is. */
static bool
is_verified(const struct smtp_client *c)
{
	return conn_security(c->conn) != NULL && c->config->tls >= CONFIG_UPSTREAM_TLS_REQUIRED;
}

static void
start_login(struct smtp_client *c)
{
	/* The configuration may name localhost, and the resolver somebody else. */
	if (!is_verified(c) && !is_loopback(conn_peer(c->conn))) {
		smtp_client_end(c, "AUTH refused: by us, a password leaves under verified TLS "
				   "only; set tls = required");
		return;
	}
	if (!c->has.auth_plain && !c->has.auth_login) {
		smtp_client_end(c, c->has.auth ? "AUTH refused: it offers neither PLAIN nor LOGIN"
					       : "AUTH refused: it offers no AUTH; remove user "
						 "and password, or use its port for logins");
		return;
	}
	smtp_client_set_state(c, CLIENT_AUTH);
	if (!c->has.auth_plain) {
		prepare_login(c);
		smtp_client_say(c, "AUTH LOGIN");
		return;
	}
	prepare_plain(c);
	if (strlen("AUTH PLAIN ") + c->secrets[0].len <= COMMAND_LINE_MAX)
		say_command_with_secret(c);
	else
		smtp_client_say(c, "AUTH PLAIN");
}

static void
login_replied(struct smtp_client *c)
{
	if (c->reply.code == 235) {
		smtp_opening_forget(c);
		smtp_client_is_open(c);
	} else if (c->reply.code != 334) {
		login_refused(c);
	} else if (c->secrets_said < c->secret_count) {
		smtp_client_say(c, buf_text(&c->secrets[c->secrets_said++]));
	} else {
		smtp_client_end(c, "AUTH refused: it asks for more than a name and a password");
	}
}

/* ---- EHLO and STARTTLS ---- */

/* It has told what it offers: what is next before mail may flow? */
static void
choose_next(struct smtp_client *c)
{
	enum config_upstream_tls wanted = c->config->tls;
	bool secured = conn_security(c->conn) != NULL;

	if (wanted == CONFIG_UPSTREAM_TLS_OFF ||
	    (wanted == CONFIG_UPSTREAM_TLS_OPPORTUNISTIC && (c->clear || !c->has.starttls)))
		secured = true; /* as far as it goes */
	if (!secured && !c->has.starttls) {
		smtp_client_end(c, "it offers no STARTTLS and tls = required; mail waits rather "
				   "than go in clear");
	} else if (!secured && c->tls == NULL) {
		smtp_client_end(c, "TLS: nothing is loaded to check it against; reload the "
				   "configuration");
	} else if (!secured) {
		smtp_client_set_state(c, CLIENT_STARTTLS);
		smtp_client_say(c, "STARTTLS");
	} else if (*c->config->user != '\0') {
		start_login(c);
	} else {
		smtp_client_is_open(c);
	}
}

void
smtp_opening_reply(struct smtp_client *c)
{
	int code = c->reply.code;

	switch (c->state) {
	case CLIENT_GREETING:
		if (code == 220)
			greet(c, CLIENT_EHLO, "EHLO");
		else
			refused(c, "refused us at its greeting", "");
		break;
	case CLIENT_EHLO:
		if (code / 100 == 5) {
			greet(c, CLIENT_HELO, "HELO");
		} else if (code / 100 == 2) {
			smtp_extensions_read(buf_text(&c->reply.text), &c->has);
			choose_next(c);
		} else {
			refused(c, "refused us at EHLO", "");
		}
		break;
	case CLIENT_HELO:
		if (code / 100 == 2)
			choose_next(c);
		else
			refused(c, "refused us at HELO", "");
		break;
	case CLIENT_STARTTLS:
		if (code == 220)
			start_handshake(c);
		else
			refused(c, "refused STARTTLS", "");
		break;
	case CLIENT_AUTH:
		login_replied(c);
		break;
	default:
		panic("- client.reply upstream=%s state=%d is not of the opening",
		      c->upstream->name, (int)c->state);
	}
}
