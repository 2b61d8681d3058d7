/*
 * GET /v1/log: rows of the audit log, oldest first. A reader that follows it asks again with
 * `after` = the `next` it got. Called by api.c; main loop.
 */
#include "control/audit_log.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "control/json.h"
#include "control/request.h"

struct audit_rows {
	json_t *items;
	int64_t highest;
};

static bool
add_row(void *context, const struct store_audit *a)
{
	struct audit_rows *rows = context;

	json_append(rows->items, json_from_audit(a));
	if (a->id > rows->highest)
		rows->highest = a->id;
	return true;
}

void
audit_log_list(struct request *r)
{
	static const char *const known[] = {"after", "last", "limit", NULL};
	const char *after;
	struct audit_rows rows = {0};
	uint32_t limit, last;
	char *end = NULL;
	enum store_result result;

	if (!request_check_query(r, known) || !request_query_limit(r, "limit", 100, 1000, &limit) ||
	    !request_query_limit(r, "last", 0, 1000, &last))
		return;
	after = request_query(r, "after");
	if (after != NULL) {
		errno = 0;
		rows.highest = strtoll(after, &end, 10);
		if (after[0] < '0' || after[0] > '9' || *end != '\0' || errno != 0) {
			request_fail(r, 400, "after=%s: write the number that `next` was",
				     log_safe(after));
			return;
		}
	}
	if (last > limit)
		limit = last;
	rows.items = json_make_array();
	result = store_view_audit(r->deps->view, rows.highest, last, limit, NULL, add_row, &rows);
	if (result != STORE_OK) {
		json_decref(rows.items);
		request_fail_store(r, result, "audit log", "");
		return;
	}
	request_reply(r, json_make_list(rows.items, json_integer(rows.highest)));
}
