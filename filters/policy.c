/*
 * The compiled policy: a configuration's patterns, matches and rules made ready. Made on the main
 * thread at start and at each reload; freed by whoever gives up the last reference.
 */
#include "filters/policy.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "filters/count.h"
#include "filters/gate.h"
#include "filters/recipients.h"
#include "filters/stream.h"

/* Where the configuration leaves them out. */
#define FIRST_WINDOW (10 * CLOCK_MINUTE) /* of a content rule that holds the first match */
#define CAMPAIGN_WINDOW (30 * CLOCK_DAY)

static void
compile_allow(struct policy_environment *e, struct buf *errors)
{
	char **text = e->config->allow, *why;

	for (; text != NULL && *text != NULL; text++) {
		struct pattern *pattern = pattern_for_address(*text, &why);

		if (pattern == NULL) {
			buf_printf(errors, "environment \"%s\": allow \"%s\": %s\n",
				   e->config->name, *text, why);
			free(why);
			continue;
		}
		e->allow = mem_resize_array(e->allow, e->allow_count + 1, sizeof(*e->allow));
		e->allow[e->allow_count++] = pattern;
	}
}

/* What is wrong with a rewrite_to, NULL if nothing. */
static const char *
rewrite_refuse(const struct config_environment *e)
{
	struct arena arena = {0};
	const char *c, *why = NULL;

	if (e->rewrite_to == NULL || *e->rewrite_to == '\0')
		return "others = rewrite needs it; write such as \"qa+%u=%d@example.com\"";
	for (c = strchr(e->rewrite_to, '%'); c != NULL; c = strchr(c + 2, '%')) {
		if (c[1] == '\0' || strchr("ude%", c[1]) == NULL)
			return "after % comes u (local part), d (domain), e (environment) or %";
	}
	if (recipient_rewrite(e->rewrite_to, e->name, "user", "example.com", &arena) == NULL)
		why = "it makes no valid address; write such as \"qa+%u=%d@example.com\"";
	arena_free(&arena);
	return why;
}

static struct policy_rule *
environment_add_rule(struct policy_environment *e, enum policy_rule_kind kind, char *name,
		     unsigned per)
{
	struct policy_rule *r;

	e->rules = mem_resize_array(e->rules, e->rule_count + 1, sizeof(*e->rules));
	r = &e->rules[e->rule_count++];
	*r = (struct policy_rule){.kind = kind,
				  .name = name,
				  .per = per,
				  .hash = stream_hash_rule(e->config->name, name)};
	return r;
}

static void
compile_contents(struct policy_environment *e, struct buf *errors)
{
	size_t i;
	char *why;

	for (i = 0; i < e->config->content_count; i++) {
		const struct config_content *c = &e->config->contents[i];
		struct policy_rule *r = environment_add_rule(
		    e, POLICY_CONTENT, mem_printf("content %s", c->name), c->per);

		r->counted = (struct counters_rule){.limit = c->above,
						    .window = c->above_window > 0 ? c->above_window
										  : FIRST_WINDOW,
						    .cooldown = c->cooldown,
						    .holds = c->action == CONFIG_BURST_HOLD};
		r->match = c->match;
		r->content = content_new(c, &why);
		if (r->content == NULL) {
			buf_printf(errors, "environment \"%s\": content \"%s\": %s\n",
				   e->config->name, c->name, why);
			free(why);
			continue;
		}
		e->wants_body |= content_wants_body(r->content);
	}
}

static void
compile_audience(struct policy_environment *e)
{
	struct policy_rule *r = environment_add_rule(e, POLICY_AUDIENCE, mem_strdup("audience"),
						     CONFIG_PER_ENVIRONMENT | CONFIG_PER_CAMPAIGN);
	int64_t window = e->config->campaign_window;

	r->counted = (struct counters_rule){.limit = UINT32_MAX,
					    .window = window > 0 ? window : CAMPAIGN_WINDOW,
					    .holds = true,
					    .audience = true};
}

static void
compile_bursts(struct policy_environment *e)
{
	size_t i;

	for (i = 0; i < e->config->burst_count; i++) {
		const struct config_burst *b = &e->config->bursts[i];
		struct policy_rule *r =
		    environment_add_rule(e, POLICY_BURST, mem_printf("burst %s", b->name), b->per);

		r->counted = counters_rule_of(b);
		r->settle = b->settle;
		r->settles = b->head > 0 && b->settle > 0 && r->counted.holds;
		if (b->declared == 0)
			continue;
		r->declared = b->declared;
		r->declared_hash = stream_hash_declared(r->hash);
		r->declared_counted = r->counted;
		r->declared_counted.limit = b->declared;
		r->declared_counted.window = b->declared_window;
		r->declared_counted.head = 0;
		r->declared_counted.head_window = 0;
	}
}

/* A batch names its rule: two of one name could not be told apart. */
static void
check_names(const struct policy_environment *e, struct buf *errors)
{
	size_t i, j;

	for (i = 0; i < e->rule_count; i++) {
		const char *name = e->rules[i].name, *space = strchr(name, ' ');

		for (j = 0; j < i && strcmp(e->rules[j].name, name) != 0; j++)
			;
		if (j < i)
			buf_printf(errors,
				   "environment \"%s\": %.*s \"%s\" is there twice; rename one of "
				   "them\n",
				   e->config->name, (int)(space - name), name, space + 1);
	}
}

static void
compile_environment(struct policy_environment *e, struct buf *errors)
{
	const char *why;

	e->hash = stream_hash_rule(e->config->name, "");
	compile_allow(e, errors);
	compile_contents(e, errors);
	compile_audience(e);
	compile_bursts(e);
	check_names(e, errors);
	count_prepare(e);
	if (e->config->others != CONFIG_OTHERS_REWRITE)
		return;
	why = rewrite_refuse(e->config);
	if (why != NULL)
		buf_printf(errors, "environment \"%s\": rewrite_to: %s\n", e->config->name, why);
}

struct policy *
policy_new(struct config *config, struct buf *errors)
{
	struct policy *p = mem_zalloc(sizeof(*p));
	size_t before = errors->len, i;

	p->config = config_ref(config);
	atomic_init(&p->refs, 1);
	p->environment_count = config->environment_count;
	p->environments = mem_zalloc((p->environment_count + 1) * sizeof(*p->environments));
	for (i = 0; i < p->environment_count; i++) {
		p->environments[i].config = &config->environments[i];
		compile_environment(&p->environments[i], errors);
		if (strcmp(config->environments[i].name, "unknown") == 0)
			p->unknown = &config->environments[i];
	}
	if (p->unknown == NULL)
		buf_add_text(errors,
			     "environment \"unknown\": is built in but missing; this is a bug\n");
	p->identify = identify_new(config, errors);
	if (errors->len == before)
		return p;
	policy_unref(p);
	return NULL;
}

struct policy *
policy_ref(struct policy *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

static void
environment_free(struct policy_environment *e)
{
	size_t i;

	for (i = 0; i < e->allow_count; i++)
		pattern_free(e->allow[i]);
	free(e->allow);
	for (i = 0; i < e->rule_count; i++) {
		content_free(e->rules[i].content);
		free(e->rules[i].name);
	}
	free(e->rules);
}

void
policy_unref(struct policy *p)
{
	size_t i;

	if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (i = 0; i < p->environment_count; i++)
		environment_free(&p->environments[i]);
	free(p->environments);
	identify_free(p->identify);
	config_unref(p->config);
	free(p);
}

const struct config *
policy_config(const struct policy *p)
{
	return p->config;
}

const struct policy_environment *
policy_find(const struct policy *p, const char *environment)
{
	size_t i;

	for (i = 0; environment != NULL && i < p->environment_count; i++) {
		if (strcmp(p->environments[i].config->name, environment) == 0)
			return &p->environments[i];
	}
	return NULL;
}

const struct policy_rule *
policy_find_rule(const struct policy *p, const char *environment, const char *rule)
{
	const struct policy_environment *e = policy_find(p, environment);
	size_t i;

	for (i = 0; e != NULL && i < e->rule_count; i++) {
		if (strcmp(e->rules[i].name, rule) == 0)
			return &e->rules[i];
	}
	return NULL;
}
