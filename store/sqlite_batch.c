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
	    " gone = ?31, mixed = ?32, people = ?33, people_kept = ?34, people_level = ?35,"
	    " first = ?36, last = ?37"
	    " WHERE id = ?1",
	    ARGS(INT(b->id), INT(b->state), INT(b->collecting), INT(b->last_at), INT(b->decided_at),
		 INT(b->messages), INT(b->recipients), INT(b->leaked), INT(b->bytes), INT(b->held),
		 INT(b->released), INT(b->sent), INT(b->failed), INT(b->discarded),
		 INT(row->alerted), TEXT(b->decided_by), TEXT(b->decided_reason), INT(b->ended_at),
		 INT(b->seen_at), TEXT(b->seen_by), INT(row->reminded), INT(row->remind_from),
		 INT(b->ruling), INT(b->ruling_until), INT(row->alone), INT(b->purged),
		 INT(row->era), INT(row->sweep.before), INT(row->sweep.state), INT(row->sweep.at),
		 INT(row->sweep.gone), INT(row->mixed), INT(b->distinct), INT(row->people_kept),
		 INT(row->people_level), INT(row->first), INT(row->last)));
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
		    .distinct = (uint64_t)sqlite3_column_int64(s, 43),
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
	    .people_kept = (uint64_t)sqlite3_column_int64(s, 44),
	    .people_level = (uint32_t)sqlite3_column_int64(s, 45),
	    .first = (uint64_t)sqlite3_column_int64(s, 46),
	    .last = (uint64_t)sqlite3_column_int64(s, 47),
	};
}

#define BATCH_COLUMNS                                                                              \
	"SELECT id, state, collecting, stream, tripped_at, opened_at, last_at, decided_at,"        \
	" environment, rule, key, source, sender, subject, max, window, messages, recipients,"     \
	" leaked, bytes, held, released, sent, failed, discarded, alerted, decided_by,"            \
	" decided_reason, ended_at, seen_at, seen_by, ruling, ruling_until, reminded, "            \
	"remind_from,"                                                                             \
	" alone, purged, era, swept, swept_state, swept_at, gone, mixed, people, people_kept,"     \
	" people_level, first, last FROM batch"

/* The list of a page that shows what may still go on. */
#define OPEN_STATES                                                                                \
	(1U << STORE_BATCH_HELD | 1U << STORE_BATCH_RELEASING | 1U << STORE_BATCH_PAUSED)

struct batch_list {
	const char *text;
	struct sql_arg args[6];
	size_t n;
};

/* All, or of some states. */
static struct batch_list
list_all(const struct batch_query *q)
{
	static const char open[] = BATCH_COLUMNS
	    " INDEXED BY batch_open WHERE state IN (0, 1, 2) AND id < ?1 ORDER BY id DESC";
	static const char of_state[] =
	    BATCH_COLUMNS " INDEXED BY batch_state WHERE state = ?2 AND id < ?1 ORDER BY id DESC";
	static const char all[] =
	    BATCH_COLUMNS " WHERE id < ?1 AND (?2 = 0 OR ?2 >> state & 1)"
			  " AND (?3 = 0 OR tripped_at = ?3) AND (?4 = 0 OR collecting)"
			  " ORDER BY id DESC";
	const struct sql_arg before = INT(q->id_before != 0 ? q->id_before : INT64_MAX);
	const bool by_state = q->tripped_at == 0 && !q->collecting;

	if (by_state && q->states == OPEN_STATES)
		return (struct batch_list){open, {before}, 1};
	if (by_state && q->states != 0 && (q->states & (q->states - 1)) == 0)
		return (struct batch_list){of_state, {before, INT(__builtin_ctz(q->states))}, 2};
	return (struct batch_list){
	    all, {before, INT(q->states), INT(q->tripped_at), INT(q->collecting)}, 4};
}

static struct batch_list
choose_list(const struct batch_query *q)
{
	static const char by_id[] = BATCH_COLUMNS " WHERE id = ?1";
	static const char by_stream[] = BATCH_COLUMNS
	    " WHERE stream = ?1 AND (?2 = 0 OR tripped_at = ?2) AND (?3 = 0 OR collecting)"
	    " AND (?4 = 0 OR ?4 >> state & 1) ORDER BY id DESC";
	/* In the words of the partial indexes, which only so can be used. */
	static const char ruled[] = BATCH_COLUMNS
	    " INDEXED BY batch_ruled WHERE ruling > 0 AND (?1 = 0 OR stream = ?1) ORDER BY id DESC";
	static const char unseen[] =
	    BATCH_COLUMNS " INDEXED BY batch_unseen WHERE seen_at = 0 AND state IN (0, 2)"
			  " ORDER BY id DESC";
	static const char gone[] =
	    BATCH_COLUMNS " INDEXED BY batch_gone WHERE gone > 0 ORDER BY id DESC";
	static const char holding[] =
	    BATCH_COLUMNS " INDEXED BY batch_held WHERE held > 0 ORDER BY id DESC";

	if (q->id != 0)
		return (struct batch_list){by_id, {INT(q->id)}, 1};
	if (q->ruled)
		return (struct batch_list){ruled, {INT(q->stream)}, 1};
	if (q->unseen)
		return (struct batch_list){.text = unseen};
	if (q->gone)
		return (struct batch_list){.text = gone};
	if (q->holding)
		return (struct batch_list){.text = holding};
	if (q->stream == 0)
		return list_all(q);
	return (struct batch_list){
	    by_stream, {INT(q->stream), INT(q->tripped_at), INT(q->collecting), INT(q->states)}, 4};
}

enum store_result
sqlite_batch_list(struct db *db, const struct batch_query *q,
		  bool (*row)(void *context, const struct batch_row *b), void *context)
{
	const struct batch_list list = choose_list(q);
	struct batch_row b;
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(list.text), list.text, list.args, list.n, &s));
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

/* ---- the people of a batch ---- */

enum store_result
sqlite_person_add(struct db *db, int64_t batch, int64_t hash, bool *is_new)
{
	TRY(sql_run(db, "INSERT OR IGNORE INTO person VALUES(?1, ?2)",
		    ARGS(INT(batch), INT(hash))));
	*is_new = sql_changes(db) > 0;
	return STORE_OK;
}

enum store_result
sqlite_person_cut(struct db *db, int64_t batch, int64_t from, uint64_t *gone)
{
	TRY(sql_run(db, "DELETE FROM person WHERE batch = ?1 AND hash >= ?2",
		    ARGS(INT(batch), INT(from))));
	*gone = (uint64_t)sql_changes(db);
	return STORE_OK;
}

enum store_result
sqlite_person_purge(struct db *db, int64_t before, uint32_t limit)
{
	/* In the words of the partial index. */
	static const char find[] =
	    "SELECT id FROM batch INDEXED BY batch_people WHERE people_kept > 0 AND collecting = 0"
	    " AND ruling = 0 AND last_at < ?1 LIMIT 1";
	enum store_result r = STORE_OK;
	uint64_t gone;
	int64_t batch;

	for (; limit > 0; limit--) {
		r = sql_number(db, find, ARGS(INT(before)), &batch);
		if (r != STORE_OK)
			break;
		TRY(sqlite_person_cut(db, batch, 0, &gone));
		TRY(sql_run(db, "UPDATE batch SET people_kept = 0 WHERE id = ?1",
			    ARGS(INT(batch))));
	}
	return r == STORE_MISSING ? STORE_OK : r;
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
