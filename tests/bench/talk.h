/*
 * The SMTP client of blast: one connection each, non-blocking, on one epoll. One thread.
 */
#ifndef BENCH_TALK_H
#define BENCH_TALK_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/letters.h"

enum { TALK_CODE_MAX = 600 };

struct talk;

/* The whole run, shared by its connections. */
struct blast {
	/* as asked for */
	struct sockaddr_in server;
	struct letters *letters;
	const char *sender;
	uint64_t first;          /* number of the first mail */
	uint64_t count;          /* mails */
	unsigned recipients;     /* of each */
	uint64_t per_connection; /* mails; 0 = no limit */
	SSL_CTX *tls;            /* STARTTLS; NULL = none */
	bool idle;               /* only opens, and stays */
	double rate;             /* mails a second; 0 = as fast as it goes */

	/* as it goes */
	int epoll;
	int64_t started_at;    /* monotonic microseconds */
	uint64_t begun, ended; /* mails */
	uint64_t accepted, bytes, broken, unreached;
	uint64_t failed[TALK_CODE_MAX]; /* by reply code */
	uint32_t *latency;              /* microseconds, of each that was accepted */
	unsigned open, idling, connecting;
};

int64_t talk_now(void);
struct talk *talk_new(struct blast *b);
void talk_free(struct talk *t);
/* Opens its connection, if there is something to do for it. */
void talk_open(struct talk *t);
/* What epoll said. */
void talk_go_on(struct talk *t);
/* A mail may begin again: the rate allows more. */
void talk_nudge(struct talk *t);

#endif
