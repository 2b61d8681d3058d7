/*
 * The gate: the order of the filters, and the compiled policy they share. Policies are made on the
 * main thread and freed by whoever gives up the last reference; the gate runs on any thread.
 */
#include "filters/gate.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filters/burst.h"
#include "filters/counters.h"
#include "filters/policy.h"
#include "filters/recipients.h"
#include "filters/tag.h"

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

static void
check_bursts(const struct config_environment *e, struct buf *errors)
{
	size_t i, j;

	for (i = 0; i < e->burst_count; i++) {
		for (j = 0; j < i; j++) {
			if (strcmp(e->bursts[i].name, e->bursts[j].name) == 0)
				buf_printf(errors,
					   "environment \"%s\": burst \"%s\" is there twice; "
					   "rename one of "
					   "them\n",
					   e->name, e->bursts[i].name);
		}
	}
}

static void
compile_environment(struct policy_environment *e, struct buf *errors)
{
	const char *why;

	compile_allow(e, errors);
	check_bursts(e->config, errors);
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

void
policy_unref(struct policy *p)
{
	size_t i, j;

	if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) > 1)
		return;
	for (i = 0; i < p->environment_count; i++) {
		for (j = 0; j < p->environments[i].allow_count; j++)
			pattern_free(p->environments[i].allow[j]);
		free(p->environments[i].allow);
	}
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

const struct config_burst *
policy_find_burst(const struct policy *p, const char *environment, const char *rule)
{
	const struct policy_environment *e = policy_find(p, environment);
	size_t i;

	if (e == NULL || strncmp(rule, "burst ", 6) != 0)
		return NULL;
	for (i = 0; i < e->config->burst_count; i++) {
		if (strcmp(e->config->bursts[i].name, rule + 6) == 0)
			return &e->config->bursts[i];
	}
	return NULL;
}

const struct config_environment *
gate_identify(const struct policy *p, const struct gate_client *c, const char **why)
{
	const char *line = "no match";
	const struct config_environment *e = identify_find(p->identify, c, &line);

	if (why != NULL)
		*why = line;
	return e != NULL ? e : p->unknown;
}

const char *
gate_source(const struct gate_client *c)
{
	if (c->user != NULL && *c->user != '\0')
		return c->user;
	if (c->tls_name != NULL && *c->tls_name != '\0')
		return c->tls_name;
	return c->address;
}

bool
gate_wants_body(const struct policy *p, const char *environment)
{
	const struct policy_environment *e = policy_find(p, environment);

	return e != NULL && e->config->content_count > 0;
}

void
gate_recipient(const struct policy *p, struct message *m, struct recipient *r)
{
	recipient_judge(policy_find(p, m->environment), m, r);
}

bool
gate_may_reach(const struct policy *p, const char *environment, const char *address)
{
	const struct policy_environment *e = policy_find(p, environment);
	struct arena arena = {0};
	struct address parsed;
	bool may;

	may = e != NULL && address_parse(address, &arena, &parsed) == NULL &&
	      recipient_is_allowed(e, &parsed);
	arena_free(&arena);
	return may;
}

/*
 * True where the recipients filter did not say that this one may leave: nobody asked it at RCPT, or
 * the policy of then was another one.
 */
static bool
must_judge(const struct policy_environment *e, const struct recipient *r)
{
	if (r->verdict.action != VERDICT_PASS)
		return false;
	if (e == NULL || r->final == NULL)
		return true;
	return strcmp(r->final, r->address.text) == 0 && !recipient_is_allowed(e, &r->address);
}

void
gate_judge(const struct policy *p, struct counters *c, struct message *m, int64_t mono,
	   int64_t wall, enum gate_mode mode)
{
	const struct policy_environment *e = policy_find(p, m->environment);
	size_t i;

	for (i = 0; i < m->recipient_count; i++) {
		struct recipient *r = &m->recipients[i];

		if (!must_judge(e, r))
			continue;
		recipient_judge(e, m, r);
		/* RCPT was answered with 250: too late for a 550. */
		if (r->verdict.action == VERDICT_REJECT)
			recipient_hold(m, r, "recipients", r->verdict.reason);
	}
	tag_fill(p, e, m);
	if (holds_judge(counters_holds(c), m) || e == NULL)
		return;
	if (e->config->upstream == NULL)
		recipients_hold_all(m, "no upstream",
				    "no upstream is defined; name one in the configuration");
	else if (*e->config->upstream == '\0')
		recipients_drop_all(m, "capture",
				    arena_printf(&m->arena,
						 "environment %s captures: nothing of it leaves",
						 e->config->name));
	else
		burst_judge(e, c, m, mono, wall, mode);
}
