/*
 * Saved burst counters and the history of traffic in SQLite; the form of their keys is said in
 * sqlite_schema.c. Writer's thread, and views for the lists.
 */
#include "base/clock.h"
#include "store/sqlite.h"

/* No window is longer than 30 days: what was counted in an older boot counts no more. */
#define BOOT_KEPT (40 * CLOCK_DAY)

enum { DAYS_KEPT_LONGER = 1, NUMBER_BITS = 20, SHARD_BITS = 58 };
#define NUMBER_MASK ((INT64_C(1) << NUMBER_BITS) - 1)

/* ---- counters ---- */

/* In the order of unsigned numbers. */
static int64_t
turned(uint64_t hash)
{
	return (int64_t)(hash ^ UINT64_C(1) << 63);
}

static int64_t
shard_first(unsigned shard)
{
	return turned((uint64_t)shard << SHARD_BITS);
}

static int64_t
shard_last(unsigned shard)
{
	return turned((uint64_t)shard << SHARD_BITS | ((UINT64_C(1) << SHARD_BITS) - 1));
}

enum store_result
sqlite_counter_save(struct db *db, const struct store_counter_save *s, int64_t *boot)
{
	TRY(sql_run(db,
		    "INSERT INTO boot(name, mono, wall) VALUES(?1, ?2, ?3)"
		    " ON CONFLICT(name) DO UPDATE SET mono = excluded.mono, wall = excluded.wall",
		    ARGS(TEXT(s->boot), INT(s->mono), INT(s->wall))));
	TRY(sql_run(db, "INSERT OR REPLACE INTO counter_shard(shard, stamp) VALUES(?1, ?2)",
		    ARGS(INT(s->shard), INT(s->stamp))));
	TRY(sql_run(db, "DELETE FROM boot WHERE wall < ?1 AND name <> ?2",
		    ARGS(INT(s->wall - BOOT_KEPT), TEXT(s->boot))));
	return sql_number(db, "SELECT id FROM boot WHERE name = ?1", ARGS(TEXT(s->boot)), boot);
}

enum store_result
sqlite_counter_set(struct db *db, int64_t boot, const struct store_counter *c)
{
	if (c->len == 0)
		return sql_run(db, "DELETE FROM counter WHERE hash = ?1",
			       ARGS(INT(turned(c->hash))));
	return sql_run(
	    db, "INSERT OR REPLACE INTO counter(hash, boot, idle_at, data) VALUES(?1, ?2, ?3, ?4)",
	    ARGS(INT(turned(c->hash)), INT(boot), INT(c->idle_at), BLOB(c->data, c->len)));
}

enum store_result
sqlite_boot_list(struct db *db,
		 bool (*row)(void *context, int64_t boot, const struct store_counter_save *s),
		 void *context)
{
	static const char text[] = "SELECT id, name, mono, wall FROM boot ORDER BY id";
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text, NO_ARGS, &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		more = row(context, sqlite3_column_int64(s, 0),
			   &(struct store_counter_save){.boot = sql_text(s, 1),
							.mono = sqlite3_column_int64(s, 2),
							.wall = sqlite3_column_int64(s, 3)});
	}
	sql_end(db, s);
	return r;
}

enum store_result
sqlite_shard_list(struct db *db, bool (*row)(void *context, unsigned shard, uint32_t stamp),
		  void *context)
{
	static const char text[] = "SELECT shard, stamp FROM counter_shard ORDER BY shard";
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text, NO_ARGS, &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		more = row(context, (unsigned)sqlite3_column_int(s, 0),
			   (uint32_t)sqlite3_column_int64(s, 1));
	}
	sql_end(db, s);
	return r;
}

enum store_result
sqlite_counter_list(struct db *db, unsigned shard,
		    bool (*row)(void *context, int64_t boot, const struct store_counter *c),
		    void *context)
{
	static const char text[] = "SELECT boot, hash, idle_at, data FROM counter"
				   " WHERE hash BETWEEN ?1 AND ?2 ORDER BY boot, hash";
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text,
		      ARGS(INT(shard_first(shard)), INT(shard_last(shard))), &s));
	while (more) {
		struct store_counter c;

		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		c.hash = (uint64_t)turned((uint64_t)sqlite3_column_int64(s, 1));
		c.idle_at = sqlite3_column_int64(s, 2);
		c.data = (char *)sqlite3_column_blob(s, 3);
		c.len = (size_t)sqlite3_column_bytes(s, 3);
		more = row(context, sqlite3_column_int64(s, 0), &c);
	}
	sql_end(db, s);
	return r;
}

enum store_result
sqlite_counter_purge(struct db *db, unsigned shard, int64_t boot, int64_t mono, uint32_t limit)
{
	return sql_run(db,
		       "DELETE FROM counter WHERE hash IN (SELECT hash FROM counter"
		       " WHERE hash BETWEEN ?1 AND ?2 AND (boot = ?3 AND idle_at < ?4"
		       " OR boot NOT IN (SELECT id FROM boot)) LIMIT ?5)",
		       ARGS(INT(shard_first(shard)), INT(shard_last(shard)), INT(boot), INT(mono),
			    INT(limit)));
}

/* ---- traffic ---- */

static int64_t
first_id(int64_t wall)
{
	return wall / CLOCK_MINUTE << NUMBER_BITS;
}

/* Of the first minute that begins at `wall` or later; any time will do. */
static int64_t
first_id_from(int64_t wall)
{
	if (wall < 0)
		return 0;
	return first_id((wall < INT64_MAX / 4 ? wall : INT64_MAX / 4) + CLOCK_MINUTE - 1);
}

enum store_result
sqlite_traffic_add(struct db *db, const struct traffic_row *row)
{
	const struct store_traffic *t = &row->t;
	int64_t first = first_id(t->minute);

	TRY(sql_run(
	    db,
	    "INSERT INTO traffic_stream(hash, day, environment, source, client, sender, subject,"
	    " campaign, audience) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
	    " ON CONFLICT(hash) DO UPDATE SET day = excluded.day WHERE day < excluded.day",
	    ARGS(INT(row->stream), INT(t->minute / CLOCK_DAY), TEXT(t->environment),
		 TEXT(t->source), TEXT(t->client), TEXT(t->sender), TEXT(t->subject),
		 TEXT(t->campaign), INT(t->audience))));
	return sql_run(
	    db,
	    "INSERT INTO traffic(id, stream, messages, recipients, bytes, passed, waited, held,"
	    " dropped) VALUES(coalesce((SELECT max(id) FROM traffic WHERE id BETWEEN ?1 AND ?2),"
	    " ?1) + 1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
	    ARGS(INT(first), INT(first | (NUMBER_MASK - 1)), INT(row->stream), INT(t->messages),
		 INT(t->recipients), INT(t->bytes), INT(t->passed), INT(t->waited), INT(t->held),
		 INT(t->dropped)));
}

static void
read_traffic(sqlite3_stmt *s, struct store_traffic *t)
{
	*t = (struct store_traffic){
	    .minute = (sqlite3_column_int64(s, 0) >> NUMBER_BITS) * CLOCK_MINUTE,
	    .environment = sql_text(s, 1),
	    .source = sql_text(s, 2),
	    .client = sql_text(s, 3),
	    .sender = sql_text(s, 4),
	    .subject = sql_text(s, 5),
	    .campaign = sql_text(s, 6),
	    .audience = (uint32_t)sqlite3_column_int64(s, 7),
	    .messages = (uint64_t)sqlite3_column_int64(s, 8),
	    .recipients = (uint64_t)sqlite3_column_int64(s, 9),
	    .bytes = (uint64_t)sqlite3_column_int64(s, 10),
	    .passed = (uint64_t)sqlite3_column_int64(s, 11),
	    .waited = (uint64_t)sqlite3_column_int64(s, 12),
	    .held = (uint64_t)sqlite3_column_int64(s, 13),
	    .dropped = (uint64_t)sqlite3_column_int64(s, 14),
	};
}

enum store_result
sqlite_traffic_list(struct db *db, int64_t since, int64_t until, int64_t after, uint32_t limit,
		    bool (*row)(void *context, int64_t number, const struct store_traffic *t),
		    void *context)
{
	static const char text[] =
	    "SELECT t.id, environment, source, client, sender, subject, campaign, audience,"
	    " messages, recipients, bytes, passed, waited, held, dropped FROM traffic t"
	    " CROSS JOIN traffic_stream ON hash = stream WHERE t.id > ?1 AND t.id < ?2"
	    " ORDER BY t.id LIMIT ?3";
	int64_t from = first_id_from(since);
	struct store_traffic t;
	sqlite3_stmt *s;
	enum store_result r = STORE_OK;
	bool more = true;

	TRY(sql_start(db, SQL_KEY(text), text,
		      ARGS(INT(after > from ? after : from), INT(first_id_from(until)),
			   INT(limit > 0 ? (int64_t)limit : -1)),
		      &s));
	while (more) {
		r = sql_step(db, s, &more);
		if (r != STORE_OK || !more)
			break;
		read_traffic(s, &t);
		more = row(context, sqlite3_column_int64(s, 0), &t);
	}
	sql_end(db, s);
	return r;
}

enum store_result
sqlite_traffic_purge(struct db *db, int64_t before, uint32_t limit)
{
	TRY(sql_run(db,
		    "DELETE FROM traffic WHERE id IN"
		    " (SELECT id FROM traffic WHERE id < ?1 ORDER BY id LIMIT ?2)",
		    ARGS(INT(first_id(before)), INT(limit))));
	/* A stream is kept a little longer than its last minute. */
	return sql_run(db,
		       "DELETE FROM traffic_stream WHERE hash IN"
		       " (SELECT hash FROM traffic_stream INDEXED BY traffic_stream_day"
		       " WHERE day < ?1 LIMIT ?2)",
		       ARGS(INT(before / CLOCK_DAY - DAYS_KEPT_LONGER), INT(limit)));
}
