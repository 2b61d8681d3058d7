/*
 * One production environment with given rules, and messages through its gate: for the tests of the
 * rules and of their counters.
 */
#ifndef TESTS_UNIT_BURST_FIXTURE_H
#define TESTS_UNIT_BURST_FIXTURE_H

#include <stdio.h>

#include "tests/unit/filters_fixture.h"

#define BURSTS(...)                                                                                \
	((struct config_burst[]){__VA_ARGS__}), COUNT_OF(((struct config_burst[]){__VA_ARGS__}))
#define DAY (86400 * SECOND)
#define SOURCE_SUBJECT (CONFIG_PER_SOURCE | CONFIG_PER_SUBJECT)

struct world {
	struct config config;
	struct config_environment environments[2];
	struct config_burst bursts[4];
	struct config_content contents[3];
	struct policy *policy;
	struct counters *counters;
	int64_t wall;
};

static char *everybody[] = {TEXT("*"), NULL};
static char *nobody[] = {NULL};

/* One production environment with these rules, and `unknown`. */
static inline struct world *
world_new(const struct config_burst *bursts, size_t count)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	memcpy(w->bursts, bursts, count * sizeof(*bursts));
	w->environments[0] = (struct config_environment){.name = TEXT("production"),
							 .production = true,
							 .allow = everybody,
							 .upstream = TEXT("out"),
							 .subject_prefix = TEXT(""),
							 .rewrite_to = TEXT(""),
							 .bursts = w->bursts,
							 .burst_count = count,
							 .campaign_window = 30 * DAY};
	w->environments[1] = (struct config_environment){.name = TEXT("unknown"),
							 .allow = nobody,
							 .others = CONFIG_OTHERS_HOLD,
							 .subject_prefix = TEXT(""),
							 .rewrite_to = TEXT("")};
	w->config = fixture_config(w->environments, 2);
	w->policy = fixture_policy(&w->config);
	w->counters = counters_new();
	w->wall = 1000;
	return w;
}

/* After a change of w's configuration. */
static inline void
world_reload(struct world *w)
{
	policy_unref(w->policy);
	w->policy = fixture_policy(&w->config);
}

/* One content rule more: "content NAME", of subjects. */
static inline struct config_content *
world_add_content(struct world *w, const char *name, const char *match, uint32_t above)
{
	struct config_environment *e = &w->environments[0];
	struct config_content *c = &w->contents[e->content_count++];

	assert_true(e->content_count <= COUNT_OF(w->contents));
	*c = (struct config_content){.name = TEXT(name),
				     .part = CONFIG_PART_HEADER,
				     .header = TEXT("Subject"),
				     .match = TEXT(match),
				     .above = above,
				     .above_window = 600 * SECOND,
				     .per = CONFIG_PER_SOURCE};
	e->contents = w->contents;
	world_reload(w);
	return c;
}

static inline void
world_free(struct world *w)
{
	policy_unref(w->policy);
	counters_free(w->counters);
	free(w);
}

/* A message to n different recipients, not judged yet. */
static inline struct message *
world_message(const char *source, const char *subject, uint32_t n)
{
	struct message *m = fixture_message("production", source, subject);
	char to[64];
	uint32_t i;

	for (i = 0; i < n; i++) {
		snprintf(to, sizeof(to), "r%u@customer.test", i);
		fixture_add(m, to);
	}
	return m;
}

static inline struct message *
world_judge(struct world *w, struct message *m, int64_t mono)
{
	gate_judge(w->policy, w->counters, m, mono, w->wall, GATE_COUNT);
	return m;
}

/* A message to n different recipients, judged. */
static inline struct message *
world_send(struct world *w, const char *source, uint32_t n, int64_t mono, enum gate_mode mode)
{
	struct message *m = world_message(source, "hello", n);

	gate_judge(w->policy, w->counters, m, mono, w->wall, mode);
	return m;
}

/* One message of one source; what became of its last recipient. The stream's facts in *stream (may
 * be NULL). */
static inline enum verdict_action
world_last(struct world *w, uint32_t n, int64_t mono, struct verdict_stream *stream)
{
	struct message *m = world_send(w, "shop", n, mono, GATE_COUNT);
	const struct verdict *v = &m->recipients[n - 1].verdict;
	enum verdict_action action = v->action;

	if (stream != NULL)
		*stream = v->stream != NULL ? *v->stream : (struct verdict_stream){0};
	message_free(m);
	return action;
}

#define RULE(text, most) .name = TEXT(text), .limit = most, .window = 60 * SECOND
#define HEAD(n, wait) .head = n, .head_window = 60 * SECOND, .settle = (wait)*SECOND

static inline uint64_t
random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

struct cooled {
	uint64_t hash;
	int count;
};

static inline void
note_cooled(void *context, uint64_t hash)
{
	struct cooled *cooled = context;

	cooled->hash = hash;
	cooled->count++;
}

static inline int
world_cool(struct world *w, int64_t mono, uint64_t *hash)
{
	struct cooled cooled = {0};

	counters_cool(w->counters, mono, note_cooled, &cooled);
	if (hash != NULL)
		*hash = cooled.hash;
	return cooled.count;
}

#endif
