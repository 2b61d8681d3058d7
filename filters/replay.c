/*
 * The past, counted again after a start: main thread, before anything is judged. What a delivery
 * was counted under is in its keys; the rules of today are asked under the same keys.
 */
#include "filters/rules.h"

#include "filters/gate.h"

/* The key under which it was counted; one that it does not name otherwise. */
static bool
find_key(const struct verdict *v, uint64_t hash, struct verdict_key *found)
{
	size_t i;

	for (i = 0; i < v->key_count; i++) {
		if (v->keys[i].hash == hash) {
			*found = v->keys[i];
			return true;
		}
	}
	return false;
}

/*
 * Fills in what one recipient is counted under; false if this rule does not count it. A rule that
 * it does not name is new since, or only observes: where the past is long enough to be known, it is
 * counted; whether a pattern matched is not known any more.
 */
static bool
replay_find(const struct rule_use *use, const struct recipient *r, struct counters_key *key)
{
	const struct verdict *v = &r->verdict;
	struct verdict_key named;

	if (find_key(v, key->hash, &named) || find_key(v, key->overflow, &named) ||
	    find_key(v, key->overflow_all, &named)) {
		key->hash = named.hash;
		key->stamp = named.stamp;
		return true;
	}
	return use->rule->kind == POLICY_BURST && use->counted.window <= COUNTERS_REPLAY_MAX;
}

void
counters_replay(struct counters *c, const struct policy *p, const struct message *m,
		int64_t mono_then)
{
	const struct policy_environment *e = policy_find(p, m->environment);
	struct rules_run run = {0};
	struct arena arena = {0};
	size_t i, k;

	if (e != NULL && rules_begin(&run, e, m, RULES_PAST, &arena)) {
		for (i = 0; i < run.use_count; i++) {
			const struct rule_use *use = &run.uses[i];

			for (k = 0; use->applies && k < run.count; k++) {
				const struct recipient *r = run.recipients[use->members[k].place];
				struct counters_key key = rule_key(use, &use->members[k]);
				struct counters_seen seen;

				if (replay_find(use, r, &key))
					counters_arrive(c, &use->counted, key, 1,
							r->verdict.action != VERDICT_HOLD,
							mono_then, 0, COUNTERS_REPLAY, &seen);
			}
		}
	}
	rules_end(&run);
	arena_free(&arena);
}
