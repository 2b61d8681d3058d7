/*
 * What the writer and the reader do for each store_op: one function each, which runs inside a
 * transaction on that thread. STORE_REFUSED and STORE_MISSING are answered before anything is
 * written; any other failure rolls the transaction back. Outputs are set only on STORE_OK, or are
 * reset by job_reset() before the job is tried again.
 */
#ifndef STORE_JOBS_H
#define STORE_JOBS_H

#include "store/work.h"

/* job_add.c */
enum store_result job_begin(struct work *w, struct store_job *job);
enum store_result job_chunk(struct work *w, struct store_job *job);
enum store_result job_abandon(struct work *w, struct store_job *job);
enum store_result job_add(struct work *w, struct store_job *job);
/* job_result.c */
enum store_result job_results(struct work *w, struct store_job *job);
enum store_result job_claim(struct work *w, struct store_job *job);
enum store_result job_expire(struct work *w, struct store_job *job);
/* job_notice.c */
enum store_result job_notices(struct work *w, struct store_job *job);
enum store_result job_told(struct work *w, struct store_job *job);
/* Those of message `id` whose notice is pending; others, and what is gone, are left alone.
 * *settled: how many there were. */
enum store_result notice_settle(struct work *w, uint64_t id, const uint32_t *numbers, size_t count,
				enum store_notice_state to, const char *told, size_t *settled);
/* job_decide.c */
enum store_result job_decide(struct work *w, struct store_job *job);
/* job_release.c: of a batch, as a plan; of single deliveries. `s`: what was chosen, not empty. */
struct plan_rows;
struct work_batch;
enum store_result release_batch(struct work *w, struct store_job *job, struct work_batch *wb,
				struct plan_rows *s);
/* Of all that the batch holds, which nobody has listed: what is not queued at once follows with
 * STORE_TICK. Checks the panic buttons itself. */
enum store_result release_whole(struct work *w, struct store_job *job, struct work_batch *wb,
				uint64_t messages);
/* Rings that do not end with "all" leave the rest alone: of so many held, what they reach. */
uint64_t release_reach(const struct store_job *job, uint64_t held);
enum store_result release_ids(struct work *w, struct store_job *job, struct plan_rows *s);
/* Refuses what the panic button would hold again at once. */
enum store_result release_check_holds(struct work *w, struct store_job *job,
				      const struct plan_rows *s);
/* Refuses what one person alone would let pass of a stream of which nothing is held. */
enum store_result release_check_ruling(struct store_job *job, const struct work_batch *wb);
/* job_plan.c */
enum store_result job_plan(struct work *w, struct store_job *job);
enum store_result job_seen(struct work *w, struct store_job *job);
/* job_tick.c */
enum store_result job_tick(struct work *w, struct store_job *job);
/* job_import.c */
enum store_result job_import(struct work *w, struct store_job *job);
/* job_hold.c */
enum store_result job_hold(struct work *w, struct store_job *job);
enum store_result job_close(struct work *w, struct store_job *job);
enum store_result job_purge(struct work *w, struct store_job *job);
/* job_history.c */
enum store_result job_counters(struct work *w, struct store_job *job);
/* A step of STORE_PURGE: traffic, and counters that count nothing any more. */
enum store_result history_purge(struct work *w, const struct store_job *job);
/* job_alert.c */
enum store_result job_fact(struct work *w, struct store_job *job);
enum store_result job_alerts(struct work *w, struct store_job *job);
/* job_load.c */
enum store_result job_load(const struct backend *b, struct db *db, struct store_job *job);

/* Why, in plain English; returns the result that is given. */
enum store_result job_refuse(struct store_job *job, enum store_result result, const char *format,
			     ...) __attribute__((format(printf, 3, 4)));
/* Clears what the job will answer: its caller may have left anything there. */
void job_start(struct store_job *job);
/* Frees and clears what the job has answered so far. */
void job_reset(struct store_job *job);
/* The time that the job goes by. */
int64_t job_now(const struct store_job *job);

#endif
