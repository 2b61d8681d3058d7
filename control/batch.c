/*
 * GET /v1/batches/B17 and /v1/batches/B17/alerts: the story of one batch: what tripped, how fast it
 * came, whom it was for, whether it still comes, who was told, what can be done next. Who asks for
 * it has seen it, which ends its reminders. Called by api.c; main loop.
 */
#include "control/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/batches.h"
#include "control/json.h"
#include "control/next_steps.h"
#include "control/request.h"

enum { TOP = 10, FIRST_MESSAGES = 5, STEPS_MAX = 60, QUIET_GAPS = 10 };
#define QUIET_MOST (10 * CLOCK_MINUTE)

/* What is known of the batch before its story is read. */
struct story {
	json_t *answer; /* the batch */
	char *environment;
	int64_t opened_at, last_at, seen_at;
	uint64_t stream_hash;
	struct next_steps next;
};

static bool
take_batch(void *context, const struct store_batch *b)
{
	struct story *s = context;

	s->answer = batches_make(b);
	s->environment = mem_strdup(b->environment);
	s->opened_at = b->opened_at;
	s->last_at = b->last_at;
	s->seen_at = b->seen_at;
	s->stream_hash = b->stream_hash;
	next_steps_take_batch(&s->next, b);
	return true;
}

/* ---- its parts */

struct first_messages {
	json_t *items;
	uint64_t last;
};

static bool
add_first(void *context, const struct store_delivery *d)
{
	struct first_messages *first = context;

	if (d->id != first->last)
		json_append(first->items, json_from_delivery(d));
	first->last = d->id;
	return json_array_size(first->items) < FIRST_MESSAGES;
}

static bool
add_arrival(void *context, int64_t at, uint64_t count)
{
	json_t *o = json_make_object();

	json_put_time(o, "at", at);
	json_put_count(o, "count", count);
	json_append(context, o);
	return true;
}

/* The shortest of the usual steps that shows the whole time in at most STEPS_MAX. */
static int64_t
choose_step(int64_t span)
{
	static const int64_t steps[] = {1,   2,    5,    10,   30,    60,    120,   300,
					600, 1800, 3600, 7200, 21600, 43200, 86400, 604800};
	int64_t step = 0;

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		step = steps[i] * CLOCK_SECOND;
		if (span / step < STEPS_MAX)
			return step;
	}
	while (span / step >= STEPS_MAX)
		step *= 2;
	return step;
}

static json_t *
put_array(json_t *object, const char *key)
{
	json_t *array = json_make_array();

	json_put(object, key, array);
	return array;
}

static bool
take_plan(void *context, const struct store_plan *p)
{
	next_steps_take_plan(context, p);
	return true;
}

static enum store_result
put_next(struct request *r, struct story *s, int64_t id, json_t *story)
{
	enum store_result result = store_view_plan(r->deps->view, id, take_plan, &s->next);

	if (result != STORE_OK && result != STORE_MISSING)
		return result;
	json_put(story, "next", next_steps_make(&s->next, request_config(r)));
	return STORE_OK;
}

int64_t
batch_quiet_after(uint32_t count, int64_t span)
{
	int64_t gaps;

	if (count == 0)
		return 0;
	gaps = span / count * QUIET_GAPS;
	if (gaps < CLOCK_MINUTE)
		return CLOCK_MINUTE;
	return gaps < QUIET_MOST ? gaps : QUIET_MOST;
}

/* Whether the application still sends: its stream goes on being counted while it is held. */
static void
put_sending(struct counters *counters, struct story *s)
{
	int64_t now = clock_mono(), window, last, last_at;
	uint32_t count;
	json_t *o;

	if (!counters_rate(counters, s->stream_hash, now, &count, &window, &last)) {
		json_put(s->answer, "sending", json_null());
		return;
	}
	o = json_make_object();
	json_put_count(o, "recipients", count);
	json_put_count(o, "window", (uint64_t)(window / CLOCK_SECOND));
	last_at = clock_steady_as_wall(last + clock_steady_offset());
	json_put_time(o, "last_at", last_at);
	json_put_time(o, "quiet_at", last_at + batch_quiet_after(count, window - (now - last)));
	json_put(s->answer, "sending", o);
}

static enum store_result
put_story(struct request *r, struct story *s, int64_t id)
{
	const struct store_filter filter = {.batch = id, .state = -1, .limit = 1000};
	struct store_view *view = r->deps->view;
	struct first_messages first = {0};
	json_t *story = json_make_object();
	int64_t step = choose_step(s->last_at - s->opened_at);
	enum store_result result;

	json_put(s->answer, "story", story);
	json_put_count(story, "step_seconds", (uint64_t)(step / CLOCK_SECOND));
	first.items = put_array(story, "first_messages");
	result = put_next(r, s, id, story);
	if (result == STORE_OK)
		result = store_view_deliveries(view, &filter, add_first, &first);
	if (result == STORE_OK)
		result = store_view_top(view, id, "domain", TOP, json_add_counted,
					put_array(story, "top_domains"));
	if (result == STORE_OK)
		result = store_view_top(view, id, "subject", TOP, json_add_counted,
					put_array(story, "subjects"));
	if (result == STORE_OK)
		result =
		    store_view_arrivals(view, id, step, add_arrival, put_array(story, "arrivals"));
	if (result == STORE_OK)
		result = batches_add_plan(view, s->answer, id);
	return result;
}

/* ---- who has seen it */

struct seen {
	struct store_job job;
	char who[sizeof(((struct request *)NULL)->who)];
};

/* Writer's thread. Where it failed, the batch is told of once more: no harm. */
static void
seen_done(struct store_job *job)
{
	free(job->context);
}

/* The first look ends the reminders: this one, so the answer says so too. Nobody waits for that to
 * be written. A drill looks at its own batch, which says nothing of a person. */
static void
mark_seen(struct request *r, struct story *s, int64_t id)
{
	struct seen *seen;

	if (s->seen_at != 0 || strcmp(s->environment, CONFIG_DRILL) == 0)
		return;
	seen = mem_zalloc(sizeof(*seen));
	memcpy(seen->who, r->who, sizeof(seen->who));
	seen->job.op = STORE_SEEN;
	seen->job.done = seen_done;
	seen->job.context = seen;
	seen->job.bytes = sizeof(*seen);
	seen->job.u.seen.batch = id;
	seen->job.u.seen.who = seen->who;
	seen->job.u.seen.now = clock_wall();
	json_put_time(s->answer, "seen_at", seen->job.u.seen.now);
	json_put_text(s->answer, "seen_by", seen->who);
	writer_submit(r->deps->store, &seen->job);
}

/* ---- the calls */

bool
batch_read_id(struct request *r, int64_t *id)
{
	if (store_batch_parse(r->id, id))
		return true;
	request_fail(r, 404,
		     "%s is no batch; batches look like B17, and `mailfuse batches --all` lists "
		     "them",
		     log_safe(r->id));
	return false;
}

static void
fail_batch(struct request *r, enum store_result result)
{
	char what[80];

	snprintf(what, sizeof(what), "batch %s", r->id);
	request_fail_store(r, result, what, "");
}

void
batch_get(struct request *r)
{
	static const char *const none[] = {NULL};
	struct story s = {0};
	enum store_result result;
	int64_t id;

	if (!request_check_query(r, none) || !batch_read_id(r, &id))
		return;
	result = store_view_batch(r->deps->view, id, take_batch, &s);
	if (result == STORE_OK && s.answer == NULL)
		result = STORE_MISSING;
	if (result == STORE_OK)
		result = put_story(r, &s, id);
	if (result == STORE_OK) {
		put_sending(r->deps->counters, &s);
		mark_seen(r, &s, id);
		request_reply(r, s.answer);
	} else {
		json_decref(s.answer);
		fail_batch(r, result);
	}
	free(s.environment);
	next_steps_free(&s.next);
}

static bool
found_batch(void *context, const struct store_batch *b)
{
	(void)b;
	*(bool *)context = true;
	return true;
}

static bool
add_fate(void *context, const struct store_alert_fate *f)
{
	static const char *const fates[] = {[STORE_FATE_PENDING] = "pending",
					    [STORE_FATE_DELIVERED] = "delivered",
					    [STORE_FATE_FAILED] = "failed",
					    [STORE_FATE_UNWANTED] = "unwanted"};
	json_t *o = json_make_object();

	json_put_count(o, "id", (uint64_t)f->event_id);
	json_put_text(o, "event", f->event);
	json_put_time(o, "at", f->at);
	json_put_text(o, "text", f->text);
	json_put_text(o, "channel", f->channel);
	json_put_text(o, "fate", fates[f->fate]);
	json_put_time(o, "done_at", f->done_at);
	json_put_count(o, "tries", f->tries);
	json_put_text(o, "error", f->error);
	json_append(context, o);
	return true;
}

void
batch_alerts(struct request *r)
{
	static const char *const known[] = {"limit", NULL};
	enum store_result result;
	bool found = false;
	json_t *items;
	uint32_t limit;
	int64_t id;

	if (!request_check_query(r, known) || !batch_read_id(r, &id) ||
	    !request_query_limit(r, "limit", 100, 1000, &limit))
		return;
	items = json_make_array();
	result = store_view_batch(r->deps->view, id, found_batch, &found);
	if (result == STORE_OK && !found)
		result = STORE_MISSING;
	if (result == STORE_OK)
		result = store_view_alert_fates(r->deps->view, id, limit, add_fate, items);
	if (result == STORE_OK) {
		request_reply(r, json_make_list(items, NULL));
	} else {
		json_decref(items);
		fail_batch(r, result);
	}
}
