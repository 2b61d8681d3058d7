/*
 * One connection to an upstream, spoken as an SMTP client (RFC 5321, 2920, 1870, 6152). On one
 * loop.
 *
 *   CONNECTING -connected-> GREETING -220-> EHLO -250-> READY        EHLO -5xx-> HELO -250-> READY
 *   READY -smtp_client_send-> ENVELOPE -354-> BODY -all written-> FINAL -reply-> READY | ENVELOPE
 * (more recipients) ENVELOPE -nothing accepted-> RESET -250-> READY | ENVELOPE READY -idle too
 * long, quit-> QUIT        any -lost, timeout, nonsense, 421-> (ended) TLS and AUTH will stand
 * between EHLO and READY.
 */
#ifndef RELAY_SMTP_CLIENT_H
#define RELAY_SMTP_CLIENT_H

#include <stdbool.h>
#include <sys/queue.h>

#include "mail/body.h"
#include "mail/reply.h"
#include "net/conn.h"
#include "relay/delivery.h"

struct upstream;

enum smtp_client_state {
	CLIENT_CONNECTING,
	CLIENT_GREETING,
	CLIENT_EHLO,
	CLIENT_HELO,
	CLIENT_READY,
	CLIENT_ENVELOPE,
	CLIENT_BODY,
	CLIENT_FINAL,
	CLIENT_RESET,
	CLIENT_ENDED
};

/* Recipients of one transaction: RFC 5321 4.5.3.1.8 has every server take 100. */
enum { CLIENT_RECIPIENTS_MAX = 100 };

struct chunk_load;

struct smtp_client {
	LIST_ENTRY(smtp_client) next; /* upstream.idle in READY, else upstream.busy */
	struct upstream *upstream;
	struct relay_loop *rl;
	struct policy *policy; /* holds `config` */
	/* What it was opened with: a reload may change the upstream's, or take it away. */
	const struct config_upstream *config;
	struct conn *conn;
	enum smtp_client_state state;
	bool probe, retired, opened;
	bool used; /* has had a transaction */
	bool pipelining, eightbit, size;
	uint64_t size_max; /* 0 = not told */
	struct reply reply;
	struct loop_timer *timer;

	/* the transaction */
	struct delivery *delivery;
	size_t next_recipient;                    /* of the delivery, for the next transaction */
	size_t recipients[CLIENT_RECIPIENTS_MAX]; /* indexes in the delivery */
	bool accepted[CLIENT_RECIPIENTS_MAX];
	size_t count, accepted_count;
	size_t sent, answered; /* steps: MAIL, each RCPT, DATA */
	bool mail_refused;
	struct body_out out;
	struct chunk *writing; /* where body_stuff's slices lie; NULL: copy them */
	uint32_t next_chunk;   /* to be loaded from the store */
	struct chunk_load *load;
};

struct smtp_client *smtp_client_open(struct upstream *u, bool probe);
/* Sends to all recipients, in as many transactions as it takes; ends in delivery_done() and
 * upstream_release(). */
void smtp_client_send(struct smtp_client *c, struct delivery *d);
/* Nothing to do: waits a while, then quits. */
void smtp_client_idle(struct smtp_client *c);
/* QUIT and the end, without waiting for the reply. */
void smtp_client_quit(struct smtp_client *c);
/* To be closed after its transaction. */
void smtp_client_retire(struct smtp_client *c);
bool smtp_client_is_retired(const struct smtp_client *c);
bool smtp_client_is_probe(const struct smtp_client *c);
struct upstream *smtp_client_upstream(const struct smtp_client *c);
/* After the loop's end: without a word. */
void smtp_client_abort(struct smtp_client *c);

/* smtp_transaction.c: the steps of a transaction, told by smtp_client.c what came. */
void smtp_transaction_start(struct smtp_client *c);
void smtp_transaction_reply(struct smtp_client *c);
void smtp_transaction_drained(struct smtp_client *c);
/* Lets go of a load under way. */
void smtp_transaction_forget(struct smtp_client *c);
/* smtp_client.c: for smtp_transaction.c. */
void smtp_client_set_state(struct smtp_client *c, enum smtp_client_state next);
void smtp_client_expect(struct smtp_client *c, int64_t limit);
void smtp_client_end(struct smtp_client *c, const char *why);
void smtp_client_transaction_over(struct smtp_client *c);

#endif
