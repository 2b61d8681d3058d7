/*
 * The verdicts of the rules that count. Called by gate_judge() on the relay loop that has the
 * message; the counters behind it are shared. Streams, keys and reasons live in the message's
 * arena, the rest ends with the call.
 *
 * Each rule counts each key's recipients in one step, and then says what becomes of them. Of
 * content and burst rules that is one thing for all of a key: none of them has left yet, so a
 * message that crosses the limit is held whole. An audience holds only those beyond it.
 */
#include "filters/judge.h"

#include <string.h>

#include "base/units.h"
#include "filters/rules.h"

enum { PATTERN_BYTES_MAX = 80 }; /* of a pattern in a reason */

struct judgement {
	struct rules_run run;
	struct message *message;
	struct counters *counters;
	int64_t mono, wall;
	enum gate_mode mode;
};

/* One key of one rule, and what the counters said. */
struct judged_key {
	const struct rule_use *use;
	struct rule_member *members;
	size_t count;
	size_t room; /* so many of them may leave though the rule holds: the audience's rest */
	struct counters_seen seen;
	/* Made when somebody needs them; the message may outlive the policy. */
	const char *name;
	const struct verdict_stream *stream;
};

static struct verdict *
key_verdict(const struct judgement *j, const struct judged_key *key, size_t i)
{
	return &j->run.recipients[key->members[i].place]->verdict;
}

static const char *
key_name(const struct judgement *j, struct judged_key *key)
{
	if (key->name == NULL)
		key->name = arena_strdup(&j->message->arena, key->use->rule->name);
	return key->name;
}

static const struct verdict_stream *
key_stream(const struct judgement *j, struct judged_key *key)
{
	struct verdict_stream *s;

	if (key->stream != NULL)
		return key->stream;
	s = rule_stream(&j->run, key->use, &key->members[0], j->message);
	s->tripped_at = key->seen.trips ? key->seen.tripped_at : 0;
	s->counted = key->seen.counted;
	s->limit = key->seen.limit;
	/* What an audience let through is declared mail, and is not called back. */
	s->trips_now = key->seen.trips_now && !key->use->counted.audience;
	key->stream = s;
	return s;
}

/* False if the pattern gave up, and the note says so. */
static bool
has_matched(const struct rule_use *use)
{
	static const char matches[] = " matches";
	size_t len = strlen(use->note), end = sizeof(matches) - 1;

	return len > end && strcmp(use->note + len - end, matches) == 0;
}

/* "Subject matches /lorem/", a long pattern cut between two characters; or, of a rule that lets
 * some leave, "content lorem: more than 20 in 10 min". */
static const char *
reason_content(const struct rule_use *use, const char *window, struct arena *arena)
{
	const char *match = use->rule->match;
	size_t cut = strlen(match);
	bool whole = cut <= PATTERN_BYTES_MAX;

	if (use->counted.limit > 0)
		return arena_printf(arena, "%s: more than %u in %s%s%s", use->rule->name,
				    use->counted.limit, window, has_matched(use) ? "" : "; ",
				    has_matched(use) ? "" : use->note);
	if (!has_matched(use))
		return use->note;
	if (!whole)
		cut = PATTERN_BYTES_MAX;
	while (!whole && cut > 0 && ((unsigned char)match[cut] & 0xc0) == 0x80)
		cut--;
	return arena_printf(arena, "%s %.*s%s", use->note, (int)cut, match, whole ? "" : "...");
}

static const char *
reason_hold(const struct judgement *j, const struct judged_key *key)
{
	struct arena *arena = &j->message->arena;
	const struct counters_rule *counted = &key->use->counted;
	char window[UNITS_BYTES];

	units_format_duration(counted->window, window);
	switch (key->use->rule->kind) {
	case POLICY_AUDIENCE:
		return arena_printf(arena, "beyond the declared audience of %u", key->seen.limit);
	case POLICY_CONTENT:
		return reason_content(key->use, window, arena);
	default:
		return arena_printf(arena, "over the limit of %u in %s", counted->limit, window);
	}
}

static void
key_hold(const struct judgement *j, struct judged_key *key)
{
	const char *reason = NULL;
	size_t i;

	for (i = key->room; i < key->count; i++) {
		struct verdict *v = key_verdict(j, key, i);

		if (v->action == VERDICT_HOLD)
			continue; /* an earlier rule */
		if (reason == NULL)
			reason = reason_hold(j, key);
		v->action = VERDICT_HOLD;
		v->rule = key_name(j, key);
		v->reason = reason;
		v->stream = key_stream(j, key);
		v->settle = 0;
	}
}

static void
key_observe(const struct judgement *j, struct judged_key *key)
{
	const struct verdict_stream *stream = key_stream(j, key);
	size_t i;

	for (i = key->room; i < key->count; i++) {
		struct verdict *v = key_verdict(j, key, i);

		if (v->observed != NULL)
			continue;
		v->observed = key_name(j, key);
		v->observed_stream = stream;
	}
}

static void
key_settle(const struct judgement *j, struct judged_key *key)
{
	const struct counters_rule *counted = &key->use->counted;
	int64_t settle = key->use->rule->settle;
	const char *reason = NULL;
	char window[UNITS_BYTES];
	size_t i =
	    key->seen.head_before < counted->head ? counted->head - key->seen.head_before : 0;

	for (; i < key->count; i++) {
		struct verdict *v = key_verdict(j, key, i);

		if (v->action == VERDICT_HOLD || (v->action == VERDICT_WAIT && v->settle >= settle))
			continue;
		if (reason == NULL)
			reason = arena_printf(&j->message->arena, "beyond the head of %u in %s",
					      counted->head,
					      units_format_duration(counted->head_window, window));
		v->action = VERDICT_WAIT;
		v->rule = key_name(j, key);
		v->reason = reason;
		v->stream = key_stream(j, key);
		v->settle = settle;
	}
}

static bool
key_is_held(const struct judgement *j, const struct judged_key *key)
{
	size_t i = 0;

	while (i < key->count && key_verdict(j, key, i)->action == VERDICT_HOLD)
		i++;
	return i == key->count;
}

/*
 * A trip must have a batch that somebody can decide on. Where earlier rules hold all of the key's
 * recipients it would have none: they are counted, and the next that is not held makes it trip.
 */
static enum counters_mode
key_mode(const struct judgement *j, const struct judged_key *key)
{
	if (j->mode == GATE_PEEK)
		return COUNTERS_PEEK;
	return key->use->counted.holds && key_is_held(j, key) ? COUNTERS_HELD : COUNTERS_COUNT;
}

static void
key_judge(const struct judgement *j, struct judged_key *key)
{
	const struct counters_rule *counted = &key->use->counted;
	enum counters_mode mode = key_mode(j, key);
	bool holds;
	size_t i;

	counters_arrive(j->counters, counted, rule_key(key->use, key->members),
			(uint32_t)key->count, 0, j->mono, j->wall, mode, &key->seen);
	for (i = 0; i < key->count; i++) {
		key->members[i].hash = key->seen.hash;
		key->members[i].stamp = key->seen.stamp;
	}
	if (counted->audience && key->seen.before < key->seen.limit)
		key->room = key->seen.limit - key->seen.before;
	if (key->room > key->count)
		key->room = key->count;
	holds = key->seen.trips && counted->holds;
	if (holds)
		key_hold(j, key);
	else if (key->seen.trips)
		key_observe(j, key);
	else if (key->use->rule->settles && counted->head > 0)
		key_settle(j, key);
	for (i = 0; i < key->count; i++)
		key->members[i].left = mode != COUNTERS_HELD && (!holds || i < key->room);
}

static void
use_judge(const struct judgement *j, const struct rule_use *use)
{
	struct judged_key key;
	size_t i;

	for (i = 0; use->applies && i < j->run.count; i += key.count) {
		key = (struct judged_key){.use = use, .members = use->members + i};
		key.count = rule_members_alike(key.members, j->run.count - i);
		key_judge(j, &key);
	}
}

/* What another rule holds was counted as left by this one. */
static void
use_unleave(const struct judgement *j, const struct rule_use *use)
{
	size_t i, k, n;

	for (i = 0; use->applies && i < j->run.count; i += n) {
		const struct rule_member *members = use->members + i;
		uint32_t held = 0;

		n = rule_members_alike(members, j->run.count - i);
		for (k = 0; k < n; k++)
			held += members[k].left &&
				j->run.recipients[members[k].place]->verdict.action == VERDICT_HOLD;
		if (held > 0)
			counters_unleave(j->counters, members[0].hash, held);
	}
}

/* Each recipient gets the keys under which it was counted: as many for each. */
static void
judgement_fill_keys(const struct judgement *j)
{
	const struct rules_run *run = &j->run;
	size_t i, k, each = 0;
	struct verdict_key *keys, *next;

	for (i = 0; i < run->use_count; i++)
		each += run->uses[i].applies && run->uses[i].counted.holds;
	if (each == 0)
		return;
	keys = next = arena_alloc(&j->message->arena, run->count * each * sizeof(*keys));
	for (i = 0; i < run->use_count; i++) {
		const struct rule_use *use = &run->uses[i];

		if (!use->applies || !use->counted.holds)
			continue;
		for (k = 0; k < run->count; k++)
			next[use->members[k].place * each] = (struct verdict_key){
			    .hash = use->members[k].hash,
			    .stamp = use->members[k].stamp,
			    .settles = use->rule->settles && use->counted.head > 0};
		next++;
	}
	for (k = 0; k < run->count; k++) {
		run->recipients[k]->verdict.keys = keys + k * each;
		run->recipients[k]->verdict.key_count = each;
	}
}

void
judge_message(const struct policy_environment *e, struct counters *c, struct message *m,
	      int64_t mono, int64_t wall, enum gate_mode mode)
{
	struct judgement j = {
	    .message = m, .counters = c, .mono = mono, .wall = wall, .mode = mode};
	size_t i;

	if (!rules_begin(&j.run, e, m, RULES_LEAVING, &m->arena)) {
		rules_end(&j.run);
		return;
	}
	for (i = 0; i < j.run.use_count; i++)
		use_judge(&j, &j.run.uses[i]);
	if (mode == GATE_COUNT) {
		for (i = 0; i < j.run.use_count; i++)
			use_unleave(&j, &j.run.uses[i]);
		judgement_fill_keys(&j);
	}
	rules_end(&j.run);
}
