/*
 * Plans of the memory twin, sorted by batch: a batch has one row at most. See memory.c for threads
 * and memory.
 */
#include "store/memory.h"

static size_t
find_plan(const struct memory *m, int64_t batch, bool *found)
{
	size_t i;

	*found = false;
	for (i = 0; i < m->plans.count; i++) {
		const struct plan_row *p = memory_row(&m->plans, i);

		*found = p->p.batch == batch;
		if (p->p.batch >= batch)
			break;
	}
	return i;
}

static int64_t
next_id(struct memory *m)
{
	struct memory_ids ids = *(struct memory_ids *)memory_row(&m->ids, 0);

	ids.plan++;
	memory_replace(m, &m->ids, 0, &ids);
	return ids.plan;
}

enum store_result
memory_plan_set(struct db *db, struct plan_row *p)
{
	struct memory *m = memory_of(db);
	struct plan_row row;
	bool found;
	size_t i = find_plan(m, p->p.batch, &found);

	if (p->p.id == 0)
		p->p.id = next_id(m);
	row = *p;
	row.p.who = memory_text(m, p->p.who);
	row.p.reason = memory_text(m, p->p.reason);
	row.p.why = memory_text(m, p->p.why);
	row.p.refusals = memory_text(m, p->p.refusals);
	row.p.approved_by = memory_text(m, p->p.approved_by);
	if (found)
		memory_replace(m, &m->plans, i, &row);
	else
		memory_insert(m, &m->plans, i, &row);
	return STORE_OK;
}

enum store_result
memory_plan_list(struct db *db, int64_t batch, unsigned states,
		 bool (*row)(void *context, const struct plan_row *p), void *context)
{
	struct memory *m = memory_of(db);
	size_t i;

	for (i = 0; i < m->plans.count; i++) {
		const struct plan_row *p = memory_row(&m->plans, i);

		if (batch != 0 ? p->p.batch != batch : (states >> p->p.state & 1) == 0)
			continue;
		if (!row(context, p))
			break;
	}
	return STORE_OK;
}
