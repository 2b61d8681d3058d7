/*
 * TLS (RFC 3207, 8314): what a listener shows its clients and what an upstream must show us, made
 * once from files, immutable and counted. net/conn.c speaks it. TLS 1.2 and later only, no
 * renegotiation, no compression. Any thread.
 */
#ifndef NET_TLS_H
#define NET_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct tls;

/*
 * For connections that come in: `certificate` is a PEM file with the chain, leaf first; `key` its
 * private key (the certificate's own file if ""). With `client_ca` (a PEM file) clients may show a
 * certificate of it; one that does not verify ends the handshake, none at all does not. NULL and a
 * plain reason with the next step in `error`: unreadable, no key in it, a key of another
 * certificate, a key with a passphrase. One that has expired is taken: see tls_expires_at().
 */
struct tls *tls_server_new(const char *certificate, const char *key, const char *client_ca,
			   struct buf *error);
/*
 * For connections that go out. `verify`: the chain must lead to `ca` (a PEM file, or "" for the
 * system's, where SSL_CERT_FILE counts) and the certificate must name the host (RFC 6125, also an
 * IP address); else any certificate will do (opportunistic, RFC 7435).
 */
struct tls *tls_client_new(const char *ca, bool verify, struct buf *error);
struct tls *tls_ref(struct tls *t);
/* NULL is fine. */
void tls_unref(struct tls *t);
/* Of the server's own certificate, wall clock in microseconds; 0 for a client's. */
int64_t tls_expires_at(const struct tls *t);
/* For net/tls_session.c; OpenSSL's, still owned by `t`. */
struct ssl_ctx_st *tls_context(const struct tls *t);

/* OpenSSL's, for `mailfused -V`. */
const char *tls_library_version(void);

#endif
