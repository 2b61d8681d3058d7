/*
 * Connections to upstreams: from connect to QUIT. Made by upstream.c, which lists them; a client
 * frees itself in smtp_client_end() and tells upstream.c. What is said on them is in
 * smtp_opening.c, smtp_envelope.c and smtp_transaction.c.
 */
#include "relay/smtp_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "relay/health.h"
#include "relay/upstream.h"

#define CONNECT_LIMIT (30 * CLOCK_SECOND)
#define IDLE_LIMIT (30 * CLOCK_SECOND)
#define IDLE_LOOK (3 * CLOCK_SECOND) /* whether another loop needs it more */
#define QUIT_LIMIT (5 * CLOCK_SECOND)

static const char *const state_names[] = {
    [CLIENT_CONNECTING] = "connecting",
    [CLIENT_GREETING] = "greeting",
    [CLIENT_EHLO] = "ehlo",
    [CLIENT_HELO] = "helo",
    [CLIENT_STARTTLS] = "starttls",
    [CLIENT_HANDSHAKE] = "handshake",
    [CLIENT_AUTH] = "auth",
    [CLIENT_READY] = "ready",
    [CLIENT_ENVELOPE] = "envelope",
    [CLIENT_BODY] = "body",
    [CLIENT_FINAL] = "final",
    [CLIENT_RESET] = "reset",
    [CLIENT_ENDED] = "ended",
};

void
smtp_client_set_state(struct smtp_client *c, enum smtp_client_state next)
{
#define TO(state) (1u << CLIENT_##state)
	static const unsigned allowed[] = {
	    [CLIENT_CONNECTING] = TO(GREETING) | TO(HANDSHAKE) | TO(ENDED),
	    [CLIENT_GREETING] = TO(EHLO) | TO(ENDED),
	    [CLIENT_EHLO] = TO(HELO) | TO(STARTTLS) | TO(AUTH) | TO(READY) | TO(ENDED),
	    [CLIENT_HELO] = TO(READY) | TO(ENDED), /* without extensions no TLS, no login */
	    [CLIENT_STARTTLS] = TO(HANDSHAKE) | TO(ENDED),
	    [CLIENT_HANDSHAKE] = TO(GREETING) | TO(EHLO) | TO(ENDED),
	    [CLIENT_AUTH] = TO(READY) | TO(ENDED),
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

void
smtp_client_say(struct smtp_client *c, const char *line)
{
	conn_write(c->conn, line, strlen(line));
	conn_write(c->conn, "\r\n", 2);
	smtp_client_expect(c, c->config->timeout);
}

/*
 * Opportunistic TLS that does not work out is no reason not to send (RFC 7435 3): upstream.c opens
 * another connection without it.
 */
static bool
smtp_client_failed_tls(const struct smtp_client *c)
{
	return c->config->tls == CONFIG_UPSTREAM_TLS_OPPORTUNISTIC &&
	       (c->state == CLIENT_STARTTLS || c->state == CLIENT_HANDSHAKE);
}

/* Nothing is in that place any more. */
static void
smtp_client_put_down(struct smtp_transaction *t)
{
	if (t->state != TRANSACTION_NONE)
		smtp_transaction_set_state(t, TRANSACTION_NONE);
	t->delivery = NULL;
}

/*
 * Out of its upstream's lists and off the loop; the memory goes after the turn. Returns the
 * delivery that it was sending, NULL if none.
 */
static struct delivery *
smtp_client_leave(struct smtp_client *c, const char *why)
{
	bool go_clear = smtp_client_failed_tls(c);
	struct delivery *d = c->now->delivery, *ahead = c->ahead->delivery;

	smtp_client_set_state(c, CLIENT_ENDED);
	loop_timer_free(c->timer);
	c->timer = NULL;
	smtp_opening_forget(c);
	smtp_transaction_forget(c);
	smtp_client_put_down(c->now);
	smtp_client_put_down(c->ahead);
	if (go_clear)
		upstream_go_clear(c, why);
	else
		upstream_lost(c, c->opened, why);
	reply_free(&c->reply);
	policy_unref(c->policy);
	tls_unref(c->tls);
	loop_free_later(c->rl->loop, c);
	if (ahead != NULL) /* of it only the envelope was said */
		delivery_again(ahead);
	return d;
}

static void
smtp_client_close(struct smtp_client *c, bool again, const char *why)
{
	struct delivery *d;

	log_info("- client.end upstream=%s peer=%s state=%s why=%s", c->upstream->name,
		 conn_peer(c->conn), state_names[c->state], log_safe(why));
	conn_free(c->conn);
	d = smtp_client_leave(c, why);
	if (again && d != NULL)
		delivery_again(d);
	else if (d != NULL)
		delivery_done(d, true, why);
}

/* True if that may be due to what was said ahead. */
static bool
smtp_client_lost_ahead(const struct smtp_client *c)
{
	return smtp_transaction_is_ahead(c->now) || smtp_transaction_is_ahead(c->ahead);
}

/* A kept connection that was closed meanwhile says nothing about the message. */
static bool
smtp_client_is_stale(const struct smtp_client *c)
{
	return c->used && c->state == CLIENT_ENVELOPE && c->now->answered == 0 &&
	       !c->now->delivery->moved_on;
}

void
smtp_client_end(struct smtp_client *c, const char *why)
{
	/* As often as that, others were delivered: each is behind one that was answered. */
	bool ahead = smtp_transaction_is_ahead(c->now), stale = !ahead && smtp_client_is_stale(c);

	if (smtp_client_lost_ahead(c))
		upstream_no_ahead(c, false);
	if (stale)
		c->now->delivery->moved_on = true;
	smtp_client_close(c, ahead || stale, why);
}

void
smtp_client_move_on(struct smtp_client *c, const char *why)
{
	if (smtp_client_lost_ahead(c))
		upstream_no_ahead(c, false);
	smtp_client_close(c, true, why);
}

void
smtp_client_nonsense(struct smtp_client *c, const char *why)
{
	memset(c->now->answers, 0, sizeof(c->now->answers));
	smtp_client_end(c, why);
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
	struct delivery *d;

	conn_free(c->conn);
	d = smtp_client_leave(c, "shutdown");
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
		if (clock_mono() < c->idle_until && !health_is_starving(c->upstream->health))
			smtp_client_expect(c, IDLE_LOOK);
		else
			smtp_client_quit(c);
		return;
	}
	/* It has thrown away what came behind the dot: each message would wait as long. */
	if (c->state == CLIENT_ENVELOPE && c->now->answered == 0 &&
	    smtp_transaction_is_ahead(c->now))
		upstream_no_ahead(c, true);
	snprintf(why, sizeof(why), "4.4.2 no answer in time (%s)", state_names[c->state]);
	smtp_client_end(c, why);
}

void
smtp_client_is_open(struct smtp_client *c)
{
	const struct conn_security *security = conn_security(c->conn);

	smtp_client_set_state(c, CLIENT_READY);
	c->opened = true;
	log_info("- client.open upstream=%s peer=%s tls=%s cipher=%s user=%s pipelining=%d",
		 c->upstream->name, conn_peer(c->conn), security != NULL ? security->version : "-",
		 security != NULL ? security->cipher : "-",
		 *c->config->user != '\0' ? log_safe(c->config->user) : "-", c->has.pipelining);
	upstream_opened(c);
}

/* How many replies may come: more are nonsense, and would be taken for those of later commands. */
static size_t
smtp_client_outstanding(const struct smtp_client *c)
{
	if (c->state < CLIENT_READY)
		return 1;
	return c->state == CLIENT_READY ? 0 : smtp_transaction_outstanding(c);
}

/* One whole reply is in c->reply; `more` came right behind it. */
static void
smtp_client_replied(struct smtp_client *c, bool more)
{
	static const char unasked[] = "4.5.0 it answers what it was not asked";
	/* Behind the 220 of STARTTLS conn_start_tls() judges. */
	bool babbles;
	struct buf text = {0};

	smtp_transaction_look(c);
	babbles = more && smtp_client_outstanding(c) == 1 && c->state != CLIENT_STARTTLS;
	if (babbles && c->state < CLIENT_READY) {
		smtp_client_nonsense(c, unasked);
		return;
	}
	if (babbles) /* what it says of this message counts, but no other is begun */
		smtp_client_retire(c);
	if (c->state < CLIENT_READY) {
		smtp_opening_reply(c);
	} else if (c->state > CLIENT_READY) {
		smtp_transaction_reply(c);
	} else { /* 421 and the like; nothing else is due */
		reply_format(&c->reply, &text);
		smtp_client_end(c, buf_text(&text));
		buf_free(&text);
	}
	/* While the content is on its way it may speak up. */
	if (babbles && c->state != CLIENT_BODY && c->state != CLIENT_ENDED)
		smtp_client_nonsense(c, unasked);
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
		smtp_client_nonsense(c, "4.5.0 what it answers is no SMTP reply");
	} else if (result == REPLY_DONE) {
		smtp_client_replied(c, used < len);
		if (c->state != CLIENT_ENDED)
			reply_reset(&c->reply);
	}
	return used;
}

static void
smtp_client_connected(void *context)
{
	struct smtp_client *c = context;

	conn_set_timeouts(c->conn, 0, c->config->timeout);
	smtp_opening_connected(c);
}

static void
smtp_client_secured(void *context)
{
	smtp_opening_secured(context);
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
    .secured = smtp_client_secured,
    .input = smtp_client_input,
    .drained = smtp_client_drained,
    .closed = smtp_client_closed,
};

struct smtp_client *
smtp_client_open(struct upstream *u, bool probe)
{
	struct smtp_client *c = mem_zalloc(sizeof(*c));
	int64_t limit = u->config->timeout < CONNECT_LIMIT ? u->config->timeout : CONNECT_LIMIT;

	c->now = &c->places[0];
	c->ahead = &c->places[1];
	c->upstream = u;
	c->rl = u->rl;
	c->policy = policy_ref(u->policy);
	c->config = u->config;
	c->tls = u->tls != NULL ? tls_ref(u->tls) : NULL;
	c->clear = upstream_is_clear(u);
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
	c->idle_until = clock_mono() + IDLE_LIMIT;
	smtp_client_expect(c, IDLE_LOOK);
}

void
smtp_client_take(struct smtp_client *c, struct smtp_transaction *t, struct delivery *d)
{
	smtp_transaction_set_state(t, TRANSACTION_TAKEN);
	t->delivery = d;
	t->next_recipient = 0;
	d->remote_mta = arena_strdup(&d->arena, c->config->host);
	d->relayed = !c->has.dsn;
}

void
smtp_client_send(struct smtp_client *c, struct delivery *d)
{
	smtp_client_take(c, c->now, d);
	smtp_transaction_start(c);
}

/*
 * The message before it is answered: the one whose envelope was said ahead is now the one. Where it
 * was taken back, or the connection is not for it any more (a reload), that ends without its
 * content. Whether it may leave is looked at when that is asked for.
 */
static void
smtp_client_go_ahead(struct smtp_client *c)
{
	struct smtp_transaction *over = c->now;
	struct delivery *d = over->delivery;

	c->now = c->ahead;
	c->ahead = over;
	smtp_client_put_down(over);
	delivery_done(d, true, "4.3.0 no answer was given for this recipient");
	if (c->now->state == TRANSACTION_RECALLED || c->retired || c->rl->stopping)
		smtp_client_close(c, true, "what was said ahead must not be sent");
	else
		smtp_transaction_start(c);
}

void
smtp_client_recall(struct smtp_client *c)
{
	struct smtp_transaction *t = c->ahead;
	struct delivery *d = t->delivery;

	if (d == NULL || delivery_may_leave(d))
		return;
	/* Its replies still come: smtp_client_go_ahead(). */
	if (t->state == TRANSACTION_AHEAD)
		smtp_transaction_set_state(t, TRANSACTION_RECALLED);
	else
		smtp_transaction_set_state(t, TRANSACTION_NONE);
	t->delivery = NULL;
	delivery_again(d);
}

/* The connection is READY again: more recipients, or the next delivery. */
void
smtp_client_transaction_over(struct smtp_client *c)
{
	struct delivery *d = c->now->delivery;

	smtp_client_set_state(c, CLIENT_READY);
	c->used = true;
	upstream_refresh(c->upstream); /* a reload may have asked for TLS meanwhile */
	if (c->ahead->state != TRANSACTION_NONE) {
		smtp_client_go_ahead(c);
		return;
	}
	if (c->now->next_recipient < d->count && !c->retired && delivery_may_move(d) &&
	    delivery_recall(d)) {
		smtp_transaction_start(c);
		return;
	}
	smtp_client_put_down(c->now);
	if (c->now->next_recipient < d->count)
		delivery_done(d, false, "stopped before its transaction began");
	else
		delivery_done(d, true, "4.3.0 no answer was given for this recipient");
	upstream_release(c);
}
