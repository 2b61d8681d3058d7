/*
 * Sums over one batch: the most frequent values, arrivals. Up to STORE_EXACT_MAX recipients each
 * row counts; beyond, what view_sample() takes stands for all of them. One thread each; what a sum
 * needs in memory is freed before it returns.
 */
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/mem.h"
#include "base/text.h"
#include "store/view.h"
#include "store/view_sample.h"

/* Steps of arrivals that are told where they are spread out of a sample. */
enum { SPREAD_MAX = 10000 };

struct tally {
	UT_hash_handle hh;
	double count;
	int64_t at; /* arrivals: the key */
	char value[];
};

struct tallying {
	struct tally *table;
	const char *what;
	int64_t opened_at, step;
};

static void
tally_text(struct tallying *t, const char *value, double weight)
{
	struct tally *one;
	size_t len = strlen(value);

	HASH_FIND(hh, t->table, value, len, one);
	if (one == NULL) {
		one = mem_zalloc(sizeof(*one) + len + 1);
		memcpy(one->value, value, len);
		HASH_ADD_KEYPTR(hh, t->table, one->value, len, one);
	}
	one->count += weight;
}

/* Addresses that differ in case only are one person; domains are the same in any case. */
static void
tally_value(struct tallying *t, const char *recipient, const char *subject, double weight)
{
	const char *at;
	char *lower;

	if (strcmp(t->what, "subject") == 0) {
		tally_text(t, subject, weight);
		return;
	}
	at = strcmp(t->what, "domain") == 0 ? strrchr(recipient, '@') : NULL;
	lower = mem_strdup(at != NULL ? at + 1 : recipient);
	text_lower(lower);
	tally_text(t, lower, weight);
	free(lower);
}

/* What was pulled in came before it opened. */
static int64_t
step_of(const struct tallying *t, int64_t at)
{
	const int64_t since = at - t->opened_at;

	return since / t->step - (since % t->step < 0);
}

static void
tally_step(struct tallying *t, int64_t step, double weight)
{
	struct tally *one;

	HASH_FIND(hh, t->table, &step, sizeof(step), one);
	if (one == NULL) {
		one = mem_zalloc(sizeof(*one));
		one->at = step;
		HASH_ADD(hh, t->table, at, sizeof(step), one);
	}
	one->count += weight;
}

/* A place's share of the whole, evenly over its time; in a long time only where it was looked. */
static void
tally_place(struct tallying *t, const struct sample_place *p, bool spread)
{
	const int64_t first = step_of(t, p->from), last = step_of(t, p->until - 1);
	const double steps = (double)(p->until - p->from) / (double)t->step;
	int64_t i;

	if (!spread || last <= first) {
		tally_step(t, first, steps > 1 ? p->weight / steps : p->weight);
		return;
	}
	for (i = first; i <= last; i++)
		tally_step(t, i, p->weight / (double)(last - first + 1));
}

static void
tally_rows(struct tallying *t, const struct sample *s)
{
	for (size_t i = 0; i < s->row_count; i++) {
		const struct sample_row *row = &s->rows[i];

		if (t->what != NULL)
			tally_value(t, row->recipient, row->subject, 1);
		else
			tally_step(t, step_of(t, row->accepted_at), 1);
	}
}

static void
tally_places(struct tallying *t, const struct sample *s)
{
	const struct sample_place *first = &s->places[0], *last = &s->places[s->place_count - 1];
	size_t i, k;

	for (i = 0; i < s->place_count; i++) {
		const struct sample_place *p = &s->places[i];

		if (p->count == 0)
			continue;
		if (t->what == NULL) {
			tally_place(t, p, (last->until - first->from) / t->step <= SPREAD_MAX);
			continue;
		}
		for (k = 0; k < p->count; k++)
			tally_value(t, p->rows[k].recipient, p->rows[k].subject,
				    p->weight / p->count);
	}
}

static void
tally_free(struct tallying *t)
{
	struct tally *one, *next;

	HASH_ITER(hh, t->table, one, next)
	{
		HASH_DEL(t->table, one);
		free(one);
	}
}

static int
most_first(struct tally *a, struct tally *b)
{
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return strcmp(a->value, b->value);
}

static int
earliest_first(struct tally *a, struct tally *b)
{
	return a->at < b->at ? -1 : a->at > b->at;
}

/* *missing: there is no such batch, which is not a failure. */
static enum store_result
tally_batch(struct store_view *v, int64_t batch, struct tallying *t, bool *missing)
{
	const struct sample *sample;

	TRY(view_sample(v, batch, &sample));
	*missing = sample->opened_at == INT64_MIN;
	t->opened_at = sample->opened_at;
	tally_rows(t, sample);
	if (sample->place_count > 0)
		tally_places(t, sample);
	return STORE_OK;
}

static uint64_t
whole(double count)
{
	return count < 1 ? 1 : (uint64_t)(count + 0.5);
}

enum store_result
store_view_top(struct store_view *v, int64_t batch, const char *what, uint32_t limit,
	       bool (*row)(void *context, const char *value, uint64_t count), void *context)
{
	struct tallying t = {.what = what};
	struct tally *one;
	enum store_result r;
	bool missing = false;

	TRY(view_begin(v));
	r = view_end(v, tally_batch(v, batch, &t, &missing));
	HASH_SORT(t.table, most_first);
	for (one = t.table; r == STORE_OK && one != NULL && limit > 0; one = one->hh.next, limit--)
		if (!row(context, one->value, whole(one->count)))
			break;
	tally_free(&t);
	return r;
}

enum store_result
store_view_arrivals(struct store_view *v, int64_t batch, int64_t step,
		    bool (*row)(void *context, int64_t at, uint64_t count), void *context)
{
	struct tallying t = {.step = step > 0 ? step : 1};
	struct tally *one;
	enum store_result r;
	bool missing = false;

	TRY(view_begin(v));
	r = tally_batch(v, batch, &t, &missing);
	r = view_end(v, r == STORE_OK && missing ? STORE_MISSING : r);
	HASH_SORT(t.table, earliest_first);
	for (one = t.table; r == STORE_OK && one != NULL; one = one->hh.next)
		if (!row(context, t.opened_at + one->at * t.step, whole(one->count)))
			break;
	tally_free(&t);
	return r;
}
