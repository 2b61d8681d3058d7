/*
 * What a copy's check looks at once its seal holds: its schema, SQLite's own integrity check, the
 * audit log's chain, counts. On the thread of the connection.
 */
#ifndef STORE_COPY_CHECK_H
#define STORE_COPY_CHECK_H

#include "store/copy_file.h"

/* Fills *out but for the seal's and the file's part. False and the reason. */
bool copy_check(struct copy_file *f, struct backup_report *out, struct buf *error);
/* Counts and the log's newest row, of a copy or, in a transaction, of the store. */
enum store_result copy_count(struct db *db, struct backup_report *out);

#endif
