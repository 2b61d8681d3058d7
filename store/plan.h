/*
 * A release's plan within one transaction: read once per job with its batch, counted in memory,
 * written once when the job ends (plan_end_job()). The machine is drawn in store.h. Called by
 * work.c, work_batch.c and the job_*.c files; writer thread only, memory is the job's arena.
 *
 * A delivery that a plan was decided on carries a tag (delivery_row.ring): the plan's number, the
 * ring that released it (0 = none yet), and what was counted of it in that ring. Tags of a plan
 * that was replaced mean nothing: numbers of plans are never given twice. A plan for all that a
 * batch holds tags what it releases, and nothing before: see plan_row.era.
 */
#ifndef STORE_PLAN_H
#define STORE_PLAN_H

#include "store/work_batch.h"

enum { PLAN_RING_BITS = 6, PLAN_FLAG_BITS = 2 };
_Static_assert(STORE_RINGS_MAX < 1 << PLAN_RING_BITS, "a ring's number fits into a tag");

/* A tag without flags; what delivery_query.ring wants is plan_query(). */
int64_t plan_tag(const struct plan_row *plan, uint32_t ring);
int64_t plan_query(const struct plan_row *plan, uint32_t ring);
/* Its own, with what was refused of it forgotten: it is tried anew. */
int64_t plan_tag_again(const struct delivery_row *d);
/* True if the delivery is of this plan, whatever its ring. */
bool plan_has(const struct plan_row *plan, const struct delivery_row *d);

/* The plan of a batch; NULL in *out if it has none. */
enum store_result plan_of(struct work *w, struct work_batch *wb, struct plan_row **out);
/* The batches with a plan in one of those states (of 1 << enum store_plan_state). */
enum store_result plan_list_batches(struct work *w, unsigned states, int64_t **batches,
				    size_t *count);
/* Replaces the batch's plan, which must not be active: state NONE, and a number. */
enum store_result plan_make(struct work *w, struct work_batch *wb, struct plan_row **out);
/* The one place where a plan changes its state. `why`: for people, "" = nothing to say. */
void plan_set_state(struct work_batch *wb, enum store_plan_state to, const char *why, int64_t now);

/* It may still release something, or wait for what it has released. */
bool plan_is_active(const struct plan_row *plan);
/* What its present ring has still to release, a little at a time: see plan_feed(). NULL = nothing.
 */
uint64_t plan_to_feed(const struct plan_row *plan);
/* All that its batch holds is discarded at once: nothing is left of it but what it has released.
 * `back`: what of its present ring was taken back. */
void plan_drop_rest(struct work_batch *wb, const struct delivery_row *back, size_t count);
/* It runs, and something of it is still to be released. */
bool plan_goes_on(const struct plan_row *plan);
/* All of the present ring has been sent or has failed. */
bool plan_ring_is_through(const struct plan_row *plan);
/* The upstream has refused more of the present ring than the stop rule allows. */
bool plan_is_over_limit(const struct plan_row *plan);
/* How many rings there are in all: those that its sizes leave something for, as
 * cli/progress.c shows them. */
uint32_t plan_ring_count(const struct store_plan *p);
/* People that still have to approve it. */
uint32_t plan_missing(const struct plan_row *plan);
/* The same person: the texts are equal up to "(". */
bool plan_is_same_person(const char *a, const char *b);

/*
 * For work.c, before the row is written: a delivery that has a tag, or gets one, moves from `d` to
 * `next`, both in one batch. Counts it in the plan, and its flags in next->ring.
 */
enum store_result plan_count(struct work *w, const struct delivery_row *d,
			     struct delivery_row *next);

#endif
