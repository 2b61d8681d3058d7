/*
 * How old what is held is, by environment. Each batch says how old its mail can be at most, so only
 * those are looked into that may have an older one than was found for their environment. One thread
 * each; what it keeps is freed before it returns.
 */
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "store/view.h"

/* An environment that a batch is of. */
struct owner {
	uint64_t oldest; /* message that was found; 0 = none yet */
	UT_hash_handle hh;
	char name[];
};

struct holding {
	struct held_batch {
		int64_t id;
		uint64_t first;      /* no message of it is older */
		struct owner *owner; /* NULL where only its rows say whose they are */
		bool mixed;
	} * batches;
	size_t count;
	struct owner *owners;
};

struct held_call {
	bool (*row)(void *context, const char *environment, int64_t oldest_accepted_at);
	void *context;
	uint32_t seen; /* of one batch */
	uint64_t last;
	int64_t last_at;
	bool more;
};

static struct owner *
find_owner(struct holding *h, const char *name)
{
	const size_t len = strlen(name);
	struct owner *owner;

	HASH_FIND(hh, h->owners, name, len, owner);
	if (owner != NULL)
		return owner;
	owner = mem_zalloc(sizeof(*owner) + len + 1);
	memcpy(owner->name, name, len + 1);
	HASH_ADD_KEYPTR(hh, h->owners, owner->name, len, owner);
	return owner;
}

static bool
keep_holding(void *context, const struct batch_row *b)
{
	struct holding *h = context;

	if ((h->count & (h->count - 1)) == 0) /* a power of two: full */
		h->batches = mem_resize_array(h->batches, h->count > 0 ? h->count * 2 : 1,
					      sizeof(*h->batches));
	h->batches[h->count++] = (struct held_batch){
	    .id = b->b.id,
	    .first = b->first,
	    .owner = b->mixed || *b->b.environment == '\0' ? NULL : find_owner(h, b->b.environment),
	    .mixed = b->mixed,
	};
	return true;
}

static int
compare_batches(const void *a, const void *b)
{
	const struct held_batch *x = a, *y = b;

	return (x->first > y->first) - (x->first < y->first);
}

static bool
give_held(void *context, const struct delivery_row *d)
{
	struct held_call *call = context;

	call->seen++;
	call->last = d->id;
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
	struct owner *owner = b->owner;

	if (owner != NULL && owner->oldest != 0 && owner->oldest <= b->first)
		return STORE_OK;
	call->seen = 0;
	TRY(v->b->delivery_list(v->db, &q, give_held, call));
	if (owner != NULL && call->seen > 0 && (owner->oldest == 0 || call->last < owner->oldest))
		owner->oldest = call->last;
	if (call->more && call->seen == STORE_HELD_LOOK)
		call->more = call->row(call->context, NULL, call->last_at);
	return STORE_OK;
}

static void
free_holding(struct holding *h)
{
	struct owner *owner, *next;

	HASH_ITER(hh, h->owners, owner, next)
	{
		HASH_DEL(h->owners, owner);
		free(owner);
	}
	free(h->batches);
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
	if (h.count > 1)
		qsort(h.batches, h.count, sizeof(*h.batches), compare_batches);
	for (i = 0; i < h.count && r == STORE_OK && call.more; i++)
		r = look_into(v, &h.batches[i], &call);
	free_holding(&h);
	return view_end(v, r);
}
