/*
 * What the relay remembers of each client address. One object for the daemon's life, made and freed
 * by relay.c; sessions of all loops ask it. Everything below one lock, which is held for a look-up
 * in a hash table and no longer.
 */
#include "relay/peers.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/client_name.h"

/* Outsiders choose addresses, so where one lies in the table is secret. */
static uint64_t peers_seed;

#define HASH_FUNCTION(key, len, out) (out) = (unsigned)(text_hash(peers_seed, (key), (len)) >> 16)
#define uthash_fatal(message) fatal("out of memory")
#include <uthash.h>

enum { CLIENTS_MAX = 65536 };

/* 1, 2, 4, 8, 16 seconds: how many failures before this one count. */
enum { FAILURES_MAX = 4 };

#define FAILURE_WINDOW (10 * CLOCK_MINUTE)

struct peer {
	UT_hash_handle hh;
	TAILQ_ENTRY(peer) quiet; /* while it has no connections */
	char name[CLIENT_NAME_BYTES];
	uint32_t connections;
	/*
	 * The leaky bucket of mistakes as the moment at which it will be empty; 0 = it is. A
	 * mistake moves it on by window / errors, and the bucket is full when it is `window` away:
	 * of the listeners whose mistakes are in it, the one that forgets last says how long that
	 * is.
	 */
	int64_t empty_at, window;
	int64_t failed_at[FAILURES_MAX]; /* the latest failed logins, 0 = none */
	size_t next_failure;
};

struct peers {
	pthread_mutex_t lock;
	struct peer *table;
	TAILQ_HEAD(peer_list, peer) quiet; /* the one that was quiet for longest first */
};

struct peers *
peers_new(void)
{
	struct peers *p = mem_zalloc(sizeof(*p));

	if (peers_seed == 0 &&
	    getrandom(&peers_seed, sizeof(peers_seed), 0) != (ssize_t)sizeof(peers_seed))
		peers_seed = (uint64_t)clock_wall() ^ (uint64_t)(uintptr_t)p;
	pthread_mutex_init(&p->lock, NULL);
	TAILQ_INIT(&p->quiet);
	return p;
}

void
peers_free(struct peers *p)
{
	struct peer *peer, *next;

	if (p == NULL)
		return;
	HASH_ITER(hh, p->table, peer, next)
	{
		HASH_DEL(p->table, peer);
		free(peer);
	}
	pthread_mutex_destroy(&p->lock);
	free(p);
}

/* Under the lock. With `add` it is made if it is not there; NULL if all have open connections. */
static struct peer *
find_peer(struct peers *p, const char *client, bool add)
{
	char name[CLIENT_NAME_BYTES];
	struct peer *peer;

	client_name(client, name);
	HASH_FIND_STR(p->table, name, peer);
	if (peer != NULL || !add)
		return peer;
	if (HASH_COUNT(p->table) >= CLIENTS_MAX) {
		peer = TAILQ_FIRST(&p->quiet);
		if (peer == NULL)
			return NULL;
		TAILQ_REMOVE(&p->quiet, peer, quiet);
		HASH_DEL(p->table, peer);
		free(peer);
	}
	peer = mem_zalloc(sizeof(*peer));
	memcpy(peer->name, name, sizeof(name));
	HASH_ADD_STR(p->table, name, peer);
	TAILQ_INSERT_TAIL(&p->quiet, peer, quiet);
	return peer;
}

/* It was heard of: it is the last of the quiet ones to be forgotten. */
static void
touch_peer(struct peers *p, struct peer *peer)
{
	if (peer->connections > 0)
		return;
	TAILQ_REMOVE(&p->quiet, peer, quiet);
	TAILQ_INSERT_TAIL(&p->quiet, peer, quiet);
}

static bool
is_over(const struct peer *peer, int64_t mono)
{
	return peer->empty_at > mono + peer->window;
}

static void
fill_bucket(struct peer *peer, const struct peers_limits *l, int64_t mono, uint32_t weight)
{
	int64_t left = peer->empty_at > mono ? peer->empty_at - mono : 0;

	if (left == 0) {
		peer->window = l->window;
	} else if (peer->window < l->window) { /* as full as it was, but of a larger one */
		left = (int64_t)((double)left / (double)peer->window * (double)l->window);
		peer->window = l->window;
	}
	left += weight > l->errors ? 2 * peer->window : peer->window / l->errors * weight;
	/* Who goes on is out for one more window, not for ever. */
	if (left > 2 * peer->window)
		left = 2 * peer->window;
	peer->empty_at = mono + left;
}

enum peers_answer
peers_enter(struct peers *p, const char *client, const struct peers_limits *l, int64_t mono)
{
	enum peers_answer answer = PEERS_OK;
	struct peer *peer;

	pthread_mutex_lock(&p->lock);
	peer = find_peer(p, client, true);
	if (peer == NULL || peer->connections >= l->connections) {
		answer = PEERS_CONNECTIONS;
	} else if (is_over(peer, mono)) {
		answer = PEERS_ERRORS;
		touch_peer(p, peer);
	} else if (peer->connections++ == 0) {
		TAILQ_REMOVE(&p->quiet, peer, quiet);
	}
	pthread_mutex_unlock(&p->lock);
	return answer;
}

void
peers_leave(struct peers *p, const char *client)
{
	struct peer *peer;

	pthread_mutex_lock(&p->lock);
	peer = find_peer(p, client, false);
	if (peer == NULL || peer->connections == 0)
		panic("client %s has left already", log_safe(client));
	if (--peer->connections == 0)
		TAILQ_INSERT_TAIL(&p->quiet, peer, quiet);
	pthread_mutex_unlock(&p->lock);
}

bool
peers_error(struct peers *p, const char *client, const struct peers_limits *l, int64_t mono,
	    uint32_t weight)
{
	struct peer *peer;
	bool ok = false;

	pthread_mutex_lock(&p->lock);
	peer = find_peer(p, client, true);
	if (peer != NULL) {
		touch_peer(p, peer);
		fill_bucket(peer, l, mono, weight);
		ok = !is_over(peer, mono);
	}
	pthread_mutex_unlock(&p->lock);
	return ok;
}

int64_t
peers_login_failed(struct peers *p, const char *client, int64_t mono)
{
	struct peer *peer;
	unsigned before = FAILURES_MAX;
	size_t i;

	pthread_mutex_lock(&p->lock);
	peer = find_peer(p, client, true);
	if (peer != NULL) {
		touch_peer(p, peer);
		for (i = 0, before = 0; i < FAILURES_MAX; i++)
			if (peer->failed_at[i] != 0 && mono - peer->failed_at[i] < FAILURE_WINDOW)
				before++;
		peer->failed_at[peer->next_failure] = mono > 0 ? mono : 1;
		peer->next_failure = (peer->next_failure + 1) % FAILURES_MAX;
	}
	pthread_mutex_unlock(&p->lock);
	return CLOCK_SECOND << before;
}

void
peers_login_right(struct peers *p, const char *client)
{
	struct peer *peer;

	pthread_mutex_lock(&p->lock);
	peer = find_peer(p, client, false);
	if (peer != NULL)
		memset(peer->failed_at, 0, sizeof(peer->failed_at));
	pthread_mutex_unlock(&p->lock);
}
