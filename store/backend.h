/*
 * What a database has to do for the store: one const table of functions over plain rows. What the
 * rows mean (states, batches, alerts) is decided above it, once, in work.c and the job_*.c files,
 * so that `sqlite*.c`, its twin `memory*.c` and any later one (PostgreSQL) cannot differ in it.
 *
 * Thread: a `struct db` is one connection and belongs to one thread: the writer's, the reader's,
 * or a view's. Functions that write are called between begin() and commit() or rollback() only.
 * Faults are injected by tests in a copy of the table.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/audit_chain.h"
#include "store/views.h"

/* The first member of a backend's connection. */
struct db {
	char error[200]; /* of the last call that did not answer STORE_OK */
	bool lost;       /* a sync failed: what is on the disk is not known any more */
};

/* A delivery. Strings that a list hands out are good until its callback returns. */
struct delivery_row {
	uint64_t id;
	uint32_t number;
	enum store_state state;
	int64_t environment; /* number of its name */
	int64_t due_at;      /* 0 = taken, or in a state that is never due */
	int64_t queued_at; /* clock_steady(), since when it may leave: retry_for counts from here */
	int64_t changed_at;
	int64_t batch;   /* 0 = none */
	uint64_t stream; /* hash; 0 = none */
	uint32_t tries;
	bool counted;    /* the burst counters saw it */
	unsigned notify; /* enum dsn_notify; 0 = not said */
	int64_t ring;    /* plan and ring that it was released by, see plan.h; 0 = none */
	int64_t era;     /* its batch's, when it was held or discarded; see struct sweep */
	enum store_notice_state notice;
	const char *keys; /* its streams, see keys.h; never changed after it was added */
	size_t keys_len;
	const char *recipient, *final, *orcpt, *rule, *reason, *reply, *remote_mta, *told;
	/* of its message, out only */
	const char *environment_name, *source, *sender, *subject, *campaign;
	bool report;
	uint32_t audience;
	int64_t accepted_at;
	uint64_t bytes;
};

/* The end of nearly every delivery, see delivery_sent(). */
struct delivery_sent {
	uint64_t id;
	uint32_t number;
	int64_t environment, changed_at;
	uint32_t tried; /* 1, or 0 if that was no try */
	const char *reply, *remote_mta;
};

enum delivery_due { DUE_ANY, DUE_SET, DUE_TAKEN };

/* Which deliveries: all that is set must hold. */
struct delivery_query {
	unsigned states;       /* of 1 << enum store_state; 0 = all */
	unsigned notices;      /* of 1 << enum store_notice_state; 0 = all */
	enum delivery_due due; /* DUE_SET: due_at is set; DUE_TAKEN: it is not */
	int64_t due_before;    /* 0 = any; else due_at <= this */
	bool order_due;        /* by due_at, else by id and number */
	bool unordered;        /* any order */
	bool newest;           /* the other way round: from the newest id, `after` the oldest */
	bool counted;          /* only those */
	uint64_t message;      /* 0 = any, as all below */
	uint32_t number;
	int64_t environment, batch;
	int64_t ring;       /* with this plan and ring, see plan_query() */
	uint64_t stream;    /* those that member_add() named with it */
	const char *source; /* NULL = any */
	uint64_t id_from, id_before;
	int64_t changed_before, queued_before;
	int64_t era_from, era_before; /* row.era from the one on, below the other */
	bool gone;                    /* of `batch` or `message`: what is gone, and nothing else */
	struct store_delivery_id after; /* in the order of the list */
	uint32_t limit;
};

typedef bool delivery_row_fn(void *context, const struct delivery_row *d);

/*
 * A decision on a whole batch rewrites no delivery: it is kept here, and what a list answers is
 * read through it (sweep.h). Each such decision begins an era of the batch; a row has the era in
 * which it was held or discarded last. Rows stored as held or discarded: of an era before `gone`
 * they are gone, and only have to be deleted; else before `before` they are in that state, since
 * that time, and no plan knows them by their tags.
 */
struct sweep {
	int64_t gone, before, at; /* eras; wall clock */
	enum store_state state;   /* STORE_HELD or STORE_DISCARDED */
};

struct batch_row {
	struct store_batch b;
	int64_t era;
	struct sweep sweep;
	bool mixed;            /* deliveries of more than one environment have stood in it */
	uint64_t alerted;      /* recipients when the last alert of it was written */
	uint32_t reminded;     /* how often */
	int64_t remind_from;   /* wall clock: since when nobody has looked; 0 = since it opened */
	uint64_t alone;        /* recipients released without a second person, or ALONE_UNKNOWN */
	uint64_t people_kept;  /* rows of person */
	uint32_t people_level; /* how often the limit of their hashes was halved, see people.c */
	uint64_t first, last;  /* no message that stands in it is older, or newer; 0 = none did */
};

/* Above any limit, and far from the end of a number. */
#define ALONE_UNKNOWN (UINT64_C(1) << 40)

struct batch_query {
	int64_t id; /* 0 = any, as all below */
	uint64_t stream;
	int64_t tripped_at;
	bool collecting;   /* only those */
	bool ruled;        /* only those with a ruling */
	bool unseen;       /* only those held or paused that nobody has looked at */
	bool gone;         /* only those of which something is gone and not deleted yet */
	bool holding;      /* only those that hold something */
	int64_t id_before; /* older ones */
	unsigned states;   /* of 1 << enum store_batch_state; 0 = all */
};

struct event_row {
	int64_t id, at, batch, count;
	const char *event, *environment, *text, *who, *reason;
};

/* DELIVERED: due_at is when. The first three are open: somebody may still have to look at them. */
enum outbox_state { OUTBOX_PENDING, OUTBOX_TAKEN, OUTBOX_FAILED, OUTBOX_DELIVERED };

struct outbox_row {
	int64_t row;
	struct event_row event;
	const char *channel, *error;
	enum outbox_state state;
	uint32_t tries;
	int64_t due_at, first_tried_at;
};

struct outbox_query {
	int64_t row;         /* 0 = any that is open */
	const char *channel; /* NULL = of all; else what is pending of that one */
	unsigned states;     /* of 1 << enum outbox_state; 0 = all of these */
	int64_t due_before;  /* 0 = any */
	uint32_t limit;      /* ordered by due_at */
};

/* What operators must not be alerted of too often. The values are stored. */
enum notice_kind { NOTICE_OBSERVED = 1, NOTICE_FAILED };

struct notice_row {
	enum notice_kind kind;
	uint64_t key;
	int64_t at, count;
	const char *text;
};

struct audit_row {
	struct audit_link link;
	unsigned char hash[AUDIT_CHAIN_BYTES];
	bool malformed; /* out: see struct store_audit */
};

/* A plan, see store.h; `batch` is its key. */
struct plan_row {
	struct store_plan p;
	bool whole; /* it was decided on all that the batch held */
	/* Above 0: what it has still to release for the first time has no tags: it is all that the
	 * batch holds of eras before this one. */
	int64_t era;
	int64_t feed_at; /* clock_steady(): when the next is due by its rate; 0 = at once */
};

/* The history of traffic: one stream in one minute, added up. */
struct traffic_row {
	uint64_t stream; /* hash of all that names it */
	struct store_traffic t;
};

struct backend {
	const char *name;
	/* The writer's connection: locks, creates, migrates. NULL and a reason. */
	struct db *(*open)(const char *path, struct buf *error);
	struct db *(*open_reader)(struct db *writer, struct buf *error);
	void (*close)(struct db *db);

	enum store_result (*begin)(struct db *db, bool write);
	enum store_result (*commit)(struct db *db);
	void (*rollback)(struct db *db);
	/* At start, in a transaction: half-received bodies go, what was taken becomes due. */
	enum store_result (*recover)(struct db *db, int64_t now);
	/* Outside of transactions, after each commit and once a second. */
	void (*maintain)(struct db *db);
	/* Outside of transactions, once a second while there is little to do: space that nothing
	 * uses any more goes back, a step of it. */
	void (*shrink)(struct db *db);
	enum store_result (*used_bytes)(struct db *db, uint64_t *out);
	/* The directory whose file system must keep free space; NULL if none. */
	const char *(*directory)(struct db *db);

	/* STORE_MISSING if there is no such value. */
	enum store_result (*meta_get)(struct db *db, const char *name, int64_t *out);
	enum store_result (*meta_set)(struct db *db, const char *name, int64_t value);
	/* STORE_MISSING if it is not known and `make` is false. */
	enum store_result (*environment)(struct db *db, const char *name, bool make, int64_t *out);
	enum store_result (*count_add)(struct db *db, int64_t environment, enum store_state state,
				       int64_t n);
	enum store_result (*count_list)(struct db *db,
					bool (*row)(void *context, int64_t environment,
						    const char *name, enum store_state state,
						    uint64_t count),
					void *context);

	/* A message whose chunks come first: invisible until message_add(). */
	enum store_result (*message_begin)(struct db *db, uint64_t id);
	/* STORE_MISSING if the message was not begun, or is complete. */
	enum store_result (*chunk_add)(struct db *db, uint64_t id, uint32_t number,
				       const struct chunk *chunk);
	/* `begun`: completes it; STORE_MISSING if it was not begun or has not `m->chunks_stored`
	 * chunks. `pack`: it will be here for long, and should take little room; what a load hands
	 * out is the same. */
	enum store_result (*message_add)(struct db *db, const struct message *m,
					 int64_t environment, bool begun, bool pack);
	/* With its chunks and deliveries. */
	enum store_result (*message_delete)(struct db *db, uint64_t id);
	enum store_result (*message_abandon)(struct db *db, uint64_t id);
	/* What packed messages needed and none does any more, nor did any mail since `before`
	 * (wall clock). */
	enum store_result (*dictionary_purge)(struct db *db, int64_t before);
	/* Also while it is received. */
	enum store_result (*message_known)(struct db *db, uint64_t id, bool *out);
	/* The message that was imported from there; STORE_MISSING if none is here. Its origin goes
	 * with a message. */
	enum store_result (*origin_find)(struct db *db, uint64_t store, uint64_t id,
					 uint64_t *message);
	enum store_result (*origin_add)(struct db *db, uint64_t store, uint64_t id,
					uint64_t message);
	enum store_result (*message_load)(struct db *db, uint64_t id, struct message *m,
					  uint32_t *chunk_count);
	enum store_result (*chunk_load)(struct db *db, uint64_t id, uint32_t number,
					struct chunk **out);
	/* At most `max` bytes of the header, and the ENVID; reads nothing of the body. */
	enum store_result (*header_load)(struct db *db, uint64_t id, size_t max, struct buf *header,
					 struct buf *envid);

	enum store_result (*delivery_add)(struct db *db, const struct delivery_row *d);
	/* By id and number: state, due_at, queued_at, changed_at, batch, tries, notice, ring, era,
	 * rule, reason, reply, remote_mta, told; the last five stay as they are where NULL. */
	enum store_result (*delivery_set)(struct db *db, const struct delivery_row *d);
	/* A taken delivery of that environment, in no batch, is sent: its state, changed_at, tries
	 * and, where they are not NULL, reply and remote_mta. STORE_MISSING, and nothing is
	 * changed, if it is not there or is another's, or is not taken, or stands in a batch. */
	enum store_result (*delivery_sent)(struct db *db, const struct delivery_sent *s);
	/* Its `ring` alone: cheap, no index follows it. */
	enum store_result (*delivery_mark)(struct db *db, uint64_t id, uint32_t number,
					   int64_t ring);
	enum store_result (*delivery_delete)(struct db *db, uint64_t id, uint32_t number);
	/* As its batch says that each row is: states, times and rings of the query too. The
	 * callback must not change anything. */
	enum store_result (*delivery_list)(struct db *db, const struct delivery_query *q,
					   delivery_row_fn *row, void *context);

	/* The index of streams: a delivery that a trip of `stream` would pull in. */
	enum store_result (*member_add)(struct db *db, uint64_t stream, uint64_t id,
					uint32_t number);
	enum store_result (*member_delete)(struct db *db, uint64_t stream, uint64_t id,
					   uint32_t number);

	/* Sets b->b.id. */
	enum store_result (*batch_add)(struct db *db, struct batch_row *b);
	/* By id: all that changes after it was opened. */
	enum store_result (*batch_set)(struct db *db, const struct batch_row *b);
	/* Newest first. */
	enum store_result (*batch_list)(struct db *db, const struct batch_query *q,
					bool (*row)(void *context, const struct batch_row *b),
					void *context);

	/* Of the newest so many batches: each environment and rule, how many it has opened and
	 * the newest of them. */
	enum store_result (*batch_rules)(struct db *db, uint32_t newest,
					 bool (*row)(void *context, const struct store_trips *t),
					 void *context);

	/* The people of a batch, by hash. *is_new: it was not there. */
	enum store_result (*person_add)(struct db *db, int64_t batch, int64_t hash, bool *is_new);
	/* Those from that hash on go: so many. */
	enum store_result (*person_cut)(struct db *db, int64_t batch, int64_t from, uint64_t *gone);
	/* All of those batches, at most `limit`, that are decided and nobody has joined since
	 * `before` (wall clock): their numbers stay. */
	enum store_result (*person_purge)(struct db *db, int64_t before, uint32_t limit);

	/* Replaces the batch's plan, if it has one; id 0 gets a new one, which it sets. */
	enum store_result (*plan_set)(struct db *db, struct plan_row *p);
	/* Of that batch, or (0) all in one of those states (of 1 << enum store_plan_state), by
	 * batch. */
	enum store_result (*plan_list)(struct db *db, int64_t batch, unsigned states,
				       bool (*row)(void *context, const struct plan_row *p),
				       void *context);

	enum store_result (*hold_set)(struct db *db, const struct store_hold *h);
	/* STORE_MISSING if there is none. */
	enum store_result (*hold_delete)(struct db *db, int scope, const char *name);
	/* By scope and name. */
	enum store_result (*hold_list)(struct db *db,
				       bool (*row)(void *context, const struct store_hold *h),
				       void *context);

	enum store_result (*event_add)(struct db *db, const struct event_row *e);
	enum store_result (*event_list_new)(struct db *db, uint32_t limit,
					    bool (*row)(void *context, const struct event_row *e),
					    void *context);
	enum store_result (*event_set_fanned)(struct db *db, int64_t id);
	enum store_result (*outbox_add)(struct db *db, int64_t event, const char *channel,
					int64_t due_at);
	/* By row: state, tries, due_at, first_tried_at, error. */
	enum store_result (*outbox_set)(struct db *db, const struct outbox_row *o);
	enum store_result (*outbox_list)(struct db *db, const struct outbox_query *q,
					 bool (*row)(void *context, const struct outbox_row *o),
					 void *context);
	/* Channels that something is pending for. */
	enum store_result (*outbox_channels)(struct db *db,
					     bool (*row)(void *context, const char *channel),
					     void *context);
	/* Each event, newest first, with its rows of the outbox; o->row is 0 where it has none.
	 * `fanned`: the channels were asked. Batch and limit: 0 = all. `after`: what comes behind
	 * that row of that event; NULL = from the start, and always of a batch. */
	enum store_result (*fate_list)(
	    struct db *db, int64_t batch, const struct store_alert_place *after, uint32_t limit,
	    bool (*row)(void *context, const struct outbox_row *o, bool fanned), void *context);
	/* Events before that time that nothing pending hangs on, and their rows that were delivered
	 * or given up; notices, but for NOTICE_FAILED with a count. */
	enum store_result (*event_purge)(struct db *db, int64_t before, uint32_t limit);

	/* STORE_MISSING if none. */
	enum store_result (*notice_get)(struct db *db, enum notice_kind kind, uint64_t key,
					int64_t *at, int64_t *count);
	enum store_result (*notice_set)(struct db *db, const struct notice_row *n);
	/* Those with a count, by key. */
	enum store_result (*notice_list)(struct db *db, enum notice_kind kind,
					 bool (*row)(void *context, const struct notice_row *n),
					 void *context);

	/* The id and hash of the newest row; id 0 and zeroes if there is none. */
	enum store_result (*audit_last)(struct db *db, int64_t *id,
					unsigned char hash[AUDIT_CHAIN_BYTES]);
	/* The row, and the head beside the rows. */
	enum store_result (*audit_add)(struct db *db, const struct audit_link *link,
				       const unsigned char hash[AUDIT_CHAIN_BYTES]);
	/* The head beside the rows; id 0 and zeroes if there is none. */
	enum store_result (*audit_head)(struct db *db, int64_t *id,
					unsigned char hash[AUDIT_CHAIN_BYTES]);
	/* Oldest first, behind `after` and (unless it is 0) below `before`, at most `limit`; with
	 * last > 0 only the newest `last` of these; only of `object` unless that is NULL. */
	enum store_result (*audit_list)(struct db *db, int64_t after, int64_t before, uint32_t last,
					uint32_t limit, const char *object,
					bool (*row)(void *context, const struct audit_row *a),
					void *context);

	/* One shard's save replaces the one before. *boot: the number of that start of the
	 * machine. */
	enum store_result (*counter_save)(struct db *db, const struct store_counter_save *s,
					  int64_t *boot);
	/* Replaces the one with this hash; without data it goes. */
	enum store_result (*counter_set)(struct db *db, int64_t boot,
					 const struct store_counter *c);
	/* Both clocks as of the last save in it; by number. */
	enum store_result (*boot_list)(struct db *db,
				       bool (*row)(void *context, int64_t boot,
						   const struct store_counter_save *s),
				       void *context);
	/* Each shard's stamp, by shard. */
	enum store_result (*shard_list)(struct db *db,
					bool (*row)(void *context, unsigned shard, uint32_t stamp),
					void *context);
	/* Of one shard, by boot and hash. */
	enum store_result (*counter_list)(struct db *db, unsigned shard,
					  bool (*row)(void *context, int64_t boot,
						      const struct store_counter *c),
					  void *context);
	/* Of one shard and boot those idle since before `mono`, at most `limit`. */
	enum store_result (*counter_purge)(struct db *db, unsigned shard, int64_t boot,
					   int64_t mono, uint32_t limit);

	enum store_result (*traffic_add)(struct db *db, const struct traffic_row *row);
	enum store_result (*traffic_list)(struct db *db, int64_t since, int64_t until,
					  int64_t after, uint32_t limit,
					  bool (*row)(void *context, int64_t number,
						      const struct store_traffic *t),
					  void *context);
	/* At most `limit` of the oldest minutes' rows. */
	enum store_result (*traffic_purge)(struct db *db, int64_t before, uint32_t limit);
};

extern const struct backend backend_sqlite, backend_memory;

/* store_open() over a given table: for tests that inject faults. */
struct store *store_open_backend(const struct backend *b, const struct store_options *options,
				 struct buf *error);

/* A chunk of just that size, with one reference, filled in unless data is NULL. */
struct chunk *backend_chunk(const void *data, size_t len);

/* Hands a failure to the caller. */
#define TRY(call)                                                                                  \
	do {                                                                                       \
		enum store_result try_result_ = (call);                                            \
		if (try_result_ != STORE_OK)                                                       \
			return try_result_;                                                        \
	} while (0)

#endif
