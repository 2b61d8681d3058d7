/*
 * What stands in the way of a release, told before anything moves: an environment without upstream,
 * or one that captures, or is gone, or the panic button. Mail released against these would wait
 * unseen, or be stopped again. Called by decision_call.c; main loop.
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
	char *text;
};

static bool
check_batch(void *context, const struct store_batch *b)
{
	struct obstacle *o = context;

	o->found = true;
	o->text = release_obstacle(o->request, b->environment, b->source);
	return true;
}

static bool
check_delivery(void *context, const struct store_delivery *d)
{
	struct obstacle *o = context;

	o->found = true;
	o->text = release_obstacle(o->request, d->environment, d->source);
	return false;
}

/* Answers and returns false where the store failed, there is no such thing, or it may not leave. */
static bool
judge_obstacle(struct request *r, enum store_result result, struct obstacle *o, const char *what)
{
	if (result == STORE_OK && !o->found)
		result = STORE_MISSING;
	if (result != STORE_OK)
		request_fail_store(r, result, what, "");
	else if (o->text != NULL)
		request_fail(r, 409, "%s cannot be released: %s", what, o->text);
	else
		return true;
	free(o->text);
	return false;
}

bool
obstacle_check(struct request *r, const struct decision *d)
{
	char what[64], id[ID_TEXT_BYTES];
	enum store_result result;

	for (size_t i = 0; i < d->batch_count; i++) {
		struct obstacle o = {.request = r};

		result = store_view_batch(r->deps->view, d->batches[i], check_batch, &o);
		snprintf(what, sizeof(what), "batch %s", json_batch_id(d->batches[i], id));
		if (!judge_obstacle(r, result, &o, what))
			return false;
	}
	for (size_t i = 0; i < d->id_count; i++) {
		const struct store_filter filter = {
		    .message = d->ids[i].id, .state = -1, .limit = 1};
		struct obstacle o = {.request = r};

		if (i > 0 && d->ids[i].id == d->ids[i - 1].id)
			continue; /* another delivery of the same message */
		result = store_view_deliveries(r->deps->view, &filter, check_delivery, &o);
		snprintf(what, sizeof(what), "message %s", id_format(d->ids[i].id, id));
		if (!judge_obstacle(r, result, &o, what))
			return false;
	}
	return true;
}
