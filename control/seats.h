/*
 * The connections of an evhttp server: how many there may be, and for how long one may take to say
 * what it wants. libevent 2.1 knows neither. Main loop.
 */
#ifndef CONTROL_SEATS_H
#define CONTROL_SEATS_H

#include <stddef.h>
#include <stdint.h>

struct bufferevent;
struct event_base;
struct evhttp;
struct seats;

/* So long (microseconds), and a second more for each so many bytes that have gone over the wire. */
struct seats_patience {
	int64_t time;
	size_t bytes;
};

struct seats_rules {
	size_t most;
	/* Bytes that came and are not being answered, of all connections. */
	size_t unread_most;
	/* For a request, from the accept on or its first byte; for an answer to be taken. */
	struct seats_patience request, answer;
};

/*
 * Before the server accepts any. Has it end what comes too late or is too much: where all seats are
 * taken, an address that has fewer than another gets one of that address; of an IPv6 address its
 * /64 counts. `make` makes a connection's bufferevent, which ends its socket (NULL: plain TCP).
 * `rules` must outlive it.
 */
struct seats *seats_new(struct event_base *base, struct evhttp *server,
			const struct seats_rules *rules,
			struct bufferevent *(*make)(void *context, struct event_base *base),
			void *context);
/* A request has come in whole on this connection, and is being answered. */
void seats_answering(struct seats *s, const struct bufferevent *stream);
/* Before the server is freed; NULL is fine. */
void seats_free(struct seats *s);

#endif
