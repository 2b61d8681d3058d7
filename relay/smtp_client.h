/*
 * One connection to an upstream, spoken as an SMTP client. On one loop. smtp_client.c has its life,
 * smtp_opening.c what is said before the first message, smtp_transaction.c the messages.
 *
 * smtp_opening.c (RFC 5321, 3207, 4954, 8314):
 *   CONNECTING -connected-> GREETING          CONNECTING -connected, tls = implicit-> HANDSHAKE
 *   GREETING   -220-> EHLO
 *   EHLO       -2xx-> STARTTLS (wanted, offered, not on yet) | AUTH (a user is set) | READY
 *   EHLO       -5xx-> HELO                    HELO -2xx-> READY (neither TLS nor login needed)
 *   STARTTLS   -220-> HANDSHAKE
 *   HANDSHAKE  -secured-> EHLO (after STARTTLS; what it offered before is forgotten)
 *                       | GREETING (implicit)
 *   AUTH       -334-> AUTH                    AUTH -235-> READY
 *
 * smtp_transaction.c (RFC 5321, 2920):
 *   READY      -smtp_client_send-> ENVELOPE
 *   ENVELOPE   -354-> BODY                    ENVELOPE -nobody accepted-> RESET
 *   ENVELOPE   -354, nobody accepted-> FINAL (the dot alone)
 *   BODY       -all written-> FINAL           ENVELOPE | BODY -it may not leave any more-> ENDED
 *   FINAL      -reply-> READY | RESET         READY -its envelope was said ahead-> ENVELOPE
 *   RESET      -2xx-> READY                   READY -more recipients-> ENVELOPE
 *
 *   READY -idle too long, retired-> (QUIT) ENDED
 *   any -lost, timeout, nonsense, 421, refused, no TLS or login where one must be-> ENDED
 *   STARTTLS | HANDSHAKE -failed, tls = opportunistic-> ENDED, and upstream.c opens one in clear
 */
#ifndef RELAY_SMTP_CLIENT_H
#define RELAY_SMTP_CLIENT_H

#include <stdbool.h>
#include <sys/queue.h>

#include "mail/body.h"
#include "mail/reply.h"
#include "net/conn.h"
#include "net/tls.h"
#include "relay/delivery.h"
#include "relay/smtp_extensions.h"

struct upstream;

enum smtp_client_state {
	CLIENT_CONNECTING,
	CLIENT_GREETING,
	CLIENT_EHLO,
	CLIENT_HELO,
	CLIENT_STARTTLS,
	CLIENT_HANDSHAKE,
	CLIENT_AUTH,
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
struct seven;

/* What an upstream said of one recipient at RCPT. */
struct smtp_answer {
	int code;         /* 0: nothing yet */
	const char *text; /* in the delivery's memory */
};

/*
 * What was said of one delivery on a connection; where it is `now`, the connection's state says the
 * rest.
 *
 *   NONE     -smtp_client_take-> TAKEN
 *   TAKEN    -its turn-> SAID                TAKEN -behind the final dot before it-> AHEAD
 *   AHEAD    -its turn, DATA is answered-> SAID
 *   AHEAD    -taken back-> RECALLED
 *   SAID     -more recipients-> SAID
 *   any      -over, taken back, the connection ends-> NONE
 */
enum smtp_transaction_state {
	TRANSACTION_NONE,
	TRANSACTION_TAKEN, /* nothing yet */
	TRANSACTION_AHEAD, /* MAIL, RCPTs and DATA, all before the reply to the message before it;
			    * replies are not known to be in step with them */
	TRANSACTION_RECALLED, /* the same; the delivery has gone back, the replies still come */
	TRANSACTION_SAID
};

struct smtp_transaction {
	enum smtp_transaction_state state;
	struct delivery *delivery;                /* NULL in NONE and RECALLED */
	size_t next_recipient;                    /* of the delivery, for the next transaction */
	size_t recipients[CLIENT_RECIPIENTS_MAX]; /* indexes in the delivery */
	struct smtp_answer answers[CLIENT_RECIPIENTS_MAX];
	size_t count, accepted_count;
	size_t sent, answered; /* steps: MAIL, each RCPT, DATA */
	bool mail_refused;
	bool utf8;   /* this one goes with SMTPUTF8 */
	bool silent; /* its sender may not be reached from here: NOTIFY=NEVER */
};

struct smtp_client {
	LIST_ENTRY(smtp_client) next; /* upstream.idle in READY, else upstream.busy */
	struct upstream *upstream;
	struct relay_loop *rl;
	struct policy *policy; /* holds `config` */
	/* What it was opened with: a reload may change the upstream's, or take it away. */
	const struct config_upstream *config;
	struct tls *tls; /* its reference; NULL: off */
	bool clear;      /* opportunistic TLS has failed lately: this one goes without */
	struct conn *conn;
	enum smtp_client_state state;
	bool probe, retired, opened;
	bool used;    /* has had a transaction */
	bool carried; /* has taken a message */
	struct smtp_extensions has;
	struct reply reply;
	/* AUTH: what is still to be said, in base64; wiped as it goes */
	struct buf secrets[2];
	size_t secret_count, secrets_said;
	struct loop_timer *timer;
	int64_t idle_until; /* READY: monotonic */

	/* Two places that take turns: the one whose replies are due, and the next one's envelope,
	 * said behind the final dot before that is answered. */
	struct smtp_transaction places[2], *now, *ahead;

	/* the content of `now` */
	struct seven *seven; /* 8-bit content, and the upstream takes 7 bits */
	struct body_out out;
	bool dotted;             /* BODY: the end is written too, behind all the rest but: */
	size_t behind;           /* bytes, the envelope said ahead */
	struct chunk *writing;   /* where body_stuff's slices lie; NULL: copy them */
	struct chunk *in_memory; /* the next one that is in the message itself */
	uint32_t next_chunk;     /* to be loaded from the store */
	struct chunk_load *load;
};

struct smtp_client *smtp_client_open(struct upstream *u, bool probe);
/* Sends to all recipients, in as many transactions as it takes; ends in delivery_done() and
 * upstream_release(). */
void smtp_client_send(struct smtp_client *c, struct delivery *d);
/* Puts a delivery (state SENDING) into one of the client's places; nothing is said. */
void smtp_client_take(struct smtp_client *c, struct smtp_transaction *t, struct delivery *d);
/* A stream has tripped, a release was paused, the panic button pressed: the delivery whose envelope
 * was said ahead goes back if it may not leave any more, and the connection ends once the one
 * before it is answered. What was said in its turn is looked at before its content leaves. */
void smtp_client_recall(struct smtp_client *c);
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

/* smtp_opening.c: from the connection to READY, told by smtp_client.c what came. */
void smtp_opening_connected(struct smtp_client *c);
void smtp_opening_secured(struct smtp_client *c);
void smtp_opening_reply(struct smtp_client *c);
/* Wipes what it keeps for a login. */
void smtp_opening_forget(struct smtp_client *c);

/* smtp_envelope.c: what is said of sender and recipients (RFC 1870, 3461, 6152, 6531). */
/*
 * Picks the recipients of the next transaction, from next_recipient on; who cannot be sent is
 * failed here. Sets `utf8` and `silent`.
 */
void smtp_envelope_choose(const struct smtp_client *c, struct smtp_transaction *t);
/* True if the content must be made 7-bit for this upstream. */
bool smtp_envelope_is_seven(const struct smtp_client *c, const struct message *m);
uint64_t smtp_envelope_size(const struct message *m);
/* The command's line without its end. */
void smtp_envelope_mail(const struct smtp_client *c, const struct smtp_transaction *t,
			struct buf *line);
void smtp_envelope_rcpt(const struct smtp_client *c, const struct smtp_transaction *t,
			size_t number, struct buf *line);

/* smtp_transaction.c: the steps of a transaction, told by smtp_client.c what came. Of `now`, whose
 * envelope may have been said already. */
void smtp_transaction_start(struct smtp_client *c);
void smtp_transaction_reply(struct smtp_client *c);
void smtp_transaction_drained(struct smtp_client *c);
/* A reply has come: the content may be gone although what was said behind it is not. */
void smtp_transaction_look(struct smtp_client *c);
/* What it owes a reply for. */
size_t smtp_transaction_outstanding(const struct smtp_client *c);
void smtp_transaction_set_state(struct smtp_transaction *t, enum smtp_transaction_state next);
/* True if its envelope was said before the reply to the message before it, and what came since is
 * not known to be about it. */
bool smtp_transaction_is_ahead(const struct smtp_transaction *t);
/* The connection ends: lets go of a load under way; what was said of recipients counts where it is
 * known to be about them. */
void smtp_transaction_forget(struct smtp_client *c);

/* smtp_client.c: for the three above. */
void smtp_client_set_state(struct smtp_client *c, enum smtp_client_state next);
void smtp_client_expect(struct smtp_client *c, int64_t limit);
/* One command, its end added; a reply is expected. */
void smtp_client_say(struct smtp_client *c, const char *line);
void smtp_client_end(struct smtp_client *c, const char *why);
/* The same where it makes no sense: what it said of this transaction so far counts for nothing. */
void smtp_client_nonsense(struct smtp_client *c, const char *why);
/* The connection ends in an envelope, and its delivery starts anew: another one takes it, or, where
 * it may not leave, none does. */
void smtp_client_move_on(struct smtp_client *c, const char *why);
void smtp_client_is_open(struct smtp_client *c);
void smtp_client_transaction_over(struct smtp_client *c);

#endif
