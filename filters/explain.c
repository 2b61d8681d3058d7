/*
 * What the rules would say, row by row, for `explain`: nothing is counted. Control thread; all
 * memory ends with the call.
 */
#include "filters/rules.h"

#include "filters/gate.h"

struct explanation {
	struct counters *counters;
	int64_t mono;
	void (*row)(void *context, const struct gate_rule_row *row);
	void *context;
	struct buf text;
};

static void
explain_idle(struct explanation *x, const struct policy_rule *rule, const char *note)
{
	x->row(x->context,
	       &(struct gate_rule_row){.rule = rule->name,
				       .key = "",
				       .note = note,
				       .limit = rule->counted.audience ? 0 : rule->counted.limit,
				       .window = rule->counted.window,
				       .head = rule->counted.head,
				       .head_window = rule->counted.head_window,
				       .settle = rule->settle,
				       .holds = rule->counted.holds});
}

static void
explain_key(struct explanation *x, const struct rules_run *run, const struct rule_use *use,
	    struct rule_member *member, size_t n)
{
	const struct counters_rule *counted = &use->counted;
	struct counters_seen seen = {0};

	counters_arrive(x->counters, counted, rule_key(use, member), (uint32_t)n, 0, x->mono, 0,
			COUNTERS_PEEK, &seen);
	buf_clear(&x->text);
	member->hash = seen.hash;
	rule_format_key(run, use, member, &x->text);
	x->row(x->context,
	       &(struct gate_rule_row){.rule = use->rule->name,
				       .key = buf_text(&x->text),
				       .applies = true,
				       .note = use->note,
				       .limit = seen.limit,
				       .window = counted->window,
				       .before = seen.before,
				       .after = seen.before + (uint32_t)n,
				       .head = counted->head,
				       .head_before = seen.head_before,
				       .head_window = counted->head_window,
				       .settle = counted->head > 0 ? use->rule->settle : 0,
				       .holds = counted->holds,
				       .trips = seen.trips});
}

void
gate_explain_rules(const struct policy *p, struct counters *c, const struct message *m,
		   int64_t mono, void (*row)(void *context, const struct gate_rule_row *row),
		   void *context)
{
	struct explanation x = {.counters = c, .mono = mono, .row = row, .context = context};
	const struct policy_environment *e = policy_find(p, m->environment);
	struct rules_run run = {0};
	struct arena arena = {0};
	size_t r, i, n;
	bool counted = e != NULL && rules_begin(&run, e, m, RULES_COUNTED, &arena);

	for (r = 0; e != NULL && r < e->rule_count; r++) {
		const struct rule_use *use = counted ? &run.uses[r] : NULL;

		if (use == NULL) {
			explain_idle(&x, &e->rules[r], "none of its recipients would leave");
			continue;
		}
		if (!use->applies)
			explain_idle(&x, use->rule, use->note);
		for (i = 0; use->applies && i < run.count; i += n) {
			n = rule_members_alike(use->members + i, run.count - i);
			explain_key(&x, &run, use, use->members + i, n);
		}
	}
	buf_free(&x.text);
	rules_end(&run);
	arena_free(&arena);
}
