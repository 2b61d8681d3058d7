/*
 * Events, the outbox and notices of the memory twin. See memory.c for threads and memory.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/memory.h"

static struct memory_ids
next_ids(struct memory *m, int event, int outbox)
{
	struct memory_ids ids = *(struct memory_ids *)memory_row(&m->ids, 0);

	ids.event += event;
	ids.outbox += outbox;
	memory_replace(m, &m->ids, 0, &ids);
	return ids;
}

enum store_result
memory_event_add(struct db *db, const struct event_row *e)
{
	struct memory *m = memory_of(db);
	struct memory_event row = {.e = *e};

	row.e.id = next_ids(m, 1, 0).event;
	row.e.event = memory_text(m, e->event);
	row.e.environment = memory_text(m, e->environment);
	row.e.text = memory_text(m, e->text);
	row.e.who = memory_text(m, e->who);
	row.e.reason = memory_text(m, e->reason);
	memory_insert(m, &m->events, m->events.count, &row);
	return STORE_OK;
}

enum store_result
memory_event_list_new(struct db *db, uint32_t limit,
		      bool (*row)(void *context, const struct event_row *e), void *context)
{
	struct memory *m = memory_of(db);
	size_t i;

	for (i = 0; i < m->events.count && limit > 0; i++) {
		const struct memory_event *e = memory_row(&m->events, i);

		if (e->fanned)
			continue;
		limit--;
		if (!row(context, &e->e))
			break;
	}
	return STORE_OK;
}

static struct memory_event *
find_event(const struct memory *m, int64_t id, size_t *at)
{
	for (*at = 0; *at < m->events.count; (*at)++) {
		struct memory_event *e = memory_row(&m->events, *at);

		if (e->e.id == id)
			return e;
	}
	return NULL;
}

enum store_result
memory_event_set_fanned(struct db *db, int64_t id)
{
	struct memory *m = memory_of(db);
	size_t at;
	const struct memory_event *e = find_event(m, id, &at);
	struct memory_event row;

	if (e == NULL)
		return STORE_OK;
	row = *e;
	row.fanned = true;
	memory_replace(m, &m->events, at, &row);
	return STORE_OK;
}

static bool
is_done(enum outbox_state state)
{
	return state == OUTBOX_FAILED || state == OUTBOX_DELIVERED;
}

static bool
has_outbox(const struct memory *m, int64_t event)
{
	size_t i;

	for (i = 0; i < m->outbox.count; i++)
		if (((struct memory_outbox *)memory_row(&m->outbox, i))->o.event.id == event)
			return true;
	return false;
}

enum store_result
memory_event_purge(struct db *db, int64_t before, uint32_t limit)
{
	struct memory *m = memory_of(db);
	size_t i, at;

	for (i = m->outbox.count; i-- > 0;) {
		const struct memory_outbox *o = memory_row(&m->outbox, i);

		if (is_done(o->o.state) && find_event(m, o->o.event.id, &at)->e.at < before)
			memory_remove(m, &m->outbox, i);
	}
	for (i = 0; i < m->events.count && limit > 0;) {
		const struct memory_event *e = memory_row(&m->events, i);

		if (e->fanned && e->e.at < before && !has_outbox(m, e->e.id)) {
			memory_remove(m, &m->events, i);
			limit--;
		} else {
			i++;
		}
	}
	for (i = m->notices.count; i-- > 0;) {
		const struct notice_row *n = memory_row(&m->notices, i);

		if (n->at < before && (n->kind != NOTICE_FAILED || n->count == 0))
			memory_remove(m, &m->notices, i);
	}
	return STORE_OK;
}

enum store_result
memory_outbox_add(struct db *db, int64_t event, const char *channel, int64_t due_at)
{
	struct memory *m = memory_of(db);
	struct memory_outbox row = {.o = {.due_at = due_at, .error = "", .event.id = event}};

	row.o.row = next_ids(m, 0, 1).outbox;
	row.o.channel = memory_text(m, channel);
	memory_insert(m, &m->outbox, m->outbox.count, &row);
	return STORE_OK;
}

static struct memory_outbox *
find_outbox(const struct memory *m, int64_t row, size_t *at)
{
	for (*at = 0; *at < m->outbox.count; (*at)++) {
		struct memory_outbox *o = memory_row(&m->outbox, *at);

		if (o->o.row == row)
			return o;
	}
	return NULL;
}

enum store_result
memory_outbox_set(struct db *db, const struct outbox_row *o)
{
	struct memory *m = memory_of(db);
	size_t at;
	const struct memory_outbox *old = find_outbox(m, o->row, &at);
	struct memory_outbox row;

	if (old == NULL)
		return STORE_OK;
	row = *old;
	row.o.state = o->state;
	row.o.tries = o->tries;
	row.o.due_at = o->due_at;
	row.o.first_tried_at = o->first_tried_at;
	row.o.error = memory_text(m, o->error);
	memory_replace(m, &m->outbox, at, &row);
	return STORE_OK;
}

static int
by_due(const void *a, const void *b)
{
	const struct outbox_row *x = a, *y = b;

	if (x->due_at != y->due_at)
		return x->due_at < y->due_at ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

enum store_result
memory_outbox_list(struct db *db, const struct outbox_query *q,
		   bool (*row)(void *context, const struct outbox_row *o), void *context)
{
	struct memory *m = memory_of(db);
	struct outbox_row *found = mem_alloc((m->outbox.count + 1) * sizeof(*found));
	size_t i, at, n = 0;

	for (i = 0; i < m->outbox.count; i++) {
		const struct memory_outbox *o = memory_row(&m->outbox, i);

		if ((q->row != 0 ? o->o.row != q->row : o->o.state == OUTBOX_DELIVERED) ||
		    (q->states != 0 && (q->states >> o->o.state & 1) == 0) ||
		    (q->channel != NULL &&
		     (o->o.state != OUTBOX_PENDING || strcmp(o->o.channel, q->channel) != 0)) ||
		    (q->due_before != 0 && o->o.due_at > q->due_before))
			continue;
		found[n] = o->o;
		found[n++].event = find_event(m, o->o.event.id, &at)->e;
	}
	qsort(found, n, sizeof(*found), by_due);
	if (q->limit > 0 && n > q->limit)
		n = q->limit;
	for (i = 0; i < n && row(context, &found[i]); i++)
		;
	free(found);
	return STORE_OK;
}

enum store_result
memory_outbox_channels(struct db *db, bool (*row)(void *context, const char *channel),
		       void *context)
{
	struct memory *m = memory_of(db);
	const char **names = mem_alloc((m->outbox.count + 1) * sizeof(*names));
	size_t i, k, n = 0;

	for (i = 0; i < m->outbox.count; i++) {
		const struct memory_outbox *o = memory_row(&m->outbox, i);

		for (k = 0; k < n && strcmp(names[k], o->o.channel) != 0; k++)
			;
		if (k == n && o->o.state == OUTBOX_PENDING)
			names[n++] = o->o.channel;
	}
	for (i = 0; i < n && row(context, names[i]); i++)
		;
	free(names);
	return STORE_OK;
}

/* Those of one event, in order; a row without a number where there are none. */
static bool
give_fates(const struct memory *m, const struct memory_event *e,
	   const struct store_alert_place *after, uint32_t *limit,
	   bool (*row)(void *context, const struct outbox_row *o, bool fanned), void *context)
{
	struct outbox_row none = {.event = e->e, .channel = "", .error = ""}, one;
	const bool at = after != NULL && after->event == e->e.id;
	bool more = true, any = false;
	size_t i;

	for (i = 0; i < m->outbox.count && more && *limit > 0; i++) {
		const struct memory_outbox *o = memory_row(&m->outbox, i);

		if (o->o.event.id != e->e.id)
			continue;
		one = o->o;
		one.event = e->e;
		any = true;
		if (at && one.row <= after->row)
			continue;
		--*limit;
		more = row(context, &one, e->fanned);
	}
	if (any || *limit == 0 || at)
		return more;
	--*limit;
	return row(context, &none, e->fanned);
}

enum store_result
memory_fate_list(struct db *db, int64_t batch, const struct store_alert_place *after,
		 uint32_t limit,
		 bool (*row)(void *context, const struct outbox_row *o, bool fanned), void *context)
{
	struct memory *m = memory_of(db);
	bool more = true;
	size_t i;

	if (limit == 0)
		limit = UINT32_MAX;
	for (i = m->events.count; i-- > 0 && more && limit > 0;) {
		const struct memory_event *e = memory_row(&m->events, i);

		if (after != NULL && after->event != 0 && e->e.id > after->event)
			continue;
		if (batch == 0 || e->e.batch == batch)
			more = give_fates(m, e, after, &limit, row, context);
	}
	return STORE_OK;
}

/* ---- notices ---- */

static struct notice_row *
find_notice(const struct memory *m, enum notice_kind kind, uint64_t key, size_t *at)
{
	for (*at = 0; *at < m->notices.count; (*at)++) {
		struct notice_row *n = memory_row(&m->notices, *at);

		if (n->kind == kind && n->key == key)
			return n;
	}
	return NULL;
}

enum store_result
memory_notice_get(struct db *db, enum notice_kind kind, uint64_t key, int64_t *at, int64_t *count)
{
	size_t i;
	const struct notice_row *n = find_notice(memory_of(db), kind, key, &i);

	if (n == NULL)
		return STORE_MISSING;
	*at = n->at;
	*count = n->count;
	return STORE_OK;
}

enum store_result
memory_notice_set(struct db *db, const struct notice_row *n)
{
	struct memory *m = memory_of(db);
	struct notice_row row = *n;
	size_t i;

	row.text = memory_text(m, n->text);
	if (find_notice(m, n->kind, n->key, &i) != NULL)
		memory_replace(m, &m->notices, i, &row);
	else
		memory_insert(m, &m->notices, i, &row);
	return STORE_OK;
}

static int
by_key(const void *a, const void *b)
{
	const struct notice_row *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

enum store_result
memory_notice_list(struct db *db, enum notice_kind kind,
		   bool (*row)(void *context, const struct notice_row *n), void *context)
{
	struct memory *m = memory_of(db);
	struct notice_row *found = mem_alloc((m->notices.count + 1) * sizeof(*found));
	size_t i, n = 0;

	for (i = 0; i < m->notices.count; i++) {
		const struct notice_row *one = memory_row(&m->notices, i);

		if (one->kind == kind && one->count > 0)
			found[n++] = *one;
	}
	qsort(found, n, sizeof(*found), by_key);
	for (i = 0; i < n && row(context, &found[i]); i++)
		;
	free(found);
	return STORE_OK;
}
