/*
 * Password hashes (scrypt by OpenSSL's EVP_KDF) and the names that go with them. Called by
 * config/users.c, by relay/login.c on its own thread, and by `mailfuse passwd`. Nothing is kept
 * between calls; what was computed of a password is wiped.
 */
#include "base/password.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

/* What RFC 7914 section 2 names N (as a power of two), r and p, for new hashes. */
enum { NEW_LN = 15, NEW_R = 8, NEW_P = 1, NEW_SALT = 16, NEW_KEY = 32 };

enum { SALT_MIN = 8, SALT_MAX = 64, KEY_MIN = 16, KEY_MAX = 64, NAME_MAX_BYTES = 255 };

/* Base64 of 64 bytes: 86 characters, two of padding, NUL. */
enum { BASE64_BYTES = 92 };

/* scrypt needs 128 * N * r bytes and a little for the rest. */
#define MEMORY_MAX (UINT64_C(512) * 1024 * 1024 + 1024 * 1024)

struct hash {
	unsigned ln, r, p;
	size_t salt_len, key_len;
	unsigned char salt[SALT_MAX], key[KEY_MAX];
};

/* What is computed for a user that does not exist; its password is nobody's. */
static const char nobody[] =
    "$scrypt$ln=15,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/* "ln=15" and its like: one or two digits, no zero before them. Moves *at behind `end`. */
static bool
read_number(const char **at, const char *name, unsigned least, unsigned most, char end,
	    unsigned *out)
{
	size_t len = strlen(name), digits;

	if (strncmp(*at, name, len) != 0)
		return false;
	*at += len;
	digits = strspn(*at, "0123456789");
	if (digits < 1 || digits > 2 || **at == '0' || (*at)[digits] != end)
		return false;
	*out = (unsigned)strtoul(*at, NULL, 10);
	*at += digits + 1;
	return *out >= least && *out <= most;
}

/* Base64 (RFC 4648 section 4) without its padding. */
static void
write_base64(const unsigned char *bytes, size_t len, char out[BASE64_BYTES])
{
	EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
	out[strcspn(out, "=")] = '\0';
}

/* Only what write_base64() would write: OpenSSL's reader is more lenient. */
static bool
read_base64(const char *text, size_t len, size_t least, size_t most, unsigned char *out,
	    size_t *out_len)
{
	char padded[BASE64_BYTES], again[BASE64_BYTES];
	unsigned char bytes[BASE64_BYTES];

	if (len * 3 / 4 < least || len * 3 / 4 > most || len % 4 == 1)
		return false;
	memset(padded, '=', sizeof(padded));
	memcpy(padded, text, len);
	if (EVP_DecodeBlock(bytes, (unsigned char *)padded, (int)((len + 3) / 4 * 4)) < 0)
		return false;
	*out_len = len * 3 / 4;
	write_base64(bytes, *out_len, again);
	if (strlen(again) != len || memcmp(again, text, len) != 0)
		return false;
	memcpy(out, bytes, *out_len);
	return true;
}

static bool
read_hash(const char *text, struct hash *h)
{
	static const char kind[] = "$scrypt$";
	const char *at = text, *key;

	if (strncmp(at, kind, sizeof(kind) - 1) != 0)
		return false;
	at += sizeof(kind) - 1;
	if (!read_number(&at, "ln=", 10, 18, ',', &h->ln) ||
	    !read_number(&at, "r=", 1, 16, ',', &h->r) || !read_number(&at, "p=", 1, 4, '$', &h->p))
		return false;
	key = strchr(at, '$');
	return key != NULL &&
	       read_base64(at, (size_t)(key - at), SALT_MIN, SALT_MAX, h->salt, &h->salt_len) &&
	       read_base64(key + 1, strlen(key + 1), KEY_MIN, KEY_MAX, h->key, &h->key_len);
}

/* h->key_len bytes of the password's key, with h's salt and costs. */
static bool
derive(const struct hash *h, const char *password, unsigned char *out)
{
	uint64_t n = UINT64_C(1) << h->ln, memory = MEMORY_MAX;
	uint32_t r = h->r, p = h->p;
	OSSL_PARAM params[] = {
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)(uintptr_t)password,
					      strlen(password)),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)h->salt,
					      h->salt_len),
	    OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
	    OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
	    OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
	    OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
	    OSSL_PARAM_construct_end()};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
	EVP_KDF_CTX *context = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
	bool ok = context != NULL && EVP_KDF_derive(context, out, h->key_len, params) == 1;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	return ok;
}

char *
password_hash(const char *password)
{
	struct hash h = {
	    .ln = NEW_LN, .r = NEW_R, .p = NEW_P, .salt_len = NEW_SALT, .key_len = NEW_KEY};
	char salt[BASE64_BYTES], key[BASE64_BYTES];

	if (RAND_bytes(h.salt, NEW_SALT) != 1 || !derive(&h, password, h.key))
		return NULL;
	write_base64(h.salt, h.salt_len, salt);
	write_base64(h.key, h.key_len, key);
	return mem_printf("$scrypt$ln=%u,r=%u,p=%u$%s$%s", h.ln, h.r, h.p, salt, key);
}

bool
password_is_hash(const char *hash)
{
	struct hash h;

	return read_hash(hash, &h);
}

bool
password_verify(const char *hash, const char *password)
{
	unsigned char key[KEY_MAX];
	struct hash h;
	bool same;

	if (!read_hash(hash == NULL ? nobody : hash, &h))
		return false;
	if (!derive(&h, password, key)) {
		log_warn("- password.not-checked no memory for scrypt; the login is refused");
		return false;
	}
	same = CRYPTO_memcmp(key, h.key, h.key_len) == 0;
	OPENSSL_cleanse(key, sizeof(key));
	return hash != NULL && same;
}

bool
password_is_name(const char *name, size_t len)
{
	if (len < 1 || len > NAME_MAX_BYTES || name[0] == '#' || name[0] == ' ' ||
	    name[len - 1] == ' ')
		return false;
	return memchr(name, ':', len) == NULL && text_is_clean(name, len);
}
