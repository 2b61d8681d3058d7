/*
 * Certificates for the tests: see the header. Whatever fails here is no test's subject, so it
 * aborts.
 */
#include "tests/unit/tls_certificate.h"

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { FILES_MAX = 64, DAY = 86400 };

static char directory[] = "/tmp/mailfuse-test-XXXXXX";
static char *files[FILES_MAX];
static size_t file_count;

static void
must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "cannot make a certificate: %s\n", what);
	abort();
}

static void
add_name(X509_NAME *name, const char *text, size_t len)
{
	must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text,
					(int)len, -1, 0) == 1,
	     "name");
}

static void
add_extension(X509 *x509, const struct certificate *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *e;

	X509V3_set_ctx(&context, issuer != NULL ? issuer->x509 : x509, x509, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	must(e != NULL && X509_add_ext(x509, e, -1) == 1, value);
	X509_EXTENSION_free(e);
}

static void
add_raw_dns(X509 *x509, const char *data, size_t len)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *text = ASN1_IA5STRING_new();

	must(ASN1_STRING_set(text, data, (int)len) == 1, "dNSName");
	GENERAL_NAME_set0_value(name, GEN_DNS, text);
	sk_GENERAL_NAME_push(names, name);
	must(X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, 0) == 1, "dNSName");
	GENERAL_NAMES_free(names);
}

static void
fill(X509 *x509, const struct certificate_wish *wish)
{
	X509_NAME *name = X509_get_subject_name(x509);
	static long serial;

	X509_set_version(x509, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(x509), -2 * DAY);
	X509_gmtime_adj(X509_getm_notAfter(x509), wish->has_expired ? -DAY : 30 * DAY);
	if (wish->common_name != NULL)
		add_name(name, wish->common_name,
			 wish->common_name_len > 0 ? wish->common_name_len
						   : strlen(wish->common_name));
	if (wish->second_name != NULL)
		add_name(name, wish->second_name, strlen(wish->second_name));
}

struct certificate *
certificate_new(const struct certificate_wish *wish, const struct certificate *issuer)
{
	struct certificate *c = mem_zalloc(sizeof(*c));
	EVP_PKEY *signer;

	c->x509 = X509_new();
	c->key = EVP_EC_gen("P-256");
	must(c->x509 != NULL && c->key != NULL, "key");
	fill(c->x509, wish);
	X509_set_pubkey(c->x509, c->key);
	X509_set_issuer_name(c->x509,
			     X509_get_subject_name(issuer != NULL ? issuer->x509 : c->x509));
	add_extension(c->x509, issuer, NID_basic_constraints,
		      wish->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
	if (wish->alternative != NULL)
		add_extension(c->x509, issuer, NID_subject_alt_name, wish->alternative);
	if (wish->raw_dns != NULL)
		add_raw_dns(c->x509, wish->raw_dns, wish->raw_dns_len);
	signer = wish->is_broken ? EVP_EC_gen("P-256") : issuer != NULL ? issuer->key : c->key;
	must(X509_sign(c->x509, signer, EVP_sha256()) > 0, "signature");
	if (wish->is_broken)
		EVP_PKEY_free(signer);
	return c;
}

void
certificate_free(struct certificate *c)
{
	if (c == NULL)
		return;
	X509_free(c->x509);
	EVP_PKEY_free(c->key);
	free(c);
}

static FILE *
new_file(void)
{
	static bool made;
	char *path;
	FILE *f;

	must(file_count < FILES_MAX, "too many files");
	if (!made)
		must(mkdtemp(directory) != NULL, directory);
	made = true;
	path = mem_printf("%s/%zu.pem", directory, file_count);
	files[file_count++] = path;
	f = fopen(path, "we");
	must(f != NULL, path);
	return f;
}

const char *
certificate_write(const struct certificate *c, enum certificate_part part)
{
	unsigned char passphrase[] = "secret";
	FILE *f = new_file();

	if (part & PART_KEY)
		must(PEM_write_PrivateKey(f, c->key, NULL, NULL, 0, NULL, NULL) == 1, "file");
	if (part & PART_LOCKED_KEY)
		must(PEM_write_PrivateKey(f, c->key, EVP_aes_128_cbc(), passphrase,
					  sizeof(passphrase) - 1, NULL, NULL) == 1,
		     "file");
	if (part & PART_CERTIFICATE)
		must(PEM_write_X509(f, c->x509) == 1, "file");
	must(fclose(f) == 0, "file");
	return files[file_count - 1];
}

const char *
certificate_write_text(const char *text)
{
	FILE *f = new_file();

	fputs(text, f);
	must(fclose(f) == 0, "file");
	return files[file_count - 1];
}

void
certificate_remove_all(void)
{
	while (file_count > 0) {
		unlink(files[--file_count]);
		free(files[file_count]);
	}
	rmdir(directory);
}
