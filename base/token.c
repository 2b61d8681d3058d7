/*
 * Tokens and roles as text. The hash is plain SHA-256: a slow one guards what people choose, and a
 * token has 256 bits that nobody chose. What was made of a token is wiped.
 */
#include "base/token.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

enum { RANDOM_BYTES = 32, SHA256_BYTES = 32, NAME_MAX_BYTES = 64 };

/* ---- roles */

static const char *const role_names[] = {"viewer", "operator", "approver"};
enum { ROLE_COUNT = sizeof(role_names) / sizeof(role_names[0]) };

bool
role_parse(const char *text, unsigned *roles)
{
	unsigned found = 0;

	for (;;) {
		size_t len = strcspn(text, ","), i;

		for (i = 0; i < ROLE_COUNT; i++)
			if (strlen(role_names[i]) == len && strncmp(role_names[i], text, len) == 0)
				break;
		if (i == ROLE_COUNT || (found & 1U << i) != 0)
			return false;
		found |= 1U << i;
		if (text[len] == '\0')
			break;
		text += len + 1;
	}
	*roles = found;
	return true;
}

void
role_format(unsigned roles, char out[ROLE_TEXT_BYTES])
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < ROLE_COUNT; i++)
		if ((roles & 1U << i) != 0)
			len += (size_t)snprintf(out + len, ROLE_TEXT_BYTES - len, "%s%s",
						len > 0 ? "," : "", role_names[i]);
}

/* ---- tokens */

bool
token_make(char out[TOKEN_BYTES])
{
	unsigned char bytes[RANDOM_BYTES];
	char text[4 * ((RANDOM_BYTES + 2) / 3) + 1];
	bool ok = RAND_priv_bytes(bytes, sizeof(bytes)) == 1;

	if (ok) {
		EVP_EncodeBlock((unsigned char *)text, bytes, sizeof(bytes));
		for (char *p = text; *p != '\0'; p++) /* base64url, RFC 4648 5 */
			*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
		text[strcspn(text, "=")] = '\0';
		snprintf(out, TOKEN_BYTES, "mf_%.43s", text);
		OPENSSL_cleanse(text, sizeof(text));
	}
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return ok;
}

void
token_hash(const char *token, char out[TOKEN_HASH_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char hash[SHA256_BYTES];

	if (EVP_Digest(token, strlen(token), hash, NULL, EVP_sha256(), NULL) != 1)
		panic("SHA-256 failed");
	for (int i = 0; i < SHA256_BYTES; i++) {
		out[2 * i] = digits[hash[i] >> 4];
		out[2 * i + 1] = digits[hash[i] & 15];
	}
	out[2 * SHA256_BYTES] = '\0';
}

bool
token_is_hash(const char *text)
{
	return strlen(text) == TOKEN_HASH_BYTES - 1 &&
	       strspn(text, "0123456789abcdef") == TOKEN_HASH_BYTES - 1;
}

bool
token_same_hash(const char *a, const char *b)
{
	return CRYPTO_memcmp(a, b, TOKEN_HASH_BYTES - 1) == 0;
}

bool
token_is_name(const char *name)
{
	size_t len =
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return len > 0 && len <= NAME_MAX_BYTES && name[len] == '\0';
}
