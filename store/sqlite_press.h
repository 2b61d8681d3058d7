/*
 * Packed messages in SQLite: which dictionary a message is packed with, the rows of `dictionary`
 * and how many messages need each. Called by sqlite.c and sqlite_mail.c, on the thread of the
 * connection; what is remembered goes with it.
 */
#ifndef STORE_SQLITE_PRESS_H
#define STORE_SQLITE_PRESS_H

#include "store/sqlite.h"

/*
 * Appends the message as a blob of press.h. STORE_MISSING: it is not worth it, or too large.
 * Writer, within a transaction.
 */
enum store_result sqlite_press_add(struct db *db, const struct message *m, struct buf *blob);
/* That message is about to be deleted: its dictionary is needed once less. Writer. */
enum store_result sqlite_press_delete(struct db *db, uint64_t message);
/* Appends the header; *body is the caller's. STORE_BROKEN, and why in db->error. */
enum store_result sqlite_press_load(struct db *db, const void *blob, size_t len, struct buf *header,
				    struct chunk **body);

/* Before the commit: what was counted is written, and what nothing needs goes. */
enum store_result sqlite_press_flush(struct db *db);
/* After it, or after a rollback. */
void sqlite_press_ended(struct db *db, bool committed);
/* Dictionaries that no message needs, and no mail was packed with since `before` (wall). */
enum store_result sqlite_dictionary_purge(struct db *db, int64_t before);
void sqlite_press_close(struct sqlite_db *db);

#endif
