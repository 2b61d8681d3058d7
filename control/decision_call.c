/*
 * Reads a call of /v1/release, /v1/discard, /v1/restore or /v1/purge: every field is checked before
 * anything moves. Rings are read in rings_call.c. Called by decisions.c; main loop.
 */
#include "control/decision_call.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/obstacle.h"
#include "control/request.h"
#include "control/rings_call.h"
#include "control/stale.h"
#include "filters/pattern.h"

enum { IDS_MAX = 10000, PATTERN_MAX = 1000 };

static void
add_batch(struct decision *d, int64_t batch)
{
	for (size_t i = 0; i < d->batch_count; i++)
		if (d->batches[i] == batch)
			return;
	d->batches[d->batch_count++] = batch;
}

static int
compare_ids(const void *left, const void *right)
{
	const struct store_delivery_id *a = left, *b = right;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

/* Each once; number 0, the whole message, comes first and takes in its deliveries. */
static void
sort_ids(struct decision *d)
{
	size_t kept = 0;

	qsort(d->ids, d->id_count, sizeof(*d->ids), compare_ids);
	for (size_t i = 0; i < d->id_count; i++) {
		const struct store_delivery_id *last = kept > 0 ? &d->ids[kept - 1] : NULL;

		if (last != NULL && last->id == d->ids[i].id &&
		    (last->number == 0 || last->number == d->ids[i].number))
			continue;
		d->ids[kept++] = d->ids[i];
	}
	d->id_count = kept;
}

static bool
read_ids(struct request *r, struct decision *d)
{
	json_t *ids = json_object_get(r->body, "ids"), *item;
	size_t count = json_array_size(ids), i;

	if (!json_is_array(ids) || count == 0 || count > IDS_MAX) {
		request_fail(
		    r, 400,
		    "ids: list what is meant, such as [\"B17\"]; from 1 to %d batches, messages or "
		    "deliveries",
		    IDS_MAX);
		return false;
	}
	d->batches = mem_zalloc(count * sizeof(*d->batches));
	d->asked = mem_zalloc(count * sizeof(*d->asked));
	d->ids = mem_zalloc(count * sizeof(*d->ids));
	json_array_foreach(ids, i, item)
	{
		const char *text = json_is_string(item) ? json_string_value(item) : "";
		struct store_delivery_id id;
		int64_t batch;

		if (store_batch_parse(text, &batch)) {
			add_batch(d, batch);
		} else if (id_parse(text, &id.id, &id.number)) {
			d->ids[d->id_count++] = id;
		} else {
			request_fail(r, 400,
				     "ids: %s is no batch (B17), message (26 letters and digits) "
				     "or delivery "
				     "(message.2) of this store",
				     log_safe(text));
			return false;
		}
	}
	sort_ids(d);
	return true;
}

static bool
read_amount(struct request *r, struct decision *d)
{
	json_t *first = json_object_get(r->body, "first");
	json_t *percent = json_object_get(r->body, "percent");

	if (first != NULL && !json_is_null(first)) {
		if (!json_is_integer(first) || json_integer_value(first) < 1) {
			request_fail(r, 400, "first: write a whole number from 1");
			return false;
		}
		d->first = (uint64_t)json_integer_value(first);
	}
	if (percent != NULL && !json_is_null(percent)) {
		d->percent = json_number_value(percent);
		if (!json_is_number(percent) || !isfinite(d->percent) || d->percent <= 0 ||
		    d->percent > 100) {
			request_fail(r, 400, "percent: write a number over 0, at most 100");
			return false;
		}
	}
	if (d->first > 0 && d->percent > 0) {
		request_fail(r, 400, "first and percent exclude each other: give one");
		return false;
	}
	if (d->percent > 0 && d->id_count > 0) {
		request_fail(r, 400, "percent is a share of a batch: leave the single ids out");
		return false;
	}
	return true;
}

static bool
read_pattern(struct request *r, const char *name,
	     struct pattern *(*compile)(const char *text, char **error), struct pattern **out)
{
	char *error = NULL;
	const char *text;

	if (!request_field_text(r, name, PATTERN_MAX, &text))
		return false;
	if (text[0] == '\0')
		return true;
	*out = compile(text, &error);
	if (*out == NULL)
		request_fail(r, 400, "%s: %s is no pattern: %s", name, log_safe(text),
			     error != NULL ? error : "it cannot be read");
	free(error);
	return *out != NULL;
}

/* Which fields a call takes besides those of all decisions. */
static const char *const *
known_fields(enum store_decision what)
{
	static const char *const release[] = {"ids",     "reason",  "dry_run", "first", "percent",
					      "to",      "subject", "rate",    "rings", "wait",
					      "stop_on", "stream",  "seen",    NULL};
	static const char *const discard[] = {"ids", "reason",  "dry_run", "first", "percent",
					      "to",  "subject", "stream",  "seen",  NULL};
	static const char *const others[] = {"ids", "reason",  "dry_run", "first", "percent",
					     "to",  "subject", "seen",    NULL};

	switch (what) {
	case STORE_RELEASE:
		return release;
	case STORE_DISCARD:
		return discard;
	case STORE_RESTORE:
	case STORE_PURGE_NOW:
		break;
	}
	return others;
}

bool
decision_read(struct request *r, struct decision *d)
{
	return request_check_fields(r, known_fields(d->what)) &&
	       request_field_reason(r, &d->reason) &&
	       request_field_bool(r, "dry_run", &d->dry_run) && read_ids(r, d) &&
	       read_amount(r, d) && read_pattern(r, "to", pattern_for_address, &d->to) &&
	       read_pattern(r, "subject", pattern_for_text, &d->subject) &&
	       request_field_rate(r, "rate", &d->rate_count, &d->rate_window) && rings_read(r, d) &&
	       stale_read(r, d->batch_count == 1 && d->id_count == 0, &d->page) &&
	       (d->what != STORE_RELEASE || obstacle_check(r, d));
}
