/*
 * TLS contexts, from files. Made on the main thread at the start and at each reload
 * (relay/keyring.c), shared by the connections of all loops and freed by the last: OpenSSL's
 * contexts are made for that. What one connection does with them is in net/tls_session.c.
 */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct tls {
	SSL_CTX *context;
	_Atomic unsigned refs;
	int64_t expires_at;
};

/* What both sides have in common. */
static struct tls *
tls_new(const SSL_METHOD *method)
{
	struct tls *t = mem_zalloc(sizeof(*t));

	t->refs = 1;
	t->context = SSL_CTX_new(method);
	if (t->context == NULL)
		fatal("OpenSSL cannot start: %s", ERR_reason_error_string(ERR_peek_error()));
	SSL_CTX_set_min_proto_version(t->context, TLS1_2_VERSION);
	/* 112 bits: keys of RSA from 2048 bits, no SHA-1. */
	SSL_CTX_set_security_level(t->context, 2);
	/*
	 * A connection that ends without close_notify is an ordinary end: SMTP has its own, and
	 * many just close.
	 */
	SSL_CTX_set_options(t->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					    SSL_OP_CIPHER_SERVER_PREFERENCE |
					    SSL_OP_IGNORE_UNEXPECTED_EOF);
	/*
	 * An idle connection gives its 32 KB of buffers back. What is tried again after a short
	 * write may lie elsewhere by then.
	 */
	SSL_CTX_set_mode(t->context,
			 SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/*
	 * Sessions are resumed by tickets, which the client keeps. One a handshake: a second one
	 * is for clients that open several connections with it at once (RFC 8446 C.4), and making
	 * it is a fifteenth of what a handshake takes.
	 */
	SSL_CTX_set_num_tickets(t->context, 1);
	SSL_CTX_set_session_cache_mode(t->context, SSL_SESS_CACHE_OFF);
	return t;
}

/* OpenSSL's reason for what it was last asked; forgets it. */
static const char *
tls_reason(void)
{
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	return reason != NULL ? reason : "it is damaged";
}

/* Says why if the file cannot even be opened. */
static FILE *
tls_open(const char *path, const char *what, struct buf *error)
{
	FILE *f = fopen(path, "re");

	if (f == NULL)
		buf_printf(error, "the %s \"%s\" cannot be read: %s", what, path, strerror(errno));
	return f;
}

static bool
tls_is_readable(const char *path, const char *what, struct buf *error)
{
	FILE *f = tls_open(path, what, error);

	if (f == NULL)
		return false;
	fclose(f);
	return true;
}

static bool
tls_use_certificate(struct tls *t, const char *path, struct buf *error)
{
	struct tm tm = {0};

	if (!tls_is_readable(path, "certificate", error))
		return false;
	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(t->context, path) != 1) {
		if (ERR_GET_REASON(ERR_peek_error()) == PEM_R_NO_START_LINE)
			buf_printf(error,
				   "there is no certificate in \"%s\"; it must be in PEM, the "
				   "server's own first",
				   path);
		else
			buf_printf(error, "the certificate in \"%s\" cannot be used: %s", path,
				   tls_reason());
		ERR_clear_error();
		return false;
	}
	if (ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(t->context)), &tm) == 1)
		t->expires_at = (int64_t)timegm(&tm) * CLOCK_SECOND;
	return true;
}

/* Nobody sits at the terminal: remembers that a passphrase was wanted, and gives none. */
static int
tls_refuse_passphrase(char *passphrase, int size, int writing, void *context)
{
	bool *asked = context;

	(void)passphrase;
	(void)size;
	(void)writing;
	*asked = true;
	return -1;
}

static EVP_PKEY *
tls_read_key(const char *path, struct buf *error)
{
	FILE *f = tls_open(path, "key", error);
	bool asked = false;
	EVP_PKEY *key;

	if (f == NULL)
		return NULL;
	ERR_clear_error();
	key = PEM_read_PrivateKey(f, NULL, tls_refuse_passphrase, &asked);
	fclose(f);
	if (key == NULL && asked)
		buf_printf(
		    error,
		    "the private key in \"%s\" has a passphrase; remove it: openssl pkey -in "
		    "\"%s\" -out NEW",
		    path, path);
	else if (key == NULL)
		buf_printf(error,
			   "there is no private key in \"%s\" that can be read; it must be in "
			   "PEM, unencrypted",
			   path);
	ERR_clear_error();
	return key;
}

static bool
tls_use_key(struct tls *t, const char *certificate, const char *path, struct buf *error)
{
	EVP_PKEY *key = tls_read_key(path, error);
	bool done = false;

	if (key == NULL)
		return false;
	if (X509_check_private_key(SSL_CTX_get0_certificate(t->context), key) != 1)
		buf_printf(
		    error,
		    "the private key in \"%s\" belongs to another certificate than the first "
		    "in \"%s\"; put the server's own first",
		    path, certificate);
	else if (SSL_CTX_use_PrivateKey(t->context, key) != 1)
		buf_printf(error, "the private key in \"%s\" cannot be used: %s", path,
			   tls_reason());
	else
		done = true;
	EVP_PKEY_free(key); /* the context has counted it */
	ERR_clear_error();
	return done;
}

/*
 * OpenSSL 3.0 reads the extensions of a CA's certificate when it is first needed, and then tells
 * other threads without a barrier that it has: so it is done here, before there are any.
 */
static void
tls_read_extensions(struct tls *t)
{
	STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(SSL_CTX_get_cert_store(t->context));
	int i;

	for (i = 0; i < sk_X509_OBJECT_num(all); i++) {
		X509 *certificate = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));

		if (certificate != NULL)
			X509_check_purpose(certificate, -1, 0);
	}
	ERR_clear_error();
}

static bool
tls_trust(struct tls *t, const char *ca, struct buf *error)
{
	if (!tls_is_readable(ca, "CA file", error))
		return false;
	ERR_clear_error();
	if (SSL_CTX_load_verify_file(t->context, ca) == 1) {
		tls_read_extensions(t);
		return true;
	}
	ERR_clear_error();
	buf_printf(error,
		   "there is no CA certificate in \"%s\" that can be used; it must be in PEM", ca);
	return false;
}

/* The names of the CAs are sent, so that a client with several certificates shows the right one. */
static bool
tls_ask_clients(struct tls *t, const char *ca, struct buf *error)
{
	static const unsigned char id[] = "mailfuse";

	if (!tls_trust(t, ca, error))
		return false;
	SSL_CTX_set_client_CA_list(t->context, SSL_load_client_CA_file(ca));
	SSL_CTX_set_verify(t->context, SSL_VERIFY_PEER, NULL);
	/* Without one OpenSSL resumes no session of a client that it has verified. */
	SSL_CTX_set_session_id_context(t->context, id, sizeof(id) - 1);
	return true;
}

struct tls *
tls_server_new(const char *certificate, const char *key, const char *client_ca, struct buf *error)
{
	struct tls *t = tls_new(TLS_server_method());

	if (tls_use_certificate(t, certificate, error) &&
	    tls_use_key(t, certificate, key[0] != '\0' ? key : certificate, error) &&
	    (client_ca[0] == '\0' || tls_ask_clients(t, client_ca, error)))
		return t;
	tls_unref(t);
	return NULL;
}

struct tls *
tls_client_new(const char *ca, bool verify, struct buf *error)
{
	struct tls *t = tls_new(TLS_client_method());

	if (ca[0] != '\0') {
		if (!tls_trust(t, ca, error)) {
			tls_unref(t);
			return NULL;
		}
	} else if (verify) {
		SSL_CTX_set_default_verify_paths(t->context);
		tls_read_extensions(t);
	}
	SSL_CTX_set_verify(t->context, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	ERR_clear_error();
	return t;
}

struct tls *
tls_ref(struct tls *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

void
tls_unref(struct tls *t)
{
	if (t == NULL || atomic_fetch_sub(&t->refs, 1) != 1)
		return;
	SSL_CTX_free(t->context);
	free(t);
}

int64_t
tls_expires_at(const struct tls *t)
{
	return t->expires_at;
}

SSL_CTX *
tls_context(const struct tls *t)
{
	return t->context;
}

const char *
tls_library_version(void)
{
	return OpenSSL_version(OPENSSL_VERSION_STRING);
}
