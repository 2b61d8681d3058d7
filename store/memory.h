/*
 * What the memory*.c files share: the tables of the twin. A table is a sorted array of plain rows
 * whose strings live in one arena until the store closes; every change is noted, so that a
 * rollback can undo it. Memory of what was deleted comes back only then: the twin is for tests.
 */
#ifndef STORE_MEMORY_H
#define STORE_MEMORY_H

#include <pthread.h>

#include "base/arena.h"
#include "store/backend.h"

struct memory_table {
	void *rows;
	size_t count, cap, size; /* size: of a row */
};

struct memory_undo;

struct memory_message {
	uint64_t id;
	bool complete, eightbit, smtputf8, report;
	uint32_t audience;
	enum dsn_ret ret;
	int64_t accepted_at, environment;
	const char *source, *client, *helo, *protocol, *sender, *envid, *subject, *subject_key,
	    *campaign, *header_from;
	uint64_t bytes, body_bytes;
	const char *header;
	size_t header_len;
};

struct memory_chunk {
	uint64_t message;
	uint32_t number;
	const char *data;
	size_t len;
};

struct memory_environment {
	int64_t id;
	const char *name;
	int64_t counts[STORE_STATE_COUNT];
};

struct memory_meta {
	const char *name;
	int64_t value;
};

struct memory_event {
	struct event_row e;
	bool fanned;
};

struct memory_outbox {
	struct outbox_row o; /* event: only its id */
};

struct memory_ids {
	int64_t batch, event, outbox, plan; /* the last ones given */
};

struct memory_member {
	uint64_t stream, id;
	uint32_t number;
};

struct memory_person {
	int64_t batch, hash;
};

struct memory_shard {
	unsigned shard;
	uint32_t stamp;
};

struct memory_counter {
	int64_t boot;
	struct store_counter c;
};

/* Where an imported message was before. */
struct memory_origin {
	uint64_t store, id, message;
};

struct memory_traffic {
	int64_t number; /* as in SQLite: minute << 20 | a number */
	struct store_traffic t;
};

struct memory {
	pthread_mutex_t lock; /* recursive: held for a whole transaction */
	int refs;             /* connections; under the lock */
	struct arena arena;
	struct memory_undo *undo;
	size_t undo_count, undo_cap;
	struct memory_table meta, environments, messages, chunks, deliveries, batches, holds,
	    events, outbox, notices, audit, ids, members, boots, shards, counters, origins, traffic,
	    plans, people;
};

struct memory_db {
	struct db base; /* first */
	struct memory *m;
	bool active; /* in a transaction */
};

/* Row i, as it is now; changes go through the functions below. */
void *memory_row(const struct memory_table *t, size_t i);
void memory_insert(struct memory *m, struct memory_table *t, size_t i, const void *row);
void memory_replace(struct memory *m, struct memory_table *t, size_t i, const void *row);
void memory_remove(struct memory *m, struct memory_table *t, size_t i);
/* A copy that lives until the store closes; NULL becomes "". */
const char *memory_text(struct memory *m, const char *text);
struct memory *memory_of(struct db *db);
/* The environment's row, or NULL. */
struct memory_environment *memory_environment_row(struct memory *m, int64_t id);

/* memory_mail.c */
enum store_result memory_message_begin(struct db *db, uint64_t id);
enum store_result memory_message_abandon(struct db *db, uint64_t id);
enum store_result memory_message_delete(struct db *db, uint64_t id);
enum store_result memory_dictionary_purge(struct db *db, int64_t before);
enum store_result memory_message_known(struct db *db, uint64_t id, bool *out);
enum store_result memory_origin_find(struct db *db, uint64_t store, uint64_t id, uint64_t *message);
enum store_result memory_origin_add(struct db *db, uint64_t store, uint64_t id, uint64_t message);
enum store_result memory_message_add(struct db *db, const struct message *m, int64_t environment,
				     bool begun, bool pack);
enum store_result memory_message_load(struct db *db, uint64_t id, struct message *m,
				      uint32_t *chunk_count);
enum store_result memory_chunk_add(struct db *db, uint64_t id, uint32_t number,
				   const struct chunk *chunk);
enum store_result memory_chunk_load(struct db *db, uint64_t id, uint32_t number,
				    struct chunk **out);
enum store_result memory_header_load(struct db *db, uint64_t id, size_t max, struct buf *header,
				     struct buf *envid);
enum store_result memory_delivery_add(struct db *db, const struct delivery_row *d);
enum store_result memory_delivery_set(struct db *db, const struct delivery_row *d);
enum store_result memory_delivery_sent(struct db *db, const struct delivery_sent *s);
enum store_result memory_delivery_mark(struct db *db, uint64_t id, uint32_t number, int64_t ring);
enum store_result memory_delivery_delete(struct db *db, uint64_t id, uint32_t number);
enum store_result memory_delivery_list(struct db *db, const struct delivery_query *q,
				       delivery_row_fn *row, void *context);

enum store_result memory_member_add(struct db *db, uint64_t stream, uint64_t id, uint32_t number);
enum store_result memory_member_delete(struct db *db, uint64_t stream, uint64_t id,
				       uint32_t number);

/* memory_history.c */
enum store_result memory_counter_save(struct db *db, const struct store_counter_save *s,
				      int64_t *boot);
enum store_result memory_counter_set(struct db *db, int64_t boot, const struct store_counter *c);
enum store_result memory_boot_list(struct db *db,
				   bool (*row)(void *context, int64_t boot,
					       const struct store_counter_save *s),
				   void *context);
enum store_result memory_shard_list(struct db *db,
				    bool (*row)(void *context, unsigned shard, uint32_t stamp),
				    void *context);
enum store_result memory_counter_list(struct db *db, unsigned shard,
				      bool (*row)(void *context, int64_t boot,
						  const struct store_counter *c),
				      void *context);
enum store_result memory_counter_purge(struct db *db, unsigned shard, int64_t boot, int64_t mono,
				       uint32_t limit);
enum store_result memory_traffic_add(struct db *db, const struct traffic_row *row);
enum store_result
memory_traffic_list(struct db *db, int64_t since, int64_t until, int64_t after, uint32_t limit,
		    bool (*row)(void *context, int64_t number, const struct store_traffic *t),
		    void *context);
enum store_result memory_traffic_purge(struct db *db, int64_t before, uint32_t limit);

/* memory_plan.c */
enum store_result memory_plan_set(struct db *db, struct plan_row *p);
enum store_result memory_plan_list(struct db *db, int64_t batch, unsigned states,
				   bool (*row)(void *context, const struct plan_row *p),
				   void *context);

/* memory_batch.c */
enum store_result memory_batch_add(struct db *db, struct batch_row *b);
enum store_result memory_batch_set(struct db *db, const struct batch_row *b);
enum store_result memory_batch_list(struct db *db, const struct batch_query *q,
				    bool (*row)(void *context, const struct batch_row *b),
				    void *context);
enum store_result memory_person_add(struct db *db, int64_t batch, int64_t hash, bool *is_new);
enum store_result memory_person_cut(struct db *db, int64_t batch, int64_t from, uint64_t *gone);
enum store_result memory_person_purge(struct db *db, int64_t before, uint32_t limit);
enum store_result memory_batch_rules(struct db *db, uint32_t newest,
				     bool (*row)(void *context, const struct store_trips *t),
				     void *context);
enum store_result memory_hold_set(struct db *db, const struct store_hold *h);
enum store_result memory_hold_delete(struct db *db, int scope, const char *name);
enum store_result memory_hold_list(struct db *db,
				   bool (*row)(void *context, const struct store_hold *h),
				   void *context);

/* memory_alert.c */
enum store_result memory_event_add(struct db *db, const struct event_row *e);
enum store_result memory_event_list_new(struct db *db, uint32_t limit,
					bool (*row)(void *context, const struct event_row *e),
					void *context);
enum store_result memory_event_set_fanned(struct db *db, int64_t id);
enum store_result memory_event_purge(struct db *db, int64_t before, uint32_t limit);
enum store_result memory_outbox_add(struct db *db, int64_t event, const char *channel,
				    int64_t due_at);
enum store_result memory_outbox_set(struct db *db, const struct outbox_row *o);
enum store_result memory_outbox_list(struct db *db, const struct outbox_query *q,
				     bool (*row)(void *context, const struct outbox_row *o),
				     void *context);
enum store_result memory_outbox_channels(struct db *db,
					 bool (*row)(void *context, const char *channel),
					 void *context);
enum store_result memory_fate_list(
    struct db *db, int64_t batch, const struct store_alert_place *after, uint32_t limit,
    bool (*row)(void *context, const struct outbox_row *o, bool fanned), void *context);
enum store_result memory_notice_get(struct db *db, enum notice_kind kind, uint64_t key, int64_t *at,
				    int64_t *count);
enum store_result memory_notice_set(struct db *db, const struct notice_row *n);
enum store_result memory_notice_list(struct db *db, enum notice_kind kind,
				     bool (*row)(void *context, const struct notice_row *n),
				     void *context);
/* memory_batch.c */
enum store_result memory_audit_last(struct db *db, int64_t *id,
				    unsigned char hash[AUDIT_CHAIN_BYTES]);
enum store_result memory_audit_add(struct db *db, const struct audit_link *link,
				   const unsigned char hash[AUDIT_CHAIN_BYTES]);
enum store_result memory_audit_list(struct db *db, int64_t after, int64_t before, uint32_t last,
				    uint32_t limit, const char *object,
				    bool (*row)(void *context, const struct audit_row *a),
				    void *context);

#endif
