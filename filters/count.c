/*
 * What was accepted, dropped, rewritten, rejected, or waits: counted on the relay loop that has the
 * message, once it is stored. What is held and what leaked is the store's to say, which knows what
 * was called back (store/work.c).
 */
#include "filters/count.h"

#include <string.h>

#include "base/tally.h"
#include "filters/gate.h"

static struct tally *
expect(const struct policy_environment *e, const char *rule, unsigned slots)
{
	struct tally *t = tally_get(e->config->name, rule);

	tally_expect(t, slots);
	return t;
}

/* What the recipients filter does to who is not on the list. */
static enum tally_slot
slot_of_others(const struct config_environment *c)
{
	switch (c->others) {
	case CONFIG_OTHERS_REWRITE:
		return TALLY_REWRITTEN;
	case CONFIG_OTHERS_REJECT:
		return TALLY_REJECTED;
	case CONFIG_OTHERS_HOLD:
		return TALLY_HELD;
	case CONFIG_OTHERS_DROP:
	default:
		return TALLY_DROPPED;
	}
}

void
count_prepare(struct policy_environment *e)
{
	const struct config_environment *c = e->config;
	size_t i;

	e->tally = expect(e, "",
			  TALLY_BIT(TALLY_ACCEPTED) | TALLY_BIT(TALLY_DELIVERED) |
			      TALLY_BIT(TALLY_DEFERRED) | TALLY_BIT(TALLY_FAILED));
	e->tally_recipients = expect(e, "recipients", TALLY_BIT(slot_of_others(c)));
	e->tally_capture = e->tally_recipients;
	expect(e, "panic", TALLY_BIT(TALLY_HELD));
	if (strcmp(c->name, "unknown") == 0)
		expect(e, "unknown", TALLY_BIT(TALLY_HELD));
	else if (c->upstream == NULL)
		expect(e, "no upstream", TALLY_BIT(TALLY_HELD));
	else if (*c->upstream == '\0')
		e->tally_capture = expect(e, "capture", TALLY_BIT(TALLY_DROPPED));
	for (i = 0; i < e->rule_count; i++) {
		struct policy_rule *r = &e->rules[i];

		r->tally = expect(e, r->name,
				  TALLY_BIT(TALLY_HELD) | TALLY_BIT(TALLY_LEAKED) |
				      (r->settles ? TALLY_BIT(TALLY_WAITED) : 0));
	}
}

struct tally *
gate_tally(const struct policy *p, const char *environment)
{
	const struct policy_environment *e = policy_find(p, environment);

	return e != NULL ? e->tally : tally_get(environment, "");
}

/* Of a rule that the policy may not have: the message was judged by the one it was accepted under.
 */
static struct tally *
tally_of_rule(const struct policy_environment *e, const char *environment, const char *rule)
{
	size_t i;

	for (i = 0; e != NULL && i < e->rule_count; i++)
		if (strcmp(e->rules[i].name, rule) == 0)
			return e->rules[i].tally;
	return tally_get(environment, rule);
}

static void
count_drop(const struct policy_environment *e, const char *environment, const char *rule)
{
	struct tally *t = NULL;

	if (e != NULL && strcmp(rule, "recipients") == 0)
		t = e->tally_recipients;
	else if (e != NULL && strcmp(rule, "capture") == 0)
		t = e->tally_capture;
	tally_add(t != NULL ? t : tally_get(environment, rule), TALLY_DROPPED, 1);
}

void
gate_count(const struct policy *p, const struct message *m)
{
	const struct policy_environment *e = policy_find(p, m->environment);
	size_t i;

	tally_add(e != NULL ? e->tally : tally_get(m->environment, ""), TALLY_ACCEPTED,
		  (int64_t)m->recipient_count);
	for (i = 0; i < m->recipient_count; i++) {
		const struct recipient *r = &m->recipients[i];
		const struct verdict *v = &r->verdict;

		if (v->action == VERDICT_DROP)
			count_drop(e, m->environment, v->rule);
		else if (v->action == VERDICT_WAIT)
			tally_add(tally_of_rule(e, m->environment, v->rule), TALLY_WAITED, 1);
		if (e != NULL && r->final != r->address.text && r->final != NULL)
			tally_add(e->tally_recipients, TALLY_REWRITTEN, 1);
	}
}

void
gate_count_rejected(const struct policy *p, const char *environment)
{
	const struct policy_environment *e = policy_find(p, environment);

	tally_add(e != NULL ? e->tally_recipients : tally_get(environment, "recipients"),
		  TALLY_REJECTED, 1);
}
