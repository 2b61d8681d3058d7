/*
 * GET /v1/log: rows of the audit log, oldest first, and the head of its chain. A reader that
 * follows it asks again with `after` = the `next` it got; one that pages back from the newest asks
 * with `before` = the lowest id it has; one that verifies the chain finds all that was hashed, to
 * the byte. Called by api.c; main loop.
 */
#include "control/audit_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/text.h"
#include "control/json.h"
#include "control/request.h"

struct audit_rows {
	json_t *items;
	int64_t highest;
};

/* A text that is no UTF-8 loses bytes on its way through JSON: once more, as base64. */
static void
put_raw(json_t *raw, const char *name, const char *text)
{
	struct buf out = {0};

	if (text_is_utf8(text, strlen(text)))
		return;
	base64_encode(text, strlen(text), &out);
	json_put_text(raw, name, buf_text(&out));
	buf_free(&out);
}

static json_t *
json_from_row(const struct store_audit *a)
{
	json_t *o = json_from_audit(a), *raw = json_make_object();

	/* Whoever altered the database may have written numbers that are neither ids nor times. */
	json_put(o, "id", json_integer(a->id));
	json_put(o, "at_us", json_integer(a->at));
	json_put_bool(o, "malformed", a->malformed);
	put_raw(raw, "who", a->who);
	put_raw(raw, "action", a->action);
	put_raw(raw, "object", a->object);
	put_raw(raw, "reason", a->reason);
	put_raw(raw, "detail", a->detail);
	if (json_object_size(raw) > 0)
		json_put(o, "raw", raw);
	else
		json_decref(raw);
	return o;
}

static bool
add_row(void *context, const struct store_audit *a)
{
	struct audit_rows *rows = context;

	json_append(rows->items, json_from_row(a));
	if (a->id > rows->highest)
		rows->highest = a->id;
	return true;
}

/* Where `after` is absent even ids below 1 are told: mailfuse gives none of them. */
static bool
read_number(struct request *r, const char *name, int64_t absent, int64_t *out)
{
	const char *text = request_query(r, name), *digits = text;
	char *end;

	*out = absent;
	if (text == NULL)
		return true;
	digits += *digits == '-';
	errno = 0;
	*out = strtoll(text, &end, 10);
	if (*digits >= '0' && *digits <= '9' && *end == '\0' && errno == 0)
		return true;
	request_fail(r, 400, "%s=%s: write the id of a row, as `next` was", name, log_safe(text));
	return false;
}

/*
 * The head is read before the rows: what is added between the two makes rows behind the head, but
 * never a head without its row.
 */
static enum store_result
read_log(struct request *r, int64_t after, int64_t before, uint32_t last, uint32_t limit,
	 json_t *head, struct audit_rows *rows)
{
	char hash[AUDIT_CHAIN_HEX_BYTES];
	enum store_result result;
	int64_t id;

	result = store_view_audit_head(r->deps->view, &id, hash);
	if (result != STORE_OK)
		return result;
	json_put(head, "id", json_integer(id));
	json_put_text(head, "hash", hash);
	if (before != 0)
		return store_view_audit_before(r->deps->view, before, last,
					       request_query(r, "object"), add_row, rows);
	return store_view_audit(r->deps->view, after, last, limit, request_query(r, "object"),
				add_row, rows);
}

void
audit_log_list(struct request *r)
{
	static const char *const known[] = {"after", "before", "last", "limit", "object", NULL};
	struct audit_rows rows = {0};
	uint32_t limit, last;
	enum store_result result;
	json_t *head, *answer;
	int64_t after, before;

	if (!request_check_query(r, known) || !request_query_limit(r, "limit", 100, 1000, &limit) ||
	    !request_query_limit(r, "last", 0, 1000, &last) ||
	    !read_number(r, "after", INT64_MIN, &after) || !read_number(r, "before", 0, &before))
		return;
	if (before != 0 && after != INT64_MIN) {
		request_fail(r, 400, "after and before exclude each other: give one");
		return;
	}
	if (before != 0 && last == 0)
		last = limit;
	if (last > limit)
		limit = last;
	rows.highest = after;
	rows.items = json_make_array();
	head = json_make_object();
	result = read_log(r, after, before, last, limit, head, &rows);
	if (result != STORE_OK) {
		json_decref(rows.items);
		json_decref(head);
		request_fail_store(r, result, "audit log", "");
		return;
	}
	if (rows.highest == INT64_MIN)
		rows.highest = 0; /* an empty log: go on with its first row */
	answer = json_make_list(rows.items, json_integer(rows.highest));
	json_put(answer, "head", head);
	request_reply(r, answer);
}
