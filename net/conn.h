/*
 * A stream connection on a loop: bytes in through a callback, bytes out through a bounded queue,
 * one time limit, one end. A client's and an upstream's connection are the same thing; TLS lives
 * in here. Everything on the loop's thread.
 *
 * The owner is told of its end exactly once, by closed(), or not at all when it calls conn_free().
 * conn_free() may be called from within any callback; the memory goes after the callback's return.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/loop.h"
#include "net/tls.h"

struct conn;

enum conn_end {
	CONN_EOF,     /* the peer closed, or its side of it; conn_finish() sends what is written */
	CONN_TIMEOUT, /* nothing came for the time limit; conn_finish() can still send a last word
		       */
	CONN_ERROR    /* refused, reset, unreachable, not resolved, nothing could be sent in time */
};

struct conn_owner {
	/* An outgoing connection stands. May be NULL for an accepted one. */
	void (*connected)(void *owner);
	/* The handshake that conn_start_tls() began is done. May be NULL where that is never
	 * called. */
	void (*secured)(void *owner);
	/*
	 * Bytes came; returns how many it used. Called again while it uses some and some are left.
	 * With 0 it waits: for more bytes, or, after conn_pause(), for conn_resume().
	 */
	size_t (*input)(void *owner, const char *data, size_t len);
	/* All that was written has gone to the kernel, or conn_ask_drained(). May be NULL. */
	void (*drained)(void *owner);
	/* `why` is a static text or good until the return: "Connection refused". */
	void (*closed)(void *owner, enum conn_end end, const char *why);
};

/* The most an owner sees at once; a longer line or token must be given up by then. */
enum { CONN_INPUT_MAX = 65536 };

/* Takes an accepted, non-blocking socket. NULL (and the socket closed) if there is no memory for
 * it. */
struct conn *conn_accepted(struct loop *l, int fd, const struct conn_owner *owner, void *context);
/* Starts to connect to a name or address; closed() or connected() follows, never within this call.
 */
struct conn *conn_connect(struct loop *l, const char *host, uint16_t port, int64_t timeout,
			  const struct conn_owner *owner, void *context);
/*
 * Time limits in microseconds from now on, 0 = none: `read` between bytes that come while input is
 * not paused, `write` while bytes wait to be sent and none can be.
 */
void conn_set_timeouts(struct conn *c, int64_t read, int64_t write);
/* Stops and starts input(); conn_resume() looks at what is already there, after the turn. */
void conn_pause(struct conn *c);
void conn_resume(struct conn *c);
void conn_write(struct conn *c, const void *data, size_t len);
/* Writes without a copy; release(arg) is called once when the bytes are no longer needed. */
void conn_write_ref(struct conn *c, const void *data, size_t len, void (*release)(void *arg),
		    void *arg);
/*
 * TLS from here on, as the server of an accepted connection or the client of one that was made:
 * first what is written goes out in clear, then the handshake, then secured(); input() gets nothing
 * in between. What the peer sent in clear behind the bytes that the owner uses in the call of
 * input() under way is thrown away unseen if we are the server (RFC 3207 4.2: commands before the
 * handshake must not count), and ends the connection if we are the client. `host` is the name for
 * SNI and the check of the certificate; NULL for a server. Fails into closed(CONN_ERROR, "TLS:
 * why"), also when the handshake takes longer than `limit` microseconds in all. Takes its own
 * reference to `t`. To be called at most once a connection.
 */
void conn_start_tls(struct conn *c, struct tls *t, const char *host, int64_t limit);
/* NULL before secured(). Good as long as the connection. */
struct conn_security {
	const char *version; /* "TLSv1.3" */
	const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
	/*
	 * The name in a verified client certificate: the first dNSName, else rfc822Name, of its
	 * alternative names, else its common name; "" if it showed none or it is not printable
	 * ASCII.
	 */
	const char *peer_name;
};
const struct conn_security *conn_security(const struct conn *c);
/*
 * drained() follows when all that was written has gone, also where nothing was: once, from the
 * loop and never within this call. For whoever does not know whether it wrote anything.
 */
void conn_ask_drained(struct conn *c);
/* Bytes that wait to be sent. */
size_t conn_pending(const struct conn *c);
/* Bytes written that the kernel never got: they wait, or nothing can be sent any more. */
size_t conn_unsent(const struct conn *c);
/* Sends what is written, then ends; no callback comes any more. Bounded by `limit` microseconds. */
void conn_finish(struct conn *c, int64_t limit);
void conn_free(struct conn *c);
/* The peer's numeric address and port, for logs: "192.0.2.1:25". */
const char *conn_peer(struct conn *c);

#endif
