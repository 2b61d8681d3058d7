/*
 * The sentences of `mailfuse status`: each says what is so and what to do about it. Made from the
 * status itself, so that they never disagree with the numbers beside them. Called by status.c;
 * main loop.
 */
#include "control/warnings.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "control/drill.h"
#include "control/json.h"
#include "control/plan_json.h"

/* An alert that waits so long has a channel that does not work. */
#define ALERT_LATE CLOCK_HOUR

static void __attribute__((format(printf, 2, 3))) warn(json_t *list, const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		fatal("out of memory");
	va_end(args);
	json_append(list, json_text(text, strlen(text)));
	free(text);
}

static const char *
member_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

/* ---- the configuration */

static void
warn_environment(json_t *list, const struct config_environment *env)
{
	if (!env->production)
		for (size_t i = 0; env->allow[i] != NULL; i++)
			if (strcmp(env->allow[i], "*") == 0)
				warn(list,
				     "environment %s is not production and may write to "
				     "everybody (allow = {\"*\"}).",
				     env->name);
	if (env->upstream == NULL && strcmp(env->name, "unknown") != 0)
		warn(list,
		     "environment %s has no upstream: all its mail is held. Define an upstream, or "
		     "write upstream = none to capture on purpose.",
		     env->name);
}

static void
warn_policy(json_t *list, const struct config *config)
{
	/* The last one is the built-in `unknown`. */
	if (config->environment_count <= 1)
		warn(list, "no environment is configured: all mail is held.");
	for (size_t i = 0; i < config->environment_count; i++)
		warn_environment(list, &config->environments[i]);
}

/* ---- what does not stop a blast, or tells nobody */

static void
warn_observer(json_t *list, const char *kind, const char *name,
	      const struct config_environment *env)
{
	warn(list,
	     "%s \"%s\" of environment %s only observes (action = alert): it tells of a blast and "
	     "does not stop it.",
	     kind, name, env->name);
}

static void
warn_observers(json_t *list, const struct config *config)
{
	for (size_t i = 0; i < config->environment_count; i++) {
		const struct config_environment *env = &config->environments[i];

		for (size_t k = 0; k < env->content_count; k++)
			if (env->contents[k].action == CONFIG_BURST_ALERT)
				warn_observer(list, "content", env->contents[k].name, env);
		for (size_t k = 0; k < env->burst_count; k++)
			if (env->bursts[k].action == CONFIG_BURST_ALERT)
				warn_observer(list, "burst", env->bursts[k].name, env);
	}
	if (config->alert_count == 0)
		warn(list, "no alert channel is configured: nobody is told when a batch opens.");
}

/* ---- just now */

static void
warn_holds(json_t *list, const json_t *status)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(status, "holds"), i, item)
	{
		const char *name = member_text(item, "name"), *scope = member_text(item, "scope");
		const char *between = name[0] != '\0' ? " " : "";

		warn(list,
		     "the panic button is pressed: %s%s%s is held since %s by %s (%s). mailfuse "
		     "unhold --%s%s%s ends it.",
		     scope, between, name, member_text(item, "since"), member_text(item, "who"),
		     member_text(item, "reason"), scope, between, name);
	}
}

static void
warn_upstreams(json_t *list, const json_t *status)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(status, "upstreams"), i, item)
	{
		if (json_is_true(json_object_get(item, "up")))
			continue;
		warn(list,
		     "upstream %s (%s) is down since %s: %s. Its mail waits and is tried again.",
		     member_text(item, "name"), member_text(item, "address"),
		     member_text(item, "since"), member_text(item, "why"));
	}
}

static void
warn_unknown(json_t *list, const json_t *status)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(status, "counts"), i, item)
	{
		uint64_t count = (uint64_t)json_integer_value(json_object_get(item, "count"));

		if (strcmp(member_text(item, "environment"), "unknown") != 0 ||
		    strcmp(member_text(item, "state"), store_state_name(STORE_HELD)) != 0)
			continue;
		warn(list,
		     "%" PRIu64 " %s held because no environment matches the source: mailfuse "
		     "messages --environment unknown shows from where; add a match block.",
		     count, count == 1 ? "recipient is" : "recipients are");
	}
}

/* What is on its way in an environment that a reload took away, or took the upstream from. */
static void
warn_stranded(json_t *list, const json_t *status, const struct config *config)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(status, "counts"), i, item)
	{
		const char *name = member_text(item, "environment");
		const char *state = member_text(item, "state");
		const struct config_environment *env = config_find_environment(config, name);

		if (strcmp(state, store_state_name(STORE_QUEUED)) != 0 &&
		    strcmp(state, store_state_name(STORE_WAITING)) != 0)
			continue;
		if (env != NULL && env->upstream != NULL && env->upstream[0] != '\0')
			continue;
		if (env == NULL && strcmp(name, CONFIG_DRILL) == 0) {
			warn(list,
			     "%" PRIu64 " recipients of a drill that was cut short are %s; nothing "
			     "takes them: mailfuse drill clears them away.",
			     (uint64_t)json_integer_value(json_object_get(item, "count")), state);
			continue;
		}
		warn(list,
		     "%" PRIu64
		     " recipients of environment %s are %s and cannot leave, because the "
		     "configuration has no %s of that name any more: put it back, and they go on.",
		     (uint64_t)json_integer_value(json_object_get(item, "count")), name, state,
		     env == NULL ? "environment" : "upstream for an environment");
	}
}

static void
warn_alerts(json_t *list, const struct control_deps *deps)
{
	uint64_t pending = 0, failed = 0;
	int64_t oldest = 0, age;
	char text[UNITS_BYTES];

	if (store_view_alert_backlog(deps->view, &pending, &failed, &oldest) != STORE_OK)
		return;
	age = clock_wall() - oldest;
	if (pending > 0 && oldest > 0 && age >= ALERT_LATE)
		warn(list,
		     "%" PRIu64 " %s not delivered, the oldest for %s: look at the alert "
		     "channels and the log.",
		     pending, pending == 1 ? "alert is" : "alerts are",
		     units_format_duration(age, text));
	if (failed > 0)
		warn(list, "%" PRIu64 " %s given up: mailfuse log shows which.", failed,
		     failed == 1 ? "alert was" : "alerts were");
}

/* ---- releases that wait for a person */

enum { PLANS_LOOKED_AT = 1000, PLANS_TOLD = 20 };

struct open_batches {
	int64_t ids[PLANS_LOOKED_AT]; /* the newest */
	size_t count;
	json_t *list;
	size_t told, untold;
};

static bool
add_open_batch(void *context, const struct store_batch *b)
{
	struct open_batches *open = context;

	open->ids[open->count++] = b->id;
	return open->count < PLANS_LOOKED_AT;
}

static const char *
format_count(uint64_t n, char out[32])
{
	char digits[24];
	size_t len = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, n), to = 0;

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			out[to++] = ',';
		out[to++] = digits[i];
	}
	out[to] = '\0';
	return out;
}

static bool
warn_plan(void *context, const struct store_plan *p)
{
	struct open_batches *open = context;
	char since[CLOCK_ISO_BYTES], total[32], people[40] = "a second person";
	uint32_t missing = plan_approvals_missing(p);

	if (p->state != STORE_PLAN_ASKED && p->state != STORE_PLAN_PAUSED)
		return true;
	if (open->told++ >= PLANS_TOLD) {
		open->untold++;
		return true;
	}
	if (p->approvers > 2)
		snprintf(people, sizeof(people), "%" PRIu32 " more %s", missing,
			 missing == 1 ? "person" : "people");
	if (p->state == STORE_PLAN_ASKED) {
		clock_format_iso(p->created_at, since);
		warn(open->list,
		     "B%" PRId64 ": a release of %s recipients waits for %s since %s: mailfuse "
		     "approve B%" PRId64 ".",
		     p->batch, format_count(p->total, total), people, since, p->batch);
	} else {
		clock_format_iso(p->changed_at, since);
		warn(open->list,
		     "B%" PRId64 "'s release is paused since %s: %s; mailfuse resume B%" PRId64 ".",
		     p->batch, since, p->why, p->batch);
	}
	return true;
}

static void
warn_plans(json_t *list, const struct control_deps *deps)
{
	struct open_batches *open = mem_zalloc(sizeof(*open));

	open->list = list;
	if (store_view_batches(deps->view, -1, false, add_open_batch, open) == STORE_OK)
		for (size_t i = 0; i < open->count; i++)
			(void)store_view_plan(deps->view, open->ids[i], warn_plan, open);
	if (open->untold > 0)
		warn(list,
		     "%zu more releases are paused or wait for a second person: mailfuse batches "
		     "lists them.",
		     open->untold);
	free(open);
}

/* What follows of these streams is not held: nobody should find out from the recipients. */
static bool
warn_ruling(void *list, const struct store_batch *b)
{
	char until[CLOCK_ISO_BYTES];

	clock_format_iso(clock_steady_as_wall(b->ruling_until), until);
	warn(list,
	     "B%" PRId64
	     ": what follows of its stream %s until %s (%s by %s); mailfuse %s B%" PRId64
	     " ends that.",
	     b->id, b->ruling == STORE_RULING_PASS ? "passes" : "is discarded", until,
	     b->ruling == STORE_RULING_PASS ? "released" : "discarded", b->decided_by,
	     b->ruling == STORE_RULING_PASS ? "pause" : "restore", b->id);
	return true;
}

/* Beyond it keys share one, and trip sooner than their limit says. */
static void
warn_counters(json_t *list, const json_t *status)
{
	const json_t *counters = json_object_get(status, "counters");
	json_int_t keys = json_integer_value(json_object_get(counters, "keys"));
	json_int_t most = json_integer_value(json_object_get(counters, "keys_most"));

	if (keys >= most / 10 * 9)
		warn(list,
		     "the limits count %lld keys of at most %lld: new ones share a key soon, and "
		     "what is under its limit is held. Raise counter_keys, or find who sends so "
		     "many different subjects.",
		     (long long)keys, (long long)most);
}

static void
warn_drill(json_t *list, const json_t *status, const struct config *config)
{
	struct buf text = {0};

	drill_warn(config, json_object_get(status, "last_drill"), &text);
	if (text.len > 0)
		warn(list, "%s", buf_text(&text));
	buf_free(&text);
}

static void
warn_row(void *list, const char *text)
{
	warn(list, "%s", text);
}

void
warnings_add(json_t *status, const struct control_deps *deps, const struct config *config)
{
	json_t *policy = json_make_array(), *all = json_make_array();
	const json_t *store = json_object_get(status, "store");

	warn_holds(all, status);
	if (!json_is_true(json_object_get(store, "room")))
		warn(all, "the store takes no more mail (clients get %s): %s.",
		     store_is_broken(deps->store) ? "451" : "452", member_text(store, "why"));
	warn_upstreams(all, status);
	if (deps->warnings != NULL)
		deps->warnings(deps->context, warn_row, all);
	warn_plans(all, deps);
	(void)store_view_ruled(deps->view, warn_ruling, all);
	warn_alerts(all, deps);
	warn_counters(all, status);
	warn_unknown(all, status);
	warn_stranded(all, status, config);
	warn_observers(all, config);
	warn_drill(all, status, config);
	warn_policy(policy, config);
	json_put(status, "policy_warnings", policy);
	json_put(status, "warnings", all);
}
