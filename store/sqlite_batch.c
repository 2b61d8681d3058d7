/*
 * Environments, counts, batches and panic buttons in SQLite: small tables. Writer's thread, and
 * views for the lists.
 */
#include "store/sqlite.h"

enum store_result
sqlite_environment(struct db *db, const char *name, bool make, int64_t *out)
{
	static const char find[] = "SELECT id FROM environment WHERE name = ?1";
	enum store_result r = sql_number(db, find, ARGS(TEXT(name)), out);

	if (r != STORE_MISSING || !make)
		return r;
	TRY(sql_run(db, "INSERT INTO environment(name) VALUES(?1)", ARGS(TEXT(name))));
	return sql_number(db, find, ARGS(TEXT(name)), out);
}

enum store_result
sqlite_count_add(struct db *db, int64_t environment, enum store_state state, int64_t n)
{
	return sql_run(db,
		       "INSERT INTO tally VALUES(?1, ?2, ?3)"
		       " ON CONFLICT(environment, state) DO UPDATE SET n = n + excluded.n",
		       ARGS(INT(environment), INT(state), INT(n)));
}

enum store_result
sqlite_count_list(struct db *db,
		  bool (*row)(void *context, int64_t environment, const char *name,
			      enum store_state state, uint64_t count),
		  void *context)
{
	static const char text[] =
	    "SELECT e.id, e.name, t.state, t.n FROM tally t"
	    " JOIN environment e ON e.id = t.environment WHERE t.n > 0 ORDER BY e.name, t.state";
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text, NO_ARGS, &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		more = row(context, sqlite3_column_int64(s, 0), sql_text(s, 1),
			   (enum store_state)sqlite3_column_int(s, 2),
			   (uint64_t)sqlite3_column_int64(s, 3));
	}
	sql_end(db, s);
	return r;
}

/* ---- batches ---- */

enum store_result
sqlite_batch_add(struct db *db, struct batch_row *row)
{
	struct store_batch *b = &row->b;

	TRY(sql_run(
	    db,
	    "INSERT INTO batch(state, collecting, stream, tripped_at, opened_at, last_at,"
	    " decided_at, environment, rule, key, source, sender, subject, max, window, messages,"
	    " recipients, leaked, bytes, held, released, sent, failed, discarded, alerted, "
	    "decided_by,"
	    " decided_reason) VALUES(?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?8, ?9, ?10, ?11, ?12, ?13, "
	    "?14,"
	    " 0, 0, ?15, 0, 0, 0, 0, 0, 0, 0, '', '')",
	    ARGS(INT(b->state), INT(b->collecting), INT(b->stream_hash), INT(b->tripped_at),
		 INT(b->opened_at), INT(b->last_at), TEXT(b->environment), TEXT(b->rule),
		 TEXT(b->key), TEXT(b->source), TEXT(b->sender), TEXT(b->subject), INT(b->limit),
		 INT(b->window), INT(b->leaked))));
	b->id = sqlite3_last_insert_rowid(((struct sqlite_db *)db)->sql);
	return STORE_OK;
}

enum store_result
sqlite_batch_set(struct db *db, const struct batch_row *row)
{
	const struct store_batch *b = &row->b;

	return sql_run(
	    db,
	    "UPDATE batch SET state = ?2, collecting = ?3, last_at = ?4, decided_at = ?5,"
	    " messages = ?6, recipients = ?7, leaked = ?8, bytes = ?9, held = ?10, released = ?11,"
	    " sent = ?12, failed = ?13, discarded = ?14, alerted = ?15, decided_by = ?16,"
	    " decided_reason = ?17, ended_at = ?18, seen_at = ?19, seen_by = ?20, reminded = ?21,"
	    " remind_from = ?22, ruling = ?23, ruling_until = ?24, alone = ?25,"
	    " purged = ?26, era = ?27, swept = ?28, swept_state = ?29, swept_at = ?30,"
	    " gone = ?31, mixed = ?32 WHERE id = ?1",
	    ARGS(INT(b->id), INT(b->state), INT(b->collecting), INT(b->last_at), INT(b->decided_at),
		 INT(b->messages), INT(b->recipients), INT(b->leaked), INT(b->bytes), INT(b->held),
		 INT(b->released), INT(b->sent), INT(b->failed), INT(b->discarded),
		 INT(row->alerted), TEXT(b->decided_by), TEXT(b->decided_reason), INT(b->ended_at),
		 INT(b->seen_at), TEXT(b->seen_by), INT(row->reminded), INT(row->remind_from),
		 INT(b->ruling), INT(b->ruling_until), INT(row->alone), INT(b->purged),
		 INT(row->era), INT(row->sweep.before), INT(row->sweep.state), INT(row->sweep.at),
		 INT(row->sweep.gone), INT(row->mixed)));
}

static void
read_batch(sqlite3_stmt *s, struct batch_row *row)
{
	*row = (struct batch_row){
	    .b =
		{
		    .id = sqlite3_column_int64(s, 0),
		    .state = (enum store_batch_state)sqlite3_column_int(s, 1),
		    .collecting = sqlite3_column_int(s, 2) != 0,
		    .stream_hash = (uint64_t)sqlite3_column_int64(s, 3),
		    .tripped_at = sqlite3_column_int64(s, 4),
		    .opened_at = sqlite3_column_int64(s, 5),
		    .last_at = sqlite3_column_int64(s, 6),
		    .decided_at = sqlite3_column_int64(s, 7),
		    .environment = sql_text(s, 8),
		    .rule = sql_text(s, 9),
		    .key = sql_text(s, 10),
		    .source = sql_text(s, 11),
		    .sender = sql_text(s, 12),
		    .subject = sql_text(s, 13),
		    .limit = (uint32_t)sqlite3_column_int64(s, 14),
		    .window = sqlite3_column_int64(s, 15),
		    .messages = (uint64_t)sqlite3_column_int64(s, 16),
		    .recipients = (uint64_t)sqlite3_column_int64(s, 17),
		    .leaked = (uint64_t)sqlite3_column_int64(s, 18),
		    .bytes = (uint64_t)sqlite3_column_int64(s, 19),
		    .held = (uint64_t)sqlite3_column_int64(s, 20),
		    .released = (uint64_t)sqlite3_column_int64(s, 21),
		    .sent = (uint64_t)sqlite3_column_int64(s, 22),
		    .failed = (uint64_t)sqlite3_column_int64(s, 23),
		    .discarded = (uint64_t)sqlite3_column_int64(s, 24),
		    .decided_by = sql_text(s, 26),
		    .decided_reason = sql_text(s, 27),
		    .ended_at = sqlite3_column_int64(s, 28),
		    .seen_at = sqlite3_column_int64(s, 29),
		    .seen_by = sql_text(s, 30),
		    .ruling = (enum store_ruling)sqlite3_column_int(s, 31),
		    .ruling_until = sqlite3_column_int64(s, 32),
		    .purged = (uint64_t)sqlite3_column_int64(s, 36),
		},
	    .reminded = (uint32_t)sqlite3_column_int64(s, 33),
	    .remind_from = sqlite3_column_int64(s, 34),
	    .alone = (uint64_t)sqlite3_column_int64(s, 35),
	    .alerted = (uint64_t)sqlite3_column_int64(s, 25),
	    .era = sqlite3_column_int64(s, 37),
	    .sweep = {.before = sqlite3_column_int64(s, 38),
		      .state = (enum store_state)sqlite3_column_int(s, 39),
		      .at = sqlite3_column_int64(s, 40),
		      .gone = sqlite3_column_int64(s, 41)},
	    .mixed = sqlite3_column_int(s, 42) != 0,
	};
}

#define BATCH_COLUMNS                                                                              \
	"SELECT id, state, collecting, stream, tripped_at, opened_at, last_at, decided_at,"        \
	" environment, rule, key, source, sender, subject, max, window, messages, recipients,"     \
	" leaked, bytes, held, released, sent, failed, discarded, alerted, decided_by,"            \
	" decided_reason, ended_at, seen_at, seen_by, ruling, ruling_until, reminded, "            \
	"remind_from,"                                                                             \
	" alone, purged, era, swept, swept_state, swept_at, gone, mixed FROM batch"

enum store_result
sqlite_batch_list(struct db *db, const struct batch_query *q,
		  bool (*row)(void *context, const struct batch_row *b), void *context)
{
	static const char by_id[] = BATCH_COLUMNS " WHERE id = ?1";
	static const char by_stream[] = BATCH_COLUMNS
	    " WHERE stream = ?2 AND (?3 = 0 OR tripped_at = ?3) AND (?4 = 0 OR collecting)"
	    " AND (?5 = 0 OR ?5 >> state & 1) ORDER BY id DESC";
	/* In the words of the partial indexes, which only so can be used. */
	static const char ruled[] = BATCH_COLUMNS
	    " INDEXED BY batch_ruled WHERE ruling > 0 AND (?2 = 0 OR stream = ?2) ORDER BY id DESC";
	static const char unseen[] =
	    BATCH_COLUMNS " INDEXED BY batch_unseen WHERE seen_at = 0 AND state IN (0, 2)"
			  " ORDER BY id DESC";
	static const char gone[] =
	    BATCH_COLUMNS " INDEXED BY batch_gone WHERE gone > 0 ORDER BY id DESC";
	static const char holding[] =
	    BATCH_COLUMNS " INDEXED BY batch_held WHERE held > 0 ORDER BY id DESC";
	static const char all[] =
	    BATCH_COLUMNS " WHERE (?3 = 0 OR tripped_at = ?3) AND (?4 = 0 OR collecting)"
			  " AND (?5 = 0 OR ?5 >> state & 1) AND id < ?6 ORDER BY id DESC";
	const char *text = q->id != 0       ? by_id
			   : q->ruled       ? ruled
			   : q->unseen      ? unseen
			   : q->gone        ? gone
			   : q->holding     ? holding
			   : q->stream != 0 ? by_stream
					    : all;
	struct batch_row b;
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text,
		      (const struct sql_arg[]){INT(q->id), INT(q->stream), INT(q->tripped_at),
					       INT(q->collecting), INT(q->states),
					       INT(q->id_before != 0 ? q->id_before : INT64_MAX)},
		      text == by_id                                       ? 1
		      : text == unseen || text == gone || text == holding ? 0
		      : text == ruled                                     ? 2
		      : text == all                                       ? 6
									  : 5,
		      &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		read_batch(s, &b);
		more = row(context, &b);
	}
	sql_end(db, s);
	return r;
}

enum store_result
sqlite_batch_rules(struct db *db, uint32_t newest,
		   bool (*row)(void *context, const struct store_trips *t), void *context)
{
	static const char text[] =
	    "SELECT environment, rule, count(*), max(id) FROM"
	    " (SELECT id, environment, rule FROM batch ORDER BY id DESC LIMIT ?1)"
	    " GROUP BY environment, rule ORDER BY environment, rule";
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text, ARGS(INT(newest)), &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		more = row(context,
			   &(struct store_trips){.environment = sql_text(s, 0),
						 .rule = sql_text(s, 1),
						 .count = (uint64_t)sqlite3_column_int64(s, 2),
						 .last = sqlite3_column_int64(s, 3)});
	}
	sql_end(db, s);
	return r;
}

/* ---- panic buttons ---- */

enum store_result
sqlite_hold_set(struct db *db, const struct store_hold *h)
{
	return sql_run(
	    db,
	    "INSERT OR REPLACE INTO hold(scope, name, reason, who, since)"
	    " VALUES(?1, ?2, ?3, ?4, ?5)",
	    ARGS(INT(h->scope), TEXT(h->name), TEXT(h->reason), TEXT(h->who), INT(h->since)));
}

enum store_result
sqlite_hold_delete(struct db *db, int scope, const char *name)
{
	TRY(sql_run(db, "DELETE FROM hold WHERE scope = ?1 AND name = ?2",
		    ARGS(INT(scope), TEXT(name))));
	return sql_changes(db) > 0 ? STORE_OK : STORE_MISSING;
}

enum store_result
sqlite_hold_list(struct db *db, bool (*row)(void *context, const struct store_hold *h),
		 void *context)
{
	static const char text[] =
	    "SELECT scope, name, reason, who, since FROM hold ORDER BY scope, name";
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text, NO_ARGS, &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		more = row(context, &(struct store_hold){.scope = sqlite3_column_int(s, 0),
							 .name = sql_text(s, 1),
							 .reason = sql_text(s, 2),
							 .who = sql_text(s, 3),
							 .since = sqlite3_column_int64(s, 4)});
	}
	sql_end(db, s);
	return r;
}
