/*
 * GET /v1/deliveries: what became of single recipients. Oldest first, page by page; the cursor is
 * the id of the last delivery of a page. Called by api.c; main loop.
 */
#include "control/deliveries.h"

#include "base/id.h"
#include "base/log.h"
#include "control/json.h"
#include "control/request.h"

struct page {
	json_t *items;
	uint32_t limit;
	bool more;
	uint64_t id;
	uint32_t number;
};

static bool
add_row(void *context, const struct store_delivery *d)
{
	struct page *page = context;

	if (json_array_size(page->items) == page->limit) {
		page->more = true;
		return false;
	}
	json_append(page->items, json_from_delivery(d));
	page->id = d->id;
	page->number = d->number;
	return true;
}

static bool
read_filter(struct request *r, struct store_filter *filter)
{
	const char *batch = request_query(r, "batch"), *state = request_query(r, "state");
	const char *message = request_query(r, "message"), *after = request_query(r, "after");
	enum store_state value;
	uint32_t number;

	filter->environment = request_query(r, "environment");
	filter->state = -1;
	if (batch != NULL && !store_batch_parse(batch, &filter->batch)) {
		request_fail(r, 400, "batch=%s: batches look like B17", log_safe(batch));
		return false;
	}
	if (state != NULL && !store_state_parse(state, &value)) {
		request_fail(
		    r, 400,
		    "state=%s: write queued, waiting, held, dropped, sent, failed or discarded",
		    log_safe(state));
		return false;
	}
	if (state != NULL)
		filter->state = (int)value;
	if (message != NULL && !id_parse(message, &filter->message, &number)) {
		request_fail(r, 400, "message=%s is no id of a message of this store",
			     log_safe(message));
		return false;
	}
	if (after != NULL && !id_parse(after, &filter->after.id, &filter->after.number)) {
		request_fail(r, 400, "after=%s: write the `next` of the page before",
			     log_safe(after));
		return false;
	}
	return true;
}

void
deliveries_list(struct request *r)
{
	static const char *const known[] = {"batch", "environment", "state", "message",
					    "limit", "after",       NULL};
	struct store_filter filter = {0};
	struct page page = {0};
	char cursor[ID_DELIVERY_BYTES];
	enum store_result result;
	json_t *next = NULL;

	if (!request_check_query(r, known) || !read_filter(r, &filter) ||
	    !request_query_limit(r, "limit", 100, 1000, &page.limit))
		return;
	filter.limit = page.limit + 1; /* one more tells whether there is another page */
	page.items = json_make_array();
	result = store_view_deliveries(r->deps->view, &filter, add_row, &page);
	if (result != STORE_OK) {
		json_decref(page.items);
		request_fail_store(r, result, "delivery", "");
		return;
	}
	if (page.more)
		next = json_string(id_format_delivery(page.id, page.number, cursor));
	request_reply(r, json_make_list(page.items, next));
}
