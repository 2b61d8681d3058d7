/*
 * Waits for a group of jobs. Called by press.c and lives.c on their main thread; jobs_done() runs
 * on the writer's.
 */
#include "tests/bench/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void
jobs_expect(struct jobs *j, size_t count)
{
	pthread_mutex_lock(&j->lock);
	j->left = count;
	pthread_mutex_unlock(&j->lock);
}

void
jobs_done(struct store_job *job)
{
	struct jobs *j = job->context;

	if (job->result != STORE_OK) {
		fprintf(stderr, "job %d: %s\n", (int)job->op, job->error);
		exit(1);
	}
	pthread_mutex_lock(&j->lock);
	if (--j->left == 0)
		pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
}

void
jobs_wait(struct jobs *j)
{
	pthread_mutex_lock(&j->lock);
	while (j->left > 0)
		pthread_cond_wait(&j->wake, &j->lock);
	pthread_mutex_unlock(&j->lock);
}

int64_t
jobs_cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
