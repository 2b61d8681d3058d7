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
 *   discarded  -> (gone)                                STORE_DECIDE purge
 *   dropped    -> queued                                STORE_DECIDE release, by id, where its
 *                                                       recipient may be written to now
 *   queued, not taken -> held, in its own batch         STORE_PLAN pause, and the stop rule
 *   queued, taken -> held, in its own batch             STORE_RESULTS handed back, while paused
 *   (new) -> queued | discarded, in a batch             STORE_ADD, under the batch's ruling
 *   (new) -> held | discarded                           STORE_IMPORT
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
 *   releasing -> paused (pause, the stop rule, or a panic: what was released and has not left is
 *                held again in its own batch) -> releasing (resume)
 *   releasing -> held (a panic, of what was released by its ids)
 *
 *   held: it has held deliveries, and no plan that goes on by itself. releasing: none held, some
 *   queued; or its plan runs and has rings to come. paused: its plan is paused.
 *   released: none held or queued, at least one was released.
 *   discarded: all of what is left was discarded.
 *
 * A plan is how a batch's release goes on: its rings, its rate, its stop rule, who has to approve
 * it. A batch has at most one; a new release replaces one that does not run any more. State:
 *   (new) -> asked                 STORE_DECIDE release of more than approve_above
 *   (new) -> running               STORE_DECIDE release
 *   asked -> running               STORE_PLAN approve, by the last person that it needs
 *   asked -> ended                 STORE_TICK: nobody approved it in time; or nothing is left
 *   running -> paused              STORE_PLAN pause; STORE_RESULTS, STORE_EXPIRE: over its stop
 *                                  limit; STORE_HOLD, or a hold on what the next ring has
 *   paused -> running              STORE_PLAN resume
 *   running, paused -> done        STORE_TICK, STORE_RESULTS, STORE_EXPIRE: its last ring is
 *                                  delivered
 *   asked, paused -> ended         STORE_DECIDE: a new release took its place
 *   asked, running, paused -> ended  STORE_DECIDE: what it had still to release was discarded
 * A ring begins when the one before is delivered and the wait is over (STORE_TICK). Each step is
 * one transaction: what a crash interrupts goes on after the next start.
 *
 * A ruling is what becomes of the rest of a batch's stream for a time (`--stream 1h`): what the
 * gate holds into the batch is released or discarded as it comes. When the time is over the batch
 * closes and the stream is counted afresh.
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

#include "base/audit_chain.h"
#include "base/buf.h"
#include "mail/message.h"
#include "store/backup.h"

struct store;
struct store_page;

/*
 * Mail of the gate's own alerts: its environment begins so (config.h has CONFIG_ALERTS, the same).
 * No hold covers it, the history of traffic leaves it out, and it is taken while the store is over
 * a limit: it is what tells people of both.
 */
#define STORE_ALERTS_PREFIX "alerts/"
bool store_is_alert_mail(const char *environment);

/*
 * The burst counters, as the store knows them: it tells them at once what does not leave after all,
 * so that it knows for every trip whether what was counted at it is before or after that. Called on
 * the writer's thread, inside the transaction: they may lock, but not wait for the store. All NULL:
 * nobody counts.
 */
struct store_counters {
	/* One delivery that this stream had counted as leaving, at that time (clock_steady()), is
	 * held. */
	void (*unleave)(void *context, uint64_t stream, int64_t counted_at);
	/* That was rolled back: one more leaves than was told. Tried again, it is told again. */
	void (*releave)(void *context, uint64_t stream, int64_t counted_at);
	/* Of what verdict_stream.counted says of that trip, how many were taken back since; below 0
	 * where it was lower than is true now, because of what was rolled back. 0 if that trip is
	 * not known. */
	int64_t (*unleft)(void *context, uint64_t stream, int64_t tripped_at);
	void *context; /* outlives the store */
};

struct store_options {
	const char *path;        /* "memory:" for the twin */
	uint64_t size_limit;     /* quarantine_limit */
	uint64_t min_free_space; /* of the file system */
	struct store_counters counters;
	/* A release of a whole batch queues at most so many ahead of the relay; 0 = 5,000. */
	uint32_t feed_ahead;
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
	STORE_PLAN,     /* approve, pause or resume a release */
	STORE_TICK,     /* what time brings: rings, reminders, the end of requests and rulings */
	STORE_SEEN,     /* somebody has looked at a batch: no more reminders */
	STORE_IMPORT,   /* a message of a backup or an export comes into a batch, held */
	/* reader */
	STORE_LOAD, /* header and envelope of a message, and its first chunk */
	STORE_LOAD_CHUNK
};

struct store_delivery_result {
	uint64_t id;
	uint32_t number;
	/* Of its message, where the caller knows it: what was sent at once is recorded without
	 * being read. May be NULL. */
	const char *environment;
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
	int64_t batch;     /* that it was released from; 0 = none */
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

enum store_decision { STORE_RELEASE, STORE_DISCARD, STORE_RESTORE, STORE_PURGE_NOW };

enum { STORE_RINGS_MAX = 20, STORE_REFUSALS_MAX = 5 };

/* How a release goes on by itself. All at once: nothing is set but stop_on = -1. */
struct store_rings {
	uint32_t count; /* 0 = one ring of all */
	uint64_t
	    sizes[STORE_RINGS_MAX]; /* recipients of each; 0 = all that is left, the last one */
	int64_t wait;               /* after a ring is delivered; microseconds */
	double stop_on; /* percent of a ring's recipients that the upstream may refuse, for now
			   (4xx) or for good (5xx), each counted once; below 0 = no stop rule */
};

enum store_plan_state {
	STORE_PLAN_NONE,
	STORE_PLAN_ASKED,
	STORE_PLAN_RUNNING,
	STORE_PLAN_PAUSED,
	STORE_PLAN_DONE,
	STORE_PLAN_ENDED,
	STORE_PLAN_STATE_COUNT
};
/* "none", "asked", ... */
const char *store_plan_state_name(enum store_plan_state s);

enum store_plan_step { STORE_APPROVE, STORE_PAUSE, STORE_RESUME };

/* What becomes of the rest of a stream, for a time. */
enum store_ruling { STORE_RULING_NONE, STORE_RULING_PASS, STORE_RULING_DISCARD };

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
	/* New events -> one pending row for each channel that wants them. What is about a channel
	 * (event.environment is STORE_ALERTS_PREFIX and its name) is told on the others only. */
	STORE_ALERT_FAN_OUT,
	/* Up to `limit` pending rows that are due, not taken, of no channel in `full`; marks them
	 * taken. */
	STORE_ALERT_TAKE,
	STORE_ALERT_DONE,   /* one row delivered */
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
	/* The head of the audit log's chain when it was taken. */
	int64_t audit_id;
	char audit_hash[AUDIT_CHAIN_HEX_BYTES];
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
			bool released; /* out: a ruling let something through: it is due */
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
			/* out: a batch whose stop rule was met by these, and which is paused now;
			 * the relay hands back what it has of it. 0 = none. Of several the last. */
			int64_t paused;
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
			int64_t paused;             /* out, as in `results` */
		} expire;
		struct {
			enum store_decision decision;
			struct store_selector selector;
			const char *who, *reason;
			bool dry_run;
			/* What whoever decides has seen of the batch, see page.h; the caller's, out
			 * too. NULL = nothing was said. */
			struct store_page *page;
			uint32_t rate_count; /* 0 = at once */
			int64_t rate_window;
			int64_t now;
			int64_t due_now; /* clock_steady(), for what is released; 0 = now */
			struct store_rings rings; /* release of one batch */
			int64_t stream_for; /* release, discard of a whole batch: a ruling for so
					       long; 0 = the stream is counted afresh */
			/* A release that brings what this batch has released without a second
			 * person above so many recipients is only asked for: 0 = never. */
			uint64_t approve_above;
			uint32_t approvers;  /* different people in all, who asks among them */
			int64_t request_for; /* a request ends after so long */
			/* Dropped mail (by id): may this recipient be written to? NULL = no. On the
			 * writer's thread; context: selector.match_context. */
			bool (*may_reach)(void *context, const char *environment,
					  const char *address);
			/* out */
			bool asked;        /* nothing was released: it waits for approval */
			uint64_t released; /* of `recipients`: at once, in the first ring */
			uint32_t approvals_missing;
			int64_t request_expires_at;    /* wall clock */
			uint64_t messages, recipients; /* touched, or would be */
			uint64_t left;                 /* still held in the batch afterwards */
			bool closed;                   /* the batch collects no more */
			uint64_t
			    stream_hash; /* of the batch, for counters_forget(); 0 without batch */
		} decide;
		struct {
			enum store_plan_step step;
			int64_t batch;
			const char *who, *reason;
			uint32_t rate_count; /* RESUME: another rate; 0 = as it was */
			int64_t rate_window;
			int64_t now, due_now; /* as in `decide` */
			/* The count that somebody was asked about, and the plan's number: another
			 * one meanwhile is refused. 0 = any. */
			int64_t plan;
			struct store_page *page; /* as in `decide` */
			bool dry_run;
			/* out */
			enum store_plan_state state;
			uint64_t recipients; /* released by it, or taken back */
			uint64_t left;       /* still held in the batch */
			uint32_t approvals_missing;
			bool closed; /* as in `decide` */
			uint64_t stream_hash;
		} plan;
		struct {
			int64_t now, due_now;
			const int64_t *remind_after; /* since a batch opened; ends with 0. After the
							last, once a day */
			/* out */
			bool released, told; /* something is due; an alert was written */
			bool more; /* a big release goes on: the next tick is wanted soon, see
				      daemon/ticks.c */
			bool gone; /* a decision left rows to STORE_PURGE */
			uint64_t *forget; /* streams that are counted afresh now; free() */
			size_t forget_count;
		} tick;
		struct {
			int64_t batch;
			const char *who;
			int64_t now;
		} seen;
		struct {
			int64_t batch; /* joined; 0 = a new one is opened, as `open` says */
			/* environment, rule, key, source, sender, subject, limit, window,
			 * opened_at, tripped_at, leaked; rule and key say where it is from: a batch
			 * that was opened by the same import before is joined. messages,
			 * recipients: how many will come, for the audit log; 0 = unknown */
			const struct store_batch *open;
			/* Complete, its content in memory; id 0 = it gets a new one. Not owned. */
			struct message *message;
			/* Of each recipient: STORE_HELD or STORE_DISCARDED. Their numbers are their
			 * places, from 1; those with an empty address are left out. */
			const enum store_state *states;
			/* Where it was before: the other store's name and its id there. What was
			 * imported from there already, or is here, is skipped. 0 = unknown. */
			uint64_t origin_store, origin_id;
			const char *who, *reason;
			int64_t now;
			uint64_t added, skipped; /* out: deliveries; `batch` too, which stays 0 if
						    nothing was added and none was opened */
			int64_t chosen;          /* private: the batch, where 0 was given */
		} import;
		struct {
			bool on;
			int scope; /* enum gate_scope of filters/; stored as it is */
			const char *name, *reason, *who;
			int64_t now;
			uint64_t moved; /* out: deliveries that were stopped (on) */
			bool changed;   /* out: false if it was so already */
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
			/* Kept in the same transaction under this name, for store_view_number();
			 * NULL = nothing. */
			const char *keep;
			int64_t number;
		} fact;
		struct {
			enum store_alert_step step;
			const struct store_channel *channels; /* FAN_OUT */
			size_t channel_count;
			const struct store_channel *full; /* TAKE: have enough to do for now */
			size_t full_count;
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
/* No room, and making some would not help: the last write failed otherwise. Any thread. */
bool store_is_broken(const struct store *s);
/* A sync failed: nothing is written until the next start. Any thread. */
bool store_is_lost(const struct store *s);
/* How full it is, in numbers, as measured within the last second or two; see room_watch.h. */
enum store_lack {
	STORE_LACKS_NOTHING,
	STORE_OVER_LIMIT,  /* quarantine_limit */
	STORE_DISK_LOW,    /* min_free_space */
	STORE_DISK_FULL,   /* a write found no space */
	STORE_CANNOT_WRITE /* store_is_broken() */
};
#define STORE_UNMEASURED UINT64_MAX
struct store_room {
	enum store_lack now, last; /* last: why there was none the last time */
	unsigned times;            /* how often there began to be none since the start */
	uint64_t used, limit;      /* bytes; limit: 0 = none */
	uint64_t free, least;      /* of the disk; free: STORE_UNMEASURED where there is none */
};
void store_read_room(const struct store *s, struct store_room *out);
/* Limits of a new configuration. Any thread. */
void store_set_limits(struct store *s, uint64_t size_limit, uint64_t min_free_space);

/* SQLite's, for `mailfused -V`. */
const char *store_library_version(void);

void store_due_free(struct store_due *due, size_t count);
void store_notices_free(struct store_notice *notices, size_t count);
void store_alerts_free(struct store_alert *alerts, size_t count);

/*
 * A copy of the store while it works: SQLite's backup, on a thread of its own; then the copy is
 * opened, checked and sealed (backup.h). One at a time. `path` must not exist; a copy that is not
 * whole is removed. done() runs on that thread, also at store_close(), which stops it; on the
 * caller's where it cannot start. done() must not start another. Any thread.
 */
struct store_copy {
	const char *path;
	void (*done)(struct store_copy *copy);
	void *context;
	/* out */
	enum store_result result;
	char error[400];
	struct backup_report report;
};
void store_copy_start(struct store *s, struct store_copy *copy);

#endif
