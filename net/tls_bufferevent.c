/*
 * OpenSSL's SSL object in libevent's own bufferevent. Made by daemon/ for each connection of the
 * HTTP port, freed by evhttp; main loop. Mail does not come this way: net/conn.c does more with
 * less memory.
 */
#include "net/tls_bufferevent.h"

#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

struct bufferevent *
tls_bufferevent_new(struct tls *t, struct event_base *base)
{
	SSL *ssl = SSL_new(tls_context(t));
	struct bufferevent *b;

	if (ssl == NULL)
		return NULL;
	b = bufferevent_openssl_socket_new(base, -1, ssl, BUFFEREVENT_SSL_ACCEPTING,
					   BEV_OPT_CLOSE_ON_FREE);
	if (b == NULL) {
		SSL_free(ssl);
		ERR_clear_error();
		return NULL;
	}
	/* Browsers hang up without close_notify; HTTP has its own lengths. */
	bufferevent_openssl_set_allow_dirty_shutdown(b, 1);
	return b;
}
