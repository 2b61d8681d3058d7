/*
 * One loop's pool of connections to one upstream, and the deliveries that wait for one. Made at
 * first use, freed with the loop. On the loop's thread, but for upstream_probe().
 *
 * A delivery is in `waiting` (DELIVERY_WAITING) or with a client; a client is connecting, idle or
 * busy.
 */
#ifndef RELAY_UPSTREAM_H
#define RELAY_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "relay/delivery.h"
#include "relay/relay.h"

struct smtp_client;

struct upstream {
	LIST_ENTRY(upstream) next; /* relay_loop.upstreams */
	struct relay_loop *rl;
	char *name;
	struct policy *policy;                /* holds `config` */
	const struct config_upstream *config; /* NULL: no longer configured */
	struct tls *tls;                      /* that goes with `config`; NULL: off */
	struct health *health;
	TAILQ_HEAD(, delivery) waiting;
	size_t waiting_count;
	LIST_HEAD(, smtp_client) idle;
	LIST_HEAD(, smtp_client) busy; /* connecting ones too */
	size_t clients, connecting, max_clients;
	int64_t full_until; /* monotonic: no more connections before that */
	bool starving; /* mail waits, none is open, and it is full: health.c tells the others */
	struct loop_timer *again;
	int64_t clear_until;    /* monotonic: opportunistic TLS is not tried before that */
	int64_t no_ahead_until; /* monotonic: no envelope goes behind a final dot before that */
	unsigned ahead_lost;    /* connections that were lost with one said ahead, in a row */
};

/* True if a delivery for it can be taken straight from memory now. */
bool upstream_has_room(struct relay_loop *rl, const char *name);
/*
 * Takes the loop's present configuration, with the keys that came with it; connections that were
 * made otherwise end, busy ones after their transaction.
 */
void upstream_refresh(struct upstream *u);
/* A connection for this delivery (state WAITING), now or when one is free; or hands it back. */
void upstream_acquire(struct delivery *d);
/* A client has connected and greeted: it can be used. */
void upstream_opened(struct smtp_client *c);
/* A client's transaction is over, its connection is fine: next delivery, or idle. */
void upstream_release(struct smtp_client *c);
/*
 * A delivery (now SENDING) whose envelope this client may say behind its final dot; NULL where one
 * is as soon on another connection, or this upstream does not take it.
 */
struct delivery *upstream_take_ahead(struct smtp_client *c);
/* That went wrong, surely or perhaps: after some times in a row there is none for an hour. */
void upstream_no_ahead(struct smtp_client *c, bool sure);
/* It went well. */
void upstream_took_ahead(struct smtp_client *c);
/* A client ended; `opened` if it had once been usable. The client frees itself. */
void upstream_lost(struct smtp_client *c, bool opened, const char *why);
/* The same for one whose opportunistic TLS failed: another one is opened at once, in clear. */
void upstream_go_clear(struct smtp_client *c, const char *why);
/* True if opportunistic TLS is not worth trying now. */
bool upstream_is_clear(const struct upstream *u);
/* Asks whether it can be reached; health.c hears the answer. Any thread. */
void upstream_probe(struct relay_loop *rl, const char *name);
/* How many connections of `all` this loop may have. */
size_t upstream_share(uint32_t all, size_t loop_index, size_t loop_count);
/* A stream has tripped, a release was paused, the panic button pressed: what of it waits here, or
 * was said ahead, goes back. O(deliveries that wait). */
void upstream_recall_all(struct relay_loop *rl);
/* Hands back what waits, closes what is idle. */
void upstream_stop_all(struct relay_loop *rl);
/* True if no transaction is under way. */
bool upstream_all_quiet(const struct relay_loop *rl);
/* After the loop's end. */
void upstream_free_all(struct relay_loop *rl);

#endif
