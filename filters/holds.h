/*
 * The panic button as the gate sees it: a list of holds, replaced as a whole. Any thread.
 */
#ifndef FILTERS_HOLDS_H
#define FILTERS_HOLDS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "filters/gate.h"

struct holds {
	atomic_size_t count; /* read without the lock: usually 0 */
	pthread_rwlock_t lock;
	struct gate_hold *list;
};

void holds_init(struct holds *h);
void holds_free(struct holds *h);
void holds_set(struct holds *h, const struct gate_hold *list, size_t count);
/* The first hold that covers this mail; its texts copied into `arena`. `arena` NULL: only whether.
 */
bool holds_find(struct holds *h, const char *environment, const char *source, struct arena *arena,
		struct gate_hold *out);

/* Holds, under rule "panic", every recipient that would leave. False if no hold covers the message.
 */
bool holds_judge(struct holds *h, struct message *m);

#endif
