/*
 * Deliveries of one environment in the order of their ids, whatever state they are in. Of each
 * state a few rows are read at a time, kept with their strings until the merge has given them. One
 * thread each; what it keeps is freed before it returns.
 */
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "store/view.h"

enum { ROWS_AT_A_TIME = 128 };

/* What is read ahead of one state. */
struct lane {
	struct delivery_query q;
	struct delivery_row *rows;
	struct arena arena; /* their strings */
	uint32_t count, at;
	bool ended;
};

static const char *
keep_text(struct lane *lane, const char *text)
{
	return text != NULL ? arena_strdup(&lane->arena, text) : NULL;
}

static bool
keep_row(void *context, const struct delivery_row *d)
{
	struct lane *lane = context;
	struct delivery_row *to = &lane->rows[lane->count++];

	*to = *d;
	to->keys = NULL; /* no list for people shows them */
	to->keys_len = 0;
	to->recipient = keep_text(lane, d->recipient);
	to->final = keep_text(lane, d->final);
	to->orcpt = keep_text(lane, d->orcpt);
	to->rule = keep_text(lane, d->rule);
	to->reason = keep_text(lane, d->reason);
	to->reply = keep_text(lane, d->reply);
	to->remote_mta = keep_text(lane, d->remote_mta);
	to->told = keep_text(lane, d->told);
	to->environment_name = keep_text(lane, d->environment_name);
	to->source = keep_text(lane, d->source);
	to->sender = keep_text(lane, d->sender);
	to->subject = keep_text(lane, d->subject);
	to->campaign = keep_text(lane, d->campaign);
	return true;
}

static enum store_result
lane_fill(struct store_view *v, struct lane *lane)
{
	if (lane->at < lane->count || lane->ended)
		return STORE_OK;
	arena_free(&lane->arena);
	lane->arena = (struct arena){0};
	lane->at = lane->count = 0;
	TRY(v->b->delivery_list(v->db, &lane->q, keep_row, lane));
	lane->ended = lane->count < lane->q.limit;
	if (lane->count > 0)
		lane->q.after = (struct store_delivery_id){lane->rows[lane->count - 1].id,
							   lane->rows[lane->count - 1].number};
	return STORE_OK;
}

static bool
is_before(const struct delivery_query *q, const struct delivery_row *a,
	  const struct delivery_row *b)
{
	if (a->id != b->id)
		return (a->id < b->id) != q->newest;
	return (a->number < b->number) != q->newest;
}

/* The lane with the next row; NULL in *out at the end. */
static enum store_result
next_lane(struct store_view *v, struct lane *lanes, struct lane **out)
{
	int i;

	*out = NULL;
	for (i = 0; i < STORE_STATE_COUNT; i++) {
		struct lane *lane = &lanes[i];

		TRY(lane_fill(v, lane));
		if (lane->at == lane->count)
			continue;
		if (*out == NULL ||
		    is_before(&lane->q, &lane->rows[lane->at], &(*out)->rows[(*out)->at]))
			*out = lane;
	}
	return STORE_OK;
}

enum store_result
view_merge(struct store_view *v, const struct delivery_query *q, delivery_row_fn *row,
	   void *context)
{
	const uint32_t block =
	    q->limit > 0 && q->limit < ROWS_AT_A_TIME ? q->limit : ROWS_AT_A_TIME;
	struct lane lanes[STORE_STATE_COUNT] = {{.count = 0}}, *lane;
	enum store_result r = STORE_OK;
	uint32_t given = 0;
	bool more = true;
	int i;

	for (i = 0; i < STORE_STATE_COUNT; i++) {
		lanes[i].q = *q;
		lanes[i].q.states = 1U << i;
		lanes[i].q.limit = block;
		lanes[i].rows = mem_alloc(block * sizeof(*lanes[i].rows));
	}
	while (more) {
		r = next_lane(v, lanes, &lane);
		if (r != STORE_OK || lane == NULL)
			break;
		more = row(context, &lane->rows[lane->at++]) && ++given != q->limit;
	}
	for (i = 0; i < STORE_STATE_COUNT; i++) {
		arena_free(&lanes[i].arena);
		free(lanes[i].rows);
	}
	return r;
}
