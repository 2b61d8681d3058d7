/*
 * The SQLite backend's connections and statements, and the table of its functions. The writer's
 * connection is made by store_open() and then used by the writer's thread only; readers have their
 * own, read-only. Each thread closes what it opened.
 *
 * WAL with synchronous=FULL: one fsync of the log per commit. Checkpoints are ours (maintain):
 * about every 8 MB, in the writer, so that no commit of a reader's or writer's pays for one by
 * surprise.
 */
#include "store/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/sqlite_press.h"
#include "store/sqlite_shrink.h"

enum {
	BUSY_MILLISECONDS = 5000,
	CHECKPOINT_PAGES = 8 * 1024 * 1024 / SQLITE_PAGE_BYTES,
	TRUNCATE_PAGES = 8 * CHECKPOINT_PAGES /* readers kept the log from starting over */
};

/* ---- statements ---- */

/*
 * The kernel tells of a failed sync once and calls the pages clean: the next sync says nothing. The
 * log stays when we close: the next start reads it from its first page, and copies all of it.
 */
static void
note_sync(struct sqlite_db *db, int code)
{
	if (code != SQLITE_IOERR_FSYNC && code != SQLITE_IOERR_DIR_FSYNC)
		return;
	db->base.lost = true;
	sqlite3_db_config(db->sql, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

enum store_result
sql_result(struct sqlite_db *db, int code)
{
	if (code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE)
		return STORE_OK;
	sqlite3_snprintf(sizeof(db->base.error), db->base.error, "%s", sqlite3_errmsg(db->sql));
	note_sync(db, code);
	switch (code & 0xff) {
	case SQLITE_FULL:
		return STORE_FULL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return STORE_BUSY;
	default:
		return STORE_BROKEN;
	}
}

/* Where it is, or where it would be. Open addressing, at most half full, and nothing is taken out.
 * One that is in use has a second of the same key behind it. */
static struct sql_cached *
find_slot(struct sqlite_db *db, uint64_t key)
{
	size_t i = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 56);
	struct sql_cached *c = &db->cache[i];

	for (; c->statement != NULL; c = &db->cache[i]) {
		if (c->key == key && !sqlite3_stmt_busy(c->statement))
			break;
		i = (i + 1) % SQL_CACHE_SLOTS;
	}
	return c;
}

bool
sql_is_ready(struct db *base, uint64_t key)
{
	return find_slot((struct sqlite_db *)base, key)->statement != NULL;
}

static int
find_statement(struct sqlite_db *db, uint64_t key, const char *text, sqlite3_stmt **out)
{
	struct sql_cached *c = find_slot(db, key);
	int code;

	*out = c->statement;
	if (c->statement != NULL)
		return SQLITE_OK;
	code = sqlite3_prepare_v3(db->sql, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
	if (code != SQLITE_OK)
		return code;
	if (db->cached < SQL_CACHE_SIZE) {
		*c = (struct sql_cached){key, *out};
		db->cached++;
	} else {
		db->uncached++;
	}
	return SQLITE_OK;
}

static bool
is_cached(const struct sqlite_db *db, const sqlite3_stmt *statement)
{
	size_t i;

	for (i = 0; i < SQL_CACHE_SLOTS && db->uncached > 0; i++)
		if (db->cache[i].statement == statement)
			return true;
	return db->uncached == 0;
}

static int
bind(sqlite3_stmt *statement, const struct sql_arg *args, size_t n)
{
	int code = SQLITE_OK;
	size_t i;

	for (i = 0; i < n && code == SQLITE_OK; i++) {
		int at = (int)i + 1;

		switch (args[i].kind) {
		case SQL_NULL:
			code = sqlite3_bind_null(statement, at);
			break;
		case SQL_INT:
			code = sqlite3_bind_int64(statement, at, args[i].number);
			break;
		case SQL_TEXT:
			code = sqlite3_bind_text(statement, at, args[i].data, -1, SQLITE_STATIC);
			break;
		case SQL_REAL:
			code = sqlite3_bind_double(statement, at, args[i].real);
			break;
		case SQL_BLOB:
			code = sqlite3_bind_blob64(statement, at,
						   args[i].data != NULL ? args[i].data : "",
						   args[i].len, SQLITE_STATIC);
			break;
		}
	}
	return code;
}

enum store_result
sql_start(struct db *base, uint64_t key, const char *text, const struct sql_arg *args, size_t n,
	  sqlite3_stmt **out)
{
	struct sqlite_db *db = (struct sqlite_db *)base;
	int code = find_statement(db, key, text, out);

	if (code != SQLITE_OK)
		return sql_result(db, code);
	code = bind(*out, args, n);
	if (code == SQLITE_OK)
		return STORE_OK;
	sql_result(db, code);
	sql_end(base, *out);
	return STORE_BROKEN;
}

enum store_result
sql_step(struct db *base, sqlite3_stmt *statement, bool *more)
{
	int code = sqlite3_step(statement);

	*more = code == SQLITE_ROW;
	return sql_result((struct sqlite_db *)base, code);
}

void
sql_end(struct db *base, sqlite3_stmt *statement)
{
	struct sqlite_db *db = (struct sqlite_db *)base;

	if (is_cached(db, statement)) {
		sqlite3_reset(statement);
		sqlite3_clear_bindings(statement); /* they point into the caller's memory */
		return;
	}
	sqlite3_finalize(statement);
	db->uncached--;
}

enum store_result
sql_run(struct db *base, const char *text, const struct sql_arg *args, size_t n)
{
	sqlite3_stmt *statement;
	enum store_result r;
	bool more;

	TRY(sql_start(base, SQL_KEY(text), text, args, n, &statement));
	r = sql_step(base, statement, &more);
	sql_end(base, statement);
	return r;
}

int
sql_changes(struct db *base)
{
	return sqlite3_changes(((struct sqlite_db *)base)->sql);
}

enum store_result
sql_number(struct db *base, const char *text, const struct sql_arg *args, size_t n, int64_t *out)
{
	sqlite3_stmt *statement;
	enum store_result r;
	bool more;

	TRY(sql_start(base, SQL_KEY(text), text, args, n, &statement));
	r = sql_step(base, statement, &more);
	if (r == STORE_OK && more)
		*out = sqlite3_column_int64(statement, 0);
	else if (r == STORE_OK)
		r = STORE_MISSING;
	sql_end(base, statement);
	return r;
}

const char *
sql_text(sqlite3_stmt *statement, int column)
{
	const char *text = (const char *)sqlite3_column_text(statement, column);

	return text != NULL ? text : "";
}

/* ---- opening ---- */

static int
note_wal(void *context, sqlite3 *sql, const char *name, int pages)
{
	(void)sql;
	(void)name;
	((struct sqlite_db *)context)->wal_pages = pages;
	return SQLITE_OK;
}

/* Only one mailfused may use a store: the lock is given back by the system when it ends. */
static bool
lock_store(struct sqlite_db *db, struct buf *error)
{
	char *path = mem_printf("%s.lock", db->path);

	db->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (db->lock < 0)
		buf_printf(error,
			   errno == ENOENT ? "cannot create %s: %s; make the directory %s, owned "
					     "by the user that mailfused runs as"
					   : "cannot create %s: %s; make the directory %s writable "
					     "for the user that mailfused runs as",
			   path, strerror(errno), db->directory);
	else if (flock(db->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		buf_printf(error,
			   "another mailfused uses the store %s; stop it first, or set another "
			   "`store`",
			   db->path);
	else {
		free(path);
		return true;
	}
	free(path);
	return false;
}

/* Made here, because SQLite would give it the umask's mode; -wal and -shm take the file's. */
static bool
make_file(struct sqlite_db *db, struct buf *error)
{
	int file = open(db->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	if (file < 0) {
		buf_printf(error,
			   "cannot open the store %s: %s; see that %s exists and is writable for "
			   "the user that mailfused runs as",
			   db->path, strerror(errno), db->directory);
		return false;
	}
	if (fstat(file, &st) == 0 && (st.st_mode & 077) != 0)
		log_warn("- store.mode path=%s others may read the mail in it: chmod 600 it",
			 log_safe(db->path));
	close(file);
	return true;
}

void
sqlite_say_damaged(const struct sqlite_db *db, struct buf *error)
{
	buf_printf(error,
		   "%s is no mailfuse store, or is damaged (%s); put a copy that `mailfuse backup` "
		   "made in its place, or move it away with its -wal to start with an empty one; "
		   "`sqlite3 FILE .recover` saves what can still be read of it",
		   db->path, db->base.error);
}

/* Only an empty file: one with mail in it is not written to before it was looked at. */
static int
shape_new_file(struct sqlite_db *db)
{
	struct stat st;

	if (stat(db->path, &st) != 0 || st.st_size > 0)
		return SQLITE_OK;
	return sqlite3_exec(db->sql, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL",
			    NULL, NULL, NULL);
}

static bool
connect_file(struct sqlite_db *db, int flags, struct buf *error)
{
	static const char writer[] = "PRAGMA journal_mode = WAL;"
				     "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
				     "PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384";
	int code = sqlite3_open_v2(db->path, &db->sql,
				   flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_busy_timeout(db->sql, BUSY_MILLISECONDS);
	if (code == SQLITE_OK && (flags & SQLITE_OPEN_READWRITE) != 0)
		code = shape_new_file(db);
	if (code == SQLITE_OK && (flags & SQLITE_OPEN_READWRITE) != 0)
		code = sqlite3_exec(db->sql, writer, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		return true;
	sql_result(db, code);
	if ((code & 0xff) == SQLITE_NOTADB || (code & 0xff) == SQLITE_CORRUPT)
		sqlite_say_damaged(db, error);
	else if ((code & 0xff) == SQLITE_BUSY)
		buf_printf(error, "the store %s is locked by another program; end that first",
			   db->path);
	else
		buf_printf(error, "cannot open the store %s: %s", db->path, db->base.error);
	return false;
}

static struct sqlite_db *
new_db(const char *path)
{
	struct sqlite_db *db = mem_zalloc(sizeof(*db));
	const char *slash = strrchr(path, '/');

	db->path = mem_strdup(path);
	db->directory = slash == NULL
			    ? mem_strdup(".")
			    : mem_strndup(path, slash > path ? (size_t)(slash - path) : 1);
	db->lock = -1;
	db->truncate_at = TRUNCATE_PAGES;
	return db;
}

static void
sqlite_close(struct db *base)
{
	struct sqlite_db *db = (struct sqlite_db *)base;
	size_t i;

	for (i = 0; i < SQL_CACHE_SLOTS; i++)
		sqlite3_finalize(db->cache[i].statement); /* NULL is fine */
	sqlite_press_close(db);
	sqlite3_close(db->sql);
	if (db->lock >= 0)
		close(db->lock);
	free(db->path);
	free(db->directory);
	free(db);
}

/*
 * quick_check reads the whole file, too slow for a big one: this finds a cut file, a missing table
 * and a broken root page. What is deeper is found when it is read.
 */
static bool
check_file(struct sqlite_db *db, struct buf *error)
{
	static const char *const tables[] = {
	    "SELECT max(id) FROM message",    "SELECT max(message) FROM delivery",
	    "SELECT max(message) FROM chunk", "SELECT max(id) FROM batch",
	    "SELECT max(id) FROM audit",      "SELECT max(id) FROM event",
	    "SELECT max(id) FROM outbox",     "SELECT max(message) FROM envelope",
	    "SELECT max(stream) FROM member", "SELECT max(hash) FROM counter",
	    "SELECT max(id) FROM traffic",    "SELECT max(hash) FROM traffic_stream",
	    "SELECT max(id) FROM plan",       "SELECT max(message) FROM origin",
	    "SELECT max(id) FROM audit_head"};
	int64_t pages = 0, ignored;
	enum store_result r = STORE_OK;
	struct stat st;
	size_t i;

	for (i = 0; i < sizeof(tables) / sizeof(tables[0]) && r == STORE_OK; i++)
		r = sql_number(&db->base, tables[i], NO_ARGS, &ignored);
	/* The log into the file first: then its size must be that of its pages. */
	if (r == STORE_OK)
		r = sql_result(db, sqlite3_wal_checkpoint_v2(
				       db->sql, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL));
	if (r == STORE_OK)
		r = sql_number(&db->base, "PRAGMA page_count", NO_ARGS, &pages);
	if (r == STORE_OK && (stat(db->path, &st) != 0 || st.st_size < pages * SQLITE_PAGE_BYTES)) {
		sqlite3_snprintf(sizeof(db->base.error), db->base.error, "the file is cut short");
		r = STORE_BROKEN;
	}
	if (r != STORE_OK)
		sqlite_say_damaged(db, error);
	return r == STORE_OK;
}

static struct db *
sqlite_open(const char *path, struct buf *error)
{
	struct sqlite_db *db = new_db(path);

	/* Counting what SQLite allocates would take a lock each time. Refused once it is in use. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	if (lock_store(db, error) && make_file(db, error) &&
	    connect_file(db, SQLITE_OPEN_READWRITE, error) && sqlite_migrate(db, error) &&
	    check_file(db, error)) {
		sqlite3_wal_hook(db->sql, note_wal, db);
		return &db->base;
	}
	sqlite_close(&db->base);
	return NULL;
}

static struct db *
sqlite_open_reader(struct db *writer, struct buf *error)
{
	struct sqlite_db *db = new_db(((struct sqlite_db *)writer)->path);

	if (connect_file(db, SQLITE_OPEN_READONLY, error))
		return &db->base;
	sqlite_close(&db->base);
	return NULL;
}

/* ---- transactions ---- */

static enum store_result
sqlite_begin(struct db *db, bool write)
{
	return write ? sql_run(db, "BEGIN IMMEDIATE", NO_ARGS) : sql_run(db, "BEGIN", NO_ARGS);
}

static enum store_result
sqlite_commit(struct db *db)
{
	TRY(sqlite_press_flush(db));
	TRY(sql_run(db, "COMMIT", NO_ARGS));
	sqlite_press_ended(db, true);
	return STORE_OK;
}

static void
sqlite_rollback(struct db *base)
{
	struct sqlite_db *db = (struct sqlite_db *)base;
	char error[sizeof(base->error)];

	/* Some failures have rolled back already; the text of the failure stays. */
	memcpy(error, base->error, sizeof(error));
	if (sqlite3_get_autocommit(db->sql) == 0)
		sql_run(base, "ROLLBACK", NO_ARGS);
	sqlite_press_ended(base, false);
	memcpy(base->error, error, sizeof(error));
}

static enum store_result
sqlite_recover(struct db *db, int64_t now)
{
	/* It was a copy (seal.h), and is a store from now on. */
	TRY(sql_run(db, "DROP TABLE IF EXISTS seal", NO_ARGS));
	TRY(sql_run(db, "DELETE FROM message WHERE complete = 0", NO_ARGS));
	TRY(sql_run(db,
		    "UPDATE delivery INDEXED BY delivery_state SET due_at = ?1"
		    " WHERE state = 0 AND state NOT IN (2, 6) AND due_at IS NULL",
		    ARGS(INT(now))));
	return sql_run(db,
		       "UPDATE outbox INDEXED BY outbox_open SET state = 0, due_at = ?1"
		       " WHERE state < 3 AND state = 1",
		       ARGS(INT(now)));
}

static void
sqlite_maintain(struct db *base)
{
	struct sqlite_db *db = (struct sqlite_db *)base;
	int mode = db->wal_pages >= db->truncate_at ? SQLITE_CHECKPOINT_TRUNCATE
						    : SQLITE_CHECKPOINT_PASSIVE;
	int code, pages = db->wal_pages;

	if (db->wal_pages < CHECKPOINT_PAGES)
		return;
	/* Truncating waits for readers: not long, mail waits behind it. */
	sqlite3_busy_timeout(db->sql, 100);
	code = sqlite3_wal_checkpoint_v2(db->sql, NULL, mode, NULL, NULL);
	sqlite3_busy_timeout(db->sql, BUSY_MILLISECONDS);
	/* A reader that stays, as a copy does, must not cost each commit that wait. */
	if (mode == SQLITE_CHECKPOINT_TRUNCATE)
		db->truncate_at = code == SQLITE_OK ? TRUNCATE_PAGES : pages + TRUNCATE_PAGES;
	(void)sql_result(db, code);
	if (code == SQLITE_OK)
		db->wal_pages = 0;
	else if ((code & 0xff) != SQLITE_BUSY && (code & 0xff) != SQLITE_LOCKED)
		log_warn("- store.checkpoint_failed error=%s", log_safe(sqlite3_errmsg(db->sql)));
}

static enum store_result
sqlite_used_bytes(struct db *db, uint64_t *out)
{
	int64_t pages = 0, unused = 0;

	TRY(sql_number(db, "PRAGMA page_count", NO_ARGS, &pages));
	TRY(sql_number(db, "PRAGMA freelist_count", NO_ARGS, &unused));
	*out = (uint64_t)(pages - unused) * SQLITE_PAGE_BYTES;
	return STORE_OK;
}

static const char *
sqlite_directory(struct db *db)
{
	return ((struct sqlite_db *)db)->directory;
}

static enum store_result
sqlite_meta_get(struct db *db, const char *name, int64_t *out)
{
	return sql_number(db, "SELECT value FROM meta WHERE name = ?1", ARGS(TEXT(name)), out);
}

static enum store_result
sqlite_meta_set(struct db *db, const char *name, int64_t value)
{
	return sql_run(db,
		       "INSERT INTO meta VALUES(?1, ?2)"
		       " ON CONFLICT(name) DO UPDATE SET value = excluded.value",
		       ARGS(TEXT(name), INT(value)));
}

const struct backend backend_sqlite = {
    .name = "sqlite",
    .open = sqlite_open,
    .open_reader = sqlite_open_reader,
    .close = sqlite_close,
    .begin = sqlite_begin,
    .commit = sqlite_commit,
    .rollback = sqlite_rollback,
    .recover = sqlite_recover,
    .maintain = sqlite_maintain,
    .shrink = sqlite_shrink,
    .used_bytes = sqlite_used_bytes,
    .directory = sqlite_directory,
    .meta_get = sqlite_meta_get,
    .meta_set = sqlite_meta_set,
    .environment = sqlite_environment,
    .count_add = sqlite_count_add,
    .count_list = sqlite_count_list,
    .message_begin = sqlite_message_begin,
    .chunk_add = sqlite_chunk_add,
    .message_add = sqlite_message_add,
    .message_delete = sqlite_message_delete,
    .message_abandon = sqlite_message_abandon,
    .dictionary_purge = sqlite_dictionary_purge,
    .message_known = sqlite_message_known,
    .origin_find = sqlite_origin_find,
    .origin_add = sqlite_origin_add,
    .message_load = sqlite_message_load,
    .chunk_load = sqlite_chunk_load,
    .header_load = sqlite_header_load,
    .delivery_add = sqlite_delivery_add,
    .delivery_set = sqlite_delivery_set,
    .delivery_sent = sqlite_delivery_sent,
    .delivery_mark = sqlite_delivery_mark,
    .delivery_delete = sqlite_delivery_delete,
    .delivery_list = sqlite_delivery_list,
    .member_add = sqlite_member_add,
    .member_delete = sqlite_member_delete,
    .batch_add = sqlite_batch_add,
    .batch_set = sqlite_batch_set,
    .batch_list = sqlite_batch_list,
    .batch_rules = sqlite_batch_rules,
    .person_add = sqlite_person_add,
    .person_cut = sqlite_person_cut,
    .person_purge = sqlite_person_purge,
    .plan_set = sqlite_plan_set,
    .plan_list = sqlite_plan_list,
    .hold_set = sqlite_hold_set,
    .hold_delete = sqlite_hold_delete,
    .hold_list = sqlite_hold_list,
    .event_add = sqlite_event_add,
    .event_list_new = sqlite_event_list_new,
    .event_set_fanned = sqlite_event_set_fanned,
    .outbox_add = sqlite_outbox_add,
    .outbox_set = sqlite_outbox_set,
    .outbox_list = sqlite_outbox_list,
    .outbox_channels = sqlite_outbox_channels,
    .fate_list = sqlite_fate_list,
    .event_purge = sqlite_event_purge,
    .notice_get = sqlite_notice_get,
    .notice_set = sqlite_notice_set,
    .notice_list = sqlite_notice_list,
    .audit_last = sqlite_audit_last,
    .audit_add = sqlite_audit_add,
    .audit_head = sqlite_audit_head,
    .audit_list = sqlite_audit_list,
    .counter_save = sqlite_counter_save,
    .counter_set = sqlite_counter_set,
    .boot_list = sqlite_boot_list,
    .shard_list = sqlite_shard_list,
    .counter_list = sqlite_counter_list,
    .counter_purge = sqlite_counter_purge,
    .traffic_add = sqlite_traffic_add,
    .traffic_list = sqlite_traffic_list,
    .traffic_purge = sqlite_traffic_purge,
};

const char *
store_library_version(void)
{
	return sqlite3_libversion();
}
