/*
 * GET /v1/traffic: the history of counts per minute and stream, oldest first, page by page; what
 * `mailfuse simulate --history` reads. The cursor is the number of the last row that was looked at.
 * Called by api.c; main loop.
 */
#include "control/traffic.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/units.h"
#include "control/json.h"
#include "control/request.h"

/* One call looks at so many rows at most, however few of them are of the environment: the main loop
 * has more to do. */
enum { ROWS_MOST = 10000 };
/* Without `until`: the end of the year 9999, the last that a time can name. */
#define NEVER INT64_C(253402300800000000)

struct page {
	json_t *items;
	const char *environment; /* NULL = any */
	uint32_t limit, seen;
	bool more;
	int64_t last;
};

static json_t *
json_from_traffic(const struct store_traffic *t)
{
	json_t *o = json_make_object();

	json_put_time(o, "minute", t->minute);
	json_put_text(o, "environment", t->environment);
	json_put_text(o, "source", t->source);
	json_put_text(o, "client", t->client);
	json_put_text(o, "sender", t->sender);
	json_put_text(o, "subject", t->subject);
	json_put_text(o, "campaign", t->campaign);
	json_put_count(o, "audience", t->audience);
	json_put_count(o, "messages", t->messages);
	json_put_count(o, "recipients", t->recipients);
	json_put_count(o, "bytes", t->bytes);
	json_put_count(o, "passed", t->passed);
	json_put_count(o, "waited", t->waited);
	json_put_count(o, "held", t->held);
	json_put_count(o, "dropped", t->dropped);
	return o;
}

static bool
add_row(void *context, int64_t number, const struct store_traffic *t)
{
	struct page *page = context;

	if (json_array_size(page->items) == page->limit || page->seen == ROWS_MOST) {
		page->more = true;
		return false;
	}
	page->seen++;
	page->last = number;
	if (page->environment == NULL || strcmp(page->environment, t->environment) == 0)
		json_append(page->items, json_from_traffic(t));
	return true;
}

/* A time, or so long ago. False after it answered 400. */
static bool
read_time(struct request *r, const char *name, int64_t now, int64_t *out)
{
	const char *text = request_query(r, name);
	int64_t ago;

	if (text == NULL)
		return true;
	if (clock_parse_iso(text, out))
		return true;
	if (units_parse_duration(text, &ago)) {
		*out = now - ago;
		return true;
	}
	request_fail(r, 400,
		     "%s=%s: write a time such as 2026-11-21T12:00:00Z, or how long ago: 30d", name,
		     log_safe(text));
	return false;
}

void
traffic_list(struct request *r)
{
	static const char *const known[] = {"since", "until",       "after",
					    "limit", "environment", NULL};
	int64_t now = clock_wall(), since = now - 30 * CLOCK_DAY, until = NEVER;
	struct page page = {.environment = request_query(r, "environment")};
	enum store_result result;

	if (!request_check_query(r, known) || !read_time(r, "since", now, &since) ||
	    !read_time(r, "until", now, &until) || !request_query_after(r, &page.last) ||
	    !request_query_limit(r, "limit", 100, ROWS_MOST, &page.limit))
		return;
	page.items = json_make_array();
	/* One more tells whether there is another page. */
	result = store_view_traffic(r->deps->view, since, until, page.last, ROWS_MOST + 1, add_row,
				    &page);
	if (result != STORE_OK) {
		json_decref(page.items);
		request_fail_store(r, result, "traffic", "");
		return;
	}
	request_reply(r, json_make_list(page.items, page.more ? json_integer(page.last) : NULL));
}
