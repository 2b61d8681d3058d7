/*
 * How many connections a server may have. libevent 2.1 counts none itself. Main loop.
 */
#ifndef CONTROL_SEATS_H
#define CONTROL_SEATS_H

#include <stddef.h>

struct event_base;
struct evhttp;
struct seats;

/* Has `server` end what is over `most` connections as soon as they come. Before it accepts any. */
struct seats *seats_new(struct event_base *base, struct evhttp *server, size_t most);
/* Before the server is freed. */
void seats_free(struct seats *s);

#endif
