/*
 * The file becomes smaller after a purge. See sqlite_shrink.h; called by the writer when it idles.
 *
 * A page in the middle is freed by moving the last one there, which goes through the log as any
 * write: so it is done in steps, each a transaction of its own. The file itself is cut by the
 * checkpoint that copies all of the log.
 */
#include "store/sqlite_shrink.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/log.h"

enum { STEP_MILLISECONDS = 20, STEP_PAGES = 1024, INCREMENTAL = 2 };

/* As many as the statement's number says; a few, so that the time is looked at. */
static const char free_some[] = "PRAGMA incremental_vacuum(32)";

static enum store_result
free_pages(struct db *base, int64_t *unused)
{
	struct sqlite_db *db = (struct sqlite_db *)base;
	const int64_t until = clock_mono() + STEP_MILLISECONDS * CLOCK_SECOND / 1000;
	const int64_t before = *unused;
	int64_t last = -1;

	while (*unused > SHRINK_KEEP_PAGES && *unused != last && before - *unused < STEP_PAGES &&
	       clock_mono() < until) {
		last = *unused;
		TRY(sql_result(db, sqlite3_exec(db->sql, free_some, NULL, NULL, NULL)));
		TRY(sql_number(base, "PRAGMA freelist_count", NO_ARGS, unused));
	}
	return STORE_OK;
}

/* Passive: it waits for nobody. What a reader still looks at stays in the log, and the file as long
 * as it is, until a later try. */
static void
cut_file(struct sqlite_db *db)
{
	int log = 0, copied = 0;
	const int code =
	    sqlite3_wal_checkpoint_v2(db->sql, NULL, SQLITE_CHECKPOINT_PASSIVE, &log, &copied);

	(void)sql_result(db, code); /* a failed sync is believed here too */
	db->uncut = code != SQLITE_OK || copied < log;
	if (code == SQLITE_OK)
		db->wal_pages = 0;
}

void
sqlite_shrink(struct db *base)
{
	struct sqlite_db *db = (struct sqlite_db *)base;
	int64_t kind = 0, unused = 0;
	enum store_result r;

	if (sql_number(base, "PRAGMA auto_vacuum", NO_ARGS, &kind) != STORE_OK ||
	    kind != INCREMENTAL ||
	    sql_number(base, "PRAGMA freelist_count", NO_ARGS, &unused) != STORE_OK)
		return;
	if (unused <= SHRINK_KEEP_PAGES) {
		if (db->uncut)
			cut_file(db);
		return;
	}
	if (backend_sqlite.begin(base, true) != STORE_OK)
		return; /* another program writes: later */
	r = free_pages(base, &unused);
	if (r == STORE_OK)
		r = backend_sqlite.commit(base);
	if (r != STORE_OK) {
		log_warn("- store.shrink_failed error=%s", log_safe(base->error));
		backend_sqlite.rollback(base);
		return;
	}
	if (unused > SHRINK_KEEP_PAGES)
		return;
	log_info("- store.shrunk free_pages=%" PRId64, unused);
	cut_file(db);
}
