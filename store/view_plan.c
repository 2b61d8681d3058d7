/*
 * Views of how releases go on, and of kept numbers. One thread each.
 */
#include "store/view.h"

#include <string.h>

struct plan_call {
	bool (*row)(void *context, const struct store_plan *p);
	void *context;
	bool found;
};

static bool
give_plan(void *context, const struct plan_row *p)
{
	struct plan_call *call = context;

	call->found = true;
	return call->row(call->context, &p->p);
}

enum store_result
store_view_plan(struct store_view *v, int64_t batch,
		bool (*row)(void *context, const struct store_plan *p), void *context)
{
	struct plan_call call = {row, context, false};
	enum store_result r;

	if (batch <= 0)
		return STORE_MISSING;
	TRY(view_begin(v));
	r = view_end(v, v->b->plan_list(v->db, batch, 0, give_plan, &call));
	return r == STORE_OK && !call.found ? STORE_MISSING : r;
}

struct planned_call {
	bool (*row)(void *context, int64_t batch);
	void *context;
};

static bool
give_planned(void *context, const struct plan_row *p)
{
	const struct planned_call *call = context;

	return call->row(call->context, p->p.batch);
}

enum store_result
store_view_planned(struct store_view *v, bool (*row)(void *context, int64_t batch), void *context)
{
	struct planned_call call = {row, context};
	const unsigned active =
	    1U << STORE_PLAN_ASKED | 1U << STORE_PLAN_RUNNING | 1U << STORE_PLAN_PAUSED;

	TRY(view_begin(v));
	return view_end(v, v->b->plan_list(v->db, 0, active, give_planned, &call));
}

enum store_result
store_view_number(struct store_view *v, const char *name, int64_t *out)
{
	enum store_result r;

	*out = 0;
	TRY(view_begin(v));
	r = v->b->meta_get(v->db, name, out);
	return view_end(v, r == STORE_MISSING ? STORE_OK : r);
}
