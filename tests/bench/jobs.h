/*
 * A group of jobs that a bench waits for, and what the process took meanwhile.
 */
#ifndef TESTS_BENCH_JOBS_H
#define TESTS_BENCH_JOBS_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct jobs {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	size_t left; /* not done yet */
};

#define JOBS_INIT                                                                                  \
	{                                                                                          \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0                             \
	}

/* Before they are handed to the writer: so many are to be waited for. */
void jobs_expect(struct jobs *j, size_t count);
/* A job's done(), its context the struct jobs. A job that failed ends the process. */
void jobs_done(struct store_job *job);
void jobs_wait(struct jobs *j);
/* Nanoseconds of processor time of all threads so far. */
int64_t jobs_cpu_time(void);

#endif
