/*
 * GET /v1/queue: what waits for an upstream, by environment, and the deliveries that wait longest.
 * Called by api.c; main loop.
 */
#include "control/queue.h"

#include <string.h>

#include "base/clock.h"
#include "control/json.h"
#include "control/request.h"

enum { LONGEST = 50 };

struct waiting {
	json_t *environments;
	const struct config *config;
	const struct control_deps *deps;
};

struct upstream_lookup {
	const char *name;
	int up; /* -1 unknown */
};

static void
take_upstream(void *context, const struct control_upstream *u)
{
	struct upstream_lookup *look = context;

	if (strcmp(u->name, look->name) == 0)
		look->up = u->up;
}

static json_t *
find_environment(json_t *list, const char *name)
{
	json_t *wanted = json_text(name, strlen(name)), *item, *found = NULL;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (json_equal(json_object_get(item, "environment"), wanted))
			found = item;
	}
	json_decref(wanted);
	return found;
}

static json_t *
add_environment(struct waiting *w, const char *name)
{
	const struct config_environment *env = config_find_environment(w->config, name);
	struct upstream_lookup look = {.up = -1};
	json_t *o = json_make_object();

	json_put_text(o, "environment", name);
	if (env != NULL && env->upstream != NULL && env->upstream[0] != '\0') {
		look.name = env->upstream;
		w->deps->upstreams(w->deps->context, take_upstream, &look);
	}
	json_put_text(o, "upstream", look.name);
	json_put(o, "up", look.up < 0 ? json_null() : json_boolean(look.up));
	json_put_count(o, "queued", 0);
	json_put_count(o, "waiting", 0);
	json_put_time(o, "oldest_at", 0);
	json_put_time(o, "next_try_at", 0);
	json_append(w->environments, o);
	return o;
}

/* RFC 3339 in UTC with the same number of digits: the earlier one is the smaller text. */
static void
put_earlier(json_t *o, const char *key, int64_t wall)
{
	json_t *old = json_incref(json_object_get(o, key));

	if (wall <= 0) {
		json_decref(old);
		return;
	}
	json_put_time(o, key, wall);
	if (json_is_string(old) &&
	    strcmp(json_string_value(old), json_string_value(json_object_get(o, key))) < 0)
		json_put(o, key, json_incref(old));
	json_decref(old);
}

static bool
add_count(void *context, const char *environment, enum store_state state, uint64_t count,
	  int64_t oldest_accepted_at, int64_t next_due_at)
{
	struct waiting *w = context;
	json_t *o;

	if (state != STORE_QUEUED && state != STORE_WAITING)
		return true;
	o = find_environment(w->environments, environment);
	if (o == NULL)
		o = add_environment(w, environment);
	json_put_count(o, state == STORE_QUEUED ? "queued" : "waiting", count);
	put_earlier(o, "oldest_at", oldest_accepted_at);
	put_earlier(o, "next_try_at", next_due_at > 0 ? clock_steady_as_wall(next_due_at) : 0);
	return true;
}

static bool
add_delivery(void *context, const struct store_delivery *d)
{
	json_append(context, json_from_delivery(d));
	return true;
}

void
queue_get(struct request *r)
{
	static const char *const none[] = {NULL};
	const struct store_filter filter = {.state = STORE_QUEUED, .limit = LONGEST};
	struct waiting w = {.deps = r->deps};
	enum store_result result;
	json_t *answer, *deliveries;

	if (!request_check_query(r, none))
		return;
	w.config = request_config(r);
	answer = json_make_object();
	w.environments = json_make_array();
	json_put(answer, "environments", w.environments);
	deliveries = json_make_array();
	json_put(answer, "deliveries", deliveries);
	result = store_view_counts(r->deps->view, add_count, &w);
	if (result == STORE_OK)
		result = store_view_deliveries(r->deps->view, &filter, add_delivery, deliveries);
	if (result != STORE_OK) {
		json_decref(answer);
		request_fail_store(r, result, "queue", "");
		return;
	}
	request_reply(r, answer);
}
