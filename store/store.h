/*
 * The store: messages, deliveries, batches, alerts, audit, and the one place where their states
 * change. `sqlite.c` is the database, `memory.c` its twin for tests; both are a const table of
 * functions (store/backend.h), called by the writer only. This header is what the other rooms use.
 *
 * Jobs are written by the writer thread: it takes whatever waits, runs each in one transaction,
 * commits once, and then calls each job's done(). If the group fails, each job is tried alone, so a
 * bad job cannot fail its neighbours. Loads run likewise on a reader thread with its own
 * connection. Views (below) are for one thread each and read on their own connection.
 *
 * State of a delivery; the function that moves it:
 *   (new)      -> dropped | queued | waiting | held     STORE_ADD
 *   waiting    -> queued                                STORE_CLAIM, when its time has come
 *   waiting | queued, not taken -> held                 STORE_ADD of what trips a stream of it
 *   queued     -> sent | failed | queued (due later)    STORE_RESULTS
 *   queued, taken -> held                               STORE_RESULTS: a stream of it has tripped
 *   queued | waiting, not taken -> held                 STORE_HOLD (panic)
 *   queued, taken -> held                               STORE_RESULTS under a panic
 *   held       -> queued (released)                     STORE_DECIDE release
 *   held       -> discarded   discarded -> held         STORE_DECIDE discard, restore
 *   dropped, discarded, sent, failed -> (gone)          STORE_PURGE, after its keep_ time; never
 *                                                       while its sender waits to be told
 *
 * "Taken": queued with due_at NULL, in a relay loop's memory. At start everything taken becomes
 * due.
 *
 * Streams: a delivery belongs to every stream that counted it (verdict.keys), until it has ended.
 * When one trips, what waits or is queued of it, was accepted within its window and is not taken
 * joins the batch in the same transaction, and is no leak; the loops look at what they have taken
 * and hand it back (STORE_RESULTS). A delivery that a person has released is called back by no
 * rule, that of its batch or another: only by the panic button. It stays in the batch that held it
 * first, where `mailfuse message` shows by which rule it was held. Its keys stay in its row for the
 * counters' replay, but are not handed out with it.
 *
 * State of a batch:
 *   held -> releasing -> released     held -> discarded -> held (restore)
 *   releasing -> held (panic: what was released and has not left is held again in its own batch)
 *
 *   held: it has held deliveries. releasing: none held, some queued.
 *   released: none held or queued, at least one was released.
 *   discarded: all of what is left was discarded. `paused` comes with rings.
 *
 * Whether the sender must hear of a delivery that has ended (see "When a sender has to be told"):
 *   none -> pending   STORE_RESULTS, STORE_EXPIRE
 *   pending -> told   STORE_ADD of the report
 *   pending -> none   STORE_TOLD: nobody can be told; store_delivery.told says why
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "mail/message.h"

struct store;

struct store_options {
	const char *path;        /* "memory:" for the twin */
	uint64_t size_limit;     /* quarantine_limit */
	uint64_t min_free_space; /* of the file system */
};

enum store_state {
	STORE_QUEUED,
	STORE_WAITING,
	STORE_HELD,
	STORE_DROPPED,
	STORE_SENT,
	STORE_FAILED,
	STORE_DISCARDED,
	STORE_STATE_COUNT
};
/* Of a delivery that failed, or was sent: what of it the sender still has to hear. */
enum store_notice_state { STORE_NOTICE_NONE, STORE_NOTICE_PENDING, STORE_NOTICE_TOLD };
enum store_batch_state {
	STORE_BATCH_HELD,
	STORE_BATCH_RELEASING,
	STORE_BATCH_PAUSED,
	STORE_BATCH_RELEASED,
	STORE_BATCH_DISCARDED,
	STORE_BATCH_STATE_COUNT
};
/* "queued", "held", ...; reading: false if there is no such state. */
const char *store_state_name(enum store_state s);
bool store_state_parse(const char *text, enum store_state *out);
const char *store_batch_state_name(enum store_batch_state s);
bool store_batch_state_parse(const char *text, enum store_batch_state *out);
/* Batch ids are "B17" outside, a number from 1 inside, never reused. */
bool store_batch_parse(const char *text, int64_t *id);

enum store_result {
	STORE_OK,
	STORE_FULL,    /* disk full or over a limit: 452 */
	STORE_BUSY,    /* locked too long: 451 */
	STORE_MISSING, /* no such batch or delivery */
	STORE_REFUSED, /* not in a state for this; `error` says why and what to do */
	STORE_BROKEN   /* I/O error, corrupt: 451, operator told */
};

enum store_op {
	/* writer */
	STORE_BEGIN,    /* a large message starts: its chunks follow before it is complete */
	STORE_CHUNK,    /* one chunk of it */
	STORE_ABANDON,  /* it will not be completed */
	STORE_ADD,      /* a complete message with verdicts */
	STORE_RESULTS,  /* what an upstream said of deliveries */
	STORE_CLAIM,    /* take due deliveries */
	STORE_EXPIRE,   /* queued, not taken, accepted (or released) before the limit -> failed */
	STORE_DECIDE,   /* release, discard, restore */
	STORE_HOLD,     /* panic button on or off */
	STORE_CLOSE,    /* a batch stops collecting (cooldown) */
	STORE_FACT,     /* audit row and alert row of something that happened */
	STORE_ALERTS,   /* alert outbox: fan out, take, report */
	STORE_PURGE,    /* retention, a bounded step */
	STORE_NOTICES,  /* whom nobody has told yet that mail failed, or was relayed */
	STORE_TOLD,     /* they need not be told after all */
	STORE_COUNTERS, /* burst counters that a restart must not forget */
	/* reader */
	STORE_LOAD, /* header and envelope of a message, and its first chunk */
	STORE_LOAD_CHUNK
};

struct store_delivery_result {
	uint64_t id;
	uint32_t number;
	/* STORE_SENT, STORE_FAILED, STORE_QUEUED: again at due_at, or STORE_HELD: `stream` has
	 * tripped. Where that batch is not (yet) there it is queued again, due at due_at, or a
	 * second later if that is 0. */
	enum store_state state;
	int64_t due_at; /* clock_steady() */
	uint64_t stream;
	int64_t tripped_at;
	bool tried;        /* counts as a try; false when it was only handed back */
	const char *reply; /* what the upstream said, one line; "" if nothing */
	/* STORE_SENT: the upstream does not do DSN; the sender is told if NOTIFY=SUCCESS */
	bool relayed;
	const char *remote_mta; /* the upstream's host, "" if it was never reached; may be NULL */
};

/* What the sender of one message has to be told; out of STORE_NOTICES. */
struct store_notice_delivery {
	uint32_t number;
	bool failed; /* else relayed */
	char *recipient, *final, *orcpt, *reply, *remote_mta;
	int64_t at; /* when that was */
};
struct store_notice {
	uint64_t id; /* of the message */
	int64_t accepted_at;
	char *environment, *source, *sender, *envid;
	struct buf header; /* as stored; whole lines, at most 64 KiB of it */
	struct store_notice_delivery *deliveries;
	size_t count;
};

struct store_due_delivery {
	uint32_t number, tries;
	int64_t queued_at; /* clock_steady(), when it was accepted or, if later, released: retry_for
			      counts from here */
	char *address;     /* where it goes */
	bool rewritten;    /* that is not the recipient as given: orcpt must not be passed on */
	unsigned notify;   /* enum dsn_notify; 0 = not said */
	char *orcpt;       /* "" if none */
	struct verdict_key *keys; /* its streams; NULL if none, or it was released */
	size_t key_count;
};

/* One saved burst counter, see counters_save() in filters/gate.h. */
struct store_counter {
	uint64_t hash;
	int64_t idle_at; /* monotonic, of the boot that the save names */
	char *data;
	size_t len; /* 0 = to be forgotten */
};

/* One message's claimed deliveries. */
struct store_due {
	uint64_t id;
	int64_t accepted_at;
	char *environment, *source;
	struct store_due_delivery *deliveries;
	size_t count;
};

enum store_decision { STORE_RELEASE, STORE_DISCARD, STORE_RESTORE };

struct store_delivery_id {
	uint64_t id;
	uint32_t number; /* 0 = every delivery of the message */
};

/* Which deliveries; all conditions that are set must hold. Order: oldest first. */
struct store_selector {
	int64_t batch; /* 0 = use ids */
	struct store_delivery_id *ids;
	size_t id_count;
	uint64_t first; /* at most so many; 0 = no limit */
	double percent; /* 0 = all; else that share of what the batch holds, rounded up, by a hash
			   of the id: repeatable */
	/* NULL = all. Runs on the writer thread. */
	bool (*match)(void *context, const char *recipient, const char *subject);
	void *match_context;
};

/* What becomes of one configuration's alerts: which channels want an event. */
struct store_channel {
	const char *name;
	char **events; /* globs, NULL at the end */
};

enum store_alert_step {
	STORE_ALERT_FAN_OUT, /* new events -> one pending row for each channel that wants them */
	STORE_ALERT_TAKE, /* up to `limit` pending rows that are due, not taken; marks them taken */
	STORE_ALERT_DONE, /* one row delivered */
	STORE_ALERT_RETRY,  /* one row due again at due_at */
	STORE_ALERT_GIVE_UP /* one row failed for good: kept, and an audit row */
};

struct store_alert {
	int64_t row; /* of this event for this channel */
	int64_t event_id, at;
	char *event; /* "batch.opened" */
	char *channel, *environment, *text, *who, *reason;
	int64_t batch; /* 0 if none */
	int64_t count; /* recipients then */
	uint32_t tries;
	int64_t first_tried_at;
};

struct store_job {
	STAILQ_ENTRY(store_job) next; /* the writer's */
	enum store_op op;
	/* After the commit (or the failure), on the writer's or reader's thread: usually one
	 * loop_post(). */
	void (*done)(struct store_job *job);
	void *context;
	size_t bytes; /* of memory that it keeps alive, for back-pressure */

	enum store_result result;
	char error[256]; /* plain English where result is not STORE_OK */

	union {
		/* BEGIN, CHUNK, ABANDON: message id; CHUNK: number from 0 and the bytes */
		struct {
			uint64_t id;
			uint32_t number;
			struct chunks chunks;
		} body;
		struct {
			struct message *message; /* not owned; nobody else touches it meanwhile */
			/* false: deliveries that pass are left to be claimed; true: the caller has
			 * taken them */
			bool taken;
			/* What waits is due from here on; clock_steady(), 0 = message.accepted_at.
			 */
			int64_t due_now;
			/* A notification: these deliveries of message `told_id` have been told by
			 * it; 0 = none. In the same transaction. */
			uint64_t told_id;
			const uint32_t *told;
			size_t told_count;
			/* out: the streams of what a trip pulled into its batch, once for each
			 * delivery, for counters_unleave(); the caller frees `recalled` */
			uint64_t *recalled;
			size_t recalled_count;
		} add;
		struct {
			uint32_t limit;               /* messages */
			struct store_notice *notices; /* out; store_notices_free() */
			size_t notice_count;
		} notices;
		struct { /* TOLD */
			uint64_t id;
			const uint32_t *numbers;
			size_t count;
			const char *why; /* for the log and `mailfuse message` */
		} told;
		struct {
			struct store_delivery_result *results; /* owned by the caller */
			size_t count;
			uint64_t *recalled; /* out, as in `add` */
			size_t recalled_count;
		} results;
		struct {
			const char *
			    *environments; /* whose mail may move now; owned by the caller */
			size_t environment_count;
			int64_t now;           /* clock_steady() */
			uint32_t limit;        /* deliveries */
			struct store_due *due; /* out; free with store_due_free() */
			size_t due_count;
			int64_t next_due_at; /* out: earliest due_at of what is left, 0 = nothing */
		} claim;
		struct {
			const char *environment;
			int64_t queued_before, now; /* by queued_at, see store_due_delivery */
			const char *reason;         /* "4.4.7 gave up after 3 d: ..." */
			uint64_t expired;           /* out */
		} expire;
		struct {
			enum store_decision decision;
			struct store_selector selector;
			const char *who, *reason;
			bool dry_run;
			uint32_t rate_count; /* 0 = at once */
			int64_t rate_window;
			int64_t now;
			int64_t due_now; /* clock_steady(), for what is released; 0 = now */
			/* out */
			uint64_t messages, recipients; /* touched, or would be */
			uint64_t left;                 /* still held in the batch afterwards */
			bool closed;                   /* the batch collects no more */
			uint64_t
			    stream_hash; /* of the batch, for counters_forget(); 0 without batch */
		} decide;
		struct {
			bool on;
			int scope; /* enum gate_scope of filters/; stored as it is */
			const char *name, *reason, *who;
			int64_t now;
			uint64_t moved;     /* out: deliveries that were stopped (on) */
			bool changed;       /* out: false if it was so already */
			uint64_t *recalled; /* out, as in `add`: they are no leak now */
			size_t recalled_count;
		} hold;
		struct {
			uint64_t stream_hash;
			int64_t now;
		} close;
		struct {
			const char *event; /* "upstream.down" */
			const char *environment, *object, *who, *reason,
			    *text;  /* "" where there is none */
			bool alert; /* an alert row too */
			int64_t now;
		} fact;
		struct {
			enum store_alert_step step;
			const struct store_channel *channels; /* FAN_OUT */
			size_t channel_count;
			uint32_t limit;
			int64_t now, due_at;
			int64_t row;
			const char *error_text; /* RETRY, GIVE_UP: why */
			bool tried; /* RETRY, GIVE_UP: false when it was only handed back */
			struct store_alert *alerts; /* out of TAKE; store_alerts_free() */
			size_t alert_count;
			int64_t next_due_at; /* out of TAKE */
		} alerts;
		struct {
			unsigned shard;
			uint32_t stamp;    /* of the shard */
			const char *boot;  /* clock_boot_id() */
			int64_t mono, now; /* both clocks when it was saved */
			const struct store_counter *counters;
			size_t count;
		} counters;
		struct {
			/* What failed: before both dropped_before and sent_before. */
			int64_t dropped_before, discarded_before, sent_before;
			int64_t traffic_before; /* 0 = keep it */
			uint32_t limit;         /* deliveries of one step */
			uint64_t purged;        /* out; == limit means: more is left */
		} purge;
		struct {
			uint64_t id;
			uint32_t number; /* LOAD_CHUNK: from 0 */
			/* out of LOAD: a new message without recipients, its body holding chunk 0;
			 * the caller frees */
			struct message *message;
			uint32_t chunk_count; /* out of LOAD: in all, at least 1 (an empty body is
						 one empty chunk) */
			struct chunk *chunk;  /* out of LOAD_CHUNK, with a reference */
		} load;
	} u;
};

/*
 * When a sender has to be told (RFC 3461, RFC 3464), decided when the delivery ends: it failed, by
 * STORE_RESULTS or STORE_EXPIRE, and NOTIFY is not set or has FAILURE; or it was sent with
 * `relayed` and NOTIFY has SUCCESS. Never if the sender is the null path or the message is a report
 * itself (message.report).
 */

/*
 * Opens, migrates, recovers (what was taken becomes due; half-received bodies go), starts the two
 * threads, calls id_init(). NULL and a plain reason with the next step in `error` otherwise. Main
 * thread.
 */
struct store *store_open(const struct store_options *options, struct buf *error);
/* Finishes what was submitted, stops the threads, closes. Main thread, after all loops ended. */
void store_close(struct store *s);

/* Any thread. The job stays the caller's; nobody touches it until done(). Never blocks on the disk.
 */
void writer_submit(struct store *s, struct store_job *job);
void reader_submit(struct store *s, struct store_job *job);

/* False once over size_limit or under min_free_space, or after a failed write (until one succeeds);
 * *why is a static text. Cheap, any thread. */
bool store_has_room(const struct store *s, const char **why);
/* Limits of a new configuration. Any thread. */
void store_set_limits(struct store *s, uint64_t size_limit, uint64_t min_free_space);

/* SQLite's, for `mailfused -V`. */
const char *store_library_version(void);

void store_due_free(struct store_due *due, size_t count);
void store_notices_free(struct store_notice *notices, size_t count);
void store_alerts_free(struct store_alert *alerts, size_t count);

/* ---- reading: one view belongs to one thread; each call sees one consistent state ---- */

struct store_view;
struct store_view *store_view_open(struct store *s, struct buf *error);
void store_view_close(struct store_view *v);

/* Strings in rows are good until the callback returns. A callback that returns false ends the list.
 */
struct store_batch {
	int64_t id;
	enum store_batch_state state;
	bool collecting; /* joined by what still comes */
	uint64_t stream_hash;
	int64_t tripped_at, opened_at, last_at, decided_at;
	int64_t ended_at; /* clock_steady(): a decision on the whole closed it, and made the
			     counters forget its stream; 0 = none did */
	const char *environment, *rule, *key, *source, *sender, *subject;
	uint32_t limit; /* of the rule when it tripped; 0 if none */
	int64_t window;
	uint64_t messages, recipients, leaked, bytes;
	uint64_t held, released, sent, failed,
	    discarded; /* released: ever released; sent, failed: of those */
	const char *decided_by, *decided_reason; /* the last decision; "" if none */
};

struct store_delivery {
	uint64_t id;
	uint32_t number;
	enum store_state state;
	int64_t batch;
	const char *environment, *source, *sender, *recipient, *final, *subject, *campaign, *rule,
	    *reason, *reply;
	uint64_t bytes;
	int64_t accepted_at, due_at, changed_at; /* due_at: clock_steady() */
	uint32_t tries;
	int64_t counted_at;             /* clock_steady(), when its streams counted it; only in
					   store_view_recent() */
	uint32_t audience;              /* as declared; 0 = not; only in store_view_recent() */
	const struct verdict_key *keys; /* its streams; only in store_view_recent() */
	size_t key_count;
	enum store_notice_state notice;
	const char *told; /* the id of the report that told the sender, or why nobody was told;
			     else "" */
};

struct store_filter {
	int64_t batch;                  /* 0 = any */
	const char *environment;        /* NULL = any */
	int state;                      /* enum store_state, -1 = any */
	uint64_t message;               /* 0 = any */
	struct store_delivery_id after; /* cursor: rows behind this one; 0 = from the start */
	uint32_t limit;
};

/* NULL state filter = -1; all = also released and discarded ones. Newest first. */
enum store_result store_view_batches(struct store_view *v, int state, bool all,
				     bool (*row)(void *context, const struct store_batch *b),
				     void *context);
/* STORE_MISSING if there is none; calls row once. */
enum store_result store_view_batch(struct store_view *v, int64_t id,
				   bool (*row)(void *context, const struct store_batch *b),
				   void *context);
enum store_result store_view_deliveries(struct store_view *v, const struct store_filter *f,
					bool (*row)(void *context, const struct store_delivery *d),
					void *context);
/* For a batch: the number of different recipients. O(its deliveries). */
enum store_result store_view_distinct(struct store_view *v, int64_t batch, uint64_t *out);
/* For a batch: what = "domain" | "subject" | "recipient", the most frequent first, with counts. */
enum store_result store_view_top(struct store_view *v, int64_t batch, const char *what,
				 uint32_t limit,
				 bool (*row)(void *context, const char *value, uint64_t count),
				 void *context);
/* For a batch: arrivals per `step` microseconds since it opened, in order, empty steps left out. */
enum store_result store_view_arrivals(struct store_view *v, int64_t batch, int64_t step,
				      bool (*row)(void *context, int64_t at, uint64_t count),
				      void *context);
/* Deliveries per environment and state. */
enum store_result store_view_counts(struct store_view *v,
				    bool (*row)(void *context, const char *environment,
						enum store_state state, uint64_t count,
						int64_t oldest_accepted_at, int64_t next_due_at),
				    void *context);
/* A whole message (as it would leave), at most `max` bytes into `out`. STORE_MISSING. */
enum store_result store_view_raw(struct store_view *v, uint64_t id, size_t max, struct buf *out,
				 bool *cut);
/* Audit rows behind `after` (0 = from the start), oldest first; with last > 0: only the newest
 * `last`. */
struct store_audit {
	int64_t id, at;
	const char *who, *action, *object, *reason, *detail;
	const char *hash; /* hex SHA-256 over the row before and this one */
};
enum store_result store_view_audit(struct store_view *v, int64_t after, uint32_t last,
				   uint32_t limit,
				   bool (*row)(void *context, const struct store_audit *a),
				   void *context);
struct store_hold {
	int scope;
	const char *name, *reason, *who;
	int64_t since;
};
enum store_result store_view_holds(struct store_view *v,
				   bool (*row)(void *context, const struct store_hold *h),
				   void *context);
/* For the counters after a start: deliveries accepted since, that were counted (not dropped, nor
 * rejected by `recipients`, `unknown`, `panic`), oldest first. Where their batch was decided as a
 * whole its stream is not among their keys: that decision made the counters forget it. Without
 * those of such a batch that have no keys: an older mailfuse stored them. */
enum store_result store_view_recent(struct store_view *v, int64_t since,
				    bool (*row)(void *context, const struct store_delivery *d),
				    void *context);
/* The saved burst counters: each shard's save, then its keys. */
struct store_counter_save {
	unsigned shard;
	uint32_t stamp;
	const char *boot;
	int64_t mono, wall;
};
enum store_result store_view_counters(
    struct store_view *v, bool (*save)(void *context, const struct store_counter_save *s),
    bool (*counter)(void *context, unsigned shard, const struct store_counter *c), void *context);

/*
 * The history of traffic: counts per minute and stream, kept for keep_traffic. The writer sums it
 * up in memory and writes a minute when it has passed, and at a stop: a crash forgets a minute.
 * Streams beyond STORE_TRAFFIC_STREAMS in one minute are summed up under the subject "*".
 * Messages that all have one recipient are counted by messages == recipients.
 */
enum { STORE_TRAFFIC_STREAMS = 5000 };
struct store_traffic {
	int64_t minute; /* wall clock of its start */
	const char *environment, *source, *client, *sender;
	const char *subject, *campaign; /* the subject in its normal form */
	uint32_t audience;
	uint64_t messages, recipients, bytes;
	uint64_t passed, waited, held, dropped; /* of the recipients, as they were judged */
};
/* From `since` up to, not with, `until`; oldest first, behind row number `after` (0 = from the
 * start).
 */
enum store_result store_view_traffic(
    struct store_view *v, int64_t since, int64_t until, int64_t after, uint32_t limit,
    bool (*row)(void *context, int64_t number, const struct store_traffic *t), void *context);
/* Alerts that are not delivered yet, and given up ones, for status. */
enum store_result store_view_alert_backlog(struct store_view *v, uint64_t *pending,
					   uint64_t *failed, int64_t *oldest_at);

#endif
