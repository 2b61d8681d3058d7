/*
 * Which deliveries a decision is about. Writer's thread, memory is the job's arena.
 */
#ifndef STORE_SELECTION_H
#define STORE_SELECTION_H

#include "store/jobs.h"
#include "store/plan_ring.h"

/* In the order of their ids: oldest first. Nothing found of a batch is no failure. */
enum store_result selection_of_batch(struct work *w, struct store_job *job, struct plan_rows *out);
/* STORE_MISSING and STORE_REFUSED with a reason; at least one otherwise. */
enum store_result selection_of_ids(struct work *w, struct store_job *job, struct plan_rows *out);
/* Different messages among those of `batch`; 0 = of all. */
uint64_t selection_messages(const struct plan_rows *s, int64_t batch);
/* The state that its deliveries are in before a decision. */
enum store_state selection_from(const struct store_job *job);
/* All that the batch holds. */
bool selection_is_whole(const struct store_selector *by);

#endif
