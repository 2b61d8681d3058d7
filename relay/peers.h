/*
 * Clients by address (an IPv6 client by its /64): how many connections each has open, how many
 * mistakes and failed logins it made lately. One table for all loops, under one lock that is held
 * for a look-up; asked once a connection and once a mistake. At most 65536 clients: beyond it the
 * one that was quiet for longest is forgotten, but never one with open connections.
 */
#ifndef RELAY_PEERS_H
#define RELAY_PEERS_H

#include <stdbool.h>
#include <stdint.h>

struct peers;

struct peers_limits {
	uint32_t connections; /* at the same time */
	uint32_t errors;      /* in `window`; a leaky bucket */
	int64_t window;       /* microseconds */
};

enum peers_answer { PEERS_OK, PEERS_CONNECTIONS, PEERS_ERRORS };

/* What a failed login weighs against a bad command. */
enum { PEERS_ERROR_LOGIN = 10 };

struct peers *peers_new(void);
void peers_free(struct peers *p);
/* A connection comes. With PEERS_OK it is counted until peers_leave(). */
enum peers_answer peers_enter(struct peers *p, const char *client, const struct peers_limits *l,
			      int64_t mono);
void peers_leave(struct peers *p, const char *client);
/*
 * A mistake: false once the client has made too many; its session is to end, and peers_enter()
 * refuses it until enough has leaked, at the latest one window after the last mistake.
 */
bool peers_error(struct peers *p, const char *client, const struct peers_limits *l, int64_t mono,
		 uint32_t weight);
/*
 * How long to wait before a failed login is answered: 1 s, doubled with each one more of this
 * client within the last ten minutes, 16 s at most; counts this one. Microseconds.
 */
int64_t peers_login_failed(struct peers *p, const char *client, int64_t mono);
/* The next failed login waits 1 s again. Mistakes stay counted: one right password among many wrong
 * ones is no excuse. */
void peers_login_right(struct peers *p, const char *client);

#endif
