/*
 * What the sqlite*.c files share: a connection, and statements that are prepared once and run with
 * typed arguments. A connection is one thread's; the writer's holds the lock file.
 */
#ifndef STORE_SQLITE_H
#define STORE_SQLITE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/backend.h"

enum { SQLITE_PAGE_BYTES = 8192, SQL_CACHE_SIZE = 128, SQL_CACHE_SLOTS = 256 };
/* "MFUS": whose file this is (file(1), and a check against another program's database). */
enum { SQLITE_APPLICATION_ID = 1296455027 };

struct sql_cached {
	uint64_t key; /* address of the text, or the shape of a built one */
	sqlite3_stmt *statement;
};

struct sqlite_db {
	struct db base; /* first */
	sqlite3 *sql;
	char *path, *directory;
	int lock;        /* of PATH.lock; -1 in readers */
	int wal_pages;   /* after the last commit */
	bool uncut;      /* pages were freed at the end, and the file is as long as it was */
	int truncate_at; /* from so many on it is cut back; more while a reader keeps it */
	struct sqlite_press *press; /* packed messages, sqlite_press.c; NULL until there is one */
	struct sql_cached cache[SQL_CACHE_SLOTS]; /* by a hash of the key, see find_statement() */
	size_t cached, uncached;                  /* statements in it; in use beside it */
};

enum sql_kind { SQL_NULL, SQL_INT, SQL_TEXT, SQL_BLOB, SQL_REAL };
struct sql_arg {
	enum sql_kind kind;
	int64_t number;
	double real;
	const void *data;
	size_t len;
};

#define INT(n) ((struct sql_arg){.kind = SQL_INT, .number = (int64_t)(n)})
/* 0 is written as NULL: for columns that are in a partial index. */
#define INT_OR_NULL(n)                                                                             \
	((struct sql_arg){.kind = (n) != 0 ? SQL_INT : SQL_NULL, .number = (int64_t)(n)})
#define TEXT(s) ((struct sql_arg){.kind = (s) != NULL ? SQL_TEXT : SQL_NULL, .data = (s)})
#define REAL(x) ((struct sql_arg){.kind = SQL_REAL, .real = (x)})
#define BLOB(p, n) ((struct sql_arg){.kind = SQL_BLOB, .data = (p), .len = (n)})
#define ARGS(...)                                                                                  \
	(const struct sql_arg[]){__VA_ARGS__},                                                     \
	    sizeof((const struct sql_arg[]){__VA_ARGS__}) / sizeof(struct sql_arg)
#define NO_ARGS NULL, 0

/* The result for a code of SQLite's; keeps its text. */
enum store_result sql_result(struct sqlite_db *db, int code);
/* Runs a statement that answers no rows. `text` is a literal: its address is the key. */
enum store_result sql_run(struct db *db, const char *text, const struct sql_arg *args, size_t n);
/* Rows changed by the last sql_run(). */
int sql_changes(struct db *db);
/* For rows: start, step until it is not STORE_OK or `more` is false, end. */
enum store_result sql_start(struct db *db, uint64_t key, const char *text,
			    const struct sql_arg *args, size_t n, sqlite3_stmt **out);
/* Whether it is prepared and not in use: then sql_start() needs no text. */
bool sql_is_ready(struct db *db, uint64_t key);
enum store_result sql_step(struct db *db, sqlite3_stmt *statement, bool *more);
void sql_end(struct db *db, sqlite3_stmt *statement);
/* The first column of the first row; STORE_MISSING without one. */
enum store_result sql_number(struct db *db, const char *text, const struct sql_arg *args, size_t n,
			     int64_t *out);
/* Never NULL. */
const char *sql_text(sqlite3_stmt *statement, int column);

#define SQL_KEY(text) ((uint64_t)(uintptr_t)(text))

/* Why it is refused, in db->base.error, and the ways out. */
void sqlite_say_damaged(const struct sqlite_db *db, struct buf *error);
/* sqlite_schema.c: brings a database to this program's schema. */
bool sqlite_migrate(struct sqlite_db *db, struct buf *error);
/* The text of a step, from 1; NULL if there is none. For tests, which make old databases. */
const char *sqlite_schema_step(int number);

/* sqlite_mail.c */
enum store_result sqlite_message_begin(struct db *db, uint64_t id);
enum store_result sqlite_message_abandon(struct db *db, uint64_t id);
enum store_result sqlite_message_delete(struct db *db, uint64_t id);
enum store_result sqlite_message_known(struct db *db, uint64_t id, bool *out);
enum store_result sqlite_origin_find(struct db *db, uint64_t store, uint64_t id, uint64_t *message);
enum store_result sqlite_origin_add(struct db *db, uint64_t store, uint64_t id, uint64_t message);
enum store_result sqlite_message_add(struct db *db, const struct message *m, int64_t environment,
				     bool begun, bool pack);
enum store_result sqlite_message_load(struct db *db, uint64_t id, struct message *m,
				      uint32_t *chunk_count);
enum store_result sqlite_chunk_add(struct db *db, uint64_t id, uint32_t number,
				   const struct chunk *chunk);
enum store_result sqlite_chunk_load(struct db *db, uint64_t id, uint32_t number,
				    struct chunk **out);
enum store_result sqlite_header_load(struct db *db, uint64_t id, size_t max, struct buf *header,
				     struct buf *envid);

/* sqlite_delivery.c */
enum store_result sqlite_delivery_add(struct db *db, const struct delivery_row *d);
enum store_result sqlite_delivery_set(struct db *db, const struct delivery_row *d);
enum store_result sqlite_delivery_sent(struct db *db, const struct delivery_sent *s);
enum store_result sqlite_delivery_mark(struct db *db, uint64_t id, uint32_t number, int64_t ring);
enum store_result sqlite_delivery_delete(struct db *db, uint64_t id, uint32_t number);
enum store_result sqlite_delivery_list(struct db *db, const struct delivery_query *q,
				       delivery_row_fn *row, void *context);

enum store_result sqlite_member_add(struct db *db, uint64_t stream, uint64_t id, uint32_t number);
enum store_result sqlite_member_delete(struct db *db, uint64_t stream, uint64_t id,
				       uint32_t number);

/* sqlite_history.c */
enum store_result sqlite_counter_save(struct db *db, const struct store_counter_save *s,
				      int64_t *boot);
enum store_result sqlite_counter_set(struct db *db, int64_t boot, const struct store_counter *c);
enum store_result sqlite_boot_list(struct db *db,
				   bool (*row)(void *context, int64_t boot,
					       const struct store_counter_save *s),
				   void *context);
enum store_result sqlite_shard_list(struct db *db,
				    bool (*row)(void *context, unsigned shard, uint32_t stamp),
				    void *context);
enum store_result sqlite_counter_list(struct db *db, unsigned shard,
				      bool (*row)(void *context, int64_t boot,
						  const struct store_counter *c),
				      void *context);
enum store_result sqlite_counter_purge(struct db *db, unsigned shard, int64_t boot, int64_t mono,
				       uint32_t limit);
enum store_result sqlite_traffic_add(struct db *db, const struct traffic_row *row);
enum store_result
sqlite_traffic_list(struct db *db, int64_t since, int64_t until, int64_t after, uint32_t limit,
		    bool (*row)(void *context, int64_t number, const struct store_traffic *t),
		    void *context);
enum store_result sqlite_traffic_purge(struct db *db, int64_t before, uint32_t limit);

/* sqlite_batch.c */
enum store_result sqlite_environment(struct db *db, const char *name, bool make, int64_t *out);
enum store_result sqlite_count_add(struct db *db, int64_t environment, enum store_state state,
				   int64_t n);
enum store_result sqlite_count_list(struct db *db,
				    bool (*row)(void *context, int64_t environment,
						const char *name, enum store_state state,
						uint64_t count),
				    void *context);
enum store_result sqlite_batch_add(struct db *db, struct batch_row *b);
enum store_result sqlite_batch_set(struct db *db, const struct batch_row *b);
enum store_result sqlite_batch_list(struct db *db, const struct batch_query *q,
				    bool (*row)(void *context, const struct batch_row *b),
				    void *context);
enum store_result sqlite_person_add(struct db *db, int64_t batch, int64_t hash, bool *is_new);
enum store_result sqlite_person_cut(struct db *db, int64_t batch, int64_t from, uint64_t *gone);
enum store_result sqlite_person_purge(struct db *db, int64_t before, uint32_t limit);
enum store_result sqlite_batch_rules(struct db *db, uint32_t newest,
				     bool (*row)(void *context, const struct store_trips *t),
				     void *context);
enum store_result sqlite_hold_set(struct db *db, const struct store_hold *h);
enum store_result sqlite_hold_delete(struct db *db, int scope, const char *name);
enum store_result sqlite_hold_list(struct db *db,
				   bool (*row)(void *context, const struct store_hold *h),
				   void *context);

/* sqlite_plan.c */
enum store_result sqlite_plan_set(struct db *db, struct plan_row *p);
enum store_result sqlite_plan_list(struct db *db, int64_t batch, unsigned states,
				   bool (*row)(void *context, const struct plan_row *p),
				   void *context);

/* sqlite_alert.c */
enum store_result sqlite_event_add(struct db *db, const struct event_row *e);
enum store_result sqlite_event_list_new(struct db *db, uint32_t limit,
					bool (*row)(void *context, const struct event_row *e),
					void *context);
enum store_result sqlite_event_set_fanned(struct db *db, int64_t id);
enum store_result sqlite_event_purge(struct db *db, int64_t before, uint32_t limit);
enum store_result sqlite_outbox_add(struct db *db, int64_t event, const char *channel,
				    int64_t due_at);
enum store_result sqlite_outbox_set(struct db *db, const struct outbox_row *o);
enum store_result sqlite_outbox_list(struct db *db, const struct outbox_query *q,
				     bool (*row)(void *context, const struct outbox_row *o),
				     void *context);
enum store_result sqlite_outbox_channels(struct db *db,
					 bool (*row)(void *context, const char *channel),
					 void *context);
enum store_result sqlite_fate_list(
    struct db *db, int64_t batch, const struct store_alert_place *after, uint32_t limit,
    bool (*row)(void *context, const struct outbox_row *o, bool fanned), void *context);
enum store_result sqlite_notice_get(struct db *db, enum notice_kind kind, uint64_t key, int64_t *at,
				    int64_t *count);
enum store_result sqlite_notice_set(struct db *db, const struct notice_row *n);
enum store_result sqlite_notice_list(struct db *db, enum notice_kind kind,
				     bool (*row)(void *context, const struct notice_row *n),
				     void *context);
/* sqlite_audit.c */
enum store_result sqlite_audit_last(struct db *db, int64_t *id,
				    unsigned char hash[AUDIT_CHAIN_BYTES]);
enum store_result sqlite_audit_head(struct db *db, int64_t *id,
				    unsigned char hash[AUDIT_CHAIN_BYTES]);
enum store_result sqlite_audit_add(struct db *db, const struct audit_link *link,
				   const unsigned char hash[AUDIT_CHAIN_BYTES]);
enum store_result sqlite_audit_list(struct db *db, int64_t after, int64_t before, uint32_t last,
				    uint32_t limit, const char *object,
				    bool (*row)(void *context, const struct audit_row *a),
				    void *context);

#endif
