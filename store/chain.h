/*
 * The end of the audit log as the writer left it. It is held against the database's newest row
 * before the next one is added, and against the head beside the rows when the store opens: rows
 * that somebody took off, added or altered there are told once. What was altered further up is
 * found by `mailfuse audit verify`. Writer thread, and main before it starts.
 */
#ifndef STORE_CHAIN_H
#define STORE_CHAIN_H

#include "base/audit_chain.h"
#include "store/store.h"

struct work;

struct chain_end {
	int64_t id; /* 0: the log is empty */
	unsigned char hash[AUDIT_CHAIN_BYTES];
};

struct chain {
	struct chain_end now, written; /* of this transaction, and as committed */
	bool known;
};

/* When the store opens, in a transaction; before any other row is added. */
enum store_result chain_open(struct work *w, int64_t now);
/* Adds a row behind the newest one; sets link->id. */
enum store_result chain_add(struct work *w, struct audit_link *link);
/* After the commit; after a rollback. */
void chain_committed(struct work *w);
void chain_forget(struct work *w);

#endif
