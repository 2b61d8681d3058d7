/*
 * One connection's TLS. libevent's bufferevent_openssl does the work; here is what it needs before
 * and what it does not do: the checks of the peer's name, reasons in plain words, a flush, the
 * goodbye. Called by net/conn.c on the connection's loop; the bufferevent frees the session.
 *
 * Two modes of OpenSSL must stay off for libevent 2.1: SSL_MODE_ENABLE_PARTIAL_WRITE (it goes on
 * with the next piece of the queue after a short write) and read-ahead (it would wait for the
 * socket while records lie in OpenSSL's buffer).
 */
#include "net/tls_session.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* A name in a certificate that is longer is none: RFC 1035 allows 253 octets, RFC 5321 254. */
enum { PEER_NAME_MAX = 255 };

/* Whom the certificate must name, and whom we ask for: addresses are never asked for by SNI (RFC
 * 6066 3), and a name goes without the root's dot. */
static void
tls_session_set_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	size_t len = strlen(host);
	char *name;

	if (X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1)
		return;
	name = mem_strndup(host, len > 1 && host[len - 1] == '.' ? len - 1 : len);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (SSL_set1_host(ssl, name) != 1)
		fatal("out of memory");
	/* Fails for what cannot be a name in the DNS; there the check will fail too. */
	SSL_set_tlsext_host_name(ssl, name);
	free(name);
}

SSL *
tls_session_new(struct tls *t, const char *host)
{
	SSL *ssl = SSL_new(tls_context(t));

	if (ssl == NULL)
		fatal("out of memory");
	if (!tls_session_is_server(ssl)) {
		/* OpenSSL takes no name for any name. */
		if ((host == NULL || *host == '\0') && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE)
			panic("TLS: a certificate is to be verified, but for which name?");
		if (host != NULL)
			tls_session_set_host(ssl, host);
	}
	ERR_clear_error();
	return ssl;
}

bool
tls_session_is_server(const SSL *ssl)
{
	return SSL_is_server(ssl) == 1;
}

struct bufferevent *
tls_session_bufferevent(struct event_base *base, SSL *ssl)
{
	struct bufferevent *bev = bufferevent_openssl_socket_new(
	    base, -1, ssl,
	    tls_session_is_server(ssl) ? BUFFEREVENT_SSL_ACCEPTING : BUFFEREVENT_SSL_CONNECTING,
	    BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);

	if (bev == NULL)
		fatal("out of memory");
	return bev;
}

/*
 * As libevent writes: the first piece of the queue as a whole, so that after a short write either
 * of us may go on (OpenSSL wants to see the same bytes again).
 */
void
tls_session_write(SSL *ssl, struct evbuffer *out)
{
	struct evbuffer_iovec piece;
	int n;

	while (evbuffer_get_length(out) > 0 && evbuffer_peek(out, -1, NULL, &piece, 1) > 0) {
		if (piece.iov_len == 0 || piece.iov_len > INT_MAX)
			break;
		ERR_clear_error();
		n = SSL_write(ssl, piece.iov_base, (int)piece.iov_len);
		if (n <= 0)
			break;
		evbuffer_drain(out, (size_t)n);
	}
	ERR_clear_error();
}

void
tls_session_close(SSL *ssl)
{
	ERR_clear_error();
	SSL_shutdown(ssl);
	ERR_clear_error();
}

/* The first error that OpenSSL had, which is the cause; libevent hands out the last one first. 0 if
 * there was none but the system's. */
static unsigned long
tls_session_cause(struct bufferevent *bev)
{
	unsigned long error, cause = 0;

	while ((error = bufferevent_get_openssl_error(bev)) != 0)
		if (ERR_GET_LIB(error) != 0) /* else the code of SSL_get_error() */
			cause = error;
	return cause;
}

/* Whom we trust is our own setting, so what to do about it can be said. */
static const char *
tls_session_verify_cure(const SSL *ssl, long result)
{
	switch (result) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		return SSL_is_server(ssl) ? "; to trust it, put its signer into client_ca"
					  : "; to trust it, put its signer into ca";
	default:
		return "";
	}
}

/* False if the peer's certificate is not why. */
static bool
tls_session_explain_verify(SSL *ssl, struct buf *why)
{
	X509_VERIFY_PARAM *param;
	char *address;
	long result;

	if (ssl == NULL || !(SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER))
		return false;
	param = SSL_get0_param(ssl);
	result = SSL_get_verify_result(ssl);
	switch (result) {
	case X509_V_OK:
		return false;
	case X509_V_ERR_HOSTNAME_MISMATCH:
		buf_printf(why, "the certificate is for another name than %s",
			   X509_VERIFY_PARAM_get0_host(param, 0));
		return true;
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		address = X509_VERIFY_PARAM_get1_ip_asc(param);
		buf_printf(why, "the certificate is for another address than %s",
			   address != NULL ? address : "this");
		OPENSSL_free(address);
		return true;
	default:
		buf_printf(why, "certificate verify failed: %s%s",
			   X509_verify_cert_error_string(result),
			   tls_session_verify_cure(ssl, result));
		return true;
	}
}

static void
tls_session_explain_cause(unsigned long cause, struct buf *why)
{
	const char *text = ERR_reason_error_string(cause);
	bool ours = ERR_GET_LIB(cause) == ERR_LIB_SSL;
	int reason = ERR_GET_REASON(cause);

	if (ours && reason == SSL_R_WRONG_VERSION_NUMBER)
		buf_add_text(why, "the peer does not speak TLS");
	else if (ours && (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST))
		buf_add_text(why, "the peer speaks HTTP");
	else if (ours && reason > SSL_AD_REASON_OFFSET)
		buf_printf(why, "the peer refuses: %s",
			   SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET));
	else
		buf_add_text(why, text != NULL ? text : "the connection failed");
}

void
tls_session_explain(struct bufferevent *bev, bool shaking, int error, struct buf *why)
{
	unsigned long cause = tls_session_cause(bev);

	if (cause != 0 || shaking)
		buf_add_text(why, "TLS: ");
	/* A certificate that fails may leave more errors than libevent keeps. */
	if (shaking && tls_session_explain_verify(bufferevent_openssl_get_ssl(bev), why))
		return;
	if (cause != 0)
		tls_session_explain_cause(cause, why);
	else
		buf_add_text(why, error != 0 ? evutil_socket_error_to_string(error)
					     : "the connection failed");
}

const char *
tls_session_version(const SSL *ssl)
{
	return SSL_get_version(ssl);
}

const char *
tls_session_cipher(const SSL *ssl)
{
	return SSL_get_cipher_name(ssl);
}

/* Printable ASCII only: a NUL within would make another name of it, a line end another log line. */
static char *
tls_session_name(const char *data, int len)
{
	int i;

	if (data == NULL || len <= 0 || len > PEER_NAME_MAX)
		return mem_strdup("");
	for (i = 0; i < len; i++)
		if (data[i] < 0x20 || data[i] > 0x7e)
			return mem_strdup("");
	return mem_strndup(data, (size_t)len);
}

/* The first alternative name of a type; NULL if there is none. */
static char *
tls_session_alternative(X509 *certificate, int type)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
	char *found = NULL;
	int i;

	for (i = 0; i < sk_GENERAL_NAME_num(names) && found == NULL; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		/* dNSName and rfc822Name are both an IA5String. */
		if (name->type == type)
			found = tls_session_name((const char *)ASN1_STRING_get0_data(name->d.ia5),
						 ASN1_STRING_length(name->d.ia5));
	}
	GENERAL_NAMES_free(names);
	return found;
}

/* "" if there is more than one: which would count? */
static char *
tls_session_common_name(X509 *certificate)
{
	const X509_NAME *subject = X509_get_subject_name(certificate);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1), len;
	unsigned char *text = NULL;
	char *name;

	if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return mem_strdup("");
	len =
	    ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	name = tls_session_name((const char *)text, len);
	OPENSSL_free(text);
	return name;
}

char *
tls_session_peer_name(const SSL *ssl)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	char *name;

	if (!tls_session_is_server(ssl) || certificate == NULL ||
	    SSL_get_verify_result(ssl) != X509_V_OK)
		return mem_strdup("");
	name = tls_session_alternative(certificate, GEN_DNS);
	if (name == NULL)
		name = tls_session_alternative(certificate, GEN_EMAIL);
	if (name == NULL)
		name = tls_session_common_name(certificate);
	ERR_clear_error();
	return name;
}
