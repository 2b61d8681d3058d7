/*
 * Which deliveries a decision is about: a batch's by number, percent or pattern, or single ones by
 * id. Called by job_decide.c; writer's thread, memory is the job's arena.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/text.h"
#include "store/selection.h"

/* What a decision looks for, and what has become of it then. */
enum store_state
selection_from(const struct store_job *job)
{
	enum store_decision decision = job->u.decide.decision;

	return decision == STORE_RELEASE || decision == STORE_DISCARD ? STORE_HELD
								      : STORE_DISCARDED;
}

static const char *
done_name(const struct store_job *job)
{
	static const char *const names[] = {[STORE_RELEASE] = "released",
					    [STORE_DISCARD] = "discarded",
					    [STORE_RESTORE] = "restored",
					    [STORE_PURGE_NOW] = "purged"};

	return names[job->u.decide.decision];
}

struct rank {
	uint64_t hash;
	size_t row;
};

/* FNV's high bits are weak for neighbours: finished as splitmix64 does. */
static uint64_t
rank_hash(const struct delivery_row *d)
{
	uint64_t h = text_hash(TEXT_HASH_START, &d->id, sizeof(d->id));

	h = text_hash(h, &d->number, sizeof(d->number));
	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

static int
by_rank(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

static int
by_row(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	return x->row < y->row ? -1 : x->row > y->row;
}

/* Rounded up. */
static uint64_t
share_of(uint64_t count, double percent)
{
	double share = (double)count * percent / 100;
	uint64_t n = (uint64_t)share;

	/* 1e-9: 10 % of 100 is 10, whatever the division says in binary. */
	return share > (double)n + 1e-9 ? n + 1 : n;
}

/* Keeps that share of the rows, rounded up, in their order. */
static void
keep_percent(struct work *w, struct plan_rows *s, double percent)
{
	struct rank *ranks = arena_alloc(&w->arena, s->count * sizeof(*ranks));
	size_t i, keep = (size_t)share_of(s->count, percent);

	for (i = 0; i < s->count; i++)
		ranks[i] = (struct rank){rank_hash(&s->rows[i]), i};
	qsort(ranks, s->count, sizeof(*ranks), by_rank);
	qsort(ranks, keep, sizeof(*ranks), by_row);
	for (i = 0; i < keep; i++)
		s->rows[i] = s->rows[ranks[i].row];
	s->count = keep;
}

static void
keep_matching(const struct store_selector *by, struct plan_rows *s)
{
	size_t i, kept = 0;

	if (by->match != NULL) {
		for (i = 0; i < s->count; i++)
			if (by->match(by->match_context, s->rows[i].recipient, s->rows[i].subject))
				s->rows[kept++] = s->rows[i];
		s->count = kept;
	}
	if (by->first > 0 && s->count > by->first)
		s->count = (size_t)by->first;
}

/* ---- of a batch: what is not chosen is never in memory ---- */

/* Ranks by their highest bits: a bucket of ten million has some hundred. */
enum { BUCKET_BITS = 16 };

struct choosing {
	const struct store_selector *by;
	uint64_t *buckets; /* how many ranks each has */
	uint64_t *ranks;   /* of `bucket` */
	size_t rank_count, rank_cap;
	uint64_t count, bucket, most; /* most: the highest rank that is chosen */
	uint64_t chosen;
};

static bool
count_rank(void *context, const struct delivery_row *d)
{
	struct choosing *c = context;

	c->buckets[rank_hash(d) >> (64 - BUCKET_BITS)]++;
	c->count++;
	return true;
}

static bool
keep_rank(void *context, const struct delivery_row *d)
{
	struct choosing *c = context;
	const uint64_t rank = rank_hash(d);

	if (rank >> (64 - BUCKET_BITS) == c->bucket && c->rank_count < c->rank_cap)
		c->ranks[c->rank_count++] = rank;
	return true;
}

static int
by_number(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The highest rank of that share, rounded up, of all that the query lists. */
static enum store_result
find_most(struct work *w, const struct delivery_query *q, struct choosing *c)
{
	uint64_t wanted, before = 0;

	c->buckets = arena_zalloc(&w->arena, sizeof(*c->buckets) << BUCKET_BITS);
	TRY(w->b->delivery_list(w->db, q, count_rank, c));
	wanted = share_of(c->count, c->by->percent);
	if (wanted == 0)
		return STORE_OK;
	while (before + c->buckets[c->bucket] < wanted)
		before += c->buckets[c->bucket++];
	c->rank_cap = (size_t)c->buckets[c->bucket];
	c->ranks = arena_alloc(&w->arena, c->rank_cap * sizeof(*c->ranks));
	TRY(w->b->delivery_list(w->db, q, keep_rank, c));
	qsort(c->ranks, c->rank_count, sizeof(*c->ranks), by_number);
	c->most = c->ranks[wanted - before - 1];
	return STORE_OK;
}

static bool
is_chosen(void *context, const struct delivery_row *d)
{
	struct choosing *c = context;

	if ((c->most > 0 && rank_hash(d) > c->most) ||
	    (c->by->first > 0 && c->chosen >= c->by->first) ||
	    (c->by->match != NULL && !c->by->match(c->by->match_context, d->recipient, d->subject)))
		return false;
	c->chosen++;
	return true;
}

enum store_result
selection_of_batch(struct work *w, struct store_job *job, struct plan_rows *s)
{
	const struct store_selector *by = &job->u.decide.selector;
	struct delivery_query q = {.batch = by->batch, .states = 1U << selection_from(job)};
	struct choosing c = {.by = by};

	if (by->percent > 0 && by->percent < 100) {
		q.unordered = true;
		TRY(find_most(w, &q, &c));
		q.unordered = false;
	}
	/* Nothing but `first` is asked: no need to read the rest. */
	if (by->first > 0 && by->first < UINT32_MAX && by->match == NULL && by->percent <= 0)
		q.limit = (uint32_t)by->first;
	/* Rings reach so far. */
	else if (job->u.decide.decision == STORE_RELEASE && selection_is_whole(by) &&
		 release_reach(job, UINT32_MAX) < UINT32_MAX)
		q.limit = (uint32_t)release_reach(job, UINT32_MAX);
	return work_list_some(w, &q, is_chosen, &c, &s->rows, &s->count);
}

/* What was dropped may be released to whom the policy allows now. */
static bool
is_reachable(const struct store_job *job, const struct delivery_row *d)
{
	return d->state == STORE_DROPPED && job->u.decide.decision == STORE_RELEASE &&
	       job->u.decide.may_reach != NULL &&
	       job->u.decide.may_reach(job->u.decide.selector.match_context, d->environment_name,
				       d->final);
}

static const char *
why_not(struct work *w, const struct store_job *job, const struct delivery_row *d)
{
	char id[ID_DELIVERY_BYTES];

	id_format_delivery(d->id, d->number, id);
	if (d->state == STORE_DROPPED && job->u.decide.decision == STORE_RELEASE)
		return arena_printf(&w->arena,
				    "%s was dropped, and %s does not allow its recipient: allow it "
				    "in the configuration first",
				    id, d->environment_name);
	return arena_printf(&w->arena, "%s is %s: only what is %s can be %s", id,
			    store_state_name(d->state), store_state_name(selection_from(job)),
			    done_name(job));
}

static enum store_result
add_id(struct work *w, struct store_job *job, const struct store_delivery_id *want,
       struct plan_rows *s, const char **why)
{
	const enum store_state from = selection_from(job);
	struct delivery_query q = {.message = want->id, .number = want->number};
	struct delivery_row *rows;
	char id[ID_DELIVERY_BYTES], name[ID_TEXT_BYTES];
	size_t i, n;

	TRY(work_list(w, &q, true, &rows, &n));
	if (want->number != 0)
		id_format_delivery(want->id, want->number, id);
	if (n == 0)
		return job_refuse(job, STORE_MISSING, "there is no delivery %s",
				  want->number != 0 ? id : id_format(want->id, name));
	if (s->count + n > s->cap) {
		struct delivery_row *old = s->rows;

		s->cap = 2 * (s->count + n);
		s->rows = arena_alloc(&w->arena, s->cap * sizeof(*rows));
		if (s->count > 0)
			memcpy(s->rows, old, s->count * sizeof(*rows));
	}
	for (i = 0; i < n; i++) {
		if ((rows[i].state == from && rows[i].batch != 0) || is_reachable(job, &rows[i]))
			s->rows[s->count++] = rows[i];
		else
			*why = why_not(w, job, &rows[i]);
	}
	return STORE_OK;
}

static int
by_id(const void *a, const void *b)
{
	const struct delivery_row *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

enum store_result
selection_of_ids(struct work *w, struct store_job *job, struct plan_rows *s)
{
	const struct store_selector *by = &job->u.decide.selector;
	const char *why = NULL;
	size_t i, kept;

	for (i = 0; i < by->id_count; i++)
		TRY(add_id(w, job, &by->ids[i], s, &why));
	if (s->count > 0) {
		qsort(s->rows, s->count, sizeof(*s->rows), by_id);
		for (i = kept = 1; i < s->count; i++) /* named twice, done once */
			if (by_id(&s->rows[i], &s->rows[kept - 1]) != 0)
				s->rows[kept++] = s->rows[i];
		s->count = kept;
		if (by->percent > 0 && by->percent < 100)
			keep_percent(w, s, by->percent);
		keep_matching(by, s);
	}
	if (s->count > 0)
		return STORE_OK;
	return job_refuse(job, STORE_REFUSED, "%s",
			  why != NULL ? why : "no delivery was chosen; name some, or a batch");
}

uint64_t
selection_messages(const struct plan_rows *s, int64_t batch)
{
	uint64_t n = 0, last = 0;
	size_t i;

	for (i = 0; i < s->count; i++) {
		if ((batch != 0 && s->rows[i].batch != batch) || s->rows[i].id == last)
			continue;
		last = s->rows[i].id;
		n++;
	}
	return n;
}

bool
selection_is_whole(const struct store_selector *by)
{
	return by->batch != 0 && by->first == 0 && by->match == NULL &&
	       (by->percent <= 0 || by->percent >= 100);
}
