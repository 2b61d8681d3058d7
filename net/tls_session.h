/*
 * One connection's TLS: OpenSSL's SSL object over a struct tls, which libevent drives. For
 * net/conn.c only; on the connection's loop.
 */
#ifndef NET_TLS_SESSION_H
#define NET_TLS_SESSION_H

#include <stdbool.h>

#include "base/buf.h"
#include "net/tls.h"

struct bufferevent;
struct evbuffer;
struct event_base;
struct ssl_st;

/* `host` as for conn_start_tls(). Keeps what it needs of `t`. */
struct ssl_st *tls_session_new(struct tls *t, const char *host);
bool tls_session_is_server(const struct ssl_st *ssl);
/*
 * A bufferevent for it that owns `ssl`, without a socket yet: the handshake begins with
 * bufferevent_setfd(), which hands over the socket too.
 */
struct bufferevent *tls_session_bufferevent(struct event_base *base, struct ssl_st *ssl);
/* Sends of `out` what the kernel takes now. Any error is met again by the next one who writes. */
void tls_session_write(struct ssl_st *ssl, struct evbuffer *out);
/* Says goodbye (close_notify) if the kernel takes it; only after the handshake. */
void tls_session_close(struct ssl_st *ssl);
/*
 * Why the bufferevent of a session failed, in plain words: "TLS: the certificate is for another
 * name than mx.example.com"; or only what the system says. `shaking`: in the handshake. `error` is
 * the errno that came with the event. Any other bufferevent will do too.
 */
void tls_session_explain(struct bufferevent *bev, bool shaking, int error, struct buf *why);
const char *tls_session_version(const struct ssl_st *ssl);
const char *tls_session_cipher(const struct ssl_st *ssl);
/* As conn_security.peer_name says; for free(). */
char *tls_session_peer_name(const struct ssl_st *ssl);

#endif
