/*
 * Reading the store: what the other rooms ask it, answered on connections of their own that write
 * nothing. One view belongs to one thread; each call sees one consistent state. The functions are
 * in the view*.c files.
 */
#ifndef STORE_VIEWS_H
#define STORE_VIEWS_H

#include "store/store.h"

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
	uint64_t distinct; /* recipients; exact up to STORE_EXACT_MAX of them, else an estimate */
	uint64_t held, released, sent, failed,
	    discarded;   /* released: ever released; sent, failed: of those */
	uint64_t purged; /* of the discarded: they are gone for good */
	const char *decided_by, *decided_reason; /* the last decision; "" if none */
	int64_t seen_at;                         /* somebody looked at it; 0 = nobody did */
	const char *seen_by;
	enum store_ruling ruling;
	int64_t ruling_until; /* clock_steady() */
};

/* See "A plan" above. */
struct store_plan {
	int64_t id, batch;
	enum store_plan_state state;
	struct store_rings rings;
	uint32_t rate_count;
	int64_t rate_window;
	int64_t stream_for; /* a ruling, when the last ring begins */
	uint64_t total;     /* recipients that were decided on: it never releases more */
	uint64_t released;  /* of these so far, of all rings */
	uint32_t ring;      /* the present one, from 1; 0 = none has begun */
	uint64_t ring_size; /* recipients that it releases; of these were: */
	uint64_t ring_released, ring_sent;
	uint64_t ring_failed, ring_deferred; /* refused for good, and for now at least once */
	uint64_t ring_refused;   /* refused either way, each once; since somebody resumed it */
	int64_t ring_started_at; /* wall clock */
	int64_t next_ring_at;    /* clock_steady(); 0 = the present one is not delivered yet */
	int64_t created_at, changed_at, expires_at; /* expires_at: of a request */
	const char *who, *reason;                   /* who released, or asked */
	const char *why;         /* why it is paused or has ended, for people; else "" */
	const char *refusals;    /* so counted: lines "3 550 5.1.1 no such user" */
	uint32_t approvers;      /* that it needs, who asked among them; 0 = none */
	const char *approved_by; /* lines, each with its end; who asked is not among them */
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
	bool newest;                    /* the newest first */
	uint32_t limit;
};

/* NULL state filter = -1; all = also released and discarded ones. Newest first. */
enum store_result store_view_batches(struct store_view *v, int state, bool all,
				     bool (*row)(void *context, const struct store_batch *b),
				     void *context);
/* Those whose stream passes, or is discarded, for a time. */
enum store_result store_view_ruled(struct store_view *v,
				   bool (*row)(void *context, const struct store_batch *b),
				   void *context);
/* STORE_MISSING if there is none; calls row once. */
enum store_result store_view_batch(struct store_view *v, int64_t id,
				   bool (*row)(void *context, const struct store_batch *b),
				   void *context);
/* Those that hold something, newest first. */
enum store_result store_view_holding(struct store_view *v,
				     bool (*row)(void *context, const struct store_batch *b),
				     void *context);
/* The same as store_view_batches(), older than `before` (0 = all). */
enum store_result store_view_batches_before(struct store_view *v, int state, bool all,
					    int64_t before,
					    bool (*row)(void *context, const struct store_batch *b),
					    void *context);
/* How often the rules have tripped: of the newest so many batches those that each opened. */
struct store_trips {
	const char *environment, *rule; /* "burst volume" */
	uint64_t count;
	int64_t last; /* the newest of them */
};
enum store_result store_view_trips(struct store_view *v, uint32_t newest,
				   bool (*row)(void *context, const struct store_trips *t),
				   void *context);
/* The batches that have a release which is asked for, running or paused. */
enum store_result store_view_planned(struct store_view *v,
				     bool (*row)(void *context, int64_t batch), void *context);
/* The plan of a batch. STORE_MISSING if there is none or it never had one; calls row once. */
enum store_result store_view_plan(struct store_view *v, int64_t batch,
				  bool (*row)(void *context, const struct store_plan *p),
				  void *context);
/* What became of the alerts of a batch (0 = of no batch: all), newest event first. */
struct store_alert_fate {
	int64_t event_id, at;
	int64_t row;   /* of the outbox, 0 = none */
	int64_t batch; /* 0 = of none */
	const char *environment, *event, *text;
	const char *channel; /* "" where no channel wanted it, or none was asked yet */
	enum {
		STORE_FATE_PENDING,
		STORE_FATE_DELIVERED,
		STORE_FATE_FAILED,
		STORE_FATE_UNWANTED
	} fate;
	int64_t done_at; /* when it was delivered; 0 = it was not */
	uint32_t tries;
	const char *error; /* of the last try; "" if none */
};
enum store_result
store_view_alert_fates(struct store_view *v, int64_t batch, uint32_t limit,
		       bool (*row)(void *context, const struct store_alert_fate *f), void *context);
/* The fates of all alerts, newest first, behind one of them; event 0 = from the start. */
struct store_alert_place {
	int64_t event, row;
};
enum store_result store_view_alerts(struct store_view *v, const struct store_alert_place *after,
				    uint32_t limit,
				    bool (*row)(void *context, const struct store_alert_fate *f),
				    void *context);
/* Alerts that are not delivered, the first to be due first: at most `limit`. */
enum store_result
store_view_alerts_open(struct store_view *v, uint32_t limit,
		       bool (*row)(void *context, const struct store_alert_fate *f), void *context);
/* A number that STORE_FACT has kept (`keep` in its job): 0 if there is none. */
enum store_result store_view_number(struct store_view *v, const char *name, int64_t *out);
enum store_result store_view_deliveries(struct store_view *v, const struct store_filter *f,
					bool (*row)(void *context, const struct store_delivery *d),
					void *context);
/* Of a batch with more recipients than this the two below are estimates out of a sample, which
 * costs the same whatever it has. Its rows are read once for calls within two seconds. */
enum { STORE_EXACT_MAX = 5000 };
/* For a batch: what = "domain" | "subject" | "recipient", the most frequent first, with counts. */
enum store_result store_view_top(struct store_view *v, int64_t batch, const char *what,
				 uint32_t limit,
				 bool (*row)(void *context, const char *value, uint64_t count),
				 void *context);
/* For a batch: arrivals per `step` microseconds since it opened, in order, empty steps left out. */
enum store_result store_view_arrivals(struct store_view *v, int64_t batch, int64_t step,
				      bool (*row)(void *context, int64_t at, uint64_t count),
				      void *context);
/* The same without ages: it costs nothing. Each environment's states stand together. */
enum store_result store_view_tallies(struct store_view *v,
				     bool (*row)(void *context, const char *environment,
						 enum store_state state, uint64_t count),
				     void *context);
/* Deliveries per environment and state; of what is queued or waits also the oldest and what is due
 * first, else 0. */
enum store_result store_view_counts(struct store_view *v,
				    bool (*row)(void *context, const char *environment,
						enum store_state state, uint64_t count,
						int64_t oldest_accepted_at, int64_t next_due_at),
				    void *context);
/*
 * The oldest that is held of each environment, and maybe younger ones, in any order; of a batch
 * with mail of several environments the oldest so many, and if it has more then a row without an
 * environment: whatever else it holds is no older than that.
 */
enum { STORE_HELD_LOOK = 1000 };
enum store_result store_view_held(struct store_view *v,
				  bool (*row)(void *context, const char *environment,
					      int64_t oldest_accepted_at),
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
	/* A column is not of the kind that mailfuse writes, or has bytes behind a NUL: somebody
	 * else has written it. */
	bool malformed;
};
/* `object`: only rows about it ("B17"); NULL = all. */
enum store_result store_view_audit(struct store_view *v, int64_t after, uint32_t last,
				   uint32_t limit, const char *object,
				   bool (*row)(void *context, const struct store_audit *a),
				   void *context);
/* The newest `last` of those below `before`, oldest first. */
enum store_result store_view_audit_before(struct store_view *v, int64_t before, uint32_t last,
					  const char *object,
					  bool (*row)(void *context, const struct store_audit *a),
					  void *context);
/* The head of the chain as the last row that was added left it, kept apart from the rows: where the
 * newest row is another, rows are missing or were added. id 0 if there is none. */
enum store_result store_view_audit_head(struct store_view *v, int64_t *id,
					char hash[AUDIT_CHAIN_HEX_BYTES]);
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
