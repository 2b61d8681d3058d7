/*
 * GET /v1/rules: every burst and content rule of the configuration in force, by environment and
 * name, page by page; the cursor is "ENVIRONMENT/burst NAME" of the last. How often a rule has
 * tripped is counted over the newest batches. Called by api.c; main loop.
 */
#include "control/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "control/json.h"
#include "control/request.h"
#include "control/status.h"

/* Some 10 ms of the main loop. */
enum { BATCHES_LOOKED_AT = 20000 };

struct rule {
	char *key; /* "staging/burst volume" */
	const struct config_environment *environment;
	const char *kind;
	size_t place; /* in the environment's list of that kind */
	uint64_t tripped;
	int64_t last; /* batch, 0 = none */
};

struct rules {
	struct rule *list;
	size_t count, from;
	uint32_t limit;
};

static void
rules_free(struct rules *rules)
{
	for (size_t i = 0; i < rules->count; i++)
		free(rules->list[i].key);
	free(rules->list);
}

static void
rules_add(struct rules *rules, const struct config_environment *env, const char *kind,
	  const char *name, size_t place)
{
	if ((rules->count & (rules->count - 1)) == 0) /* a power of two: full */
		rules->list = mem_resize_array(rules->list, rules->count > 0 ? rules->count * 2 : 1,
					       sizeof(*rules->list));
	rules->list[rules->count++] =
	    (struct rule){.key = mem_printf("%s/%s %s", env->name, kind, name),
			  .environment = env,
			  .kind = kind,
			  .place = place};
}

static int
by_key(const void *a, const void *b)
{
	return strcmp(((const struct rule *)a)->key, ((const struct rule *)b)->key);
}

static void
rules_fill(struct rules *rules, const struct config *config, const char *only)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		const struct config_environment *env = &config->environments[i];

		if (only != NULL && strcmp(only, env->name) != 0)
			continue;
		for (size_t k = 0; k < env->burst_count; k++)
			rules_add(rules, env, "burst", env->bursts[k].name, k);
		for (size_t k = 0; k < env->content_count; k++)
			rules_add(rules, env, "content", env->contents[k].name, k);
	}
	if (rules->count > 0)
		qsort(rules->list, rules->count, sizeof(*rules->list), by_key);
}

static bool
add_trips(void *context, const struct store_trips *t)
{
	struct rules *rules = context;
	struct rule key = {.key = mem_printf("%s/%s", t->environment, t->rule)}, *found = NULL;

	if (rules->count > 0)
		found = bsearch(&key, rules->list, rules->count, sizeof(key), by_key);
	free(key.key);
	if (found != NULL) {
		found->tripped = t->count;
		found->last = t->last;
	}
	return true;
}

/* ---- a row */

/* The same fields for both kinds: null where the kind has no such setting. */
static json_t *
json_from_rule(const struct rule *rule)
{
	static const char *const of_burst[] = {"limit", "head", "settle", "declared"};
	static const char *const of_content[] = {"header", "part", "match"};
	const bool burst = strcmp(rule->kind, "burst") == 0;
	json_t *all = burst ? status_bursts(rule->environment) : status_contents(rule->environment);
	json_t *o = json_copy(json_array_get(all, rule->place));
	char id[JSON_BATCH_BYTES];

	json_decref(all);
	if (o == NULL)
		o = json_make_object();
	json_put_text(o, "environment", rule->environment->name);
	json_put_text(o, "kind", rule->kind);
	for (size_t i = 0; burst && i < sizeof(of_content) / sizeof(of_content[0]); i++)
		json_put(o, of_content[i], json_null());
	for (size_t i = 0; !burst && i < sizeof(of_burst) / sizeof(of_burst[0]); i++)
		json_put(o, of_burst[i], json_null());
	if (!burst) {
		json_put(o, "limit", json_incref(json_object_get(o, "above")));
		json_object_del(o, "above");
	}
	json_put_count(o, "tripped", rule->tripped);
	json_put_text(o, "last_batch", rule->last != 0 ? json_batch_id(rule->last, id) : NULL);
	return o;
}

void
rules_list(struct request *r)
{
	static const char *const known[] = {"environment", "limit", "after", NULL};
	struct rules rules = {.count = 0};
	json_t *items, *next = NULL;
	const char *after;
	enum store_result result;
	size_t i = 0;

	if (!request_check_query(r, known) ||
	    !request_query_limit(r, "limit", 100, 1000, &rules.limit))
		return;
	rules_fill(&rules, request_config(r), request_query(r, "environment"));
	result = store_view_trips(r->deps->view, BATCHES_LOOKED_AT, add_trips, &rules);
	if (result != STORE_OK) {
		rules_free(&rules);
		request_fail_store(r, result, "rule", "");
		return;
	}
	items = json_make_array();
	after = request_query(r, "after");
	while (i < rules.count && after != NULL && strcmp(rules.list[i].key, after) <= 0)
		i++;
	for (; i < rules.count && json_array_size(items) < rules.limit; i++)
		json_append(items, json_from_rule(&rules.list[i]));
	if (i < rules.count && i > 0)
		next = json_text(rules.list[i - 1].key, strlen(rules.list[i - 1].key));
	rules_free(&rules);
	request_reply(r, json_make_list(items, next));
}
