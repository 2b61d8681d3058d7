/*
 * Calling back. Called by whoever had a message stored (intake.c, bounce.c) and by delivery.c, on
 * their loops; each relay loop runs its part on its own thread. What the store calls back it tells
 * the counters itself, on the writer's thread (recall_counters).
 */
#include "relay/recall.h"

#include <stddef.h>

#include "relay/upstream.h"

static void
recall_look(struct loop_post *post)
{
	struct relay_loop *rl =
	    (struct relay_loop *)((char *)post - offsetof(struct relay_loop, recall));

	atomic_store(&rl->recall_posted, false);
	upstream_recall_all(rl);
}

void
recall_request(struct relay *r)
{
	size_t i;

	for (i = 0; !r->stopped && i < r->loop_count; i++) {
		struct relay_loop *rl = &r->loops[i];

		if (atomic_exchange(&rl->recall_posted, true))
			continue;
		rl->recall.run = recall_look;
		loop_post(rl->loop, &rl->recall);
	}
}

static void
recall_unleave(void *context, uint64_t stream, int64_t counted_at)
{
	counters_recall(context, stream, counted_at);
}

static void
recall_releave(void *context, uint64_t stream, int64_t counted_at)
{
	counters_unrecall(context, stream, counted_at);
}

static int64_t
recall_unleft(void *context, uint64_t stream, int64_t tripped_at)
{
	return counters_unleft(context, stream, tripped_at);
}

struct store_counters
recall_counters(struct counters *c)
{
	return (struct store_counters){.unleave = recall_unleave,
				       .releave = recall_releave,
				       .unleft = recall_unleft,
				       .context = c};
}

void
recall_stored(struct relay *r, const struct message *m)
{
	size_t i;

	for (i = 0; i < m->recipient_count; i++) {
		const struct verdict *v = &m->recipients[i].verdict;

		if (v->action == VERDICT_HOLD && v->stream != NULL && v->stream->trips_now) {
			recall_request(r);
			return;
		}
	}
}

void
recall_not_stored(struct relay *r, const struct message *m)
{
	size_t i, k;

	for (i = 0; i < m->recipient_count; i++) {
		const struct verdict *v = &m->recipients[i].verdict;

		for (k = 0; k < v->key_count; k++)
			counters_uncount(r->counters, v->keys[k].hash, 1,
					 v->action == VERDICT_HOLD ? 0 : 1);
	}
}
