/*
 * Copies of a store: what `mailfuse backup FILE` has made, and what can be brought back from one.
 * Reads the file alone: no store needs to be open, and nothing of the file is changed. Blocking;
 * any thread, one at a time per struct.
 *
 * A copy is one SQLite file and carries a seal: a row of the table `seal` with a SHA-256 over every
 * byte of the file, those of the hash itself taken as zeroes. So a byte that is missing, or has
 * flipped, is found wherever it is.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/audit_chain.h"
#include "base/buf.h"

struct message;
struct store_batch;
struct store_delivery;

struct backup_report {
	uint64_t bytes;
	int64_t made_at; /* wall clock; 0 = an unsealed file */
	int64_t schema;
	uint64_t store_name;
	uint64_t messages, deliveries, held, discarded, batches;
	int64_t audit_id; /* the newest row of the audit log, whose chain was verified */
	char audit_hash[AUDIT_CHAIN_HEX_BYTES];
	/* The first row of it that had been altered, was missing or out of order in the store
	 * already: the copy is what the store was, and may be needed because of that. 0 = none. */
	int64_t audit_bad;
};

/*
 * Seal, integrity_check, schema, the audit log's chain, counts. False and a reason with the next
 * step in `error`: what was truncated, altered, is no copy of a store, or of a newer one.
 */
bool backup_verify(const char *path, struct backup_report *out, struct buf *error);

/* The same, then open for reading. NULL and the reason. */
struct backup *backup_open(const char *path, struct backup_report *out, struct buf *error);
void backup_close(struct backup *b);
/* False and a reason if it has no such batch. Strings are good until the callback returns. */
bool backup_batch(struct backup *b, int64_t id,
		  void (*row)(void *context, const struct store_batch *batch), void *context,
		  struct buf *error);
/*
 * Each message of the batch with deliveries that are held or discarded there, oldest first: the
 * whole message, its content in memory, and those deliveries; m->recipients has the same ones in
 * the same order, with what the sender asked to be told. False and a reason ends it; a callback
 * that returns false ends it too, and is no error.
 */
bool backup_messages(struct backup *b, int64_t batch,
		     bool (*row)(void *context, const struct message *m,
				 const struct store_delivery *deliveries, size_t count),
		     void *context, struct buf *error);

#endif
