/*
 * Reads rings, wait, stop_on and stream of a decision. They are a plan of one batch, so they need
 * exactly one and no single deliveries; a ruling on the stream needs all of the batch. Called by
 * decision_call.c, decision_answer.c and plan_json.c; main loop.
 */
#include "control/rings_call.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "control/decision_call.h"
#include "control/json.h"
#include "control/request.h"

/* Of one ring: what adds up over STORE_RINGS_MAX of them stays far from the end of a number. */
#define RING_MAX INT64_C(1000000000)
#define TIME_MAX (30 * CLOCK_DAY)

/* One ring; 0 = all that is left. */
static bool
read_size(const json_t *item, bool last, uint64_t *out)
{
	json_int_t size = json_integer_value(item);

	if (json_is_string(item) && strcmp(json_string_value(item), "all") == 0 && last) {
		*out = 0;
		return true;
	}
	*out = (uint64_t)size;
	return json_is_integer(item) && size >= 1 && size <= RING_MAX;
}

static bool
read_rings(struct request *r, struct store_rings *rings)
{
	json_t *list = json_object_get(r->body, "rings"), *item;
	size_t count = json_array_size(list), i;

	if (!request_has(r, "rings"))
		return true;
	if (!json_is_array(list) || count == 0 || count > STORE_RINGS_MAX) {
		request_fail(r, 400,
			     "rings: list 1 to %d sizes, one after the other, such as "
			     "[10,100,1000,\"all\"]",
			     STORE_RINGS_MAX);
		return false;
	}
	rings->count = (uint32_t)count;
	json_array_foreach(list, i, item)
	{
		if (read_size(item, i + 1 == count, &rings->sizes[i]))
			continue;
		request_fail(r, 400,
			     "rings: entry %zu is none; write whole numbers from 1, and \"all\" "
			     "only as the last",
			     i + 1);
		return false;
	}
	return true;
}

static bool
read_stop(struct request *r, struct store_rings *rings)
{
	json_t *percent = json_object_get(r->body, "stop_on");

	rings->stop_on = -1;
	if (!request_has(r, "stop_on"))
		return true;
	rings->stop_on = json_number_value(percent);
	if (json_is_number(percent) && isfinite(rings->stop_on) && rings->stop_on >= 0 &&
	    rings->stop_on <= 100)
		return true;
	request_fail(r, 400,
		     "stop_on: write the percent of a ring that the upstream may refuse before the "
		     "release pauses, from 0 to 100");
	return false;
}

/* False after it answered which of the four cannot be done with what else the call says. */
static bool
check_scope(struct request *r, const struct decision *d)
{
	static const char *const names[] = {"rings", "wait", "stop_on", "stream"};
	bool is_part = d->first > 0 || (d->percent > 0 && d->percent < 100) || d->to != NULL ||
		       d->subject != NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!request_has(r, names[i]) || (d->batch_count == 1 && d->id_count == 0))
			continue;
		request_fail(r, 400,
			     "%s is for one batch: name that one alone, and no single deliveries",
			     names[i]);
		return false;
	}
	if (d->rings.wait > 0 && d->rings.count == 0) {
		request_fail(r, 400, "wait is the time between two rings: give rings too");
		return false;
	}
	if (d->stream_for > 0 && is_part) {
		request_fail(
		    r, 400,
		    "stream rules on all of a batch's stream: leave first, percent, to and "
		    "subject out");
		return false;
	}
	return true;
}

/* Rings that do not end with "all" are a part of the batch: so many, and then it is done. */
static bool
limit_total(struct request *r, struct decision *d)
{
	uint64_t total = 0;

	if (d->rings.count == 0 || d->rings.sizes[d->rings.count - 1] == 0)
		return true;
	if (d->stream_for > 0) {
		request_fail(r, 400,
			     "stream rules on all of a batch's stream: let the last ring be "
			     "\"all\"");
		return false;
	}
	for (uint32_t i = 0; i < d->rings.count; i++)
		total += d->rings.sizes[i];
	if (d->first == 0 || d->first > total)
		d->first = total;
	return true;
}

bool
rings_read(struct request *r, struct decision *d)
{
	return read_rings(r, &d->rings) &&
	       request_field_duration(r, "wait", 0, TIME_MAX, &d->rings.wait) &&
	       read_stop(r, &d->rings) &&
	       request_field_duration(r, "stream", CLOCK_SECOND, TIME_MAX, &d->stream_for) &&
	       check_scope(r, d) && limit_total(r, d);
}

/* ---- what they say */

json_t *
rings_sizes(const struct store_rings *rings, uint64_t recipients)
{
	json_t *list = json_make_array();

	for (uint32_t i = 0; recipients > 0 && (i < rings->count || i == 0); i++) {
		uint64_t size = rings->sizes[i];

		if (size == 0 || size > recipients)
			size = recipients;
		json_append(list, json_integer((json_int_t)size));
		recipients -= size;
	}
	return list;
}

json_t *
json_from_rings(const struct store_rings *rings)
{
	json_t *list = json_make_array();

	for (uint32_t i = 0; i < rings->count; i++)
		json_append(list, rings->sizes[i] == 0 ? json_string("all")
						       : json_integer((json_int_t)rings->sizes[i]));
	if (rings->count == 0)
		json_append(list, json_string("all"));
	return list;
}
