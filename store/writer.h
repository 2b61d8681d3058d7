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

/* Why there is no room; ROOM_OK is 0. ROOM_LOST stays: a sync failed (see note_lost() in writer.c).
 */
enum room { ROOM_OK, ROOM_OVER_LIMIT, ROOM_DISK_LOW, ROOM_DISK_FULL, ROOM_BROKEN, ROOM_LOST };

struct store {
	const struct backend *b;
	struct work work; /* the writer's, with its connection */
	struct db *reader;
	struct queue writer_queue, reader_queue;
	_Atomic uint64_t size_limit, min_free_space;
	atomic_int room;        /* enum room: by size and free space */
	atomic_int trouble;     /* enum room: of the last write, until one succeeds */
	struct copier copier;   /* any thread, under its lock */
	struct traffic traffic; /* the writer's */
	int64_t checked_at;     /* monotonic; the writer's */
	size_t recent;          /* jobs since then; the writer's */
	size_t unchecked;       /* bytes of new mail since the size was looked at; the writer's */
};

/* Main thread. Both end what is queued before writer_stop() returns. */
void writer_start(struct store *s);
void writer_stop(struct store *s);
/* Measures the space that is left. The writer's thread, or main before it starts. */
void writer_check_room(struct store *s);

#endif
