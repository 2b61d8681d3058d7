/*
 * Plans: reading them, the machine of their states, and the counting of what becomes of the
 * deliveries of the present ring. See plan.h for threads and memory; what makes rings begin, pause
 * and end is in plan_ring.c.
 */
#include "store/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/refusals.h"

/* Flags of a tag. */
enum {
	TAG_DEFERRED = 1, /* counted in ring_deferred */
	TAG_REFUSED = 2   /* counted in ring_refused */
};

/* Which state may follow which (drawn in store.h). */
static const unsigned plan_moves[STORE_PLAN_STATE_COUNT] = {
    [STORE_PLAN_NONE] = 1U << STORE_PLAN_ASKED | 1U << STORE_PLAN_RUNNING,
    [STORE_PLAN_ASKED] = 1U << STORE_PLAN_RUNNING | 1U << STORE_PLAN_ENDED,
    [STORE_PLAN_RUNNING] = 1U << STORE_PLAN_PAUSED | 1U << STORE_PLAN_DONE | 1U << STORE_PLAN_ENDED,
    [STORE_PLAN_PAUSED] = 1U << STORE_PLAN_RUNNING | 1U << STORE_PLAN_DONE | 1U << STORE_PLAN_ENDED,
};

/* ---- tags ---- */

int64_t
plan_query(const struct plan_row *plan, uint32_t ring)
{
	return plan->p.id << PLAN_RING_BITS | (int64_t)ring;
}

int64_t
plan_tag(const struct plan_row *plan, uint32_t ring)
{
	return plan_query(plan, ring) << PLAN_FLAG_BITS;
}

int64_t
plan_tag_again(const struct delivery_row *d)
{
	return d->ring & ~(int64_t)TAG_REFUSED;
}

bool
plan_has(const struct plan_row *plan, const struct delivery_row *d)
{
	return d->ring >> (PLAN_RING_BITS + PLAN_FLAG_BITS) == plan->p.id;
}

static bool
is_in_ring(const struct plan_row *plan, const struct delivery_row *d)
{
	return plan->p.ring > 0 && d->ring >> PLAN_FLAG_BITS == plan_query(plan, plan->p.ring);
}

/* Also what it has still to release and has no tag. */
static bool
is_member(const struct plan_row *plan, const struct delivery_row *d)
{
	return plan_has(plan, d) || (d->state == STORE_HELD && d->era < plan->era);
}

/* ---- reading ---- */

struct reading {
	struct work *w;
	struct plan_row *plan;
};

static bool
read_plan(void *context, const struct plan_row *row)
{
	struct reading *r = context;
	struct plan_row *plan = arena_alloc(&r->w->arena, sizeof(*plan));

	*plan = *row;
	plan->p.who = work_copy(r->w, row->p.who);
	plan->p.reason = work_copy(r->w, row->p.reason);
	plan->p.why = work_copy(r->w, row->p.why);
	plan->p.refusals = work_copy(r->w, row->p.refusals);
	plan->p.approved_by = work_copy(r->w, row->p.approved_by);
	r->plan = plan;
	return false;
}

enum store_result
plan_of(struct work *w, struct work_batch *wb, struct plan_row **out)
{
	struct reading r = {.w = w};

	if (!wb->plan_known) {
		TRY(w->b->plan_list(w->db, wb->row.b.id, 0, read_plan, &r));
		wb->plan = r.plan;
		wb->plan_known = true;
	}
	*out = wb->plan;
	return STORE_OK;
}

struct listing {
	struct work *w;
	int64_t *batches;
	size_t count, cap;
};

static bool
list_batch(void *context, const struct plan_row *row)
{
	struct listing *l = context;
	int64_t *more;

	if (l->count == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 16;
		more = arena_alloc(&l->w->arena, l->cap * sizeof(*more));
		if (l->count > 0)
			memcpy(more, l->batches, l->count * sizeof(*more));
		l->batches = more;
	}
	l->batches[l->count++] = row->p.batch;
	return true;
}

enum store_result
plan_list_batches(struct work *w, unsigned states, int64_t **batches, size_t *count)
{
	struct listing l = {.w = w};
	enum store_result r = w->b->plan_list(w->db, 0, states, list_batch, &l);

	*batches = l.batches;
	*count = l.count;
	return r;
}

enum store_result
plan_make(struct work *w, struct work_batch *wb, struct plan_row **out)
{
	struct plan_row *plan = arena_zalloc(&w->arena, sizeof(*plan));

	TRY(plan_of(w, wb, out));
	if (*out != NULL && (*out)->p.state != STORE_PLAN_DONE &&
	    (*out)->p.state != STORE_PLAN_ENDED)
		panic("B%" PRId64 ": plan %" PRId64 " is %s and must not be replaced", wb->row.b.id,
		      (*out)->p.id, store_plan_state_name((*out)->p.state));
	plan->p.batch = wb->row.b.id;
	plan->p.who = plan->p.reason = plan->p.why = plan->p.refusals = plan->p.approved_by = "";
	/* Its number is in the tags of its deliveries. */
	TRY(w->b->plan_set(w->db, plan));
	wb->plan = *out = plan;
	wb->dirty = wb->plan_dirty = true;
	return STORE_OK;
}

/* ---- the machine ---- */

void
plan_set_state(struct work_batch *wb, enum store_plan_state to, const char *why, int64_t now)
{
	struct store_plan *p = &wb->plan->p;

	if ((plan_moves[p->state] >> to & 1) == 0)
		panic("B%" PRId64 ": plan %" PRId64 " must not go from %s to %s", p->batch, p->id,
		      store_plan_state_name(p->state), store_plan_state_name(to));
	log_info("B%" PRId64 " plan id=%" PRId64 " from=%s to=%s ring=%u released=%" PRIu64
		 " total=%" PRIu64 " why=%s",
		 p->batch, p->id, store_plan_state_name(p->state), store_plan_state_name(to),
		 p->ring, p->released, p->total, log_safe(why));
	p->state = to;
	p->why = why;
	p->changed_at = now;
	p->next_ring_at = 0;
	wb->dirty = wb->plan_dirty = true;
}

bool
plan_goes_on(const struct plan_row *plan)
{
	return plan->p.state == STORE_PLAN_RUNNING && plan->p.released < plan->p.total;
}

uint64_t
plan_to_feed(const struct plan_row *plan)
{
	return plan != NULL && plan->era > 0 && plan->p.state == STORE_PLAN_RUNNING
		   ? plan->p.ring_size - plan->p.ring_released
		   : 0;
}

bool
plan_ring_is_through(const struct plan_row *plan)
{
	return plan->p.ring_sent + plan->p.ring_failed >= plan->p.ring_size;
}

bool
plan_is_over_limit(const struct plan_row *plan)
{
	const struct store_plan *p = &plan->p;

	/* 1e-9: 2 of 100 is 2 %, whatever the product says in binary. */
	return p->rings.stop_on >= 0 && p->ring_refused > 0 &&
	       (double)p->ring_refused * 100 > p->rings.stop_on * (double)p->ring_size * (1 + 1e-9);
}

/* ---- people ---- */

bool
plan_is_same_person(const char *a, const char *b)
{
	size_t n = strcspn(a, "(\n");

	return strcspn(b, "(\n") == n && strncmp(a, b, n) == 0;
}

uint32_t
plan_ring_count(const struct store_plan *p)
{
	uint64_t left = p->total;
	uint32_t n = 0;

	while (n < p->rings.count && (n == 0 || left > 0)) {
		const uint64_t size = p->rings.sizes[n++];

		left -= size == 0 || size > left ? left : size;
	}
	return n > p->ring ? n : p->ring;
}

uint32_t
plan_missing(const struct plan_row *plan)
{
	const char *at = plan->p.approved_by;
	uint32_t people = 1; /* who asked */

	if (plan->p.state != STORE_PLAN_ASKED)
		return 0;
	for (; *at != '\0'; at++)
		people += *at == '\n';
	return people < plan->p.approvers ? plan->p.approvers - people : 0;
}

/* ---- counting ---- */

/* A refusal for now is a reply of the upstream (RFC 5321, 4.2): three digits. A connection that
 * was lost is none. */
static bool
is_reply(const char *text)
{
	return text != NULL && (text[0] == '4' || text[0] == '5') && text[1] >= '0' &&
	       text[1] <= '9' && text[2] >= '0' && text[2] <= '9' &&
	       (text[3] == ' ' || text[3] == '-' || text[3] == '\0');
}

static void
refuse(struct work *w, struct plan_row *plan, struct delivery_row *next, int flag)
{
	struct store_plan *p = &plan->p;

	plan->p.refusals = refusals_add(w, p->refusals, next->reply);
	p->ring_refused += (next->ring & TAG_REFUSED) == 0;
	next->ring |= TAG_REFUSED | flag;
}

static void
count_result(struct work *w, struct plan_row *plan, const struct delivery_row *d,
	     struct delivery_row *next)
{
	struct store_plan *p = &plan->p;

	if (next->state == STORE_SENT) {
		p->ring_sent++;
	} else if (next->state == STORE_FAILED) {
		p->ring_failed++;
		refuse(w, plan, next, 0);
	} else if (next->tries > d->tries && is_reply(next->reply)) {
		p->ring_deferred += (next->ring & TAG_DEFERRED) == 0;
		if ((next->ring & TAG_REFUSED) == 0)
			refuse(w, plan, next, TAG_DEFERRED);
	}
}

/* It goes out of what the plan was decided on: discarded, or released by its id. */
static void
leave(struct work_batch *wb, const struct delivery_row *d)
{
	struct plan_row *plan = wb->plan;

	plan->p.total--;
	if (is_in_ring(plan, d)) {
		plan->p.ring_size--;
		plan->p.ring_deferred -= (d->ring & TAG_DEFERRED) != 0 && plan->p.ring_deferred > 0;
		plan->p.ring_refused -= (d->ring & TAG_REFUSED) != 0 && plan->p.ring_refused > 0;
	}
	/* What the ring has not released yet has no names: it ends with what there is. */
	if (plan->p.ring_size - plan->p.ring_released > plan->p.total - plan->p.released)
		plan->p.ring_size = plan->p.ring_released + plan->p.total - plan->p.released;
	if (plan->p.approvers == 0 && wb->row.alone > 0)
		wb->row.alone--;
}

void
plan_drop_rest(struct work_batch *wb, const struct delivery_row *back, size_t count)
{
	struct store_plan *p = &wb->plan->p;
	const uint64_t left = p->total - p->released;
	size_t i;

	for (i = 0; i < count; i++) {
		p->ring_deferred -= (back[i].ring & TAG_DEFERRED) != 0 && p->ring_deferred > 0;
		p->ring_refused -= (back[i].ring & TAG_REFUSED) != 0 && p->ring_refused > 0;
	}
	p->total = p->released;
	p->ring_size = p->ring_released;
	wb->plan->era = 0;
	if (p->approvers == 0)
		wb->row.alone -= left < wb->row.alone ? left : wb->row.alone;
	wb->dirty = wb->plan_dirty = true;
}

/* What somebody released otherwise is taken back with the plan's: it goes on with it. */
static void
enter(struct work_batch *wb)
{
	wb->plan->p.total++;
	wb->plan->p.ring_size++;
}

bool
plan_is_active(const struct plan_row *plan)
{
	return plan != NULL && plan->p.state != STORE_PLAN_DONE &&
	       plan->p.state != STORE_PLAN_ENDED;
}

enum store_result
plan_count(struct work *w, const struct delivery_row *d, struct delivery_row *next)
{
	struct work_batch *wb;
	struct plan_row *plan;

	/* A claim: it stays queued, and nobody has said a word. */
	if (d->state == next->state && d->tries == next->tries && d->ring == next->ring)
		return STORE_OK;
	TRY(work_batch(w, d->batch, &wb));
	TRY(plan_of(w, wb, &plan));
	if (!plan_is_active(plan))
		return STORE_OK;
	if (is_member(plan, d) && !plan_has(plan, next))
		leave(wb, d);
	else if (!plan_has(plan, d) && is_in_ring(plan, next) && d->state == STORE_QUEUED)
		enter(wb);
	if (is_in_ring(plan, next) && d->state == STORE_HELD && next->state == STORE_QUEUED) {
		plan->p.released++;
		plan->p.ring_released++;
	}
	if (is_in_ring(plan, next) && d->state == STORE_QUEUED)
		count_result(w, plan, d, next);
	if (is_in_ring(plan, d) && d->state == STORE_QUEUED && next->state == STORE_HELD) {
		plan->p.released--;
		plan->p.ring_released--;
	}
	wb->dirty = wb->plan_dirty = true;
	return STORE_OK;
}
