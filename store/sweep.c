/*
 * See sweep.h for callers and threads.
 */
#include "store/sweep.h"

#include <string.h>

bool
sweep_is_gone(const struct sweep *s, const struct delivery_row *d)
{
	return d->era < s->gone && (SWEEP_STATES >> d->state & 1) != 0;
}

void
sweep_read(const struct sweep *s, struct delivery_row *d)
{
	if (d->era >= s->before || (SWEEP_STATES >> d->state & 1) == 0)
		return;
	d->state = s->state;
	d->changed_at = s->at;
	d->ring = 0;
}

static bool
is_due(const struct delivery_query *q, const struct delivery_row *d)
{
	return (q->due != DUE_SET || d->due_at != 0) && (q->due != DUE_TAKEN || d->due_at == 0) &&
	       (q->due_before == 0 || (d->due_at != 0 && d->due_at <= q->due_before));
}

static bool
is_behind(const struct delivery_query *q, const struct delivery_row *d)
{
	if (d->id != q->after.id)
		return (d->id > q->after.id) != q->newest;
	return q->newest ? d->number < q->after.number : d->number > q->after.number;
}

static bool
is_within(const struct delivery_query *q, const struct delivery_row *d)
{
	if (q->after.id != 0 && !is_behind(q, d))
		return false;
	return (q->id_from == 0 || d->id >= q->id_from) &&
	       (q->id_before == 0 || d->id < q->id_before) &&
	       (q->changed_before == 0 || d->changed_at < q->changed_before) &&
	       (q->queued_before == 0 || d->queued_at < q->queued_before) &&
	       d->era >= q->era_from && (q->era_before == 0 || d->era < q->era_before);
}

bool
sweep_matches(const struct delivery_query *q, const struct delivery_row *d)
{
	if ((q->states != 0 && (q->states >> d->state & 1) == 0) ||
	    (q->notices != 0 && (q->notices >> d->notice & 1) == 0) || (q->counted && !d->counted))
		return false;
	if ((q->message != 0 && d->id != q->message) ||
	    (q->number != 0 && d->number != q->number) ||
	    (q->environment != 0 && d->environment != q->environment) ||
	    (q->batch != 0 && d->batch != q->batch) || (q->ring != 0 && d->ring >> 2 != q->ring) ||
	    (q->source != NULL && strcmp(d->source, q->source) != 0))
		return false;
	return is_due(q, d) && is_within(q, d);
}
