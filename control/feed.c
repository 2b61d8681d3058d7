/*
 * See feed.h. Called by events.c once a second while somebody listens. Which batches may have
 * changed costs no scan: those that hold something, those with a release that goes on, those that
 * are new, and those that were one of these at the last look; of each a fingerprint is kept, 16
 * bytes and a table's entry.
 *
 * Bounds: the newest BATCHES_MAX that hold something are watched; where more than CHANGES_MAX have
 * changed at once, or alerts come faster, the event is `reload`, and pages read their lists again.
 */
#include "control/feed.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/alerts.h"
#include "control/json.h"
#include "control/plan_json.h"
#include "control/status.h"

enum { BATCHES_MAX = 1000, CHANGES_MAX = 50, LOOKS_PER_WARNING = 10 };

struct known {
	UT_hash_handle hh;
	int64_t id;
	uint64_t print;
	uint64_t seen_in; /* the look that found it last */
	enum store_batch_state state;
};

struct feed {
	const struct control_deps *deps;
	struct known *batches;
	int64_t newest_batch, newest_alert;
	uint64_t looks;
	json_t *status; /* as it was told last */
	json_int_t warnings;
	/* of one look */
	int64_t *changed;
	size_t changed_count, found;
	bool silent; /* nothing is told: what is becomes known */
	struct buf *out;
};

struct feed *
feed_new(const struct control_deps *deps)
{
	struct feed *f = mem_zalloc(sizeof(*f));

	f->deps = deps;
	f->changed = mem_zalloc(CHANGES_MAX * sizeof(*f->changed));
	return f;
}

static void
forget(struct feed *f)
{
	struct known *k, *next;

	HASH_ITER(hh, f->batches, k, next)
	{
		HASH_DEL(f->batches, k);
		free(k);
	}
}

void
feed_free(struct feed *f)
{
	if (f == NULL)
		return;
	forget(f);
	json_decref(f->status);
	free(f->changed);
	free(f);
}

static void
add_event(struct buf *out, const char *event, const json_t *data)
{
	char *text = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY);

	if (text == NULL)
		return; /* out of memory is the end elsewhere; an event less is none here */
	buf_printf(out, "event: %s\ndata: ", event);
	buf_add_text(out, text);
	buf_add_text(out, "\n\n");
	free(text);
}

/* ---- batches */

static uint64_t
batch_print(const struct store_batch *b)
{
	const uint64_t facts[] = {(uint64_t)b->state,
				  b->collecting,
				  b->messages,
				  b->recipients,
				  b->leaked,
				  b->held,
				  b->released,
				  b->sent,
				  b->failed,
				  b->discarded,
				  b->purged,
				  (uint64_t)b->decided_at,
				  (uint64_t)b->seen_at,
				  (uint64_t)b->ruling,
				  (uint64_t)b->last_at};

	return text_hash(TEXT_HASH_START, (const char *)facts, sizeof(facts));
}

static bool
add_plan_print(void *context, const struct store_plan *p)
{
	const uint64_t facts[] = {(uint64_t)p->state,     p->ring,        p->ring_released,
				  p->ring_sent,           p->ring_failed, p->ring_refused,
				  (uint64_t)p->changed_at};

	*(uint64_t *)context = text_hash(*(uint64_t *)context, (const char *)facts, sizeof(facts));
	*(uint64_t *)context =
	    text_hash(*(uint64_t *)context, p->approved_by, strlen(p->approved_by));
	return true;
}

static struct known *
find(struct feed *f, int64_t id)
{
	struct known *k;

	HASH_FIND(hh, f->batches, &id, sizeof(id), k);
	return k;
}

static void
note_change(struct feed *f, int64_t id)
{
	if (f->changed_count < CHANGES_MAX)
		f->changed[f->changed_count] = id;
	f->changed_count++;
}

static bool
see_batch(void *context, const struct store_batch *b)
{
	struct feed *f = context;
	struct known *k = find(f, b->id);
	uint64_t print = batch_print(b);

	f->found++;
	if (k != NULL && k->seen_in == f->looks)
		return true;
	/* A callback may ask for more. */
	(void)store_view_plan(f->deps->view, b->id, add_plan_print, &print);
	if (k == NULL) {
		k = mem_zalloc(sizeof(*k));
		k->id = b->id;
		k->print = ~print;
		HASH_ADD(hh, f->batches, id, sizeof(k->id), k);
	}
	k->seen_in = f->looks;
	k->state = b->state;
	if (b->id > f->newest_batch)
		f->newest_batch = b->id;
	if (k->print != print)
		note_change(f, b->id);
	k->print = print;
	return true;
}

static bool
see_holding(void *context, const struct store_batch *b)
{
	struct feed *f = context;

	see_batch(f, b);
	return f->found < BATCHES_MAX;
}

struct newer {
	struct feed *feed;
	int64_t than;
};

/* New ones: it may hold nothing any more. */
static bool
see_newer(void *context, const struct store_batch *b)
{
	const struct newer *n = context;

	return b->id > n->than && see_holding(n->feed, b);
}

static bool
see_newest(void *context, const struct store_batch *b)
{
	((struct feed *)context)->newest_batch = b->id;
	return false;
}

static bool
see_planned(void *context, int64_t batch)
{
	struct feed *f = context;

	f->found++;
	(void)store_view_batch(f->deps->view, batch, see_batch, f);
	return f->found < BATCHES_MAX;
}

/* Those that no list names any more: what has ended is looked at a last time, and so is what there
 * are too many of. */
static void
look_at_rest(struct feed *f)
{
	struct known *k, *next;

	HASH_ITER(hh, f->batches, k, next)
	{
		const int64_t id = k->id;

		if (k->seen_in == f->looks)
			continue;
		(void)store_view_batch(f->deps->view, id, see_batch, f);
		if (k->seen_in == f->looks && k->state != STORE_BATCH_RELEASED &&
		    k->state != STORE_BATCH_DISCARDED && HASH_COUNT(f->batches) <= BATCHES_MAX)
			continue;
		HASH_DEL(f->batches, k);
		free(k);
	}
}

static bool
keep_batch(void *context, const struct store_batch *b)
{
	*(json_t **)context = json_from_batch(b);
	return true;
}

static void
tell_batch(struct feed *f, int64_t id)
{
	json_t *batch = NULL, *plan;

	if (store_view_batch(f->deps->view, id, keep_batch, &batch) != STORE_OK || batch == NULL)
		return;
	if (plan_json_read(f->deps->view, id, &plan) != STORE_OK)
		plan = json_null();
	json_put(batch, "plan", plan);
	add_event(f->out, "batch", batch);
	json_decref(batch);
}

static void
look_at_batches(struct feed *f)
{
	struct newer newer = {f, f->newest_batch};

	f->changed_count = f->found = 0;
	if (store_view_holding(f->deps->view, see_holding, f) != STORE_OK)
		return;
	f->found = 0;
	(void)store_view_planned(f->deps->view, see_planned, f);
	f->found = 0;
	if (f->silent)
		(void)store_view_batches_before(f->deps->view, -1, true, 0, see_newest, f);
	else
		(void)store_view_batches_before(f->deps->view, -1, true, 0, see_newer, &newer);
	look_at_rest(f);
	if (f->silent)
		return;
	for (size_t i = 0; i < f->changed_count && f->changed_count <= CHANGES_MAX; i++)
		tell_batch(f, f->changed[i]);
	if (f->changed_count > CHANGES_MAX)
		buf_add_text(f->out, "event: reload\ndata: {}\n\n");
}

/* ---- status */

static bool
add_held(void *context, const char *environment, enum store_state state, uint64_t count)
{
	(void)environment;
	if (state == STORE_HELD)
		*(uint64_t *)context += count;
	return true;
}

static bool
count_holding(void *context, const struct store_batch *b)
{
	(void)b;
	return ++*(uint64_t *)context < BATCHES_MAX;
}

static bool
add_hold(void *context, const struct store_hold *h)
{
	json_append(context, status_hold(h));
	return true;
}

static void
count_warnings(struct feed *f)
{
	json_t *status = NULL;

	if (status_make(f->deps, &status) != STORE_OK)
		return;
	f->warnings = (json_int_t)json_array_size(json_object_get(status, "warnings")) +
		      (json_int_t)json_array_size(json_object_get(status, "policy_warnings"));
	json_decref(status);
}

static void
look_at_status(struct feed *f)
{
	uint64_t recipients = 0, batches = 0;
	json_t *status = json_make_object(), *held = json_make_object(), *holds = json_make_array();
	bool read;

	if (f->looks % LOOKS_PER_WARNING == 1)
		count_warnings(f);
	read = store_view_tallies(f->deps->view, add_held, &recipients) == STORE_OK &&
	       store_view_holding(f->deps->view, count_holding, &batches) == STORE_OK &&
	       store_view_holds(f->deps->view, add_hold, holds) == STORE_OK;
	json_put_count(held, "batches", batches);
	json_put_count(held, "recipients", recipients);
	json_put(status, "held", held);
	json_put(status, "holds", holds);
	json_put(status, "warnings", json_integer(f->warnings));
	if (!read || json_equal(status, f->status)) {
		json_decref(status);
		return;
	}
	json_decref(f->status);
	f->status = status;
	if (!f->silent)
		feed_add_status(f, f->out);
}

void
feed_add_status(const struct feed *f, struct buf *out)
{
	if (f->status != NULL)
		add_event(out, "status", f->status);
}

/* ---- alerts */

struct new_alerts {
	json_t *items; /* newest first, each event once */
	int64_t than, newest, last;
	bool more;
};

static bool
see_alert(void *context, const struct store_alert_fate *f)
{
	struct new_alerts *n = context;

	if (f->event_id > n->newest)
		n->newest = f->event_id;
	if (f->event_id <= n->than)
		return false;
	if (f->event_id == n->last)
		return true;
	n->last = f->event_id;
	if (json_array_size(n->items) == CHANGES_MAX) {
		n->more = true;
		return false;
	}
	json_append(n->items, alerts_from_fate(f));
	return true;
}

static void
look_at_alerts(struct feed *f)
{
	const struct store_alert_place start = {0, 0};
	struct new_alerts n = {.items = json_make_array(),
			       .than = f->silent ? INT64_MAX : f->newest_alert};

	if (store_view_alerts(f->deps->view, &start, 0, see_alert, &n) == STORE_OK) {
		if (n.newest > f->newest_alert)
			f->newest_alert = n.newest;
		if (n.more)
			buf_add_text(f->out, "event: reload\ndata: {}\n\n");
		for (size_t i = json_array_size(n.items); i-- > 0 && !n.more;)
			add_event(f->out, "alert", json_array_get(n.items, i));
	}
	json_decref(n.items);
}

/* ---- a look */

static void
look(struct feed *f, struct buf *out, bool silent)
{
	f->looks++;
	f->silent = silent;
	f->out = out;
	look_at_batches(f);
	look_at_status(f);
	look_at_alerts(f);
	f->out = NULL;
}

void
feed_begin(struct feed *f)
{
	struct buf none = {0};

	forget(f);
	f->newest_batch = f->newest_alert = 0;
	f->looks = 0;
	look(f, &none, true);
	buf_free(&none);
}

void
feed_look(struct feed *f, struct buf *out)
{
	look(f, out, false);
}
