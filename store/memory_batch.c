/*
 * Batches, panic buttons and the audit log of the memory twin. See memory.c for threads and
 * memory.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/memory.h"

static int64_t
next_batch(struct memory *m)
{
	struct memory_ids ids = *(struct memory_ids *)memory_row(&m->ids, 0);

	ids.batch++;
	memory_replace(m, &m->ids, 0, &ids);
	return ids.batch;
}

/* ---- batches: row i has the id i + 1, none is ever removed ---- */

enum store_result
memory_batch_add(struct db *db, struct batch_row *b)
{
	struct memory *m = memory_of(db);
	struct batch_row row = *b;

	row.b.id = b->b.id = next_batch(m);
	row.b.environment = memory_text(m, b->b.environment);
	row.b.rule = memory_text(m, b->b.rule);
	row.b.key = memory_text(m, b->b.key);
	row.b.source = memory_text(m, b->b.source);
	row.b.sender = memory_text(m, b->b.sender);
	row.b.subject = memory_text(m, b->b.subject);
	row.b.decided_by = row.b.decided_reason = row.b.seen_by = "";
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
	row.b.seen_by = memory_text(m, b->b.seen_by);
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
		    (q->ruled && b->b.ruling == STORE_RULING_NONE) ||
		    (q->gone && b->sweep.gone == 0) || (q->holding && b->b.held == 0) ||
		    (q->id_before != 0 && b->b.id >= q->id_before) ||
		    (q->unseen && (b->b.seen_at != 0 || (b->b.state != STORE_BATCH_HELD &&
							 b->b.state != STORE_BATCH_PAUSED))) ||
		    (q->states != 0 && (q->states >> b->b.state & 1) == 0))
			continue;
		if (!row(context, b))
			break;
	}
	return STORE_OK;
}

static bool
is_same_rule(const struct batch_row *a, const struct batch_row *b)
{
	return strcmp(a->b.environment, b->b.environment) == 0 && strcmp(a->b.rule, b->b.rule) == 0;
}

/* One row for each that is the newest of its rule; quadratic, as a twin may be. */
enum store_result
memory_batch_rules(struct db *db, uint32_t newest,
		   bool (*row)(void *context, const struct store_trips *t), void *context)
{
	struct memory *m = memory_of(db);
	size_t first = m->batches.count > newest ? m->batches.count - newest : 0, i, k;

	for (i = m->batches.count; i-- > first;) {
		const struct batch_row *b = memory_row(&m->batches, i);
		struct store_trips t = {b->b.environment, b->b.rule, 1, b->b.id};

		for (k = i + 1; k < m->batches.count; k++)
			if (is_same_rule(b, memory_row(&m->batches, k)))
				break;
		if (k < m->batches.count)
			continue;
		for (k = i; k-- > first;)
			t.count += is_same_rule(b, memory_row(&m->batches, k));
		if (!row(context, &t))
			break;
	}
	return STORE_OK;
}

/* ---- the people of a batch, sorted by batch and hash ---- */

static size_t
find_person(const struct memory *m, int64_t batch, int64_t hash)
{
	size_t low = 0, high = m->people.count;

	while (low < high) {
		const size_t middle = low + (high - low) / 2;
		const struct memory_person *p = memory_row(&m->people, middle);

		if (p->batch < batch || (p->batch == batch && p->hash < hash))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

enum store_result
memory_person_add(struct db *db, int64_t batch, int64_t hash, bool *is_new)
{
	struct memory *m = memory_of(db);
	const struct memory_person row = {batch, hash}, *p;
	size_t i = find_person(m, batch, hash);

	p = i < m->people.count ? memory_row(&m->people, i) : NULL;
	*is_new = p == NULL || p->batch != batch || p->hash != hash;
	if (*is_new)
		memory_insert(m, &m->people, i, &row);
	return STORE_OK;
}

enum store_result
memory_person_cut(struct db *db, int64_t batch, int64_t from, uint64_t *gone)
{
	struct memory *m = memory_of(db);
	size_t first = find_person(m, batch, from), i = find_person(m, batch + 1, 0);

	*gone = i - first;
	while (i > first)
		memory_remove(m, &m->people, --i);
	return STORE_OK;
}

enum store_result
memory_person_purge(struct db *db, int64_t before, uint32_t limit)
{
	struct memory *m = memory_of(db);
	uint64_t gone;
	size_t i;

	for (i = 0; i < m->batches.count && limit > 0; i++) {
		struct batch_row row = *(struct batch_row *)memory_row(&m->batches, i);

		if (row.people_kept == 0 || row.b.collecting || row.b.ruling != STORE_RULING_NONE ||
		    row.b.last_at >= before)
			continue;
		TRY(memory_person_cut(db, row.b.id, 0, &gone));
		row.people_kept = 0;
		memory_replace(m, &m->batches, i, &row);
		limit--;
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
memory_audit_list(struct db *db, int64_t after, int64_t before, uint32_t last, uint32_t limit,
		  const char *object, bool (*row)(void *context, const struct audit_row *a),
		  void *context)
{
	struct memory *m = memory_of(db);
	uint32_t given = 0;
	size_t end = m->audit.count, i, wanted = 0;

	while (end > 0 && before != 0 &&
	       ((struct audit_row *)memory_row(&m->audit, end - 1))->link.id >= before)
		end--;
	i = end;
	/* Back to the first of the newest `last` that are about it. */
	for (; i > 0 && (last == 0 || wanted < last); i--) {
		const struct audit_row *a = memory_row(&m->audit, i - 1);

		wanted += object == NULL || strcmp(a->link.object, object) == 0;
	}
	for (; i < end; i++) {
		const struct audit_row *a = memory_row(&m->audit, i);

		if (a->link.id <= after || (object != NULL && strcmp(a->link.object, object) != 0))
			continue;
		if ((limit > 0 && given++ == limit) || !row(context, a))
			break;
	}
	return STORE_OK;
}
