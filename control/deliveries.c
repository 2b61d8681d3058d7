/*
 * GET /v1/deliveries: what became of single recipients. Oldest first, or newest, page by page; the
 * cursor is the id of the last delivery that was looked at. A search looks at so many rows at most,
 * and no longer than the main loop can spare: a page may be short or empty and still have a `next`.
 * Called by api.c; main loop.
 */
#include "control/deliveries.h"

#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "control/json.h"
#include "control/request.h"

enum { SEARCH_ROWS_MOST = 20000, TEXT_MOST = 200, CLOCK_EVERY = 64 };
#define SEARCH_TIME (100 * INT64_C(1000)) /* us */

struct page {
	json_t *items;
	uint32_t limit, seen;
	const char *text; /* what is searched for, NULL = all are wanted */
	int64_t until;    /* mono: a search ends */
	bool more;
	uint64_t id;
	uint32_t number;
};

/* Letters of ASCII in either case; all other bytes as they are. */
static bool
is_wanted(const struct page *page, const struct store_delivery *d)
{
	return page->text == NULL || strcasestr(d->recipient, page->text) != NULL ||
	       strcasestr(d->subject, page->text) != NULL;
}

static bool
is_enough(const struct page *page)
{
	if (json_array_size(page->items) == page->limit)
		return true;
	return page->text != NULL &&
	       (page->seen == SEARCH_ROWS_MOST ||
		(page->seen > 0 && page->seen % CLOCK_EVERY == 0 && clock_mono() > page->until));
}

static bool
add_row(void *context, const struct store_delivery *d)
{
	struct page *page = context;

	if (is_enough(page)) {
		page->more = true;
		return false;
	}
	page->seen++;
	if (is_wanted(page, d))
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

/* False after it answered 400. */
static bool
read_search(struct request *r, struct store_filter *filter, struct page *page)
{
	const char *order = request_query(r, "order");

	page->text = request_query(r, "q");
	page->until = clock_mono() + SEARCH_TIME;
	if (page->text != NULL && strlen(page->text) > TEXT_MOST) {
		request_fail(r, 400, "q has %zu bytes; at most %d are searched for",
			     strlen(page->text), TEXT_MOST);
		return false;
	}
	if (page->text != NULL && filter->batch == 0 && filter->environment == NULL) {
		request_fail(r, 400,
			     "q searches in one environment or one batch: add environment=NAME or "
			     "batch=B17");
		return false;
	}
	filter->newest = order != NULL && strcmp(order, "newest") == 0;
	if (order == NULL || filter->newest || strcmp(order, "oldest") == 0)
		return true;
	request_fail(r, 400, "order=%s: write oldest or newest", log_safe(order));
	return false;
}

void
deliveries_list(struct request *r)
{
	static const char *const known[] = {"batch", "environment", "state", "message", "limit",
					    "after", "q",           "order", NULL};
	struct store_filter filter = {0};
	struct page page = {0};
	char cursor[ID_DELIVERY_BYTES];
	enum store_result result;
	json_t *next = NULL;

	if (!request_check_query(r, known) || !read_filter(r, &filter) ||
	    !read_search(r, &filter, &page) ||
	    !request_query_limit(r, "limit", 100, 1000, &page.limit))
		return;
	/* One more tells whether there is another page. */
	filter.limit = (page.text != NULL ? SEARCH_ROWS_MOST : page.limit) + 1;
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
