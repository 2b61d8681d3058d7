/*
 * Views of how releases go on, of what became of alerts, and of kept numbers. One thread each.
 */
#include "store/view.h"

#include <string.h>

enum store_result
store_view_plan(struct store_view *v, int64_t batch,
		bool (*row)(void *context, const struct store_plan *p), void *context)
{
	(void)v;
	(void)batch;
	(void)row;
	(void)context;
	return STORE_MISSING;
}

enum store_result
store_view_alert_fates(struct store_view *v, int64_t batch, uint32_t limit,
		       bool (*row)(void *context, const struct store_alert_fate *f), void *context)
{
	(void)v;
	(void)batch;
	(void)limit;
	(void)row;
	(void)context;
	return STORE_OK;
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
