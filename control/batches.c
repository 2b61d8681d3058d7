/*
 * GET /v1/batches: what is held together, newest first, page by page. Called by api.c; main loop.
 */
#include "control/batches.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "control/json.h"
#include "control/plan_json.h"
#include "control/request.h"

struct page {
	json_t *items;
	int64_t *ids; /* of the items, for what cannot be asked during a list */
	uint32_t limit;
	int64_t after; /* newest first: only smaller ones; 0 = from the start */
	bool more;
};

json_t *
batches_make(const struct store_batch *b)
{
	json_t *batch = json_from_batch(b);

	json_put_count(batch, "distinct_recipients", b->distinct);
	json_put_bool(batch, "sampled", b->recipients > STORE_EXACT_MAX);
	return batch;
}

enum store_result
batches_add_plan(struct store_view *view, json_t *batch, int64_t id)
{
	json_t *plan;
	enum store_result result = plan_json_read(view, id, &plan);

	if (result == STORE_OK)
		json_put(batch, "plan", plan);
	return result;
}

static bool
add_batch(void *context, const struct store_batch *b)
{
	struct page *page = context;
	size_t n = json_array_size(page->items);

	if (n == page->limit) {
		page->more = true;
		return false;
	}
	page->ids[n] = b->id;
	json_append(page->items, batches_make(b));
	return true;
}

static bool
read_list_call(struct request *r, struct page *page, int *state, bool *all)
{
	static const char *const known[] = {"state", "all", "limit", "after", NULL};
	const char *text;
	enum store_batch_state value;

	if (!request_check_query(r, known) ||
	    !request_query_limit(r, "limit", 100, 1000, &page->limit))
		return false;
	text = request_query(r, "all");
	*all = text != NULL && strcmp(text, "0") != 0;
	*state = -1;
	text = request_query(r, "state");
	if (text != NULL && !store_batch_state_parse(text, &value)) {
		request_fail(r, 400,
			     "state=%s: write held, releasing, paused, released or discarded",
			     log_safe(text));
		return false;
	}
	if (text != NULL)
		*state = (int)value;
	text = request_query(r, "after");
	if (text != NULL && !store_batch_parse(text, &page->after)) {
		request_fail(r, 400, "after=%s: batches look like B17", log_safe(text));
		return false;
	}
	return true;
}

void
batches_list(struct request *r)
{
	struct page page = {0};
	char id[JSON_BATCH_BYTES];
	enum store_result result;
	json_t *next = NULL;
	size_t n;
	int state;
	bool all;

	if (!read_list_call(r, &page, &state, &all))
		return;
	page.items = json_make_array();
	page.ids = mem_zalloc(page.limit * sizeof(*page.ids));
	result = store_view_batches_before(r->deps->view, state, all, page.after, add_batch, &page);
	n = json_array_size(page.items);
	for (size_t i = 0; i < n && result == STORE_OK; i++)
		result =
		    batches_add_plan(r->deps->view, json_array_get(page.items, i), page.ids[i]);
	if (page.more)
		next = json_string(json_batch_id(page.ids[n - 1], id));
	free(page.ids);
	if (result != STORE_OK) {
		json_decref(page.items);
		json_decref(next);
		request_fail_store(r, result, "batch", "");
		return;
	}
	request_reply(r, json_make_list(page.items, next));
}
