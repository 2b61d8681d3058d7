/*
 * TLS for who speaks through a libevent bufferevent, as control/'s HTTP server does.
 */
#ifndef NET_TLS_BUFFEREVENT_H
#define NET_TLS_BUFFEREVENT_H

#include "net/tls.h"

struct bufferevent;
struct event_base;

/*
 * The server's side of a connection whose socket is set later (bufferevent_setfd()); socket and TLS
 * end with it. Keeps what it needs of `t`. NULL if memory or randomness are short.
 */
struct bufferevent *tls_bufferevent_new(struct tls *t, struct event_base *base);

#endif
