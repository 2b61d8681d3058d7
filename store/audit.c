/*
 * The audit log's hash chain: each row carries SHA-256 over the hash before it and its own fields.
 * Each field is written with its length first, so that no two rows have the same bytes. Called by
 * work.c on the writer's thread; `audit verify` computes the same.
 *
 * Bytes hashed: 32 of the row before (zeroes at first), then id and time as 8 bytes each, then who,
 * action, object, reason, detail, each as 8 bytes of length and its bytes. Numbers are
 * little-endian.
 */
#include "store/audit.h"

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
audit_hash(const unsigned char before[AUDIT_HASH_BYTES], struct audit_row *a)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (md == NULL || EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		panic("SHA-256 is not available");
	add_bytes(md, before, AUDIT_HASH_BYTES);
	add_number(md, (uint64_t)a->id);
	add_number(md, (uint64_t)a->at);
	add_text(md, a->who);
	add_text(md, a->action);
	add_text(md, a->object);
	add_text(md, a->reason);
	add_text(md, a->detail);
	if (EVP_DigestFinal_ex(md, a->hash, NULL) != 1)
		panic("SHA-256 failed");
	EVP_MD_CTX_free(md);
}
