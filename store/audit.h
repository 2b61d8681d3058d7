/*
 * The audit log's hash chain. Any thread.
 */
#ifndef STORE_AUDIT_H
#define STORE_AUDIT_H

#include "store/backend.h"

/* Fills a->hash from the hash of the row before and this row's fields. */
void audit_hash(const unsigned char before[AUDIT_HASH_BYTES], struct audit_row *a);

#endif
