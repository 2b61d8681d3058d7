/*
 * The relay: listeners, relay loops, sessions, deliveries, upstreams. daemon/ makes one; what is
 * below the line is for the files of this room.
 *
 * Threads: a relay_loop and all that hangs on it belong to its loop's thread. `store`, `counters`,
 * and the health objects may be used by any.
 */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "filters/gate.h"
#include "net/listener.h"
#include "net/loop.h"
#include "store/store.h"

struct keyring;
struct relay;

/*
 * Makes the loops and takes over the listening sockets, one for each listener of the configuration,
 * in its order; nothing runs. Main thread.
 */
struct relay *relay_new(struct loop *main, struct policy *policy, struct keyring *keys,
			const int *sockets, struct store *store, struct counters *counters);
/* Starts the threads and accepts connections. */
void relay_start(struct relay *r);
/* A reload: what a session begins after this returns is by the new policy. Main thread. */
void relay_set_policy(struct relay *r, struct policy *policy, struct keyring *keys);
/* Queued mail may be waiting: look. Main thread. */
void relay_poke(struct relay *r);
/* Asks an upstream whether it can be reached, as mail would find it; relay_upstreams() tells. */
void relay_probe(struct relay *r, const char *upstream);
/* A release was paused: what no upstream has been given of this batch goes back, and the store
 * holds it again. Any thread. */
void relay_pause_batch(struct relay *r, int64_t batch);
/*
 * Stops accepting, lets messages and transactions under way finish for at most `limit`
 * microseconds, ends the loops' threads, then calls done() on the main loop. What is not finished
 * is in the store and due after the next start.
 */
void relay_stop(struct relay *r, int64_t limit, void (*done)(void *context), void *context);
/* After relay_stop() and store_close(). */
void relay_free(struct relay *r);

/* For status. Main thread. */
struct relay_upstream_status {
	const char *name, *address, *why;
	bool up;
	int64_t since; /* wall clock */
	uint32_t connections;
};
void relay_upstreams(struct relay *r,
		     void (*row)(void *context, const struct relay_upstream_status *u),
		     void *context);
void relay_listeners(struct relay *r,
		     void (*row)(void *context, const char *name, const char *address),
		     void *context);

/* ---- for relay/ only ---- */

struct bounce;
struct guesses;
struct health;
struct login_cache;
struct login_desk;
struct pauses;
struct peers;
struct retry;
struct session;
struct upstream;

struct relay_loop {
	struct relay *relay;
	struct loop *loop;
	size_t index;
	struct policy *policy; /* in force; sessions hold their own reference per message */
	struct keyring *keys;  /* that go with it */
	uint64_t policy_version;
	struct login_cache *logins;
	struct loop_post recall; /* on its way here while recall_posted */
	_Atomic bool recall_posted;
	LIST_HEAD(, session) sessions;
	LIST_HEAD(, upstream) upstreams;
	size_t pending; /* intakes and deliveries whose store job is under way */
	bool stopping;
	bool quiet_told;
};

struct relay_listener {
	struct relay *relay;
	struct listener *listener;
	char *name;
	_Atomic uint32_t connections;
};

struct relay {
	struct loop *main;
	struct store *store;
	struct counters *counters;
	struct policy *policy; /* in force. Main sets it, under the lock; loops read it under it */
	struct keyring *keys;  /* that go with it */
	_Atomic uint64_t policy_version; /* how often it was set */
	pthread_mutex_t policy_lock;
	struct login_desk *desk;
	struct peers *peers;
	struct pauses *pauses;
	struct guesses *guesses;
	struct bounce *bounce;
	struct relay_loop *loops;
	struct loop **loop_list;
	size_t loop_count;
	struct relay_listener *listeners;
	size_t listener_count;
	struct health_table *health;
	struct retry *retry;
	struct loop_timer *stop_timer;
	size_t quiet_loops;
	bool stopping;         /* main's */
	bool stopped;          /* the loops have ended */
	struct loop_post poke; /* on its way to main while poke_posted */
	_Atomic bool poke_posted;
	_Atomic bool bounce_due;
	void (*stop_done)(void *context);
	void *stop_context;
};

/* The loop's policy and keys become those in force; the old ones may be gone then. */
void relay_see_policy(struct relay_loop *rl);
/* Something ended on a loop: if it stops and nothing is under way any more, main is told. */
void relay_check_quiet(struct relay_loop *rl);
/* From any loop: main shall look at the queue. */
void relay_request_poke(struct relay *r);
/* From any loop: there are senders to be told. */
void relay_request_bounce(struct relay *r);

#endif
