/*
 * Gives pages that nothing uses back to the file system. Writer's thread, outside of transactions.
 */
#ifndef STORE_SQLITE_SHRINK_H
#define STORE_SQLITE_SHRINK_H

#include "store/sqlite.h"

/* Pages that stay free for the next mail: 4 MiB. */
enum { SHRINK_KEEP_PAGES = 4 * 1024 * 1024 / SQLITE_PAGE_BYTES };

/*
 * One step of about 20 ms, once a second while the writer has little to do. Nothing in a database
 * that was made before it could shrink (auto_vacuum = 0), see mailfused(8).
 */
void sqlite_shrink(struct db *db);

#endif
