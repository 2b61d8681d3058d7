/*
 * The audit log in SQLite. The head of its chain stands beside the rows as well, so that rows that
 * are taken off the end are missed. Writer's thread, and views for the lists.
 */
#include <string.h>

#include "store/sqlite.h"

static void
read_hash(sqlite3_stmt *s, int column, unsigned char hash[AUDIT_CHAIN_BYTES])
{
	const void *blob = sqlite3_column_blob(s, column);

	memset(hash, 0, AUDIT_CHAIN_BYTES);
	if (sqlite3_column_bytes(s, column) == AUDIT_CHAIN_BYTES)
		memcpy(hash, blob, AUDIT_CHAIN_BYTES);
}

static enum store_result
read_end(struct db *db, const char *text, int64_t *id, unsigned char hash[AUDIT_CHAIN_BYTES])
{
	sqlite3_stmt *s;
	enum store_result r;
	bool more;

	*id = 0;
	memset(hash, 0, AUDIT_CHAIN_BYTES);
	TRY(sql_start(db, SQL_KEY(text), text, NO_ARGS, &s));
	r = sql_step(db, s, &more);
	if (r == STORE_OK && more) {
		*id = sqlite3_column_int64(s, 0);
		read_hash(s, 1, hash);
	}
	sql_end(db, s);
	return r;
}

enum store_result
sqlite_audit_last(struct db *db, int64_t *id, unsigned char hash[AUDIT_CHAIN_BYTES])
{
	static const char text[] = "SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1";

	return read_end(db, text, id, hash);
}

enum store_result
sqlite_audit_head(struct db *db, int64_t *id, unsigned char hash[AUDIT_CHAIN_BYTES])
{
	static const char text[] = "SELECT id, hash FROM audit_head";

	return read_end(db, text, id, hash);
}

enum store_result
sqlite_audit_add(struct db *db, const struct audit_link *a,
		 const unsigned char hash[AUDIT_CHAIN_BYTES])
{
	TRY(sql_run(db,
		    "INSERT INTO audit(id, at, who, action, object, reason, detail, hash)"
		    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
		    ARGS(INT(a->id), INT(a->at), TEXT(a->who), TEXT(a->action), TEXT(a->object),
			 TEXT(a->reason), TEXT(a->detail), BLOB(hash, AUDIT_CHAIN_BYTES))));
	return sql_run(db, "INSERT OR REPLACE INTO audit_head(one, id, hash) VALUES(1, ?1, ?2)",
		       ARGS(INT(a->id), BLOB(hash, AUDIT_CHAIN_BYTES)));
}

/* True if the column is not what was written: another type, or bytes behind a NUL. */
static bool
is_foreign(sqlite3_stmt *s, int column, int type)
{
	if (sqlite3_column_type(s, column) != type)
		return true;
	return type == SQLITE_TEXT && strlen((const char *)sqlite3_column_text(s, column)) !=
					  (size_t)sqlite3_column_bytes(s, column);
}

static void
read_row(sqlite3_stmt *s, struct audit_row *a)
{
	static const int types[] = {SQLITE_INTEGER, SQLITE_INTEGER, SQLITE_TEXT, SQLITE_TEXT,
				    SQLITE_TEXT,    SQLITE_TEXT,    SQLITE_TEXT, SQLITE_BLOB};
	int i;

	*a = (struct audit_row){.malformed = false};
	/* Before the columns are read, which converts them. */
	for (i = 0; i < (int)(sizeof(types) / sizeof(types[0])); i++)
		a->malformed |= is_foreign(s, i, types[i]);
	a->malformed |= sqlite3_column_bytes(s, 7) != AUDIT_CHAIN_BYTES;
	a->link = (struct audit_link){
	    .id = sqlite3_column_int64(s, 0),
	    .at = sqlite3_column_int64(s, 1),
	    .who = sql_text(s, 2),
	    .action = sql_text(s, 3),
	    .object = sql_text(s, 4),
	    .reason = sql_text(s, 5),
	    .detail = sql_text(s, 6),
	};
	read_hash(s, 7, a->hash);
}

enum store_result
sqlite_audit_list(struct db *db, int64_t after, int64_t before, uint32_t last, uint32_t limit,
		  const char *object, bool (*row)(void *context, const struct audit_row *a),
		  void *context)
{
	static const char all[] =
	    "SELECT id, at, who, action, object, reason, detail, hash FROM audit WHERE id > max(?1,"
	    " coalesce(min((SELECT max(id) FROM audit), ?4 - 1) - nullif(?2, 0), ?1)) AND id < ?4"
	    " ORDER BY id LIMIT ?3";
	static const char one[] =
	    "SELECT * FROM (SELECT id, at, who, action, object, reason, detail, hash FROM audit"
	    " WHERE object = ?5 AND id > ?1 AND id < ?4 ORDER BY id DESC LIMIT iif(?2 = 0, -1, ?2))"
	    " ORDER BY id LIMIT ?3";
	const char *text = object != NULL ? one : all;
	struct audit_row a;
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text,
		      (const struct sql_arg[]){INT(after), INT(last),
					       INT(limit > 0 ? (int64_t)limit : -1),
					       INT(before != 0 ? before : INT64_MAX), TEXT(object)},
		      object != NULL ? 5 : 4, &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		read_row(s, &a);
		more = row(context, &a);
	}
	sql_end(db, s);
	return r;
}
