/*
 * What a plan does: rings begin, it pauses, goes on, ends. Called by the job_*.c files and
 * work_batch.c inside a transaction; writer thread only.
 */
#ifndef STORE_PLAN_RING_H
#define STORE_PLAN_RING_H

#include "base/clock.h"
#include "store/plan.h"

/* Who does it, why, and when on both clocks. */
struct plan_act {
	const char *who, *reason;
	int64_t now, due_now; /* clock_wall(), clock_steady() */
};

struct plan_rows {
	struct delivery_row *rows;
	size_t count, cap; /* cap: only while it grows */
};

/* The rows are queued, spaced by the plan's rate, with that tag; PLAN_TAG_KEEP: each with its own,
 * with what was refused of it forgotten. */
#define PLAN_TAG_KEEP INT64_C(-1)
enum store_result plan_release(struct work *w, struct plan_row *plan, const struct plan_rows *rows,
			       int64_t tag, const struct plan_act *act);
/* The plan's first ring, or its next: of `rows` where these are known, else of what it was decided
 * on. Under a panic button that covers one of them it pauses instead. *closed: the batch collects
 * no more, its stream is counted afresh. */
enum store_result plan_begin_ring(struct work *w, struct work_batch *wb,
				  const struct plan_rows *rows, const struct plan_act *act,
				  bool *closed);
/*
 * A plan for all that a batch holds releases a ring a little at a time, the oldest first, while
 * less than work.feed_ahead of it is queued: so that no transaction is long, a pause takes back
 * little, and the queue stays small. At most `limit`; under a panic button that covers one of them
 * it pauses.
 */
enum store_result plan_feed(struct work *w, struct work_batch *wb, uint64_t limit,
			    const struct plan_act *act);
/* Whether it has something to feed, and room and time for it. */
bool plan_is_hungry(const struct work *w, const struct plan_row *plan, int64_t due_now);
/* What is released by a rate is queued so far ahead of its time. */
#define PLAN_FEED_AHEAD_TIME (10 * CLOCK_SECOND)
/* The oldest of what the plan has still to release, or (NULL) of what the batch holds, where there
 * is any panic button that might cover it; else nothing. */
enum { PLAN_LOOK_AHEAD = 5000 };
enum store_result plan_look_ahead(struct work *w, int64_t batch, const struct plan_row *plan,
				  struct plan_rows *out);
/* What was decided on and is released later carries the plan's number. */
enum store_result plan_mark(struct work *w, struct plan_row *plan, const struct plan_rows *rows);
/* What of the present ring was taken back. */
enum store_result plan_taken_back(struct work *w, struct work_batch *wb, struct plan_rows *out);
/* All that is queued and not taken of the batch is held again. `why`: for people. */
enum store_result plan_pause(struct work *w, struct work_batch *wb, const struct plan_act *act,
			     const char *why, uint64_t *taken_back);
/* Handed back while its plan is paused: held again. */
enum store_result plan_hold_again(struct work *w, struct delivery_row *next);
/* What one person alone has not released after all: the end of the plan takes it off
 * batch_row.alone. */
uint64_t plan_alone_back(const struct work_batch *wb);
/* It will release nothing more. */
enum store_result plan_end(struct work *w, struct work_batch *wb, const struct plan_act *act,
			   const char *why);
/* After what this job has counted: over the stop limit, delivered, or nothing left. *paused: the
 * batch that was paused by its stop rule, else left alone. May be called twice. */
enum store_result plan_settle(struct work *w, int64_t now, int64_t *paused);
/* At a start, before backend.recover(): what was in flight of a paused plan is held again. */
enum store_result plan_recover(struct work *w);

/* The panic button over one of the rows; NULL in *out if there is none. */
enum store_result plan_find_hold(struct work *w, const struct plan_rows *rows,
				 const struct store_hold **out);
/* "everything", "environment staging", in words for people. */
const char *plan_hold_text(struct work *w, const struct store_hold *h);

/* An audit row about the batch, with its counts before and after in `detail`'s front. */
enum store_result plan_audit(struct work *w, struct work_batch *wb, const struct plan_act *act,
			     const char *event, const char *detail);
/* And an alert: `text` without the environment. */
enum store_result plan_tell(struct work *w, struct work_batch *wb, const struct plan_act *act,
			    const char *event, uint64_t count, const char *detail,
			    const char *text);

#endif
