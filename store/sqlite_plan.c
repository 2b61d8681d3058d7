/*
 * Plans in SQLite: a batch has one row at most. Writer's thread, and views for the list.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/sqlite.h"

/* "10,100,0": bounded by STORE_RINGS_MAX numbers. */
enum { SIZES_BYTES = STORE_RINGS_MAX * 21 + 1 };

static void
write_sizes(const struct store_rings *rings, char out[SIZES_BYTES])
{
	size_t at = 0;
	uint32_t i;

	out[0] = '\0';
	for (i = 0; i < rings->count; i++)
		at += (size_t)snprintf(out + at, SIZES_BYTES - at, "%s%" PRIu64, i > 0 ? "," : "",
				       rings->sizes[i]);
}

static void
read_sizes(const char *text, struct store_rings *rings)
{
	char *end;

	while (*text != '\0' && rings->count < STORE_RINGS_MAX) {
		rings->sizes[rings->count++] = strtoull(text, &end, 10);
		text = end + (*end == ',');
	}
}

/* A row that has a number keeps it; AUTOINCREMENT gives no number twice. */
enum store_result
sqlite_plan_set(struct db *db, struct plan_row *row)
{
	const struct store_plan *p = &row->p;
	char sizes[SIZES_BYTES];

	write_sizes(&p->rings, sizes);
	TRY(sql_run(db,
		    "INSERT OR REPLACE INTO plan(id, batch, state, sizes, wait, stop_on, rate,"
		    " rate_window, stream_for, total, released, ring, ring_size, ring_released,"
		    " ring_sent, ring_failed, ring_deferred, ring_refused, ring_started_at,"
		    " next_ring_at, created_at, changed_at, expires_at, who, reason, why, refusals,"
		    " approvers, approved_by, whole, era, feed_at)"
		    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16,"
		    " ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31,"
		    " ?32)",
		    ARGS(INT_OR_NULL(p->id), INT(p->batch), INT(p->state), TEXT(sizes),
			 INT(p->rings.wait), REAL(p->rings.stop_on), INT(p->rate_count),
			 INT(p->rate_window), INT(p->stream_for), INT(p->total), INT(p->released),
			 INT(p->ring), INT(p->ring_size), INT(p->ring_released), INT(p->ring_sent),
			 INT(p->ring_failed), INT(p->ring_deferred), INT(p->ring_refused),
			 INT(p->ring_started_at), INT(p->next_ring_at), INT(p->created_at),
			 INT(p->changed_at), INT(p->expires_at), TEXT(p->who), TEXT(p->reason),
			 TEXT(p->why), TEXT(p->refusals), INT(p->approvers), TEXT(p->approved_by),
			 INT(row->whole), INT(row->era), INT(row->feed_at))));
	if (row->p.id == 0)
		row->p.id = sqlite3_last_insert_rowid(((struct sqlite_db *)db)->sql);
	return STORE_OK;
}

static void
read_counts(sqlite3_stmt *s, struct store_plan *p)
{
	p->total = (uint64_t)sqlite3_column_int64(s, 9);
	p->released = (uint64_t)sqlite3_column_int64(s, 10);
	p->ring = (uint32_t)sqlite3_column_int64(s, 11);
	p->ring_size = (uint64_t)sqlite3_column_int64(s, 12);
	p->ring_released = (uint64_t)sqlite3_column_int64(s, 13);
	p->ring_sent = (uint64_t)sqlite3_column_int64(s, 14);
	p->ring_failed = (uint64_t)sqlite3_column_int64(s, 15);
	p->ring_deferred = (uint64_t)sqlite3_column_int64(s, 16);
	p->ring_refused = (uint64_t)sqlite3_column_int64(s, 17);
	p->ring_started_at = sqlite3_column_int64(s, 18);
	p->next_ring_at = sqlite3_column_int64(s, 19);
}

static void
read_plan(sqlite3_stmt *s, struct plan_row *row)
{
	struct store_plan *p = &row->p;

	*row = (struct plan_row){.whole = sqlite3_column_int(s, 29) != 0,
				 .era = sqlite3_column_int64(s, 30),
				 .feed_at = sqlite3_column_int64(s, 31)};
	p->id = sqlite3_column_int64(s, 0);
	p->batch = sqlite3_column_int64(s, 1);
	p->state = (enum store_plan_state)sqlite3_column_int(s, 2);
	read_sizes(sql_text(s, 3), &p->rings);
	p->rings.wait = sqlite3_column_int64(s, 4);
	p->rings.stop_on = sqlite3_column_double(s, 5);
	p->rate_count = (uint32_t)sqlite3_column_int64(s, 6);
	p->rate_window = sqlite3_column_int64(s, 7);
	p->stream_for = sqlite3_column_int64(s, 8);
	read_counts(s, p);
	p->created_at = sqlite3_column_int64(s, 20);
	p->changed_at = sqlite3_column_int64(s, 21);
	p->expires_at = sqlite3_column_int64(s, 22);
	p->who = sql_text(s, 23);
	p->reason = sql_text(s, 24);
	p->why = sql_text(s, 25);
	p->refusals = sql_text(s, 26);
	p->approvers = (uint32_t)sqlite3_column_int64(s, 27);
	p->approved_by = sql_text(s, 28);
}

#define PLAN_COLUMNS                                                                               \
	"SELECT id, batch, state, sizes, wait, stop_on, rate, rate_window, stream_for, total,"     \
	" released, ring, ring_size, ring_released, ring_sent, ring_failed, ring_deferred,"        \
	" ring_refused, ring_started_at, next_ring_at, created_at, changed_at, expires_at, who,"   \
	" reason, why, refusals, approvers, approved_by, whole, era, feed_at FROM plan"

enum store_result
sqlite_plan_list(struct db *db, int64_t batch, unsigned states,
		 bool (*row)(void *context, const struct plan_row *p), void *context)
{
	static const char of_batch[] = PLAN_COLUMNS " WHERE batch = ?1";
	/* What is over is not looked at: the partial index has only the others. */
	static const char active[] =
	    PLAN_COLUMNS " INDEXED BY plan_active WHERE state < 4 AND ?1 >> state & 1"
			 " ORDER BY batch";
	static const char all[] = PLAN_COLUMNS " WHERE ?1 >> state & 1 ORDER BY batch";
	const unsigned over = 1U << STORE_PLAN_DONE | 1U << STORE_PLAN_ENDED;
	const char *text = batch != 0 ? of_batch : (states & over) == 0 ? active : all;
	struct plan_row p;
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text, ARGS(batch != 0 ? INT(batch) : INT(states)), &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		read_plan(s, &p);
		more = row(context, &p);
	}
	sql_end(db, s);
	return r;
}
