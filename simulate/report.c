/*
 * The figures of a simulation. Called by run.c for every recipient. Delays are few different
 * numbers (a settle time each), so each is counted and percentiles are exact.
 */
#include "simulate/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct report_delay {
	int64_t delay;
	uint64_t count;
};

struct report {
	struct simulation_total total;
	struct simulation_rule *rules; /* their names are the report's */
	size_t rule_count;
	struct report_delay *delays; /* ascending */
	size_t delay_count;
	struct copies copies;
	int64_t first_at, last_at; /* arrivals; -1 = none */
};

static struct simulation_rule *
add_rule(struct report *r, const char *environment, const char *rule)
{
	struct simulation_rule *row;

	r->rules = mem_resize_array(r->rules, r->rule_count + 1, sizeof(*r->rules));
	row = &r->rules[r->rule_count++];
	*row = (struct simulation_rule){
	    .environment = mem_strdup(environment), .rule = mem_strdup(rule), .first_trip = -1};
	return row;
}

static struct simulation_rule *
find_rule(struct report *r, const char *environment, const char *rule)
{
	size_t i;

	for (i = 0; i < r->rule_count; i++) {
		if (strcmp(r->rules[i].rule, rule) == 0 &&
		    strcmp(r->rules[i].environment, environment) == 0)
			return &r->rules[i];
	}
	return add_rule(r, environment, rule);
}

static void
add_named_rule(struct report *r, const char *environment, const char *kind, const char *name)
{
	char *rule = mem_printf("%s %s", kind, name);

	add_rule(r, environment, rule);
	free(rule);
}

struct report *
report_new(const struct config *config)
{
	struct report *r = mem_zalloc(sizeof(*r));
	size_t i, j;

	r->total.blast_first = r->total.blast_alerted = -1;
	r->first_at = r->last_at = -1;
	for (i = 0; i < config->environment_count; i++) {
		const struct config_environment *e = &config->environments[i];

		/* Nothing of it gets as far as to its rules. */
		if (strcmp(e->name, "unknown") == 0)
			continue;
		for (j = 0; j < e->content_count; j++)
			add_named_rule(r, e->name, "content", e->contents[j].name);
		add_rule(r, e->name, "audience");
		for (j = 0; j < e->burst_count; j++)
			add_named_rule(r, e->name, "burst", e->bursts[j].name);
	}
	return r;
}

void
report_free(struct report *r)
{
	size_t i;

	if (r == NULL)
		return;
	for (i = 0; i < r->rule_count; i++) {
		free((void *)(uintptr_t)r->rules[i].environment);
		free((void *)(uintptr_t)r->rules[i].rule);
	}
	free(r->rules);
	free(r->delays);
	copies_free(&r->copies);
	free(r);
}

struct simulation_total *
report_counts(struct report *r)
{
	return &r->total;
}

void
report_arrive(struct report *r, int64_t at, bool blast)
{
	if (r->first_at < 0)
		r->first_at = at;
	r->last_at = at;
	r->total.recipients++;
	r->total.blast += blast;
	if (blast && r->total.blast_first < 0)
		r->total.blast_first = at;
}

static void
count_delay(struct report *r, int64_t delay)
{
	size_t i = 0;

	while (i < r->delay_count && r->delays[i].delay < delay)
		i++;
	if (i == r->delay_count || r->delays[i].delay != delay) {
		r->delays = mem_resize_array(r->delays, r->delay_count + 1, sizeof(*r->delays));
		memmove(r->delays + i + 1, r->delays + i,
			(r->delay_count - i) * sizeof(*r->delays));
		r->delays[i] = (struct report_delay){.delay = delay};
		r->delay_count++;
	}
	r->delays[i].count++;
}

void
report_leave(struct report *r, uint64_t person, int64_t delay, bool blast)
{
	r->total.passed++;
	r->total.delayed += delay > 0;
	r->total.blast_reached += blast;
	count_delay(r, delay);
	copies_add(&r->copies, person);
}

static void
note_trip(struct simulation_rule *rule, int64_t at)
{
	if (rule->first_trip < 0)
		rule->first_trip = at;
}

void
report_hold(struct report *r, const char *environment, const char *rule, int64_t at, bool blast)
{
	struct simulation_rule *row = find_rule(r, environment, rule);

	row->held++;
	row->false_held += !blast;
	note_trip(row, at);
	r->total.held++;
	r->total.blast_held += blast;
	if (blast && r->total.blast_alerted < 0)
		r->total.blast_alerted = at;
}

void
report_observe(struct report *r, const char *environment, const char *rule, int64_t at)
{
	struct simulation_rule *row = find_rule(r, environment, rule);

	row->observed++;
	note_trip(row, at);
}

void
report_batch(struct report *r, const char *environment, const char *rule, int64_t at,
	     uint64_t leaked)
{
	struct simulation_rule *row = find_rule(r, environment, rule);

	row->batches++;
	row->leaked += leaked;
	if (leaked > row->leaked_most)
		row->leaked_most = leaked;
	note_trip(row, at);
}

/* The delay that `permille` of what passed did not exceed. */
static int64_t
find_delay(const struct report *r, uint64_t permille)
{
	/* The smallest rank that covers the share: of 1000, 99.9 % are 999. */
	uint64_t rank = (uint64_t)(((unsigned __int128)r->total.passed * permille + 999) / 1000);
	uint64_t seen = 0;
	size_t i;

	for (i = 0; i < r->delay_count; i++) {
		seen += r->delays[i].count;
		if (seen >= rank)
			return r->delays[i].delay;
	}
	return 0;
}

void
report_total(const struct report *r, struct simulation_total *out)
{
	*out = r->total;
	out->delay_p50 = find_delay(r, 500);
	out->delay_p99 = find_delay(r, 990);
	out->delay_p999 = find_delay(r, 999);
	out->delay_most = find_delay(r, 1000);
	out->most_copies = r->copies.most;
	out->span = r->last_at - r->first_at;
}

void
report_rules(const struct report *r, void (*row)(void *context, const struct simulation_rule *rule),
	     void *context)
{
	size_t i;

	for (i = 0; i < r->rule_count; i++)
		row(context, &r->rules[i]);
}
