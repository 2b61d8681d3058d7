/*
 * STORE_PLAN: somebody approves, pauses or resumes a release. STORE_TICK: rings that begin, and
 * what else time brings. STORE_SEEN. Runs on the writer's thread inside a transaction.
 */
#include "store/jobs.h"

enum store_result
job_plan(struct work *w, struct store_job *job)
{
	(void)w;
	return job_refuse(job, STORE_REFUSED, "not built yet");
}

enum store_result
job_tick(struct work *w, struct store_job *job)
{
	(void)w;
	(void)job;
	return STORE_OK;
}

enum store_result
job_seen(struct work *w, struct store_job *job)
{
	(void)w;
	(void)job;
	return STORE_OK;
}
