/*
 * Plans as JSON. The store keeps lists as lines of text; here they become lists. Called by the
 * nouns that show a batch; main loop.
 */
#include "control/plan_json.h"

#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "control/json.h"
#include "control/rings_call.h"

/* The next line of the text, without its end; false after the last. */
static bool
next_line(const char **text, const char **line, size_t *len)
{
	do {
		*line = *text;
		*len = strcspn(*text, "\n");
		*text += *len + ((*text)[*len] == '\n');
	} while (*len == 0 && **text != '\0');
	return *len > 0;
}

static json_t *
json_from_lines(const char *text)
{
	json_t *list = json_make_array();
	const char *line;
	size_t len;

	while (next_line(&text, &line, &len))
		json_append(list, json_text(line, len));
	return list;
}

/* "3 550 5.1.1 no such user" */
static json_t *
json_from_refusal(const char *line, size_t len)
{
	json_t *o = json_make_object();
	uint64_t count = 0;
	size_t at = 0;

	for (; at < len && line[at] >= '0' && line[at] <= '9'; at++)
		count =
		    count < INT64_MAX / 10 ? count * 10 + (uint64_t)(line[at] - '0') : INT64_MAX;
	if (at < len && line[at] == ' ')
		at++;
	json_put_count(o, "count", count);
	json_put(o, "reply", json_text(line + at, len - at));
	return o;
}

static json_t *
json_from_refusals(const char *text)
{
	json_t *list = json_make_array();
	const char *line;
	size_t len;

	while (next_line(&text, &line, &len))
		json_append(list, json_from_refusal(line, len));
	return list;
}

static void
put_seconds(json_t *o, const char *key, int64_t microseconds)
{
	json_put_count(o, key, (uint64_t)(microseconds / CLOCK_SECOND));
}

/* How the present ring goes. */
static void
put_ring(json_t *o, const struct store_plan *p)
{
	json_put_count(o, "ring", p->ring);
	json_put_count(o, "ring_size", p->ring_size);
	json_put_count(o, "ring_released", p->ring_released);
	json_put_count(o, "sent", p->ring_sent);
	json_put_count(o, "failed", p->ring_failed);
	json_put_count(o, "deferred", p->ring_deferred);
	json_put_count(o, "refused", p->ring_refused);
	json_put(o, "refusals", json_from_refusals(p->refusals));
	json_put_time(o, "started_at", p->ring_started_at);
	json_put_time(o, "next_ring_at",
		      p->next_ring_at > 0 ? clock_steady_as_wall(p->next_ring_at) : 0);
}

/* What was asked for, by whom. */
static void
put_terms(json_t *o, const struct store_plan *p)
{
	char rate[UNITS_BYTES];

	json_put(o, "rings", json_from_rings(&p->rings));
	put_seconds(o, "wait", p->rings.wait);
	json_put(o, "stop_on", p->rings.stop_on < 0 ? json_null() : json_real(p->rings.stop_on));
	json_put_text(o, "rate",
		      p->rate_count > 0 ? units_format_rate(p->rate_count, p->rate_window, rate)
					: NULL);
	put_seconds(o, "stream", p->stream_for);
	json_put_text(o, "who", p->who);
	json_put_text(o, "reason", p->reason);
	json_put_count(o, "approvers", p->approvers);
	json_put_count(o, "approvals_missing", plan_approvals_missing(p));
	json_put(o, "approved_by", json_from_lines(p->approved_by));
}

uint32_t
plan_approvals_missing(const struct store_plan *p)
{
	const char *at = p->approved_by, *line;
	uint32_t people = 1; /* who asked */
	size_t len;

	if (p->state != STORE_PLAN_ASKED)
		return 0;
	while (next_line(&at, &line, &len))
		people++;
	return people < p->approvers ? p->approvers - people : 0;
}

json_t *
json_from_plan(const struct store_plan *p)
{
	json_t *o = json_make_object();

	json_put_count(o, "id", (uint64_t)p->id);
	json_put_text(o, "state", store_plan_state_name(p->state));
	put_terms(o, p);
	json_put_count(o, "total", p->total);
	json_put_count(o, "released", p->released);
	put_ring(o, p);
	json_put_text(o, "why", p->why);
	json_put_time(o, "created_at", p->created_at);
	json_put_time(o, "changed_at", p->changed_at);
	json_put_time(o, "expires_at", p->expires_at);
	return o;
}

static bool
take_plan(void *context, const struct store_plan *p)
{
	json_t **out = context;

	*out = json_from_plan(p);
	return false;
}

enum store_result
plan_json_read(struct store_view *view, int64_t batch, json_t **out)
{
	enum store_result result;

	*out = NULL;
	result = store_view_plan(view, batch, take_plan, out);
	if (result != STORE_OK && result != STORE_MISSING) {
		json_decref(*out);
		*out = NULL;
		return result;
	}
	if (*out == NULL)
		*out = json_null();
	return STORE_OK;
}
