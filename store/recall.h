/*
 * Recall: when a stream trips, mail of it that has not left joins its batch. Called by work.c,
 * work_batch.c and the job_*.c files, inside a transaction of the writer; see recall.c for the
 * cost.
 */
#ifndef STORE_RECALL_H
#define STORE_RECALL_H

#include "store/work_batch.h"

/* The streams of a delivery, in the job's arena. */
const struct verdict_key *recall_keys(struct work *w, const struct delivery_row *d, size_t *count);
/* True while a trip can pull it in: it waits, or is due and not taken, and nobody has released it.
 */
bool recall_is_open(const struct delivery_row *d);
/* The index of members follows a change of a delivery; NULL = not there. */
enum store_result recall_index(struct work *w, const struct delivery_row *d,
			       const struct delivery_row *next);
/* It was judged to leave and is held after all: no leak of any of its streams, neither of the trips
 * that have a batch, nor, as the counters are told, of those to come. */
enum store_result recall_count(struct work *w, const struct delivery_row *d);
/* All that is open of the batch's stream joins it. Once, when it opens: what becomes open later
 * looks for it with recall_find(). */
enum store_result recall_pull(struct work *w, struct work_batch *wb, int64_t now);
/* The collecting batch of the first of its streams that has tripped since it was judged; NULL in
 * *out if there is none. */
enum store_result recall_find(struct work *w, const struct delivery_row *d,
			      struct work_batch **out);
/* The batch whose ruling says what becomes of the rest of that stream; NULL in *out if there is
 * none.
 */
enum store_result recall_find_ruled(struct work *w, uint64_t stream, struct work_batch **out);
/* `next` is held in that batch, instead of leaving. */
void recall_hold(struct delivery_row *next, const struct work_batch *wb);
/* The transaction was committed, or rolled back: then the counters are told that nothing of what
 * recall_count() told them in it is so. Both free the list. */
void recall_committed(struct work *w);
void recall_rolled_back(struct work *w);
/* What had left of a stream by its trip, as far as is known now. Call it before anything is pulled
 * into its batch: from then on recall_count() counts the batch down. */
uint64_t recall_left_before(const struct work *w, const struct verdict_stream *stream);
/* At a start what was taken becomes due: it is indexed. Before backend.recover(). */
enum store_result recall_recover(struct work *w);

#endif
