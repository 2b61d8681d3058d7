/*
 * What one transaction of the writer knows: its connection, the environments' numbers, the
 * batches the job in progress has touched, and what is added up until the commit. Deliveries and
 * batches change their state here and nowhere else. Writer thread only.
 */
#ifndef STORE_WORK_H
#define STORE_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/arena.h"
#include "store/backend.h"
#include "store/chain.h"

/* The numbers of enum gate_scope (filters/gate.h), which this room cannot include. */
enum { HOLD_EVERYTHING, HOLD_ENVIRONMENT, HOLD_SOURCE };

struct work_environment {
	int64_t number;
	char *name;
	int64_t counts[STORE_STATE_COUNT]; /* changes since the last commit */
};

/* A batch in the hands of one job: read once, written once. In the job's arena. */
struct work_batch {
	SLIST_ENTRY(work_batch) next;
	struct batch_row row;
	struct store_batch before; /* as it was read */
	struct plan_row *plan;     /* NULL if it has none; see plan_of() */
	bool plan_known, plan_dirty;
	const char *stopped;   /* some of it came back under a panic hold: which one; else NULL */
	uint64_t last_message; /* counted in already */
	int64_t environment;   /* whose mail stands in it, where its own is another; 0 = unread */
	bool dirty;
	const char *why; /* the reason of the delivery that opened it */
	bool opened;     /* by this job: audit and alert are still to be written */
	bool joined;     /* deliveries came in: look whether it has grown tenfold */
};

/* A delivery that does not leave after all, as the counters were told of it. */
struct work_told {
	uint64_t stream;
	int64_t counted_at;
};

/* What a rule has held, or let leak, in this transaction. */
struct work_count {
	struct tally *tally;
	int64_t held, leaked;
};

struct work {
	const struct backend *b;
	struct db *db;
	struct arena arena; /* of one job */
	SLIST_HEAD(, work_batch) batches;
	struct work_environment *environments;
	size_t environment_count;
	struct store_hold *holds; /* panic buttons; strings owned */
	size_t hold_count;
	bool holds_known;
	uint64_t highest_id, highest_id_written;
	uint64_t new_message;  /* of the job in progress: its batch cannot have counted it yet */
	int64_t held, dropped; /* for the metrics, at commit */
	struct work_count *counts; /* for the tallies, at commit */
	size_t count_count, count_cap;
	int64_t first_opened; /* the first batch of this process; 0 = none yet */
	bool uncounted;       /* by the job in progress: it brings in what was held before */
	struct store_counters counters;
	/* What they were told in this transaction: to be taken back if it is rolled back. */
	struct work_told *told;
	size_t told_count, told_cap;
	unsigned counter_shard; /* that STORE_PURGE looks at next */
	uint32_t feed_ahead;    /* see plan_feed() */
	struct chain chain;     /* the audit log's end */
};

void work_free(struct work *w);
/* After a rollback: nothing that was remembered can be trusted, nor what the counters were told. */
void work_forget(struct work *w);
/* The job is done: writes its batches with their audit and alert rows. */
enum store_result work_end_job(struct work *w, int64_t now);
/* The job has changed nothing, or its transaction was rolled back. */
void work_drop_job(struct work *w);
/* Before the commit: the counts and the highest id. */
enum store_result work_flush(struct work *w);
/* Told at the commit, see base/tally.h. */
void work_count_leak(struct work *w, const struct store_batch *b, int64_t n);
/* After the commit: metrics, and what the counters were told stands. */
void work_committed(struct work *w);

/* STORE_MISSING if it is not known and `make` is false. The struct is good until the next call. */
enum store_result work_environment(struct work *w, const char *name, bool make,
				   struct work_environment **out);

/* A new delivery, in any state that STORE_ADD may give it. */
enum store_result work_add(struct work *w, const struct delivery_row *d);
/*
 * The one place where a stored delivery changes its state: asserts that store.h allows it, keeps
 * the counts and its batches' counters. `next` is `d` with the changes made.
 */
enum store_result work_move(struct work *w, const struct delivery_row *d,
			    const struct delivery_row *next);
/*
 * A decision on the whole batch, which must not be mixed: all that it has discarded is held, or the
 * other way round; no row is read but one. What its plan makes of it is the caller's.
 */
enum store_result work_sweep(struct work *w, struct work_batch *wb, enum store_state to,
			     int64_t now);
/* All that it has discarded is gone: it holds nothing, or all of that is of the era of its sweep to
 * discarded or later, and nothing was discarded since. Rows are deleted by STORE_PURGE. */
enum store_result work_sweep_away(struct work *w, struct work_batch *wb);
/* Its tag alone: cheap, but where its state is only its batch's word. A tag from before that
 * decision would mean nothing, so the row is written as it is read then. */
enum store_result work_mark(struct work *w, const struct delivery_row *d, int64_t ring);
/* The one place where a pending notice ends: the sender was told, or never will be. */
enum store_result work_settle_notice(struct work *w, const struct delivery_row *d,
				     enum store_notice_state to, const char *told);
/*
 * work_move() of what is taken and stands in no batch to STORE_SENT, which no sender is told of:
 * nothing is read. STORE_MISSING, and nothing has changed, where it is not so.
 */
enum store_result work_sent(struct work *w, const char *environment, struct delivery_sent *s);
/* The row goes for good; a batch's counters stay, as history. */
enum store_result work_delete(struct work *w, const struct delivery_row *d);
/* A message goes with its last delivery: nothing while it has one. */
enum store_result work_delete_message(struct work *w, uint64_t id);
/*
 * The rows that match, copied into the job's arena; recipient, final and orcpt only with `strings`;
 * rule, reason, reply, remote_mta and told are NULL, which leaves them as they are in work_move().
 * keys only of what stands in no batch: the others are never called back.
 */
enum store_result work_list(struct work *w, const struct delivery_query *q, bool strings,
			    struct delivery_row **rows, size_t *count);

/* Without strings, and only those that keep() wants: the others cost no memory. */
enum store_result work_list_some(struct work *w, const struct delivery_query *q,
				 delivery_row_fn *keep, void *context, struct delivery_row **rows,
				 size_t *count);

enum store_result work_audit(struct work *w, int64_t at, const char *who, const char *action,
			     const char *object, const char *reason, const char *detail);
/* One line for people; control characters in it become spaces. */
enum store_result work_alert(struct work *w, const struct event_row *e);

/* Message ids carry their time: the lowest id of that moment, and the moment of an id. */
uint64_t work_id_at(int64_t wall);
int64_t work_time_of(uint64_t id);
const char *work_copy(struct work *w, const char *text);
/* "1 recipient", "312 recipients"; the job's. */
const char *work_recipients(struct work *w, uint64_t n);

#endif
