/*
 * Views of alerts: which are not delivered yet, and what became of those of a batch. One thread
 * each.
 */
#include "store/view.h"

struct backlog {
	uint64_t *pending, *failed;
	int64_t *oldest_at;
};

static bool
see_backlog(void *context, const struct outbox_row *o)
{
	struct backlog *b = context;

	if (o->state == OUTBOX_FAILED) {
		(*b->failed)++;
		return true;
	}
	(*b->pending)++;
	if (*b->oldest_at == 0 || o->event.at < *b->oldest_at)
		*b->oldest_at = o->event.at;
	return true;
}

enum store_result
store_view_alert_backlog(struct store_view *v, uint64_t *pending, uint64_t *failed,
			 int64_t *oldest_at)
{
	struct backlog b = {pending, failed, oldest_at};
	struct outbox_query q = {.limit = 0};

	*pending = *failed = 0;
	*oldest_at = 0;
	TRY(view_begin(v));
	return view_end(v, v->b->outbox_list(v->db, &q, see_backlog, &b));
}

/* ---- fates ---- */

struct fates_call {
	bool (*row)(void *context, const struct store_alert_fate *f);
	void *context;
};

static bool
give_fate(void *context, const struct outbox_row *o, bool fanned)
{
	const struct fates_call *call = context;
	struct store_alert_fate f = {
	    .event_id = o->event.id,
	    .row = o->row,
	    .batch = o->event.batch,
	    .environment = o->event.environment,
	    .at = o->event.at,
	    .event = o->event.event,
	    .text = o->event.text,
	    .channel = o->channel,
	    .tries = o->tries,
	    .error = o->error,
	    .fate = STORE_FATE_PENDING,
	};

	if (o->row == 0)
		f.fate = fanned ? STORE_FATE_UNWANTED : STORE_FATE_PENDING;
	else if (o->state == OUTBOX_FAILED)
		f.fate = STORE_FATE_FAILED;
	else if (o->state == OUTBOX_DELIVERED)
		f.fate = STORE_FATE_DELIVERED;
	if (f.fate == STORE_FATE_DELIVERED)
		f.done_at = o->due_at;
	return call->row(call->context, &f);
}

enum store_result
store_view_alert_fates(struct store_view *v, int64_t batch, uint32_t limit,
		       bool (*row)(void *context, const struct store_alert_fate *f), void *context)
{
	struct fates_call call = {row, context};

	TRY(view_begin(v));
	return view_end(v, v->b->fate_list(v->db, batch, NULL, limit, give_fate, &call));
}

enum store_result
store_view_alerts(struct store_view *v, const struct store_alert_place *after, uint32_t limit,
		  bool (*row)(void *context, const struct store_alert_fate *f), void *context)
{
	struct fates_call call = {row, context};

	TRY(view_begin(v));
	return view_end(v, v->b->fate_list(v->db, 0, after, limit, give_fate, &call));
}

static bool
give_open(void *context, const struct outbox_row *o)
{
	return give_fate(context, o, true);
}

enum store_result
store_view_alerts_open(struct store_view *v, uint32_t limit,
		       bool (*row)(void *context, const struct store_alert_fate *f), void *context)
{
	struct fates_call call = {row, context};
	const struct outbox_query q = {.limit = limit};

	TRY(view_begin(v));
	return view_end(v, v->b->outbox_list(v->db, &q, give_open, &call));
}
