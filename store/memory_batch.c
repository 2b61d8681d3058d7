/*
 * Batches, panic buttons, alerts and the audit log of the memory twin. See memory.c for threads and
 * memory.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/memory.h"

static struct memory_ids
next_ids(struct memory *m, int batch, int event, int outbox)
{
	struct memory_ids ids = *(struct memory_ids *)memory_row(&m->ids, 0);

	ids.batch += batch;
	ids.event += event;
	ids.outbox += outbox;
	memory_replace(m, &m->ids, 0, &ids);
	return ids;
}

/* ---- batches: row i has the id i + 1, none is ever removed ---- */

enum store_result
memory_batch_add(struct db *db, struct batch_row *b)
{
	struct memory *m = memory_of(db);
	struct batch_row row = *b;

	row.b.id = b->b.id = next_ids(m, 1, 0, 0).batch;
	row.b.environment = memory_text(m, b->b.environment);
	row.b.rule = memory_text(m, b->b.rule);
	row.b.key = memory_text(m, b->b.key);
	row.b.source = memory_text(m, b->b.source);
	row.b.sender = memory_text(m, b->b.sender);
	row.b.subject = memory_text(m, b->b.subject);
	row.b.decided_by = row.b.decided_reason = "";
	memory_insert(m, &m->batches, m->batches.count, &row);
	return STORE_OK;
}

enum store_result
memory_batch_set(struct db *db, const struct batch_row *b)
{
	struct memory *m = memory_of(db);
	size_t i = (size_t)b->b.id - 1;
	struct batch_row row = *(struct batch_row *)memory_row(&m->batches, i), old = row;

	row = *b;
	row.b.environment = old.b.environment;
	row.b.rule = old.b.rule;
	row.b.key = old.b.key;
	row.b.source = old.b.source;
	row.b.sender = old.b.sender;
	row.b.subject = old.b.subject;
	row.b.decided_by = memory_text(m, b->b.decided_by);
	row.b.decided_reason = memory_text(m, b->b.decided_reason);
	memory_replace(m, &m->batches, i, &row);
	return STORE_OK;
}

enum store_result
memory_batch_list(struct db *db, const struct batch_query *q,
		  bool (*row)(void *context, const struct batch_row *b), void *context)
{
	struct memory *m = memory_of(db);
	size_t i;

	for (i = m->batches.count; i-- > 0;) {
		const struct batch_row *b = memory_row(&m->batches, i);

		if ((q->id != 0 && b->b.id != q->id) ||
		    (q->stream != 0 && b->b.stream_hash != q->stream) ||
		    (q->tripped_at != 0 && b->b.tripped_at != q->tripped_at) ||
		    (q->collecting && !b->b.collecting) ||
		    (q->states != 0 && (q->states >> b->b.state & 1) == 0))
			continue;
		if (!row(context, b))
			break;
	}
	return STORE_OK;
}

/* ---- panic buttons, sorted by scope and name ---- */

static size_t
find_hold(const struct memory *m, int scope, const char *name, bool *found)
{
	size_t i;

	*found = false;
	for (i = 0; i < m->holds.count; i++) {
		const struct store_hold *h = memory_row(&m->holds, i);
		int order = h->scope != scope ? h->scope - scope : strcmp(h->name, name);

		*found = order == 0;
		if (order >= 0)
			break;
	}
	return i;
}

enum store_result
memory_hold_set(struct db *db, const struct store_hold *h)
{
	struct memory *m = memory_of(db);
	struct store_hold row = *h;
	bool found;
	size_t i = find_hold(m, h->scope, h->name, &found);

	row.name = memory_text(m, h->name);
	row.reason = memory_text(m, h->reason);
	row.who = memory_text(m, h->who);
	if (found)
		memory_replace(m, &m->holds, i, &row);
	else
		memory_insert(m, &m->holds, i, &row);
	return STORE_OK;
}

enum store_result
memory_hold_delete(struct db *db, int scope, const char *name)
{
	struct memory *m = memory_of(db);
	bool found;
	size_t i = find_hold(m, scope, name, &found);

	if (!found)
		return STORE_MISSING;
	memory_remove(m, &m->holds, i);
	return STORE_OK;
}

enum store_result
memory_hold_list(struct db *db, bool (*row)(void *context, const struct store_hold *h),
		 void *context)
{
	struct memory *m = memory_of(db);
	size_t i;

	for (i = 0; i < m->holds.count; i++)
		if (!row(context, memory_row(&m->holds, i)))
			break;
	return STORE_OK;
}

/* ---- events and the outbox ---- */

enum store_result
memory_event_add(struct db *db, const struct event_row *e)
{
	struct memory *m = memory_of(db);
	struct memory_event row = {.e = *e};

	row.e.id = next_ids(m, 0, 1, 0).event;
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

		if (o->o.state == OUTBOX_FAILED && find_event(m, o->o.event.id, &at)->e.at < before)
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

	row.o.row = next_ids(m, 0, 0, 1).outbox;
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

enum store_result
memory_outbox_delete(struct db *db, int64_t row)
{
	struct memory *m = memory_of(db);
	size_t at;

	if (find_outbox(m, row, &at) != NULL)
		memory_remove(m, &m->outbox, at);
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

		if ((q->row != 0 && o->o.row != q->row) ||
		    (q->states != 0 && (q->states >> o->o.state & 1) == 0) ||
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

/* ---- audit ---- */

enum store_result
memory_audit_last(struct db *db, int64_t *id, unsigned char hash[AUDIT_CHAIN_BYTES])
{
	struct memory *m = memory_of(db);
	const struct audit_row *a;

	*id = 0;
	memset(hash, 0, AUDIT_CHAIN_BYTES);
	if (m->audit.count == 0)
		return STORE_OK;
	a = memory_row(&m->audit, m->audit.count - 1);
	*id = a->link.id;
	memcpy(hash, a->hash, AUDIT_CHAIN_BYTES);
	return STORE_OK;
}

enum store_result
memory_audit_add(struct db *db, const struct audit_link *link,
		 const unsigned char hash[AUDIT_CHAIN_BYTES])
{
	struct memory *m = memory_of(db);
	struct audit_row row = {.link = *link};

	row.link.who = memory_text(m, link->who);
	row.link.action = memory_text(m, link->action);
	row.link.object = memory_text(m, link->object);
	row.link.reason = memory_text(m, link->reason);
	row.link.detail = memory_text(m, link->detail);
	memcpy(row.hash, hash, AUDIT_CHAIN_BYTES);
	memory_insert(m, &m->audit, m->audit.count, &row);
	return STORE_OK;
}

enum store_result
memory_audit_list(struct db *db, int64_t after, uint32_t last, uint32_t limit, const char *object,
		  bool (*row)(void *context, const struct audit_row *a), void *context)
{
	struct memory *m = memory_of(db);
	uint32_t given = 0;
	size_t i = m->audit.count, wanted = 0;

	/* Back to the first of the newest `last` that are about it. */
	for (; i > 0 && (last == 0 || wanted < last); i--) {
		const struct audit_row *a = memory_row(&m->audit, i - 1);

		wanted += object == NULL || strcmp(a->link.object, object) == 0;
	}
	for (; i < m->audit.count; i++) {
		const struct audit_row *a = memory_row(&m->audit, i);

		if (a->link.id <= after || (object != NULL && strcmp(a->link.object, object) != 0))
			continue;
		if ((limit > 0 && given++ == limit) || !row(context, a))
			break;
	}
	return STORE_OK;
}
