/*
 * The check of a copy. See copy_check.h; called by backup.c, and by copy.c for the counts.
 *
 * The schema must be, text by text, what this program's own steps make: so there is no view, no
 * trigger, no generated column and no expression in an index, and integrity_check runs nothing that
 * we did not write.
 */
#include "store/copy_check.h"

#include <inttypes.h>
#include <string.h>

#include "base/audit_chain.h"
#include "base/log.h"
#include "store/sqlite.h"

/* Since then: the audit log has a head beside its rows; batches say what their rows are. */
enum { SCHEMA_WITH_HEAD = 4, SCHEMA_WITH_SWEEPS = 5 };

/* ---- schema ---- */

/* An empty database as this program would make it. */
static sqlite3 *
make_schema(int64_t version)
{
	sqlite3 *sql = NULL;
	int64_t i;

	if (sqlite3_open(":memory:", &sql) != SQLITE_OK)
		panic("no database in memory");
	for (i = 1; i <= version; i++)
		if (sqlite3_exec(sql, sqlite_schema_step((int)i), NULL, NULL, NULL) != SQLITE_OK)
			panic("schema %" PRId64 ": %s", i, sqlite3_errmsg(sql));
	if (sqlite3_exec(sql, seal_table, NULL, NULL, NULL) != SQLITE_OK)
		panic("seal: %s", sqlite3_errmsg(sql));
	return sql;
}

static bool
is_same_row(sqlite3_stmt *a, sqlite3_stmt *b)
{
	int i;

	for (i = 0; i < 4; i++)
		if (strcmp(sql_text(a, i), sql_text(b, i)) != 0)
			return false;
	return true;
}

/* Both lists side by side; both are in the order of types and names. */
static bool
compare_schema(const struct copy_file *f, sqlite3_stmt *is, sqlite3_stmt *wanted, struct buf *error)
{
	int code = SQLITE_ROW, want = SQLITE_ROW;

	while (code == SQLITE_ROW && want == SQLITE_ROW) {
		code = sqlite3_step(is);
		want = sqlite3_step(wanted);
		if (code != SQLITE_ROW || want != SQLITE_ROW || is_same_row(is, wanted))
			continue;
		buf_printf(error,
			   "%s is not as mailfuse made it: its schema has %s \"%s\" where %s "
			   "\"%s\" should be; take another copy",
			   f->path, log_safe(sql_text(is, 0)), log_safe(sql_text(is, 1)),
			   sql_text(wanted, 0), sql_text(wanted, 1));
		return false;
	}
	if (code == SQLITE_DONE && want == SQLITE_DONE)
		return true;
	if (code == SQLITE_ROW)
		buf_printf(error,
			   "%s is not as mailfuse made it: its schema has %s \"%s\" besides; take "
			   "another copy",
			   f->path, log_safe(sql_text(is, 0)), log_safe(sql_text(is, 1)));
	else if (code == SQLITE_DONE)
		buf_printf(error, "%s is not as mailfuse made it: \"%s\" is missing; take another",
			   f->path, sql_text(wanted, 1));
	else if (sql_result((struct sqlite_db *)f->db, code) != STORE_OK)
		copy_file_explain(f, error);
	return false;
}

static bool
check_schema(struct copy_file *f, struct buf *error)
{
	/* Statistics that somebody had made (ANALYZE) do no harm. */
	static const char text[] = "SELECT type, name, tbl_name, sql FROM sqlite_master"
				   " WHERE name NOT GLOB 'sqlite_stat*' ORDER BY type, name";
	sqlite3 *wanted_sql = make_schema(f->schema);
	sqlite3_stmt *is, *wanted = NULL;
	bool ok = false;

	if (sqlite3_prepare_v2(wanted_sql, text, -1, &wanted, NULL) != SQLITE_OK)
		panic("schema: %s", sqlite3_errmsg(wanted_sql));
	if (sql_start(f->db, SQL_KEY(text), text, NO_ARGS, &is) == STORE_OK) {
		ok = compare_schema(f, is, wanted, error);
		sql_end(f->db, is);
	} else {
		copy_file_explain(f, error);
	}
	sqlite3_finalize(wanted);
	sqlite3_close(wanted_sql);
	return ok;
}

/* ---- content ---- */

static bool
check_integrity(struct copy_file *f, struct buf *error)
{
	static const char text[] = "PRAGMA integrity_check(1)";
	sqlite3_stmt *s;
	bool more = false, ok = false;

	if (sql_start(f->db, SQL_KEY(text), text, NO_ARGS, &s) != STORE_OK) {
		copy_file_explain(f, error);
		return false;
	}
	if (sql_step(f->db, s, &more) != STORE_OK || !more)
		copy_file_explain(f, error);
	else if (strcmp(sql_text(s, 0), "ok") != 0)
		buf_printf(error, "%s is damaged (%s); take another copy", f->path,
			   log_safe(sql_text(s, 0)));
	else
		ok = true;
	sql_end(f->db, s);
	return ok;
}

struct chain_check {
	unsigned char before[AUDIT_CHAIN_BYTES];
	int64_t last, bad;
};

static bool
check_link(void *context, const struct audit_row *a)
{
	struct chain_check *c = context;
	unsigned char hash[AUDIT_CHAIN_BYTES];

	audit_chain_next(c->before, &a->link, hash);
	if (a->malformed || a->link.id != c->last + 1 ||
	    memcmp(hash, a->hash, AUDIT_CHAIN_BYTES) != 0) {
		c->bad = a->link.id != c->last + 1 ? c->last + 1 : a->link.id;
		return false;
	}
	memcpy(c->before, hash, AUDIT_CHAIN_BYTES);
	c->last = a->link.id;
	return true;
}

static enum store_result
check_chain(const struct copy_file *f, struct backup_report *out)
{
	struct chain_check c = {.last = 0};
	unsigned char head[AUDIT_CHAIN_BYTES];
	int64_t id = 0;

	TRY(sqlite_audit_list(f->db, INT64_MIN, 0, 0, 0, NULL, check_link, &c));
	if (c.bad == 0 && f->schema >= SCHEMA_WITH_HEAD) {
		TRY(sqlite_audit_head(f->db, &id, head));
		if (id != c.last || memcmp(head, c.before, AUDIT_CHAIN_BYTES) != 0)
			c.bad = c.last + 1;
	}
	out->audit_bad = c.bad;
	return STORE_OK;
}

static enum store_result
count(struct db *db, const char *text, uint64_t *out)
{
	int64_t n = 0;

	TRY(sql_number(db, text, NO_ARGS, &n));
	*out = (uint64_t)n;
	return STORE_OK;
}

/* Rows that stand in a batch and are held or discarded as it says, not as they do. */
#define SWEPT_ROWS                                                                                 \
	"SELECT count(*) FROM batch b CROSS JOIN delivery d INDEXED BY delivery_batch"             \
	" ON d.batch = b.id WHERE d.state IN (2, 6) AND "
/* Messages of which nothing but such rows is there. */
#define GONE_MESSAGES                                                                              \
	"SELECT count(DISTINCT d.message) FROM batch b CROSS JOIN delivery d"                      \
	" INDEXED BY delivery_batch ON d.batch = b.id WHERE d.state IN (2, 6) AND d.era < b.gone"  \
	" AND NOT EXISTS (SELECT 1 FROM delivery o LEFT JOIN batch c ON c.id = o.batch"            \
	" WHERE o.message = d.message AND (o.state NOT IN (2, 6) OR o.era >= c.gone))"
#define SWEPT_STATE "d.era >= b.gone AND iif(d.era < b.swept, b.swept_state, d.state) = "

static enum store_result
count_states(struct db *db, struct backup_report *out)
{
	uint64_t version, gone;

	TRY(count(db, "PRAGMA user_version", &version));
	if (version < SCHEMA_WITH_SWEEPS) {
		TRY(count(db, "SELECT count(*) FROM delivery WHERE state = 2", &out->held));
		return count(db, "SELECT count(*) FROM delivery WHERE state = 6", &out->discarded);
	}
	TRY(count(db, SWEPT_ROWS SWEPT_STATE "2", &out->held));
	TRY(count(db, SWEPT_ROWS SWEPT_STATE "6", &out->discarded));
	TRY(count(db, SWEPT_ROWS "d.era < b.gone", &gone));
	out->deliveries -= gone;
	if (gone > 0)
		TRY(count(db, GONE_MESSAGES, &gone));
	out->messages -= gone;
	return STORE_OK;
}

enum store_result
copy_count(struct db *db, struct backup_report *out)
{
	unsigned char hash[AUDIT_CHAIN_BYTES];
	enum store_result r;
	uint64_t incomplete = 0;

	r = count(db, "SELECT value FROM meta WHERE name = 'store_name'", &out->store_name);
	if (r != STORE_OK && r != STORE_MISSING)
		return r;
	TRY(count(db, "SELECT count(*) FROM message", &out->messages));
	TRY(count(db, "SELECT count(*) FROM message WHERE complete = 0", &incomplete));
	out->messages -= incomplete;
	TRY(count(db, "SELECT count(*) FROM delivery", &out->deliveries));
	TRY(count_states(db, out));
	TRY(count(db, "SELECT count(*) FROM batch", &out->batches));
	TRY(sqlite_audit_last(db, &out->audit_id, hash));
	audit_chain_format(hash, out->audit_hash);
	return STORE_OK;
}

bool
copy_check(struct copy_file *f, struct backup_report *out, struct buf *error)
{
	if (!check_schema(f, error) || !check_integrity(f, error))
		return false;
	if (check_chain(f, out) == STORE_OK && copy_count(f->db, out) == STORE_OK)
		return true;
	copy_file_explain(f, error);
	return false;
}
