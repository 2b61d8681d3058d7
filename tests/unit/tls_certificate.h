/*
 * Certificates for the tests, made on the spot (EC keys, so it is quick) and written as PEM files
 * into a directory that certificate_remove_all() removes.
 */
#ifndef TESTS_UNIT_TLS_CERTIFICATE_H
#define TESTS_UNIT_TLS_CERTIFICATE_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

struct certificate {
	X509 *x509;
	EVP_PKEY *key;
};

struct certificate_wish {
	const char *common_name;
	size_t common_name_len;  /* 0: strlen */
	const char *second_name; /* one more common name */
	const char *alternative; /* as in openssl.cnf: "DNS:mx.test,IP:127.0.0.1" */
	const char *raw_dns;     /* a dNSName of any bytes, in place of `alternative` */
	size_t raw_dns_len;
	bool is_ca, has_expired, is_broken; /* broken: signed with another key than the issuer's */
};

/* Signed by itself without an issuer. For certificate_free(). */
struct certificate *certificate_new(const struct certificate_wish *wish,
				    const struct certificate *issuer);
void certificate_free(struct certificate *c);

enum certificate_part {
	PART_CERTIFICATE = 1,
	PART_KEY = 2,
	PART_BOTH = 3,
	PART_LOCKED_KEY = 4 /* with a passphrase */
};
/* The file's path, good until certificate_remove_all(). */
const char *certificate_write(const struct certificate *c, enum certificate_part part);
/* Any text, in a file beside them. */
const char *certificate_write_text(const char *text);
void certificate_remove_all(void);

#endif
