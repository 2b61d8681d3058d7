/*
 * See view_sample.h. How a sample is taken: ids carry their time, so a place in time is a place in
 * the index, and a handful of rows behind it says how dense the mail was there. Half of the places
 * are spread evenly over the time of the batch; each of the others halves the one that seems to
 * have most. It costs PLACES * ROWS rows, whatever the batch has.
 */
#include "store/view_sample.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/work.h"

enum { PLACES = 64, EVEN = 32, ROWS = 12 };
#define KEPT_FOR (2 * CLOCK_SECOND) /* the calls of one answer */

struct taking {
	struct sample *s;
	struct sample_place *place;
};

static const char *
keep_text(struct taking *t, const char *text)
{
	return arena_strdup(&t->s->arena, text != NULL ? text : "");
}

static bool
keep_row(void *context, const struct delivery_row *d)
{
	struct taking *t = context;
	struct sample_place *p = t->place;
	const int64_t at = work_time_of(d->id);

	if (at >= p->until)
		return false;
	p->rows[p->count++] =
	    (struct sample_row){keep_text(t, d->recipient), keep_text(t, d->subject), at};
	p->last_at = at;
	return p->count < ROWS;
}

/* As dense all over as where it was looked. */
static void
weigh(struct sample_place *p)
{
	const double span = (double)(p->last_at - p->from) + 1000; /* ids know milliseconds */

	p->weight = p->count;
	if (p->count == ROWS)
		p->weight *= (double)(p->until - p->from) / span;
	if (p->weight < p->count)
		p->weight = p->count;
}

static enum store_result
look(struct store_view *v, struct sample *s, struct sample_place *p)
{
	struct taking t = {s, p};
	struct delivery_query q = {
	    .batch = s->batch, .limit = ROWS, .after = {.id = work_id_at(p->from)}};

	q.after.id -= q.after.id > 0; /* the first of that moment too */
	if (q.after.id > 0)
		q.after.number = UINT32_MAX;
	p->rows = arena_alloc(&s->arena, ROWS * sizeof(*p->rows));
	p->count = 0;
	p->last_at = p->from;
	TRY(v->b->delivery_list(v->db, &q, keep_row, &t));
	weigh(p);
	return STORE_OK;
}

/* The heaviest that can be halved, at its middle. */
static enum store_result
halve(struct store_view *v, struct sample *s)
{
	struct sample_place *most = NULL, *half = &s->places[s->place_count];
	size_t i;

	for (i = 0; i < s->place_count; i++) {
		struct sample_place *p = &s->places[i];

		if (p->count == ROWS && p->until - p->from >= 2000 &&
		    (most == NULL || p->weight > most->weight))
			most = p;
	}
	if (most == NULL)
		return STORE_OK;
	*half = (struct sample_place){.from = most->from + (most->until - most->from) / 2,
				      .until = most->until};
	most->until = half->from;
	weigh(most);
	s->place_count++;
	return look(v, s, half);
}

static int
by_time(const void *a, const void *b)
{
	const struct sample_place *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

static bool
see_first(void *context, const struct delivery_row *d)
{
	*(int64_t *)context = work_time_of(d->id);
	return false;
}

static enum store_result
take_places(struct store_view *v, struct sample *s)
{
	struct delivery_query q = {.batch = s->batch, .limit = 1};
	int64_t first = -1, span;
	double all = 0;
	size_t i;

	TRY(v->b->delivery_list(v->db, &q, see_first, &first));
	if (first < 0)
		return STORE_OK;
	s->places = arena_alloc(&s->arena, PLACES * sizeof(*s->places));
	span = s->last_at > first ? s->last_at - first + 1000 : 1000;
	for (i = 0; i < EVEN; i++) {
		struct sample_place *p = &s->places[s->place_count];

		*p = (struct sample_place){.from = first + span / EVEN * (int64_t)i,
					   .until = first + span / EVEN * ((int64_t)i + 1)};
		if (i == EVEN - 1)
			p->until = first + span;
		s->place_count++;
		TRY(look(v, s, p));
	}
	for (i = EVEN; i < PLACES; i++)
		TRY(halve(v, s));
	for (i = 0; i < s->place_count; i++)
		all += s->places[i].weight;
	for (i = 0; i < s->place_count && all > 0; i++)
		s->places[i].weight *= (double)s->recipients / all;
	qsort(s->places, s->place_count, sizeof(*s->places), by_time);
	return STORE_OK;
}

static bool
keep_all(void *context, const struct delivery_row *d)
{
	struct taking *t = context;
	struct sample *s = t->s;

	s->rows[s->row_count++] = (struct sample_row){keep_text(t, d->recipient),
						      keep_text(t, d->subject), d->accepted_at};
	return s->row_count < s->recipients;
}

static enum store_result
take_all(struct store_view *v, struct sample *s)
{
	const struct delivery_query q = {.batch = s->batch, .unordered = true};
	struct taking t = {.s = s};

	if (s->recipients == 0)
		return STORE_OK;
	s->rows = arena_alloc(&s->arena, s->recipients * sizeof(*s->rows));
	return v->b->delivery_list(v->db, &q, keep_all, &t);
}

static bool
see_batch(void *context, const struct batch_row *b)
{
	struct sample *s = context;

	s->opened_at = b->b.opened_at;
	s->last_at = b->b.last_at;
	s->recipients = b->b.recipients;
	s->purged = b->b.purged;
	return false;
}

/* A sample is an estimate anyway, and of a batch that fills fast no two calls see the same. */
static bool
is_fresh(const struct sample *kept, const struct sample *now)
{
	return kept != NULL && kept->taken_at != 0 && kept->batch == now->batch &&
	       clock_mono() - kept->taken_at < KEPT_FOR &&
	       (now->recipients > STORE_EXACT_MAX
		    ? kept->recipients > STORE_EXACT_MAX
		    : kept->recipients == now->recipients && kept->purged == now->purged);
}

void
view_sample_free(struct sample *s)
{
	if (s == NULL)
		return;
	arena_free(&s->arena);
	free(s);
}

enum store_result
view_sample(struct store_view *v, int64_t batch, const struct sample **out)
{
	const struct batch_query q = {.id = batch};
	struct sample now = {.batch = batch, .opened_at = INT64_MIN};

	TRY(v->b->batch_list(v->db, &q, see_batch, &now));
	if (!is_fresh(v->sample, &now)) {
		view_sample_free(v->sample);
		v->sample = mem_alloc(sizeof(*v->sample));
		*v->sample = now;
		TRY(now.recipients > STORE_EXACT_MAX ? take_places(v, v->sample)
						     : take_all(v, v->sample));
		v->sample->taken_at = clock_mono();
	}
	*out = v->sample;
	return STORE_OK;
}
