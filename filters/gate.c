/*
 * The gate: the order of the filters. On any thread; memory is the message's arena.
 */
#include "filters/gate.h"

#include <string.h>

#include "filters/counters.h"
#include "filters/judge.h"
#include "filters/policy.h"
#include "filters/recipients.h"
#include "filters/tag.h"

const struct config_environment *
gate_identify(const struct policy *p, const struct gate_client *c, const char **why)
{
	const char *line = "no match";
	const struct config_environment *e = gate_is_drill(p, c)
						 ? identify_drill(p->config, &line)
						 : identify_find(p->identify, c, &line);

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
gate_is_drill(const struct policy *p, const struct gate_client *c)
{
	return identify_is_drill(p->config, c);
}

bool
gate_wants_body(const struct policy *p, const char *environment)
{
	const struct policy_environment *e = policy_find(p, environment);

	return e != NULL && e->wants_body;
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
		judge_message(e, c, m, mono, wall, mode);
}
