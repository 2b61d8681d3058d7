/*
 * A ring of the last pauses under one lock. Made and freed by relay.c. What falls out of it was
 * paused PAUSES_MAX pauses ago: no claim of before then is still in hand, or it leaves, as if the
 * pause had come that much later.
 */
#include "relay/pauses.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/mem.h"

enum { PAUSES_MAX = 256 };

struct pause {
	int64_t batch;
	uint64_t turn;
};

struct pauses {
	pthread_mutex_t lock;
	_Atomic uint64_t turn;
	_Atomic size_t count; /* ever added */
	struct pause rows[PAUSES_MAX];
};

struct pauses *
pauses_new(void)
{
	struct pauses *p = mem_zalloc(sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	return p;
}

void
pauses_free(struct pauses *p)
{
	if (p == NULL)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

uint64_t
pauses_turn(struct pauses *p)
{
	return atomic_fetch_add(&p->turn, 1) + 1;
}

void
pauses_add(struct pauses *p, int64_t batch)
{
	size_t i, known;

	pthread_mutex_lock(&p->lock);
	known = p->count < PAUSES_MAX ? p->count : PAUSES_MAX;
	for (i = 0; i < known && p->rows[i].batch != batch; i++)
		;
	if (i == known)
		i = p->count++ % PAUSES_MAX;
	p->rows[i] = (struct pause){batch, pauses_turn(p)};
	pthread_mutex_unlock(&p->lock);
}

bool
pauses_cover(struct pauses *p, int64_t batch, uint64_t turn)
{
	bool covered = false;
	size_t i;

	if (batch == 0 || atomic_load_explicit(&p->count, memory_order_relaxed) == 0)
		return false;
	pthread_mutex_lock(&p->lock);
	for (i = 0; i < PAUSES_MAX && !covered; i++)
		covered = p->rows[i].batch == batch && p->rows[i].turn > turn;
	pthread_mutex_unlock(&p->lock);
	return covered;
}
