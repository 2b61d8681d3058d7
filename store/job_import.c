/*
 * STORE_IMPORT: a message of a backup or an export comes into a batch. Runs on the writer's thread
 * inside a transaction.
 */
#include "store/jobs.h"

enum store_result
job_import(struct work *w, struct store_job *job)
{
	(void)w;
	return job_refuse(job, STORE_REFUSED, "not built yet");
}
