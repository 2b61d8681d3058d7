/*
 * GET /v1/environments and /v1/environments/NAME: the configured ones and those that only the store
 * still knows, by name, page by page; the cursor is the last name. Called by api.c; main loop.
 */
#include "control/environments.h"

#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "config/options.h"
#include "control/json.h"
#include "control/pulse.h"
#include "control/request.h"
#include "control/status.h"

enum { DRILL_ROWS = 50 };

struct row {
	char *name;
	const struct config_environment *config; /* NULL: it is not configured any more */
	uint64_t counts[STORE_STATE_COUNT];
};

struct table {
	struct row *rows;
	size_t count;
};

static void
table_free(struct table *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->rows[i].name);
	free(t->rows);
}

static struct row *
table_add(struct table *t, const char *name)
{
	if ((t->count & (t->count - 1)) == 0) /* a power of two: full */
		t->rows =
		    mem_resize_array(t->rows, t->count > 0 ? t->count * 2 : 1, sizeof(*t->rows));
	t->rows[t->count] = (struct row){.name = mem_strdup(name)};
	return &t->rows[t->count++];
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

/* The rows that are sorted already: `known` of them. */
struct counting {
	struct table *table;
	size_t known;
};

static bool
add_count(void *context, const char *environment, enum store_state state, uint64_t count)
{
	struct counting *c = context;
	struct row *row = NULL;
	const struct row key = {.name = (char *)(uintptr_t)environment};

	if (c->known > 0)
		row = bsearch(&key, c->table->rows, c->known, sizeof(key), by_name);
	/* The store lists each environment's states one after the other. */
	if (row == NULL && c->table->count > c->known &&
	    strcmp(c->table->rows[c->table->count - 1].name, environment) == 0)
		row = &c->table->rows[c->table->count - 1];
	if (row == NULL && count > 0)
		row = table_add(c->table, environment);
	if (row != NULL)
		row->counts[state] = count;
	return true;
}

static enum store_result
table_fill(struct request *r, struct table *t)
{
	const struct config *config = request_config(r);
	struct counting c = {.table = t};
	enum store_result result;

	for (size_t i = 0; i < config->environment_count; i++)
		table_add(t, config->environments[i].name)->config = &config->environments[i];
	qsort(t->rows, t->count, sizeof(*t->rows), by_name);
	c.known = t->count;
	result = store_view_tallies(r->deps->view, add_count, &c);
	qsort(t->rows, t->count, sizeof(*t->rows), by_name);
	return result;
}

/* ---- a row */

static json_t *
json_from_sums(const struct pulse_sums *s)
{
	json_t *o = json_make_object();

	json_put_count(o, "messages", s->messages);
	json_put_count(o, "recipients", s->recipients);
	json_put_count(o, "passed", s->passed);
	json_put_count(o, "waited", s->waited);
	json_put_count(o, "held", s->held);
	json_put_count(o, "dropped", s->dropped);
	return o;
}

/* It observes where each of its burst rules only tells of a blast; what its recipients, a capture
 * or a missing upstream stop is stopped anyway. */
static const char *
policy_word(const struct config_environment *env)
{
	for (size_t i = 0; i < env->burst_count; i++)
		if (env->bursts[i].action != CONFIG_BURST_ALERT)
			return "enforce";
	return env->burst_count > 0 ? "observe" : "enforce";
}

static void
put_policy(json_t *o, const struct config_environment *env)
{
	const char *const *others = options_find("environment", "others")->words;

	json_put_bool(o, "configured", env != NULL);
	json_put_bool(o, "production", env != NULL && env->production);
	json_put_text(o, "upstream",
		      env == NULL || env->upstream == NULL ? NULL
		      : env->upstream[0] == '\0'           ? "none"
							   : env->upstream);
	json_put_bool(o, "captures",
		      env != NULL && env->upstream != NULL && env->upstream[0] == '\0');
	json_put_text(o, "others", env != NULL ? others[env->others] : NULL);
	json_put_text(o, "subject_prefix", env != NULL ? env->subject_prefix : NULL);
	json_put_text(o, "policy", env != NULL ? policy_word(env) : NULL);
}

static bool
see_drill(void *context, const struct store_audit *a)
{
	if (strcmp(a->action, "drill.passed") == 0)
		*(int64_t *)context = a->at;
	return true;
}

/* When a drill of it passed last, out of its newest rows in the audit log; 0 = none did. */
static int64_t
drill_passed_at(struct store_view *view, const char *environment)
{
	int64_t at = 0;

	(void)store_view_audit_before(view, INT64_MAX, DRILL_ROWS, environment, see_drill, &at);
	return at;
}

static json_t *
json_from_row(struct request *r, const struct row *row, const struct pulse_rates *rates,
	      bool complete)
{
	json_t *o = json_make_object(), *counts = json_make_object(), *of = json_make_object();

	json_put_text(o, "name", row->name);
	put_policy(o, row->config);
	for (int i = 0; i < STORE_STATE_COUNT; i++)
		json_put_count(counts, store_state_name((enum store_state)i), row->counts[i]);
	json_put(o, "counts", counts);
	json_put(of, "minute", json_from_sums(&rates->minute));
	json_put(of, "hour", json_from_sums(&rates->hour));
	json_put(of, "day", json_from_sums(&rates->day));
	json_put(o, "rates", of);
	json_put_bool(o, "rates_complete", complete);
	json_put_time(o, "drill_passed_at", drill_passed_at(r->deps->view, row->name));
	return o;
}

/* ---- one of them */

static json_t *
json_from_texts(char *const *texts)
{
	json_t *list;

	if (texts == NULL)
		return json_null();
	list = json_make_array();
	for (; *texts != NULL; texts++)
		json_append(list, json_text(*texts, strlen(*texts)));
	return list;
}

static json_t *
json_from_matches(const struct config_environment *env)
{
	json_t *list = json_make_array();

	for (size_t i = 0; i < env->match_count; i++) {
		const struct config_match *m = &env->matches[i];
		json_t *o = json_make_object();

		json_put(o, "listeners", json_from_texts(m->listeners));
		json_put(o, "networks", json_from_texts(m->networks));
		json_put(o, "users", json_from_texts(m->users));
		json_put(o, "tls_names", json_from_texts(m->tls_names));
		json_append(list, o);
	}
	return list;
}

static json_t *
json_from_steps(const struct pulse_rates *rates)
{
	json_t *list = json_make_array();

	for (int i = 0; i < PULSE_STEPS; i++) {
		json_t *o;

		if (rates->steps[i].messages == 0)
			continue;
		o = json_from_sums(&rates->steps[i]);
		json_put_time(o, "at",
			      rates->first_step_at + i * PULSE_STEP_MINUTES * CLOCK_MINUTE);
		json_append(list, o);
	}
	return list;
}

static json_t *
json_from_one(struct request *r, const struct row *row, const struct pulse_rates *rates,
	      bool complete)
{
	json_t *o = json_from_row(r, row, rates, complete);
	const struct config_environment *env = row->config;

	json_put(o, "allow", env != NULL ? json_from_texts(env->allow) : json_null());
	json_put_text(o, "rewrite_to", env != NULL ? env->rewrite_to : NULL);
	json_put(o, "matches", env != NULL ? json_from_matches(env) : json_make_array());
	json_put(o, "bursts", env != NULL ? status_bursts(env) : json_make_array());
	json_put(o, "contents", env != NULL ? status_contents(env) : json_make_array());
	json_put_count(o, "step_seconds", PULSE_STEP_MINUTES * 60);
	json_put(o, "traffic", json_from_steps(rates));
	return o;
}

/* ---- the calls */

static bool
read_all(struct request *r, struct table *t, bool *complete)
{
	enum store_result result = table_fill(r, t);

	if (result == STORE_OK)
		result = pulse_update(r->pulse, complete);
	if (result == STORE_OK)
		return true;
	table_free(t);
	request_fail_store(r, result, "environment", "");
	return false;
}

void
environments_list(struct request *r)
{
	static const char *const known[] = {"limit", "after", NULL};
	struct table t = {.count = 0};
	struct pulse_rates rates;
	const char *after, *last = NULL;
	json_t *items, *next = NULL;
	uint32_t limit;
	bool complete;
	size_t i = 0;

	if (!request_check_query(r, known) || !request_query_limit(r, "limit", 100, 1000, &limit) ||
	    !read_all(r, &t, &complete))
		return;
	after = request_query(r, "after");
	items = json_make_array();
	while (i < t.count && after != NULL && strcmp(t.rows[i].name, after) <= 0)
		i++;
	for (; i < t.count && json_array_size(items) < limit; i++) {
		pulse_rates(r->pulse, t.rows[i].name, &rates);
		json_append(items, json_from_row(r, &t.rows[i], &rates, complete));
		last = t.rows[i].name;
	}
	if (i < t.count)
		next = json_text(last, strlen(last));
	table_free(&t);
	request_reply(r, json_make_list(items, next));
}

void
environments_get(struct request *r)
{
	static const char *const none[] = {NULL};
	struct table t = {.count = 0};
	struct row key;
	struct pulse_rates rates;
	const struct row *row;
	bool complete;

	if (!request_check_query(r, none) || !read_all(r, &t, &complete))
		return;
	/* A name may have what has to be written as %2F in a path. */
	key.name = evhttp_uridecode(r->id, 0, NULL);
	if (key.name == NULL)
		fatal("out of memory");
	row = t.count > 0 ? bsearch(&key, t.rows, t.count, sizeof(key), by_name) : NULL;
	if (row == NULL) {
		request_fail(r, 404, "there is no environment %s; GET /v1/environments lists them",
			     log_safe(key.name));
	} else {
		pulse_rates(r->pulse, row->name, &rates);
		request_reply(r, json_from_one(r, row, &rates, complete));
	}
	free(key.name);
	table_free(&t);
}
