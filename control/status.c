/*
 * GET /v1/status: what runs, what is protected, what is held. The sentences for people are made in
 * warnings.c. Called by api.c; main loop.
 */
#include "control/status.h"

#include <string.h>
#include <unistd.h>

#include "base/metrics.h"
#include "base/units.h"
#include "config/options.h"
#include "control/button.h"
#include "control/drill.h"
#include "control/json.h"
#include "control/request.h"
#include "control/warnings.h"
#include "filters/counters.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0.1.0"
#endif

static json_t *
put_array(json_t *object, const char *key)
{
	json_t *array = json_make_array();

	json_put(object, key, array);
	return array;
}

struct rows {
	json_t *list;
	const struct config *config;
};

static void
put_word(json_t *o, const char *section, const char *setting, int value)
{
	json_put_text(o, setting, options_find(section, setting)->words[value]);
}

/* A listener stays until the next start, so it is in every configuration that is in force. */
static void
add_listener(void *context, const char *name, const char *address)
{
	struct rows *rows = context;
	json_t *o = json_make_object();

	json_put_text(o, "name", name);
	json_put_text(o, "address", address);
	for (size_t i = 0; i < rows->config->listener_count; i++) {
		const struct config_listener *l = &rows->config->listeners[i];

		if (strcmp(l->name, name) != 0)
			continue;
		put_word(o, "listener", "tls", l->tls);
		put_word(o, "listener", "auth", l->auth);
	}
	json_append(rows->list, o);
}

static void
add_upstream(void *context, const struct control_upstream *u)
{
	struct rows *rows = context;
	const struct config_upstream *config = config_find_upstream(rows->config, u->name);
	json_t *o = json_make_object();

	json_put_text(o, "name", u->name);
	json_put_text(o, "address", u->address);
	if (config != NULL)
		put_word(o, "upstream", "tls", config->tls);
	json_put_bool(o, "up", u->up);
	json_put_time(o, "since", u->since);
	json_put_text(o, "why", u->why);
	json_put_count(o, "connections", u->connections);
	json_append(rows->list, o);
}

static void
put_per(json_t *o, unsigned set)
{
	const char *const *words = options_find("burst", "per")->words;
	json_t *list = put_array(o, "per");

	for (unsigned i = 0; words[i] != NULL; i++)
		if (set & (1u << i))
			json_append(list, json_string(words[i]));
}

static json_t *
json_from_burst(const struct config_burst *b)
{
	char text[UNITS_BYTES];
	json_t *o = json_make_object();

	json_put_text(o, "name", b->name);
	json_put_text(o, "limit", units_format_rate(b->limit, b->window, text));
	put_per(o, b->per);
	json_put_text(o, "head",
		      b->head > 0 ? units_format_rate(b->head, b->head_window, text) : NULL);
	json_put_text(o, "settle", b->head > 0 ? units_format_duration(b->settle, text) : NULL);
	json_put_text(o, "declared",
		      b->declared > 0 ? units_format_rate(b->declared, b->declared_window, text)
				      : NULL);
	put_word(o, "burst", "action", (int)b->action);
	return o;
}

static json_t *
json_from_content(const struct config_content *c)
{
	static const char *const parts[] = {NULL, "text", "html", "body"};
	char text[UNITS_BYTES];
	json_t *o = json_make_object();

	json_put_text(o, "name", c->name);
	json_put_text(o, "header", c->part == CONFIG_PART_HEADER ? c->header : NULL);
	json_put_text(o, "part", parts[c->part]);
	json_put_text(o, "match", c->match);
	json_put_text(o, "above",
		      c->above > 0 ? units_format_rate(c->above, c->above_window, text) : NULL);
	put_per(o, c->per);
	put_word(o, "content", "action", (int)c->action);
	return o;
}

json_t *
status_contents(const struct config_environment *env)
{
	json_t *list = json_make_array();

	for (size_t i = 0; i < env->content_count; i++)
		json_append(list, json_from_content(&env->contents[i]));
	return list;
}

json_t *
status_bursts(const struct config_environment *env)
{
	json_t *list = json_make_array();

	for (size_t i = 0; i < env->burst_count; i++)
		json_append(list, json_from_burst(&env->bursts[i]));
	return list;
}

static json_t *
json_from_environment(const struct config_environment *env)
{
	static const char *const others[] = {"drop", "rewrite", "reject", "hold"};
	json_t *o = json_make_object();

	json_put_text(o, "name", env->name);
	json_put_bool(o, "production", env->production);
	json_put_text(o, "upstream",
		      env->upstream != NULL && env->upstream[0] == '\0' ? "none" : env->upstream);
	json_put_text(o, "others", others[env->others]);
	json_put(o, "bursts", status_bursts(env));
	json_put(o, "contents", status_contents(env));
	return o;
}

struct held {
	json_t *counts;
	uint64_t batches, recipients;
};

static bool
add_count(void *context, const char *environment, enum store_state state, uint64_t count)
{
	struct held *held = context;
	json_t *o = json_make_object();

	json_put_text(o, "environment", environment);
	json_put_text(o, "state", store_state_name(state));
	json_put_count(o, "count", count);
	json_append(held->counts, o);
	if (state == STORE_HELD)
		held->recipients += count;
	return true;
}

static bool
count_batch(void *context, const struct store_batch *b)
{
	struct held *held = context;

	held->batches += b->held > 0;
	return true;
}

json_t *
status_hold(const struct store_hold *h)
{
	json_t *o = json_make_object();

	json_put_text(o, "scope", button_scope_name(h->scope));
	json_put_text(o, "name", h->name);
	json_put_text(o, "reason", h->reason);
	json_put_text(o, "who", h->who);
	json_put_time(o, "since", h->since);
	return o;
}

static bool
add_hold(void *context, const struct store_hold *h)
{
	json_append(context, status_hold(h));
	return true;
}

static enum store_result
put_stored(json_t *answer, struct store_view *view)
{
	struct held held = {.counts = put_array(answer, "counts")};
	uint64_t pending = 0, failed = 0;
	int64_t oldest = 0;
	json_t *o;
	enum store_result result = store_view_tallies(view, add_count, &held);

	if (result == STORE_OK)
		result = store_view_batches(view, -1, false, count_batch, &held);
	if (result == STORE_OK)
		result = store_view_holds(view, add_hold, put_array(answer, "holds"));
	if (result == STORE_OK)
		result = store_view_alert_backlog(view, &pending, &failed, &oldest);
	o = json_make_object();
	json_put_count(o, "batches", held.batches);
	json_put_count(o, "recipients", held.recipients);
	json_put(answer, "held", o);
	o = json_make_object();
	json_put_count(o, "pending", pending);
	json_put_count(o, "failed", failed);
	json_put_time(o, "oldest_at", oldest);
	json_put(answer, "alerts", o);
	json_put(answer, "last_drill", drill_last(view));
	return result;
}

static void
put_running(json_t *answer, const struct control_deps *deps, const struct config *config)
{
	struct rows rows = {.config = config};
	const char *why = NULL;
	bool room = store_has_room(deps->store, &why);
	json_t *o;

	json_put_text(answer, "version", PACKAGE_VERSION);
	json_put_count(answer, "pid", (uint64_t)getpid());
	json_put_time(answer, "started_at", deps->started_at);
	json_put_text(answer, "hostname", config->hostname);
	json_put_text(answer, "config", config->path);
	rows.list = put_array(answer, "listeners");
	deps->listeners(deps->context, add_listener, &rows);
	o = put_array(answer, "environments");
	for (size_t i = 0; i < config->environment_count; i++)
		json_append(o, json_from_environment(&config->environments[i]));
	rows.list = put_array(answer, "upstreams");
	deps->upstreams(deps->context, add_upstream, &rows);
	o = json_make_object();
	json_put_bool(o, "room", room);
	json_put_text(o, "why", room ? "" : why);
	json_put(answer, "store", o);
	o = json_make_object();
	json_put_count(o, "keys", counters_key_count(deps->counters));
	json_put_count(o, "keys_most", config->counter_keys);
	json_put(answer, "counters", o);
	o = json_make_object();
	for (int i = 0; i < METRIC_COUNT; i++) {
		int64_t value = metric_get((enum metric)i);

		json_put(o, metric_name((enum metric)i), json_integer(value));
	}
	json_put(answer, "metrics", o);
}

enum store_result
status_make(const struct control_deps *deps, json_t **out)
{
	const struct config *config = policy_config(deps->policy(deps->context));
	json_t *answer = json_make_object();
	enum store_result result;

	put_running(answer, deps, config);
	result = put_stored(answer, deps->view);
	if (result != STORE_OK) {
		json_decref(answer);
		return result;
	}
	warnings_add(answer, deps, config);
	*out = answer;
	return STORE_OK;
}

void
status_get(struct request *r)
{
	static const char *const none[] = {NULL};
	enum store_result result;
	json_t *answer;

	if (!request_check_query(r, none))
		return;
	result = status_make(r->deps, &answer);
	if (result == STORE_OK)
		request_reply(r, answer);
	else
		request_fail_store(r, result, "status", "");
}
