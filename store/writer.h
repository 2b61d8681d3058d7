/*
 * The store's two threads. The writer takes whatever waits, up to a group, runs it in one
 * transaction, commits once and answers. The reader runs loads one at a time. Both wait on a queue
 * of jobs that any thread may append to.
 */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/backend.h"
#include "store/copy.h"
#include "store/room.h"
#include "store/traffic.h"
#include "store/work.h"

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	STAILQ_HEAD(, store_job) jobs;
	size_t hurried, patient; /* jobs that somebody waits for; that may wait for one of those */
	int64_t patient_until;   /* monotonic: or until then */
	bool stop;
	pthread_t thread;
};

struct store {
	const struct backend *b;
	struct work work; /* the writer's, with its connection */
	struct db *reader;
	struct queue writer_queue, reader_queue;
	struct room room;
	struct copier copier;   /* any thread, under its lock */
	struct traffic traffic; /* the writer's */
	int64_t checked_at;     /* monotonic; the writer's */
	size_t recent;          /* jobs since then; the writer's */
};

/* Main thread. Both end what is queued before writer_stop() returns. */
void writer_start(struct store *s);
void writer_stop(struct store *s);

#endif
