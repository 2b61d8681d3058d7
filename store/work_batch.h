/*
 * Batches and panic buttons within one transaction: a batch is read once per job, its counters
 * change in memory, and it is written once, with its audit and alert rows, when the job ends.
 * Called by work.c and the job_*.c files; writer thread only.
 */
#ifndef STORE_WORK_BATCH_H
#define STORE_WORK_BATCH_H

#include "store/work.h"

enum store_result work_batch(struct work *w, int64_t id, struct work_batch **out);
/*
 * The batch of this stream under this trip, opened if need be; then what has not left of the stream
 * joins it. `rule` and `environment` are the delivery's that asks.
 */
enum store_result work_batch_join(struct work *w, const struct verdict_stream *stream,
				  const char *environment, const char *rule, int64_t now,
				  struct work_batch **out);
/* A collecting batch of that stream stops doing so; another trip than `but` only, unless it is 0.
 */
enum store_result work_batch_close(struct work *w, uint64_t stream, int64_t but);
/*
 * It ends at that time (clock_steady()), and the caller has the counters forget its stream. They
 * forget the trip of a newer batch of the stream as well, so that one ends too: what was counted
 * before is in no later trip's leak.
 */
enum store_result work_batch_end(struct work *w, struct work_batch *wb, int64_t at);

/* The panic button that covers mail of this environment and source, or NULL in *out. */
enum store_result work_hold_find(struct work *w, const char *environment, const char *source,
				 const struct store_hold **out);
/* True if there is one at all: else nobody has to read what one might cover. */
enum store_result work_hold_any(struct work *w, bool *out);
/* The holds have changed. */
void work_holds_changed(struct work *w);
/* A hold as a stream, its strings in the job's arena. */
struct verdict_stream *work_hold_stream(struct work *w, const struct store_hold *h);

/* "held=100->90 released=0->10 discarded=0->0": since this job began. */
const char *work_batch_counts(struct work *w, const struct work_batch *wb);
/* Released, and neither sent nor failed yet. */
uint64_t work_batch_queued(const struct store_batch *b);

/* For work.c: a delivery comes into a batch (before its row is written), changes in it. */
enum store_result work_batch_enter(struct work *w, const struct delivery_row *d);
enum store_result work_batch_change(struct work *w, int64_t id, enum store_state from,
				    enum store_state to);
/* `n` of it change at once. */
void work_batch_sweep(struct work_batch *wb, enum store_state from, enum store_state to,
		      uint64_t n);

#endif
