/*
 * GET /metrics: puts the families together. Here are those of the configuration in force, the
 * upstreams, the counters and the drill; the others are in metrics_*.c. Called by api.c; main loop.
 */
#include "control/metrics.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "control/metrics_parts.h"
#include "control/request.h"
#include "filters/counters.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0.1.0"
#endif

/* ---- upstreams */

struct upstream_rows {
	struct exposition *x;
	bool connections; /* else whether it is up */
};

static void
add_upstream(void *context, const struct control_upstream *u)
{
	struct upstream_rows *rows = context;

	exposition_count(rows->x, rows->connections ? (int64_t)u->connections : u->up, "upstream",
			 u->name, NULL);
}

static void
add_upstreams(struct exposition *x, const struct control_deps *deps)
{
	struct upstream_rows rows = {.x = x};

	exposition_family(x, "mailfuse_upstream_up", EXPOSITION_GAUGE,
			  "0 if no connection to it can be had.");
	deps->upstreams(deps->context, add_upstream, &rows);
	rows.connections = true;
	exposition_family(x, "mailfuse_upstream_connections", EXPOSITION_GAUGE,
			  "Connections to it that are open.");
	deps->upstreams(deps->context, add_upstream, &rows);
}

/* ---- what the policy in force does */

static void
add_rule(struct exposition *x, const struct config_environment *env, const char *kind,
	 const char *rule, enum config_burst_action action)
{
	char *name = mem_printf("%s %s", kind, rule);

	exposition_count(x, action == CONFIG_BURST_HOLD, "environment", env->name, "rule", name,
			 NULL);
	free(name);
}

static void
add_rules(struct exposition *x, const struct config_environment *env)
{
	for (size_t i = 0; i < env->content_count; i++)
		add_rule(x, env, "content", env->contents[i].name, env->contents[i].action);
	exposition_count(x, 1, "environment", env->name, "rule", "audience", NULL);
	for (size_t i = 0; i < env->burst_count; i++)
		add_rule(x, env, "burst", env->bursts[i].name, env->bursts[i].action);
}

static void
add_policy(struct exposition *x, const struct config *config)
{
	exposition_family(x, "mailfuse_policy_enforced", EXPOSITION_GAUGE,
			  "1 if the rule holds, 0 if it only tells (action = alert).");
	for (size_t i = 0; i < config->environment_count; i++)
		add_rules(x, &config->environments[i]);
	exposition_family(x, "mailfuse_environment_production", EXPOSITION_GAUGE,
			  "1 if the environment is production.");
	for (size_t i = 0; i < config->environment_count; i++)
		exposition_count(x, config->environments[i].production, "environment",
				 config->environments[i].name, NULL);
}

/* ---- the counters, the drill */

static void
add_counters(struct exposition *x, const struct control_deps *deps, const struct config *config)
{
	int64_t saved_at = metric_get(METRIC_COUNTERS_SAVED_AT) * CLOCK_SECOND;
	int64_t now = clock_wall(), age = now - (saved_at != 0 ? saved_at : deps->started_at);

	exposition_family(x, "mailfuse_counters_keys", EXPOSITION_GAUGE,
			  "Keys of limits in memory.");
	exposition_count(x, (int64_t)counters_key_count(deps->counters), NULL);
	exposition_family(x, "mailfuse_counters_keys_limit", EXPOSITION_GAUGE, "counter_keys.");
	exposition_count(x, (int64_t)config->counter_keys, NULL);
	exposition_family(x, "mailfuse_counters_state_age_seconds", EXPOSITION_GAUGE,
			  "Since the burst counters were saved; each part is once in about a "
			  "minute.");
	exposition_seconds(x, age > 0 ? age : 0, NULL);
}

static void
add_drill(struct exposition *x, const struct config *config)
{
	exposition_family(x, "mailfuse_last_drill_passed_timestamp_seconds", EXPOSITION_GAUGE,
			  "When a drill passed last, seconds since 1970; 0 is never.");
	exposition_count(x, metric_get(METRIC_LAST_DRILL_PASSED_AT), NULL);
	exposition_family(x, "mailfuse_drill_interval_seconds", EXPOSITION_GAUGE,
			  "drill_every; 0 is never.");
	exposition_seconds(x, config->drill_every, NULL);
}

void
metrics_get(struct request *r)
{
	static const char *const none[] = {NULL};
	struct exposition x = {.name = ""};
	const struct config *config;

	if (!request_check_query(r, none))
		return;
	config = request_config(r);
	exposition_family(&x, "mailfuse_build_info", EXPOSITION_GAUGE, "What runs.");
	exposition_count(&x, 1, "version", PACKAGE_VERSION, NULL);
	metrics_add_counts(&x);
	metrics_add_store(&x, r->deps, config);
	add_upstreams(&x, r->deps);
	add_policy(&x, config);
	add_counters(&x, r->deps, config);
	add_drill(&x, config);
	metrics_add_process(&x, r->deps->started_at);
	request_reply_bytes(r, EXPOSITION_TYPE, &x.out);
}
