/*
 * The alert that mail fails for good: at once for an environment's first failure, then at most one
 * in ten minutes, with the count of those that were not told. What is not told yet is a row of
 * NOTICE_FAILED: a restart does not lose it. Called by job_result.c and job_alert.c inside the
 * writer's transaction.
 */
#ifndef STORE_FAILURES_H
#define STORE_FAILURES_H

#include "store/work.h"

/* Of one environment, in one job; in the job's arena. */
struct failures {
	SLIST_ENTRY(failures) next;
	int64_t environment, count;
	const char *name, *reply; /* reply: of the last */
};
SLIST_HEAD(failures_list, failures);

void failures_add(struct work *w, struct failures_list *all, const struct delivery_row *d,
		  const char *reply);
/* After the last failures_add() of a job: an alert for each environment, or a higher count. */
enum store_result failures_tell(struct work *w, const struct failures_list *all, int64_t now);
/* Tells what has waited for its ten minutes to pass. To be called now and then: after a burst of
 * failures nothing else may fail. */
enum store_result failures_sweep(struct work *w, int64_t now);

#endif
