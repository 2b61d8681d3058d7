/*
 * The audit log's hash chain: each row carries SHA-256 over the hash before it and its own fields.
 * The store writes it, `mailfuse audit verify` and a backup's check compute the same. Any thread.
 */
#ifndef BASE_AUDIT_CHAIN_H
#define BASE_AUDIT_CHAIN_H

#include <stdint.h>

enum { AUDIT_CHAIN_BYTES = 32, AUDIT_CHAIN_HEX_BYTES = 65 };

struct audit_link {
	int64_t id, at;
	const char *who, *action, *object, *reason, *detail;
};

/* The hash of the row before (zeroes before the first) and of this row. */
void audit_chain_next(const unsigned char before[AUDIT_CHAIN_BYTES], const struct audit_link *link,
		      unsigned char out[AUDIT_CHAIN_BYTES]);
/* As text: lower case hex, with a NUL. */
void audit_chain_format(const unsigned char hash[AUDIT_CHAIN_BYTES],
			char out[AUDIT_CHAIN_HEX_BYTES]);

#endif
