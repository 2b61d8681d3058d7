/*
 * What stands in the way of a release, told before anything moves: an environment without upstream,
 * or one that captures, or is gone, or the panic button, or that all of it was discarded. Mail
 * released against these would wait unseen, or be stopped again. Called by decision_call.c and
 * plans.c; main loop.
 */
#include "control/obstacle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/decision_call.h"
#include "control/json.h"
#include "control/request.h"

/* What stands in the way of a release of this environment's and source's mail, NULL if nothing. */
static char *
release_obstacle(struct request *r, const char *environment, const char *source)
{
	const struct config *config = request_config(r);
	const struct config_environment *env = config_find_environment(config, environment);
	const char *name = log_safe(environment);

	if (env == NULL && strcmp(environment, CONFIG_DRILL) == 0)
		return mem_printf("it is mail of a drill that is over, which nothing takes any "
				  "more: discard it");
	if (env == NULL)
		return mem_printf("the configuration has no environment %s any more: put it back "
				  "with an upstream and reload (SIGHUP), or discard the mail",
				  name);
	if (env->upstream == NULL && strcmp(environment, "unknown") == 0)
		return mem_printf(
		    "its source %s matches no environment, so its mail has nowhere to "
		    "go: add a match block for the source to an environment, reload "
		    "(SIGHUP), let the application send again, and discard this",
		    log_safe(source));
	if (env->upstream == NULL)
		return mem_printf("environment %s has no upstream: define one and reload (SIGHUP)",
				  name);
	if (env->upstream[0] == '\0')
		return mem_printf(
		    "environment %s captures (upstream = none), so nothing leaves from "
		    "it: `mailfuse message ID` shows the mail; to let it out, name an "
		    "upstream and reload (SIGHUP)",
		    name);
	if (counters_is_held(r->deps->counters, environment, source))
		return mem_printf(
		    "the panic button holds it (`mailfuse status` shows why): end that "
		    "first with `mailfuse unhold`, then release");
	return NULL;
}

struct obstacle {
	struct request *request;
	bool found;
	bool mixed; /* a batch of the panic button: its mail is of several environments */
	/* The store holds the batch against what was seen, and then says how it stands. */
	bool was_seen;
	char *text;
	char *environment, *source; /* of the last delivery, which had no obstacle */
};

static bool
check_batch(void *context, const struct store_batch *b)
{
	struct obstacle *o = context;
	char id[JSON_BATCH_BYTES];

	o->found = true;
	o->mixed = b->environment[0] == '\0';
	if (b->state == STORE_BATCH_DISCARDED && !o->was_seen)
		o->text = mem_printf("it was discarded by %s; `mailfuse restore %s` brings it back",
				     b->decided_by, json_batch_id(b->id, id));
	else if (!o->mixed)
		o->text = release_obstacle(o->request, b->environment, b->source);
	return true;
}

static bool
check_delivery(void *context, const struct store_delivery *d)
{
	struct obstacle *o = context;

	o->found = true;
	if (o->environment != NULL && strcmp(o->environment, d->environment) == 0 &&
	    strcmp(o->source, d->source) == 0)
		return true;
	free(o->environment);
	free(o->source);
	o->environment = mem_strdup(d->environment);
	o->source = mem_strdup(d->source);
	o->text = release_obstacle(o->request, d->environment, d->source);
	return o->text == NULL;
}

/* Answers and returns false where the store failed, there is no such thing, or it may not leave. */
static bool
judge_obstacle(struct request *r, enum store_result result, struct obstacle *o, const char *what)
{
	bool free_to_go = result == STORE_OK && o->found && o->text == NULL;

	if (result == STORE_OK && !o->found)
		result = STORE_MISSING;
	if (result != STORE_OK)
		request_fail_store(r, result, what, "");
	else if (o->text != NULL && o->environment != NULL && o->mixed)
		request_fail(r, 409,
			     "%s cannot be released: it holds mail of environment %s, and %s. Or "
			     "discard that part by its ids (`mailfuse messages` lists them), then "
			     "release the rest",
			     what, log_safe(o->environment), o->text);
	else if (o->text != NULL)
		request_fail(r, 409, "%s cannot be released: %s", what, o->text);
	free(o->text);
	free(o->environment);
	free(o->source);
	return free_to_go;
}

bool
obstacle_check_batch(struct request *r, int64_t batch, const struct store_page *page)
{
	const struct store_filter held = {.batch = batch, .state = STORE_HELD, .limit = UINT32_MAX};
	struct obstacle o = {.request = r, .was_seen = page->set != 0};
	char what[64], id[JSON_BATCH_BYTES];
	enum store_result result;

	snprintf(what, sizeof(what), "batch %s", json_batch_id(batch, id));
	result = store_view_batch(r->deps->view, batch, check_batch, &o);
	if (result == STORE_OK && o.mixed && o.text == NULL)
		result = store_view_deliveries(r->deps->view, &held, check_delivery, &o);
	return judge_obstacle(r, result, &o, what);
}

/* Makes *drill false where it is no mail of a drill. */
static bool
check_one_message(struct request *r, uint64_t message, bool *drill)
{
	const struct store_filter any = {.message = message, .state = -1, .limit = 1};
	struct obstacle o = {.request = r};
	char what[64], id[ID_TEXT_BYTES];
	enum store_result result;

	snprintf(what, sizeof(what), "message %s", id_format(message, id));
	result = store_view_deliveries(r->deps->view, &any, check_delivery, &o);
	if (o.environment == NULL || strcmp(o.environment, CONFIG_DRILL) != 0)
		*drill = false;
	return judge_obstacle(r, result, &o, what);
}

bool
obstacle_check(struct request *r, struct decision *d)
{
	d->ids_are_drill = true;
	for (size_t i = 0; i < d->batch_count; i++)
		if (!obstacle_check_batch(r, d->batches[i], &d->page))
			return false;
	for (size_t i = 0; i < d->id_count; i++) {
		if (i > 0 && d->ids[i].id == d->ids[i - 1].id)
			continue; /* another delivery of the same message */
		if (!check_one_message(r, d->ids[i].id, &d->ids_are_drill))
			return false;
	}
	return true;
}
