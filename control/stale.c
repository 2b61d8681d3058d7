/*
 * See stale.h. The numbers are compared by the store (store/page.c), in the transaction of the
 * decision; here they are read, and told in words.
 */
#include "control/stale.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "control/json.h"
#include "control/request.h"

static const char *const names[PAGE_FIELD_COUNT] = {
    [PAGE_STATE] = "state",         [PAGE_HELD] = "held", [PAGE_RELEASED] = "released",
    [PAGE_DISCARDED] = "discarded", [PAGE_PLAN] = "plan", [PAGE_RING] = "ring"};

/* ---- reading */

static bool
read_state(struct request *r, const json_t *value, uint64_t *out)
{
	enum store_batch_state state;

	if (!json_is_string(value) || !store_batch_state_parse(json_string_value(value), &state)) {
		request_fail(r, 400,
			     "seen.state: write held, releasing, paused, released or discarded");
		return false;
	}
	*out = (uint64_t)state;
	return true;
}

static bool
read_field(struct request *r, enum page_field field, const json_t *value, struct store_page *page)
{
	const json_int_t number = json_integer_value(value);
	/* A plan that is not there is null in a batch, and so is its ring. */
	const bool absent = json_is_null(value) && (field == PAGE_PLAN || field == PAGE_RING);

	page->set |= 1U << field;
	if (field == PAGE_STATE)
		return read_state(r, value, &page->seen[field]);
	if (!absent && (!json_is_integer(value) || number < 0)) {
		request_fail(r, 400, "seen.%s: write the number that the batch had when you saw it",
			     names[field]);
		return false;
	}
	page->seen[field] = (uint64_t)number;
	return true;
}

bool
stale_read(struct request *r, bool one_batch, struct store_page *page)
{
	json_t *seen = json_object_get(r->body, "seen"), *value;
	const char *key;

	*page = (struct store_page){.set = 0};
	if (seen == NULL || json_is_null(seen))
		return true;
	if (!json_is_object(seen)) {
		request_fail(r, 400,
			     "seen: write what you saw of the batch, such as "
			     "{\"held\":312}");
		return false;
	}
	if (!one_batch) {
		request_fail(r, 400, "seen is about one batch: give one in ids, and nothing else");
		return false;
	}
	json_object_foreach(seen, key, value)
	{
		int i = 0;

		while (i < PAGE_FIELD_COUNT && strcmp(names[i], key) != 0)
			i++;
		if (i == PAGE_FIELD_COUNT) {
			request_fail(r, 400,
				     "unknown field seen.%s; state, held, released, discarded, "
				     "plan, ring",
				     log_safe(key));
			return false;
		}
		if (!read_field(r, (enum page_field)i, value, page))
			return false;
	}
	return true;
}

/* ---- the answer */

/* 5000 as "5,000". */
static void
add_number(struct buf *out, uint64_t n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);

	for (int i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			buf_add_char(out, ',');
		buf_add_char(out, digits[i]);
	}
}

static void
add_value(struct buf *out, enum page_field field, uint64_t value)
{
	if (field == PAGE_STATE)
		buf_add_text(out, store_batch_state_name((enum store_batch_state)value));
	else if (field == PAGE_PLAN && value == 0)
		buf_add_text(out, "none");
	else
		add_number(out, value);
}

static json_t *
json_from_value(enum page_field field, uint64_t value)
{
	if (field == PAGE_STATE)
		return json_string(store_batch_state_name((enum store_batch_state)value));
	if (field == PAGE_PLAN && value == 0)
		return json_null();
	return json_integer((json_int_t)value);
}

void
stale_fail(struct request *r, const struct store_page *page)
{
	json_t *changed = json_make_object();
	struct buf text = {0};

	for (int i = 0; i < PAGE_FIELD_COUNT; i++) {
		json_t *pair;

		if ((page->changed & 1U << i) == 0)
			continue;
		buf_printf(&text, "%s%s was ", text.len > 0 ? ", " : "", names[i]);
		add_value(&text, (enum page_field)i, page->seen[i]);
		buf_add_text(&text, ", is ");
		add_value(&text, (enum page_field)i, page->now[i]);
		buf_add_text(&text, " now");
		pair = json_make_array();
		json_append(pair, json_from_value((enum page_field)i, page->seen[i]));
		json_append(pair, json_from_value((enum page_field)i, page->now[i]));
		json_put(changed, names[i], pair);
	}
	buf_printf(&text, "; %slook again",
		   page->filling ? "the batch is still filling: " : "somebody decided meanwhile: ");
	request_fail_with(r, 409, "changed", changed, "%s", buf_text(&text));
	buf_free(&text);
}
