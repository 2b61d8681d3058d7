/*
 * Deliveries in SQLite. A list's SQL is built from the shape of its query, which of its conditions
 * are set, and kept prepared under that shape; the index is named, so that no guess of the
 * planner's can turn a look into a scan. Writer's, reader's and views' threads, each with its own
 * connection.
 */
#include <inttypes.h>
#include <string.h>

#include "store/sqlite_runs.h"

enum store_result
sqlite_delivery_add(struct db *db, const struct delivery_row *d)
{
	const char *final = strcmp(d->final, d->recipient) == 0 ? NULL : d->final;

	return sql_run(
	    db,
	    "INSERT INTO delivery(message, number, state, environment, due_at, queued_at,"
	    " changed_at, batch, stream, tries, counted, recipient, final, rule, reason, reply,"
	    " notify, orcpt, keys, ring, era)"
	    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,"
	    " ?18, ?19, ?20, ?21)",
	    ARGS(INT(d->id), INT(d->number), INT(d->state), INT(d->environment),
		 INT_OR_NULL(d->due_at), INT(d->queued_at), INT(d->changed_at),
		 INT_OR_NULL(d->batch), INT_OR_NULL(d->stream), INT(d->tries), INT(d->counted),
		 TEXT(d->recipient), TEXT(final), TEXT(d->rule), TEXT(d->reason), TEXT(d->reply),
		 INT(d->notify), TEXT(d->orcpt),
		 d->keys_len > 0 ? BLOB(d->keys, d->keys_len) : (struct sql_arg){.kind = SQL_NULL},
		 INT_OR_NULL(d->ring), INT(d->era)));
}

enum store_result
sqlite_delivery_set(struct db *db, const struct delivery_row *d)
{
	return sql_run(db,
		       "UPDATE delivery SET state = ?3, due_at = ?4, queued_at = ?5,"
		       " changed_at = ?6, batch = ?7, tries = ?8, rule = coalesce(?9, rule),"
		       " reason = coalesce(?10, reason), reply = coalesce(?11, reply),"
		       " remote_mta = coalesce(?12, remote_mta), told = coalesce(?13, told),"
		       " notice = ?14, ring = ?15, era = ?16 WHERE message = ?1 AND number = ?2",
		       ARGS(INT(d->id), INT(d->number), INT(d->state), INT_OR_NULL(d->due_at),
			    INT(d->queued_at), INT(d->changed_at), INT_OR_NULL(d->batch),
			    INT(d->tries), TEXT(d->rule), TEXT(d->reason), TEXT(d->reply),
			    TEXT(d->remote_mta), TEXT(d->told), INT(d->notice),
			    INT_OR_NULL(d->ring), INT(d->era)));
}

/* One look at the row and one at delivery_state: no other index has what this changes. */
enum store_result
sqlite_delivery_sent(struct db *db, const struct delivery_sent *s)
{
	TRY(sql_run(db,
		    "UPDATE delivery SET state = 4, changed_at = ?4, tries = tries + ?5,"
		    " reply = coalesce(?6, reply), remote_mta = coalesce(?7, remote_mta)"
		    " WHERE message = ?1 AND number = ?2 AND +state = 0 AND +environment = ?3"
		    " AND due_at IS NULL AND batch IS NULL",
		    ARGS(INT(s->id), INT(s->number), INT(s->environment), INT(s->changed_at),
			 INT(s->tried), TEXT(s->reply), TEXT(s->remote_mta))));
	return sql_changes(db) == 1 ? STORE_OK : STORE_MISSING;
}

enum store_result
sqlite_delivery_mark(struct db *db, uint64_t id, uint32_t number, int64_t ring)
{
	return sql_run(db, "UPDATE delivery SET ring = ?3 WHERE message = ?1 AND number = ?2",
		       ARGS(INT(id), INT(number), INT_OR_NULL(ring)));
}

enum store_result
sqlite_delivery_delete(struct db *db, uint64_t id, uint32_t number)
{
	return sql_run(db, "DELETE FROM delivery WHERE message = ?1 AND number = ?2",
		       ARGS(INT(id), INT(number)));
}

/* ---- the index of streams ---- */

enum store_result
sqlite_member_add(struct db *db, uint64_t stream, uint64_t id, uint32_t number)
{
	return sql_run(db, "INSERT OR IGNORE INTO member VALUES(?1, ?2, ?3)",
		       ARGS(INT(stream), INT(id), INT(number)));
}

enum store_result
sqlite_member_delete(struct db *db, uint64_t stream, uint64_t id, uint32_t number)
{
	return sql_run(db, "DELETE FROM member WHERE stream = ?1 AND message = ?2 AND number = ?3",
		       ARGS(INT(stream), INT(id), INT(number)));
}

/* ---- lists ---- */

/* One more than there are conditions. */
enum { ARGS_MAX = 17 };

struct built {
	bool wants_text; /* else the statement is prepared already: nearly always */
	struct buf text;
	uint64_t shape;
	struct sql_arg args[ARGS_MAX];
	size_t n;
};

#define PUT(b, ...) ((b)->wants_text ? buf_printf(&(b)->text, __VA_ARGS__) : (void)0)

/* Adds `AND ...?` when it is set; bit `bit` of the shape says so. */
static void
term(struct built *b, int bit, bool is_set, const char *sql, struct sql_arg arg)
{
	if (!is_set)
		return;
	b->shape |= UINT64_C(1) << bit;
	PUT(b, " AND %s ?", sql);
	b->args[b->n++] = arg;
}

static void
literal(struct built *b, int bit, bool is_set, const char *sql)
{
	if (!is_set)
		return;
	b->shape |= UINT64_C(1) << bit;
	PUT(b, " AND %s", sql);
}

/* A column that holds one of a set of small numbers; the shape has the set from bit `bit` on. */
static void
add_set(struct built *b, int bit, const char *column, unsigned set)
{
	const char *comma = "";

	if (set == 0)
		return;
	b->shape |= (uint64_t)set << bit;
	if ((set & (set - 1)) == 0) {
		/* One as an equality: only that proves a partial index. */
		PUT(b, " AND %s = %d", column, __builtin_ctz(set));
		return;
	}
	PUT(b, " AND %s IN (", column);
	for (; set != 0; set &= set - 1) {
		PUT(b, "%s%d", comma, __builtin_ctz(set));
		comma = ", ";
	}
	PUT(b, ")");
}

static const char *
choose_index(const struct delivery_query *q)
{
	if (q->message != 0 || q->id_from != 0 || q->stream != 0)
		return "";
	if (q->notices == 1U << STORE_NOTICE_PENDING)
		return " INDEXED BY delivery_notice";
	if (q->environment != 0 && (q->order_due || q->due_before != 0))
		return " INDEXED BY delivery_due";
	if (q->states != 0 && (q->states & SWEEP_STATES) == 0)
		return " INDEXED BY delivery_state";
	return "";
}

/* What is held or discarded as its batch says, not as its row does, is looked at in C. */
static bool
reads_sweeps(const struct delivery_query *q)
{
	return q->states == 0 || (q->states & SWEEP_STATES) != 0;
}

static void
build(struct built *b, const struct delivery_query *q)
{
	bool by_key = q->message != 0 || q->id_from != 0 || q->stream != 0;
	bool sweeps = reads_sweeps(q);

	PUT(b, "%s,%s FROM %s%s%s%s WHERE m.complete > 0", DELIVERY_COLUMNS,
	    sweeps ? SWEEP_COLUMNS : " 0",
	    q->stream != 0 ? "member k CROSS JOIN delivery d"
			     " ON d.message = k.message AND d.number = k.number"
			   : "delivery d",
	    choose_index(q), DELIVERY_JOINS, sweeps ? " LEFT JOIN batch b ON b.id = d.batch" : "");
	term(b, 0, q->message != 0, "d.message =", INT(q->message));
	term(b, 1, q->number != 0, "d.number =", INT(q->number));
	b->shape |= (uint64_t)sweeps << 19;
	if (!sweeps)
		add_set(b, 32, by_key ? "+d.state" : "d.state", q->states);
	/* In the words of the partial index. */
	literal(b, 20, !sweeps && !by_key, "d.state NOT IN (2, 6)");
	add_set(b, 40, "d.notice", q->notices);
	/* A plus sign keeps a term out of the choice of an index. */
	term(b, 2, q->batch != 0, by_key ? "+d.batch =" : "d.batch =", INT(q->batch));
	term(b, 3, q->environment != 0,
	     by_key ? "+d.environment =" : "d.environment =", INT(q->environment));
	term(b, 4, q->stream != 0, "k.stream =", INT(q->stream));
	term(b, 5, q->source != NULL, "m.source =", TEXT(q->source));
	term(b, 6, q->due_before != 0, "d.due_at <=", INT(q->due_before));
	term(b, 7, q->id_from != 0, "d.message >=", INT(q->id_from));
	term(b, 8, q->id_before != 0, "d.message <", INT(q->id_before));
	term(b, 9, !sweeps && q->changed_before != 0, "d.changed_at <", INT(q->changed_before));
	term(b, 10, q->queued_before != 0, "d.queued_at <", INT(q->queued_before));
	literal(b, 11, q->due == DUE_SET, "d.due_at IS NOT NULL");
	literal(b, 12, q->due == DUE_TAKEN, "d.due_at IS NULL");
	literal(b, 13, q->counted, "d.counted = 1");
	term(b, 18, !sweeps && q->ring != 0, "d.ring >> 2 =", INT(q->ring));
	if (q->after.id != 0) {
		b->shape |= UINT64_C(1) << 14;
		PUT(b, " AND (d.message, d.number) %s (?, ?)", q->newest ? "<" : ">");
		b->args[b->n++] = INT(q->after.id);
		b->args[b->n++] = INT(q->after.number);
	}
	if (q->order_due)
		PUT(b, " ORDER BY d.due_at, d.message, d.number");
	else if (!q->unordered)
		PUT(b, q->newest ? " ORDER BY d.message DESC, d.number DESC"
				 : " ORDER BY d.message, d.number");
	b->shape |=
	    (uint64_t)q->newest << 21 | (uint64_t)q->order_due << 15 | (uint64_t)q->unordered << 16;
	if (q->limit > 0 && !sweeps) {
		b->shape |= UINT64_C(1) << 17;
		PUT(b, " LIMIT ?");
		b->args[b->n++] = INT(q->limit);
	}
}

void
sqlite_delivery_read(sqlite3_stmt *s, struct delivery_row *d)
{
	*d = (struct delivery_row){
	    .id = (uint64_t)sqlite3_column_int64(s, 0),
	    .number = (uint32_t)sqlite3_column_int64(s, 1),
	    .state = (enum store_state)sqlite3_column_int(s, 2),
	    .environment = sqlite3_column_int64(s, 3),
	    .due_at = sqlite3_column_int64(s, 4),
	    .queued_at = sqlite3_column_int64(s, 5),
	    .changed_at = sqlite3_column_int64(s, 6),
	    .batch = sqlite3_column_int64(s, 7),
	    .stream = (uint64_t)sqlite3_column_int64(s, 8),
	    .tries = (uint32_t)sqlite3_column_int64(s, 9),
	    .counted = sqlite3_column_int(s, 10) != 0,
	    .recipient = sql_text(s, 11),
	    .final = sql_text(s, 12),
	    .rule = sql_text(s, 13),
	    .reason = sql_text(s, 14),
	    .reply = sql_text(s, 15),
	    .environment_name = sql_text(s, 16),
	    .source = sql_text(s, 17),
	    .sender = sql_text(s, 18),
	    .subject = sql_text(s, 19),
	    .accepted_at = sqlite3_column_int64(s, 20),
	    .bytes = (uint64_t)sqlite3_column_int64(s, 21),
	    .campaign = sql_text(s, 22),
	    .notify = (unsigned)sqlite3_column_int(s, 23),
	    .notice = (enum store_notice_state)sqlite3_column_int(s, 24),
	    .orcpt = sql_text(s, 25),
	    .remote_mta = sql_text(s, 26),
	    .told = sql_text(s, 27),
	    .report = sqlite3_column_int(s, 28) != 0,
	    .audience = (uint32_t)sqlite3_column_int64(s, 29),
	    .keys = sqlite3_column_blob(s, 30),
	    .keys_len = (size_t)sqlite3_column_bytes(s, 30),
	    .ring = sqlite3_column_int64(s, 31),
	    .era = sqlite3_column_int64(s, 32),
	};
}

/* Reads the row through its batch; false if it is not wanted. */
static bool
read_row(sqlite3_stmt *s, const struct delivery_query *q, struct delivery_row *d)
{
	struct sweep sweep;

	sqlite_delivery_read(s, d);
	if (!reads_sweeps(q))
		return true;
	sqlite_sweep_read(s, 33, &sweep);
	if (sweep_is_gone(&sweep, d) != q->gone)
		return false;
	if (!q->gone)
		sweep_read(&sweep, d);
	return sweep_matches(q, d);
}

enum store_result
sqlite_delivery_list(struct db *db, const struct delivery_query *q, delivery_row_fn *row,
		     void *context)
{
	struct built b = {.shape = UINT64_C(1) << 63}; /* no address has that bit */
	struct delivery_row d;
	sqlite3_stmt *s;
	uint32_t given = 0;
	enum store_result r = STORE_OK;
	bool more = true;

	if (sqlite_runs_fit(q))
		return sqlite_runs_list(db, q, row, context);
	build(&b, q);
	if (!sql_is_ready(db, b.shape)) {
		b = (struct built){.wants_text = true, .shape = UINT64_C(1) << 63};
		build(&b, q);
	}
	r = sql_start(db, b.shape, buf_text(&b.text), b.args, b.n, &s);
	buf_free(&b.text);
	TRY(r);
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		if (read_row(s, q, &d))
			more = row(context, &d) && ++given != q->limit;
	}
	sql_end(db, s);
	return r;
}
