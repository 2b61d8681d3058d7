/*
 * One connection's TLS: OpenSSL's SSL object over a struct tls and the connection's socket. For
 * net/conn.c only; on the connection's loop.
 */
#ifndef NET_TLS_SESSION_H
#define NET_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "net/tls.h"

struct evbuffer;
struct ssl_st;

enum tls_session_result {
	TLS_SESSION_DONE,
	TLS_SESSION_WANTS_INPUT,  /* again when the socket can be read */
	TLS_SESSION_WANTS_OUTPUT, /* again when it can be written */
	TLS_SESSION_EOF,
	TLS_SESSION_FAILED /* tls_session_explain() says why, if nothing else is asked before */
};

/* `host` as for conn_start_tls(). Keeps what it needs of `t`. */
struct ssl_st *tls_session_new(struct tls *t, const char *host);
bool tls_session_is_server(const struct ssl_st *ssl);
/* To be called once before the next three, which speak on it; the socket stays the caller's. */
void tls_session_attach(struct ssl_st *ssl, int fd);
enum tls_session_result tls_session_shake(struct ssl_st *ssl);
/* At least a record's worth of room is asked for: then nothing that came stays behind in `ssl`. */
enum { TLS_RECORD_BYTES = 16384 };
enum tls_session_result tls_session_read(struct ssl_st *ssl, char *data, size_t room, size_t *got);
/* Sends what the kernel takes; DONE if that is all. Full records, so few of them. */
enum tls_session_result tls_session_write(struct ssl_st *ssl, struct evbuffer *out);
/* Says goodbye (close_notify) if the kernel takes it; only after the handshake. */
void tls_session_close(struct ssl_st *ssl);
void tls_session_free(struct ssl_st *ssl);
/*
 * Why a call has just failed, in plain words: "TLS: the certificate is for another name than
 * mx.example.com"; or only what the system says. `shaking`: in the handshake. `error` is the errno
 * that the call left.
 */
void tls_session_explain(struct ssl_st *ssl, bool shaking, int error, struct buf *why);
const char *tls_session_version(const struct ssl_st *ssl);
const char *tls_session_cipher(const struct ssl_st *ssl);
/* As conn_security.peer_name says; for free(). */
char *tls_session_peer_name(const struct ssl_st *ssl);

#endif
