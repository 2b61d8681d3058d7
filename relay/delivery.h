/*
 * Deliveries under way: one message and those of its recipients that go to one upstream now. Made
 * straight from an accepted message, or from what retry.c claimed out of the store; freed by itself
 * when the store has recorded the results. On one relay loop from start to end.
 *
 *   LOADING (claimed ones: header and first chunk come from the store)
 *     -> WAITING (upstream.c's list) -> SENDING (one smtp_client) -> RECORDING (STORE_RESULTS) ->
 * (freed) LOADING | WAITING -> RECORDING when it is handed back: upstream down, panic, stop, its
 * stream has tripped, or its release was paused
 */
#ifndef RELAY_DELIVERY_H
#define RELAY_DELIVERY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/id.h"
#include "mail/message.h"
#include "relay/relay.h"

enum delivery_state { DELIVERY_LOADING, DELIVERY_WAITING, DELIVERY_SENDING, DELIVERY_RECORDING };

struct delivery_recipient {
	const char *address; /* in the message's or the claim's memory */
	uint32_t number, tries;
	int64_t queued_at; /* clock_steady(); retry_for counts from here */
	size_t lead;       /* the first recipient with this address: only that one is sent */
	unsigned notify;   /* enum dsn_notify; 0 = not said */
	const char *orcpt; /* "" if none; where `address` is */
	bool rewritten;    /* `address` is not whom the client named */
	int code;          /* of the reply */
	bool answered;     /* `result` holds an upstream's word, or: */
	bool taken_back;   /* that it is held after all, or goes back: no upstream was asked */
	int64_t batch;     /* that it was released from; 0 = none */
	const struct verdict_key *keys; /* its streams; where `address` is */
	size_t key_count;
	struct store_delivery_result result;
};

struct delivery {
	struct loop_post post;
	TAILQ_ENTRY(delivery) next; /* upstream.waiting, while WAITING */
	struct relay_loop *rl;
	enum delivery_state state;
	struct message *message; /* NULL while LOADING */
	struct policy *policy;
	char *upstream; /* name */
	struct delivery_recipient *recipients;
	size_t count;
	uint32_t chunk_count;  /* of the body in the store; 0 = all of it is in message->body */
	struct store_due *due; /* NULL for an accepted message */
	uint64_t turn;         /* of its claim, see pauses.h */
	struct health *health; /* counts what is claimed and under way */
	struct tally *tally;   /* of its environment */
	int64_t accepted_at;   /* clock_mono() at our 250; 0 = it did not pass at once */
	char id[ID_TEXT_BYTES];
	struct arena arena;     /* recipients, replies */
	const char *remote_mta; /* the upstream's host, once one has taken it up; "" before */
	bool relayed;           /* that upstream does not do DSN */
	struct store_delivery_result *results;
	struct store_job job;
	int64_t deferred_at; /* clock_steady(); one for all its recipients, see retry_schedule() */
	uint32_t jitter;
	bool moved_on; /* was put to another connection once already */
	unsigned record_tries;
};

/* An accepted message whose passing recipients this loop has taken. Owns the message. `now`:
 * clock_mono() at our 250. */
void delivery_start_accepted(struct relay_loop *rl, struct policy *policy, struct message *m,
			     int64_t now);
/* What retry.c claimed, one message: loads it first. Called on the loop. Owns `due`. */
void delivery_start_claimed(struct relay_loop *rl, struct store_due *due, const char *upstream,
			    struct health *health, uint64_t turn);
/* An upstream's word on one recipient: code 2xx, 4xx or 5xx; `reply` is copied. */
void delivery_answer(struct delivery *d, size_t recipient, int code, const char *reply);
/* upstream.c has a connection for it. */
void delivery_sending(struct delivery *d);
/* The kept connection was dead before anything was said: another one, at once. */
void delivery_again(struct delivery *d);
/*
 * Recipients that were not handed over yet and whose stream has tripped are marked as held: the
 * store puts them into the batch. Those whose release was paused are put back: the store holds them
 * again. False if nobody is left for the upstream.
 */
bool delivery_recall(struct delivery *d);
/* The last look before its content leaves. False: the panic button covers it, or that took anybody
 * back. */
bool delivery_may_leave(struct delivery *d);
/* The last look before an upstream gets it. False: it must not begin, and has been handed back. */
bool delivery_may_begin(struct delivery *d);
/* False if it is stopped, or the relay stops: what has not begun must not begin. */
bool delivery_may_move(const struct delivery *d);
/*
 * Nothing more will happen to it now: recipients without an answer go back into the queue, as tried
 * and due after a back-off (`tried`), or as they were. `why` is what people see, e.g. "connection
 * lost".
 */
void delivery_done(struct delivery *d, bool tried, const char *why);

#endif
