/*
 * One connection's TLS: the handshake, records in and out, the checks of the peer's name, reasons
 * in plain words, the goodbye. Called by net/conn.c on the connection's loop, which owns and frees
 * the session.
 *
 * Read-ahead stays off: then all that OpenSSL has of the peer's is at most what a record's room
 * takes out of it, and the socket's readiness tells all.
 */
#include "net/tls_session.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/util.h>
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

void
tls_session_attach(SSL *ssl, int fd)
{
	if (SSL_set_fd(ssl, fd) != 1)
		fatal("out of memory");
	if (tls_session_is_server(ssl))
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
}

/* Keeps errno for who asks why. */
static enum tls_session_result
tls_session_judge(SSL *ssl, int returned)
{
	int error = errno;

	switch (SSL_get_error(ssl, returned)) {
	case SSL_ERROR_NONE:
		return TLS_SESSION_DONE;
	case SSL_ERROR_WANT_READ:
		return TLS_SESSION_WANTS_INPUT;
	case SSL_ERROR_WANT_WRITE:
		return TLS_SESSION_WANTS_OUTPUT;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_SESSION_EOF;
	case SSL_ERROR_SYSCALL:
		errno = error;
		return error == 0 && ERR_peek_error() == 0 ? TLS_SESSION_EOF : TLS_SESSION_FAILED;
	default:
		errno = 0;
		return TLS_SESSION_FAILED;
	}
}

static void
tls_session_forget_errors(void)
{
	ERR_clear_error();
	errno = 0;
}

enum tls_session_result
tls_session_shake(SSL *ssl)
{
	tls_session_forget_errors();
	return tls_session_judge(ssl, SSL_do_handshake(ssl));
}

enum tls_session_result
tls_session_read(SSL *ssl, char *data, size_t room, size_t *got)
{
	int n;

	*got = 0;
	tls_session_forget_errors();
	n = SSL_read(ssl, data, (int)room);
	if (n <= 0)
		return tls_session_judge(ssl, n);
	*got = (size_t)n;
	return TLS_SESSION_DONE;
}

/*
 * A record has the head of the queue, however many pieces that is in. After a short write OpenSSL
 * wants to see the same bytes again, but not at the same place, nor only those: they stay the head.
 */
enum tls_session_result
tls_session_write(SSL *ssl, struct evbuffer *out)
{
	char copy[TLS_RECORD_BYTES];
	const void *data;
	size_t len;
	int n;

	while ((len = evbuffer_get_length(out)) > 0) {
		if (len > TLS_RECORD_BYTES)
			len = TLS_RECORD_BYTES;
		if (evbuffer_get_contiguous_space(out) >= len) {
			data = evbuffer_pullup(out, (ev_ssize_t)len);
		} else {
			evbuffer_copyout(out, copy, len);
			data = copy;
		}
		tls_session_forget_errors();
		n = SSL_write(ssl, data, (int)len);
		if (n <= 0)
			return tls_session_judge(ssl, n);
		evbuffer_drain(out, (size_t)n);
	}
	return TLS_SESSION_DONE;
}

void
tls_session_close(SSL *ssl)
{
	ERR_clear_error();
	SSL_shutdown(ssl);
	ERR_clear_error();
}

void
tls_session_free(SSL *ssl)
{
	SSL_free(ssl);
}

/* The first error that OpenSSL had, which is the cause; 0 if there was none but the system's. */
static unsigned long
tls_session_cause(void)
{
	unsigned long error, cause = 0;

	while ((error = ERR_get_error()) != 0)
		if (cause == 0 && !ERR_SYSTEM_ERROR(error))
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
tls_session_explain(SSL *ssl, bool shaking, int error, struct buf *why)
{
	unsigned long cause = tls_session_cause();

	if (cause != 0 || shaking)
		buf_add_text(why, "TLS: ");
	if (shaking && tls_session_explain_verify(ssl, why))
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
