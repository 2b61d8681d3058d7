/*
 * Events, the alert outbox and notices in SQLite. Writer's thread, and views for
 * the lists.
 */
#include <string.h>

#include "store/sqlite.h"

enum store_result
sqlite_event_add(struct db *db, const struct event_row *e)
{
	return sql_run(
	    db,
	    "INSERT INTO event(at, event, environment, batch, n, who, reason, text, fanned)"
	    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
	    ARGS(INT(e->at), TEXT(e->event), TEXT(e->environment), INT(e->batch), INT(e->count),
		 TEXT(e->who), TEXT(e->reason), TEXT(e->text)));
}

/* Columns from `at` on: id, at, event, environment, batch, n, who, reason, text. */
static struct event_row
read_event(sqlite3_stmt *s, int at)
{
	return (struct event_row){
	    .id = sqlite3_column_int64(s, at),
	    .at = sqlite3_column_int64(s, at + 1),
	    .event = sql_text(s, at + 2),
	    .environment = sql_text(s, at + 3),
	    .batch = sqlite3_column_int64(s, at + 4),
	    .count = sqlite3_column_int64(s, at + 5),
	    .who = sql_text(s, at + 6),
	    .reason = sql_text(s, at + 7),
	    .text = sql_text(s, at + 8),
	};
}

enum store_result
sqlite_event_list_new(struct db *db, uint32_t limit,
		      bool (*row)(void *context, const struct event_row *e), void *context)
{
	static const char text[] =
	    "SELECT id, at, event, environment, batch, n, who, reason, text"
	    " FROM event INDEXED BY event_new WHERE fanned = 0 ORDER BY id LIMIT ?1";
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text, ARGS(INT(limit)), &s));
	while (more) {
		struct event_row e;

		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		e = read_event(s, 0);
		more = row(context, &e);
	}
	sql_end(db, s);
	return r;
}

enum store_result
sqlite_event_set_fanned(struct db *db, int64_t id)
{
	return sql_run(db, "UPDATE event SET fanned = 1 WHERE id = ?1", ARGS(INT(id)));
}

enum store_result
sqlite_event_purge(struct db *db, int64_t before, uint32_t limit)
{
	/* Ids grow with time, so the search ends at the first younger one. */
	TRY(sql_run(db,
		    "DELETE FROM outbox WHERE state IN (2, 3) AND event IN"
		    " (SELECT id FROM event WHERE at < ?1)",
		    ARGS(INT(before))));
	TRY(sql_run(
	    db,
	    "DELETE FROM event WHERE id IN (SELECT id FROM event WHERE fanned = 1 AND at < ?1"
	    " AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.event = event.id)"
	    " ORDER BY id LIMIT ?2)",
	    ARGS(INT(before), INT(limit))));
	return sql_run(db, "DELETE FROM notice WHERE at < ?1 AND NOT (kind = ?2 AND n > 0)",
		       ARGS(INT(before), INT(NOTICE_FAILED)));
}

/* ---- outbox ---- */

enum store_result
sqlite_outbox_add(struct db *db, int64_t event, const char *channel, int64_t due_at)
{
	return sql_run(db,
		       "INSERT INTO outbox(event, channel, state, tries, due_at, first_tried_at,"
		       " error) VALUES(?1, ?2, 0, 0, ?3, 0, '')",
		       ARGS(INT(event), TEXT(channel), INT(due_at)));
}

enum store_result
sqlite_outbox_set(struct db *db, const struct outbox_row *o)
{
	return sql_run(db,
		       "UPDATE outbox SET state = ?2, tries = ?3, due_at = ?4, first_tried_at = ?5,"
		       " error = ?6 WHERE id = ?1",
		       ARGS(INT(o->row), INT(o->state), INT(o->tries), INT(o->due_at),
			    INT(o->first_tried_at), TEXT(o->error)));
}

/* Columns: the event's nine, then id, channel, state, tries, due_at, first_tried_at, error. */
#define OUTBOX_COLUMNS                                                                             \
	"SELECT e.id, e.at, e.event, e.environment, e.batch, e.n, e.who, e.reason, e.text, o.id,"  \
	" o.channel, o.state, o.tries, o.due_at, o.first_tried_at, o.error"

static struct outbox_row
read_outbox(sqlite3_stmt *s)
{
	return (struct outbox_row){
	    .event = read_event(s, 0),
	    .row = sqlite3_column_int64(s, 9),
	    .channel = sql_text(s, 10),
	    .state = (enum outbox_state)sqlite3_column_int(s, 11),
	    .tries = (uint32_t)sqlite3_column_int64(s, 12),
	    .due_at = sqlite3_column_int64(s, 13),
	    .first_tried_at = sqlite3_column_int64(s, 14),
	    .error = sql_text(s, 15),
	};
}

enum store_result
sqlite_outbox_list(struct db *db, const struct outbox_query *q,
		   bool (*row)(void *context, const struct outbox_row *o), void *context)
{
	/* LIMIT -1 is none. */
	static const char one[] =
	    OUTBOX_COLUMNS " FROM outbox o CROSS JOIN event e ON e.id = o.event WHERE o.id = ?1"
			   " AND (?2 = 0 OR ?2 >> o.state & 1) AND (?3 = 0 OR o.due_at <= ?3)"
			   " LIMIT ?4";
	static const char open[] =
	    OUTBOX_COLUMNS " FROM outbox o INDEXED BY outbox_open"
			   " CROSS JOIN event e ON e.id = o.event WHERE o.state < 3"
			   " AND (?2 = 0 OR ?2 >> o.state & 1) AND (?3 = 0 OR o.due_at <= ?3)"
			   " AND ?1 = 0 ORDER BY o.due_at, o.id LIMIT ?4";
	static const char pending[] =
	    OUTBOX_COLUMNS " FROM outbox o INDEXED BY outbox_pending"
			   " CROSS JOIN event e ON e.id = o.event WHERE o.state = 0"
			   " AND o.channel = ?1 AND (?2 = 0 OR ?2 & 1) AND o.due_at <= ?3"
			   " ORDER BY o.due_at, o.id LIMIT ?4";
	const int64_t before = q->channel != NULL && q->due_before == 0 ? INT64_MAX : q->due_before;
	const char *text = q->channel != NULL ? pending : q->row != 0 ? one : open;
	struct outbox_row o;
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text,
		      (const struct sql_arg[]){q->channel != NULL ? (struct sql_arg)TEXT(q->channel)
								  : (struct sql_arg)INT(q->row),
					       INT(q->states), INT(before),
					       INT(q->limit > 0 ? (int64_t)q->limit : -1)},
		      4, &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		o = read_outbox(s);
		more = row(context, &o);
	}
	sql_end(db, s);
	return r;
}

enum store_result
sqlite_outbox_channels(struct db *db, bool (*row)(void *context, const char *channel),
		       void *context)
{
	static const char text[] = "SELECT min(channel) FROM outbox INDEXED BY outbox_pending"
				   " WHERE state = 0 AND channel > ?1";
	struct buf last = {0};
	enum store_result r = STORE_OK;
	sqlite3_stmt *s;
	bool more = true;

	while (more) {
		r = sql_start(db, SQL_KEY(text), text, ARGS(TEXT(buf_text(&last))), &s);
		if (r != STORE_OK)
			break;
		r = sql_step(db, s, &more);
		more = r == STORE_OK && more && sqlite3_column_type(s, 0) != SQLITE_NULL;
		buf_clear(&last);
		if (more)
			buf_add_text(&last, sql_text(s, 0));
		sql_end(db, s);
		if (more)
			more = row(context, buf_text(&last));
	}
	buf_free(&last);
	return r;
}

enum store_result
sqlite_fate_list(struct db *db, int64_t batch, const struct store_alert_place *after,
		 uint32_t limit,
		 bool (*row)(void *context, const struct outbox_row *o, bool fanned), void *context)
{
	static const char of_batch[] =
	    OUTBOX_COLUMNS ", e.fanned FROM event e INDEXED BY event_batch"
			   " LEFT JOIN outbox o ON o.event = e.id WHERE e.batch = ?1"
			   " AND e.batch > 0 ORDER BY e.id DESC, o.id LIMIT ?2";
	static const char all[] = OUTBOX_COLUMNS
	    ", e.fanned FROM event e LEFT JOIN outbox o ON o.event = e.id WHERE ?1 = 0"
	    " AND e.id <= ?3 AND NOT (e.id = ?3 AND coalesce(o.id, 0) <= ?4)"
	    " ORDER BY e.id DESC, o.id LIMIT ?2";
	const char *text = batch != 0 ? of_batch : all;
	struct outbox_row o;
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text,
		      (const struct sql_arg[]){
			  INT(batch), INT(limit > 0 ? (int64_t)limit : -1),
			  INT(after != NULL && after->event != 0 ? after->event : INT64_MAX),
			  INT(after != NULL ? after->row : 0)},
		      text == all ? 4 : 2, &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		o = read_outbox(s);
		more = row(context, &o, sqlite3_column_int(s, 16) != 0);
	}
	sql_end(db, s);
	return r;
}

/* ---- notices ---- */

enum store_result
sqlite_notice_get(struct db *db, enum notice_kind kind, uint64_t key, int64_t *at, int64_t *count)
{
	static const char text[] = "SELECT at, n FROM notice WHERE kind = ?1 AND key = ?2";
	sqlite3_stmt *s;
	enum store_result r;
	bool more;

	TRY(sql_start(db, SQL_KEY(text), text, ARGS(INT(kind), INT(key)), &s));
	r = sql_step(db, s, &more);
	if (r == STORE_OK && more) {
		*at = sqlite3_column_int64(s, 0);
		*count = sqlite3_column_int64(s, 1);
	} else if (r == STORE_OK) {
		r = STORE_MISSING;
	}
	sql_end(db, s);
	return r;
}

enum store_result
sqlite_notice_set(struct db *db, const struct notice_row *n)
{
	return sql_run(
	    db, "INSERT OR REPLACE INTO notice(kind, key, at, n, text) VALUES(?1, ?2, ?3, ?4, ?5)",
	    ARGS(INT(n->kind), INT(n->key), INT(n->at), INT(n->count), TEXT(n->text)));
}

enum store_result
sqlite_notice_list(struct db *db, enum notice_kind kind,
		   bool (*row)(void *context, const struct notice_row *n), void *context)
{
	static const char text[] =
	    "SELECT key, at, n, text FROM notice WHERE kind = ?1 AND n > 0 ORDER BY key";
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text, ARGS(INT(kind)), &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		more = row(context, &(struct notice_row){
					.kind = kind,
					.key = (uint64_t)sqlite3_column_int64(s, 0),
					.at = sqlite3_column_int64(s, 1),
					.count = sqlite3_column_int64(s, 2),
					.text = sql_text(s, 3),
				    });
	}
	sql_end(db, s);
	return r;
}
