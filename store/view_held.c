/*
 * How old what is held is, by environment: a look into each batch that holds something, whatever
 * number of environments there are. One thread each.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "store/view.h"

struct holding {
	struct held_batch {
		int64_t id;
		bool mixed;
	} * batches;
	size_t count;
};

struct held_call {
	bool (*row)(void *context, const char *environment, int64_t oldest_accepted_at);
	void *context;
	uint32_t seen; /* of one batch */
	int64_t last_at;
	bool more;
};

static bool
keep_holding(void *context, const struct batch_row *b)
{
	struct holding *h = context;

	if ((h->count & (h->count - 1)) == 0) /* a power of two: full */
		h->batches = mem_resize_array(h->batches, h->count > 0 ? h->count * 2 : 1,
					      sizeof(*h->batches));
	h->batches[h->count++] = (struct held_batch){.id = b->b.id, .mixed = b->mixed};
	return true;
}

static bool
give_held(void *context, const struct delivery_row *d)
{
	struct held_call *call = context;

	call->seen++;
	call->last_at = d->accepted_at;
	call->more = call->row(call->context, d->environment_name, d->accepted_at);
	return call->more;
}

/* One row says whose all are, but in a mixed batch. */
static enum store_result
look_into(struct store_view *v, const struct held_batch *b, struct held_call *call)
{
	const struct delivery_query q = {
	    .batch = b->id, .states = 1U << STORE_HELD, .limit = b->mixed ? STORE_HELD_LOOK : 1};

	call->seen = 0;
	TRY(v->b->delivery_list(v->db, &q, give_held, call));
	if (call->more && call->seen == STORE_HELD_LOOK)
		call->more = call->row(call->context, NULL, call->last_at);
	return STORE_OK;
}

enum store_result
store_view_held(struct store_view *v,
		bool (*row)(void *context, const char *environment, int64_t oldest_accepted_at),
		void *context)
{
	const struct batch_query holding = {.holding = true};
	struct held_call call = {.row = row, .context = context, .more = true};
	struct holding h = {.count = 0};
	enum store_result r;
	size_t i;

	TRY(view_begin(v));
	r = v->b->batch_list(v->db, &holding, keep_holding, &h);
	for (i = 0; i < h.count && r == STORE_OK && call.more; i++)
		r = look_into(v, &h.batches[i], &call);
	free(h.batches);
	return view_end(v, r);
}
