/*
 * GET /v1/batches and /v1/batches/B17: what is held together, and the story of one batch: what
 * tripped, how fast it came, whom it was for, what can be done next. Called by api.c; main loop.
 */
#include "control/batches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/json.h"
#include "control/request.h"

enum { TOP = 10, FIRST_MESSAGES = 5, STEPS_MAX = 60 };

/* ---- the list */

struct page {
	json_t *items;
	int64_t *ids; /* of the items, for what cannot be asked during a list */
	uint32_t limit;
	int64_t after; /* newest first: only smaller ones; 0 = from the start */
	bool more;
};

static bool
add_batch(void *context, const struct store_batch *b)
{
	struct page *page = context;
	size_t n = json_array_size(page->items);

	if (page->after != 0 && b->id >= page->after)
		return true;
	if (n == page->limit) {
		page->more = true;
		return false;
	}
	page->ids[n] = b->id;
	json_append(page->items, json_from_batch(b));
	return true;
}

static enum store_result
put_distinct(struct store_view *view, json_t *batch, int64_t id)
{
	uint64_t distinct = 0;
	enum store_result result = store_view_distinct(view, id, &distinct);

	json_put_count(batch, "distinct_recipients", distinct);
	return result;
}

static bool
read_list_call(struct request *r, struct page *page, int *state, bool *all)
{
	static const char *const known[] = {"state", "all", "limit", "after", NULL};
	const char *text;
	enum store_batch_state value;

	if (!request_check_query(r, known) ||
	    !request_query_limit(r, "limit", 100, 1000, &page->limit))
		return false;
	text = request_query(r, "all");
	*all = text != NULL && strcmp(text, "0") != 0;
	*state = -1;
	text = request_query(r, "state");
	if (text != NULL && !store_batch_state_parse(text, &value)) {
		request_fail(r, 400, "state=%s: write held, releasing, released or discarded",
			     log_safe(text));
		return false;
	}
	if (text != NULL)
		*state = (int)value;
	text = request_query(r, "after");
	if (text != NULL && !store_batch_parse(text, &page->after)) {
		request_fail(r, 400, "after=%s: batches look like B17", log_safe(text));
		return false;
	}
	return true;
}

void
batches_list(struct request *r)
{
	struct page page = {0};
	char id[JSON_BATCH_BYTES];
	enum store_result result;
	json_t *next = NULL;
	size_t n;
	int state;
	bool all;

	if (!read_list_call(r, &page, &state, &all))
		return;
	page.items = json_make_array();
	page.ids = mem_zalloc(page.limit * sizeof(*page.ids));
	result = store_view_batches(r->deps->view, state, all, add_batch, &page);
	n = json_array_size(page.items);
	for (size_t i = 0; i < n && result == STORE_OK; i++)
		result = put_distinct(r->deps->view, json_array_get(page.items, i), page.ids[i]);
	if (page.more)
		next = json_string(json_batch_id(page.ids[n - 1], id));
	free(page.ids);
	if (result != STORE_OK) {
		json_decref(page.items);
		json_decref(next);
		request_fail_store(r, result, "batch", "");
		return;
	}
	request_reply(r, json_make_list(page.items, next));
}

/* ---- one batch */

struct story {
	json_t *answer; /* the batch */
	json_t *next;   /* command lines */
	int64_t opened_at, last_at;
	bool releasable;
	const struct config *config;
};

static void
add_command(struct story *s, const char *id, const char *verb, const char *options)
{
	char *line = mem_printf("mailfuse %s %s%s", verb, id, options);

	json_append(s->next, json_text(line, strlen(line)));
	free(line);
}

/* What makes sense to type now, the careful way first. */
static void
add_commands(struct story *s, const struct store_batch *b)
{
	char id[JSON_BATCH_BYTES];

	json_batch_id(b->id, id);
	if (b->held > 0 && s->releasable) {
		if (b->held > 10)
			add_command(s, id, "release", " --first 10 --reason TEXT");
		if (b->held > 1000)
			add_command(s, id, "release", " --percent 5 --reason TEXT");
		add_command(s, id, "release",
			    b->held > 1000 ? " --rate 100/1m --reason TEXT" : " --reason TEXT");
	}
	if (b->held > 0)
		add_command(s, id, "discard", " --reason TEXT");
	if (b->discarded > 0)
		add_command(s, id, "restore", " --reason TEXT");
	add_command(s, id, "messages", "");
}

static bool
take_batch(void *context, const struct store_batch *b)
{
	struct story *s = context;
	const struct config_environment *env = config_find_environment(s->config, b->environment);

	s->answer = json_from_batch(b);
	s->opened_at = b->opened_at;
	s->last_at = b->last_at;
	/* A batch of the panic button has no environment: its mail is of several. */
	s->releasable = b->environment[0] == '\0' ||
			(env != NULL && env->upstream != NULL && env->upstream[0] != '\0');
	add_commands(s, b);
	return true;
}

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
add_top(void *context, const char *value, uint64_t count)
{
	json_t *o = json_make_object();

	json_put_text(o, "value", value);
	json_put_count(o, "count", count);
	json_append(context, o);
	return true;
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

static enum store_result
put_story(struct store_view *view, struct story *s, int64_t id)
{
	const struct store_filter filter = {.batch = id, .state = -1, .limit = 1000};
	struct first_messages first = {0};
	json_t *story = json_make_object();
	int64_t step = choose_step(s->last_at - s->opened_at);
	enum store_result result;

	json_put(s->answer, "story", story);
	json_put(story, "next", json_incref(s->next));
	json_put_count(story, "step_seconds", (uint64_t)(step / CLOCK_SECOND));
	first.items = put_array(story, "first_messages");
	result = store_view_deliveries(view, &filter, add_first, &first);
	if (result == STORE_OK)
		result = store_view_top(view, id, "domain", TOP, add_top,
					put_array(story, "top_domains"));
	if (result == STORE_OK)
		result =
		    store_view_top(view, id, "subject", TOP, add_top, put_array(story, "subjects"));
	if (result == STORE_OK)
		result =
		    store_view_arrivals(view, id, step, add_arrival, put_array(story, "arrivals"));
	if (result == STORE_OK)
		result = put_distinct(view, s->answer, id);
	return result;
}

void
batches_get(struct request *r)
{
	static const char *const none[] = {NULL};
	struct story s = {0};
	enum store_result result;
	char what[80];
	int64_t id;

	if (!request_check_query(r, none))
		return;
	if (!store_batch_parse(r->id, &id)) {
		request_fail(r, 404,
			     "%s is no batch; batches look like B17, and `mailfuse batches "
			     "--all` lists them",
			     log_safe(r->id));
		return;
	}
	s.config = request_config(r);
	s.next = json_make_array();
	result = store_view_batch(r->deps->view, id, take_batch, &s);
	if (result == STORE_OK && s.answer == NULL)
		result = STORE_MISSING;
	if (result == STORE_OK)
		result = put_story(r->deps->view, &s, id);
	json_decref(s.next);
	if (result != STORE_OK) {
		json_decref(s.answer);
		snprintf(what, sizeof(what), "batch %s", r->id);
		request_fail_store(r, result, what, "");
		return;
	}
	request_reply(r, s.answer);
}
