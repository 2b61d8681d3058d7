/*
 * Making a copy of a store that works: one thread for each, one at a time. Belongs to the store;
 * store_close() stops what is under way.
 */
#ifndef STORE_COPY_H
#define STORE_COPY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/buf.h"
#include "store/backup.h"

/* In struct store. */
struct copier {
	pthread_mutex_t lock;
	pthread_t thread;
	bool started;     /* there is a thread to join; under the lock */
	bool busy;        /* it works; under the lock */
	atomic_bool stop; /* it shall end */
};

void copier_init(struct copier *c);
/* Stops a copy under way, whose done() is called meanwhile, and waits for it. */
void copier_end(struct copier *c);

/* backup_verify() that ends once *stop is set. In backup.c. */
bool copy_verify(const char *path, const atomic_bool *stop, struct backup_report *out,
		 struct buf *error);

#endif
