/*
 * Connections to upstreams: from connect to QUIT. Made by upstream.c, which lists them; a client
 * frees itself in smtp_client_end() and tells upstream.c. The transaction itself is in
 * smtp_transaction.c.
 */
#include "relay/smtp_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "relay/health.h"
#include "relay/upstream.h"

#define CONNECT_LIMIT (30 * CLOCK_SECOND)
#define IDLE_LIMIT (30 * CLOCK_SECOND)
#define QUIT_LIMIT (5 * CLOCK_SECOND)

static const char *const state_names[] = {"connecting", "greeting", "ehlo",  "helo",  "ready",
					  "envelope",   "body",     "final", "reset", "ended"};

void
smtp_client_set_state(struct smtp_client *c, enum smtp_client_state next)
{
#define TO(state) (1u << CLIENT_##state)
	static const unsigned allowed[] = {
	    [CLIENT_CONNECTING] = TO(GREETING) | TO(ENDED),
	    [CLIENT_GREETING] = TO(EHLO) | TO(ENDED),
	    [CLIENT_EHLO] = TO(HELO) | TO(READY) | TO(ENDED),
	    [CLIENT_HELO] = TO(READY) | TO(ENDED),
	    [CLIENT_READY] = TO(ENVELOPE) | TO(ENDED),
	    [CLIENT_ENVELOPE] = TO(BODY) | TO(FINAL) | TO(RESET) | TO(ENDED),
	    [CLIENT_BODY] = TO(FINAL) | TO(ENDED),
	    [CLIENT_FINAL] = TO(READY) | TO(RESET) | TO(ENDED),
	    [CLIENT_RESET] = TO(READY) | TO(ENDED),
	    [CLIENT_ENDED] = 0,
	};
#undef TO
	log_debug("- client.state upstream=%s old=%s new=%s", c->upstream->name,
		  state_names[c->state], state_names[next]);
	if (!(allowed[c->state] & 1u << next))
		panic("- client.state upstream=%s old=%s new=%s is not allowed", c->upstream->name,
		      state_names[c->state], state_names[next]);
	c->state = next;
}

void
smtp_client_expect(struct smtp_client *c, int64_t limit)
{
	loop_timer_set(c->timer, limit);
}

/* Out of its upstream's lists and off the loop; the memory goes after the turn. */
static void
smtp_client_leave(struct smtp_client *c, const char *why)
{
	smtp_client_set_state(c, CLIENT_ENDED);
	loop_timer_free(c->timer);
	c->timer = NULL;
	smtp_transaction_forget(c);
	upstream_lost(c, c->opened, why);
	reply_free(&c->reply);
	policy_unref(c->policy);
	loop_free_later(c->rl->loop, c);
}

void
smtp_client_end(struct smtp_client *c, const char *why)
{
	struct delivery *d = c->delivery;
	/* A kept connection that was closed meanwhile says nothing about the message. */
	bool stale = c->used && c->state == CLIENT_ENVELOPE && c->answered == 0 &&
		     c->next_recipient <= c->count && d != NULL && !d->moved_on;

	log_info("- client.end upstream=%s peer=%s state=%s why=%s", c->upstream->name,
		 conn_peer(c->conn), state_names[c->state], log_safe(why));
	conn_free(c->conn);
	c->delivery = NULL;
	smtp_client_leave(c, why);
	if (d == NULL)
		return;
	if (stale && !c->rl->stopping) {
		d->moved_on = true;
		delivery_again(d);
	} else {
		delivery_done(d, true, why);
	}
}

void
smtp_client_quit(struct smtp_client *c)
{
	conn_write(c->conn, "QUIT\r\n", 6);
	conn_finish(c->conn, QUIT_LIMIT);
	smtp_client_leave(c, "quit");
}

void
smtp_client_abort(struct smtp_client *c)
{
	struct delivery *d = c->delivery;

	conn_free(c->conn);
	c->delivery = NULL;
	smtp_client_leave(c, "shutdown");
	if (d != NULL)
		delivery_done(d, true, "shutting down");
}

void
smtp_client_retire(struct smtp_client *c)
{
	c->retired = true;
}

bool
smtp_client_is_retired(const struct smtp_client *c)
{
	return c->retired;
}

bool
smtp_client_is_probe(const struct smtp_client *c)
{
	return c->probe;
}

struct upstream *
smtp_client_upstream(const struct smtp_client *c)
{
	return c->upstream;
}

static void
smtp_client_timed_out(void *context)
{
	struct smtp_client *c = context;
	char why[120];

	if (c->state == CLIENT_READY) {
		smtp_client_quit(c);
		return;
	}
	snprintf(why, sizeof(why), "4.4.2 no answer in time (%s)", state_names[c->state]);
	smtp_client_end(c, why);
}

static void
smtp_client_greet(struct smtp_client *c, enum smtp_client_state next, const char *verb)
{
	const char *host = policy_config(c->rl->policy)->hostname;

	smtp_client_set_state(c, next);
	conn_write(c->conn, verb, strlen(verb));
	conn_write(c->conn, host, strlen(host));
	conn_write(c->conn, "\r\n", 2);
	smtp_client_expect(c, c->config->timeout);
}

/* The keywords of an EHLO reply (RFC 5321 4.1.1.1), one a line behind the greeting. */
static void
smtp_client_read_extensions(struct smtp_client *c)
{
	const char *line = strchr(buf_text(&c->reply.text), '\n');

	for (; line != NULL; line = strchr(line, '\n')) {
		line++;
		if (strncasecmp(line, "PIPELINING", 10) == 0)
			c->pipelining = true;
		else if (strncasecmp(line, "8BITMIME", 8) == 0)
			c->eightbit = true;
		else if (strncasecmp(line, "SIZE", 4) == 0 &&
			 (line[4] == ' ' || line[4] == '\n' || line[4] == '\0')) {
			c->size = true;
			c->size_max = line[4] == ' ' ? strtoull(line + 5, NULL, 10) : 0;
		}
	}
}

static void
smtp_client_is_open(struct smtp_client *c)
{
	smtp_client_set_state(c, CLIENT_READY);
	c->opened = true;
	log_info("- client.open upstream=%s peer=%s pipelining=%d", c->upstream->name,
		 conn_peer(c->conn), c->pipelining);
	upstream_opened(c);
}

static void
smtp_client_refused(struct smtp_client *c)
{
	struct buf why = {0};
	char text[300];

	reply_format(&c->reply, &why);
	snprintf(text, sizeof(text), "refused us at %s: %.200s", state_names[c->state],
		 buf_text(&why));
	buf_free(&why);
	smtp_client_end(c, text);
}

/* One whole reply is in c->reply. */
static void
smtp_client_replied(struct smtp_client *c)
{
	int code = c->reply.code;

	switch (c->state) {
	case CLIENT_GREETING:
		if (code == 220)
			smtp_client_greet(c, CLIENT_EHLO, "EHLO ");
		else
			smtp_client_refused(c);
		break;
	case CLIENT_EHLO:
		if (code / 100 == 2) {
			smtp_client_read_extensions(c);
			smtp_client_is_open(c);
		} else if (code / 100 == 5) {
			smtp_client_greet(c, CLIENT_HELO, "HELO ");
		} else {
			smtp_client_refused(c);
		}
		break;
	case CLIENT_HELO:
		if (code / 100 == 2)
			smtp_client_is_open(c);
		else
			smtp_client_refused(c);
		break;
	case CLIENT_READY: /* 421 and the like; nothing else is due */
		smtp_client_refused(c);
		break;
	case CLIENT_ENVELOPE:
	case CLIENT_BODY:
	case CLIENT_FINAL:
	case CLIENT_RESET:
		smtp_transaction_reply(c);
		break;
	case CLIENT_CONNECTING:
	case CLIENT_ENDED:
		break;
	}
}

static size_t
smtp_client_input(void *context, const char *data, size_t len)
{
	struct smtp_client *c = context;
	enum reply_result result;
	size_t used = 0;

	if (c->state == CLIENT_ENDED)
		return len;
	result = reply_feed(&c->reply, data, len, &used);
	if (result == REPLY_BAD) {
		smtp_client_end(c, "4.5.0 what it answers is no SMTP reply");
	} else if (result == REPLY_DONE) {
		smtp_client_replied(c);
		if (c->state != CLIENT_ENDED)
			reply_reset(&c->reply);
	}
	return used;
}

static void
smtp_client_connected(void *context)
{
	struct smtp_client *c = context;

	smtp_client_set_state(c, CLIENT_GREETING);
	conn_set_timeouts(c->conn, 0, c->config->timeout);
	smtp_client_expect(c, c->config->timeout);
}

static void
smtp_client_drained(void *context)
{
	struct smtp_client *c = context;

	if (c->state == CLIENT_BODY)
		smtp_transaction_drained(c);
}

static void
smtp_client_closed(void *context, enum conn_end end, const char *why)
{
	struct smtp_client *c = context;
	char text[300];

	(void)end;
	if (c->opened)
		snprintf(text, sizeof(text), "4.4.2 connection lost (%s): %s",
			 state_names[c->state], why);
	else
		snprintf(text, sizeof(text), "%s port %u: %s", c->config->host, c->config->port,
			 why);
	smtp_client_end(c, text);
}

static const struct conn_owner smtp_client_owner = {
    .connected = smtp_client_connected,
    .input = smtp_client_input,
    .drained = smtp_client_drained,
    .closed = smtp_client_closed,
};

struct smtp_client *
smtp_client_open(struct upstream *u, bool probe)
{
	struct smtp_client *c = mem_zalloc(sizeof(*c));
	int64_t limit = u->config->timeout < CONNECT_LIMIT ? u->config->timeout : CONNECT_LIMIT;

	c->upstream = u;
	c->rl = u->rl;
	c->policy = policy_ref(u->policy);
	c->config = u->config;
	c->probe = probe;
	c->timer = loop_timer_new(u->rl->loop, smtp_client_timed_out, c);
	c->conn = conn_connect(u->rl->loop, u->config->host, u->config->port, limit,
			       &smtp_client_owner, c);
	smtp_client_expect(c, 2 * limit);
	return c;
}

void
smtp_client_idle(struct smtp_client *c)
{
	smtp_client_expect(c, IDLE_LIMIT);
}

void
smtp_client_send(struct smtp_client *c, struct delivery *d)
{
	c->delivery = d;
	c->next_recipient = 0;
	smtp_transaction_start(c);
}

/* The connection is READY again: more recipients, or the next delivery. */
void
smtp_client_transaction_over(struct smtp_client *c)
{
	struct delivery *d = c->delivery;

	smtp_client_set_state(c, CLIENT_READY);
	c->used = true;
	if (c->next_recipient < d->count && delivery_may_move(d)) {
		smtp_transaction_start(c);
		return;
	}
	c->delivery = NULL;
	if (c->next_recipient < d->count)
		delivery_done(d, false, "stopped before its transaction began");
	else
		delivery_done(d, true, "4.3.0 no answer was given for this recipient");
	upstream_release(c);
}
