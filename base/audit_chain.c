/*
 * The audit log's hash chain. Each field is hashed with its length first, so that no two rows have
 * the same bytes.
 *
 * Bytes hashed: 32 of the row before (zeroes at first), then id and time as 8 bytes each, then who,
 * action, object, reason, detail, each as 8 bytes of length and its bytes. Numbers are
 * little-endian.
 */
#include "base/audit_chain.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/log.h"

static void
add_bytes(EVP_MD_CTX *md, const void *data, size_t len)
{
	if (EVP_DigestUpdate(md, data, len) != 1)
		panic("SHA-256 failed");
}

static void
add_number(EVP_MD_CTX *md, uint64_t n)
{
	unsigned char bytes[8];
	int i;

	for (i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(n >> (8 * i));
	add_bytes(md, bytes, sizeof(bytes));
}

static void
add_text(EVP_MD_CTX *md, const char *text)
{
	add_number(md, strlen(text));
	add_bytes(md, text, strlen(text));
}

void
audit_chain_next(const unsigned char before[AUDIT_CHAIN_BYTES], const struct audit_link *link,
		 unsigned char out[AUDIT_CHAIN_BYTES])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		panic("SHA-256 is not available");
	add_bytes(md, before, AUDIT_CHAIN_BYTES);
	add_number(md, (uint64_t)link->id);
	add_number(md, (uint64_t)link->at);
	add_text(md, link->who);
	add_text(md, link->action);
	add_text(md, link->object);
	add_text(md, link->reason);
	add_text(md, link->detail);
	if (EVP_DigestFinal_ex(md, out, NULL) != 1)
		panic("SHA-256 failed");
	EVP_MD_CTX_free(md);
}

void
audit_chain_format(const unsigned char hash[AUDIT_CHAIN_BYTES], char out[AUDIT_CHAIN_HEX_BYTES])
{
	static const char digits[] = "0123456789abcdef";
	int i;

	for (i = 0; i < AUDIT_CHAIN_BYTES; i++) {
		out[2 * i] = digits[hash[i] >> 4];
		out[2 * i + 1] = digits[hash[i] & 15];
	}
	out[2 * AUDIT_CHAIN_BYTES] = '\0';
}
