/*
 * The burst filter. Called by gate_judge() on the relay loop that has the message; the
 * counters behind it are shared. Streams live in the message's arena, the rest ends with the call.
 *
 * Each rule sorts the message's recipients by key, counts each key's recipients in one step, and
 * then says what becomes of all of them: none has left yet, so a message that crosses the limit is
 * held whole.
 */
#include "filters/burst.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "filters/stream.h"

/* One recipient under one rule. */
struct member {
	uint64_t hash;  /* of its key; after counting, of what was counted */
	uint32_t index; /* in m->recipients */
	bool left;      /* counted as not held */
};

struct burst_run {
	const struct policy_environment *environment;
	struct message *message;
	struct counters *counters;
	int64_t mono, wall;
	enum counters_mode mode;
};

/* One key of one rule, and what the counters said. */
struct burst_key {
	const struct config_burst *rule;
	const char *name; /* "burst volume" */
	struct member *members;
	size_t count;
	struct counters_seen seen;
	const struct verdict_stream *stream; /* made when somebody needs it */
};

static int
by_key(const void *a, const void *b)
{
	const struct member *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

static const char *
recipient_counted_as(const struct recipient *r)
{
	return r->final != NULL ? r->final : r->address.text;
}

/* Left the recipients filter as PASS: what burst made of it since does not matter. */
static bool
is_counted(const struct recipient *r)
{
	const struct verdict *v = &r->verdict;

	if (v->action == VERDICT_PASS || v->action == VERDICT_WAIT)
		return true;
	return v->action == VERDICT_HOLD && v->rule != NULL && strncmp(v->rule, "burst ", 6) == 0;
}

/* The recipients under one rule, those with the same key side by side, in their order. */
static size_t
members_fill(const struct message *m, const char *environment, const struct config_burst *rule,
	     const char *name, bool only_passing, struct member *members)
{
	bool per_recipient = (rule->per & CONFIG_PER_RECIPIENT) != 0;
	uint64_t shared = per_recipient ? 0 : stream_hash(environment, name, rule->per, m, NULL);
	size_t i, count = 0;

	for (i = 0; i < m->recipient_count; i++) {
		const struct recipient *r = &m->recipients[i];

		if (only_passing ? r->verdict.action != VERDICT_PASS : !is_counted(r))
			continue;
		members[count++] = (struct member){
		    .index = (uint32_t)i,
		    .hash = per_recipient ? stream_hash(environment, name, rule->per, m,
							recipient_counted_as(r))
					  : shared};
	}
	if (per_recipient && count > 1)
		qsort(members, count, sizeof(*members), by_key);
	return count;
}

/* How many from here on share the first one's key. */
static size_t
members_alike(const struct member *members, size_t count)
{
	size_t i = 1;

	while (i < count && members[i].hash == members[0].hash)
		i++;
	return i;
}

static const struct verdict_stream *
key_stream(const struct burst_run *run, struct burst_key *key)
{
	struct message *m = run->message;
	struct verdict_stream *s;

	if (key->stream != NULL)
		return key->stream;
	if (key->seen.hash == key->members[0].hash) {
		s = stream_new(m, key->seen.hash, key->rule->per,
			       recipient_counted_as(&m->recipients[key->members[0].index]));
	} else {
		s = stream_new(m, key->seen.hash, 0, NULL);
		s->key = "all that is too much to be told apart";
	}
	s->tripped_at = key->seen.trips ? key->seen.tripped_at : 0;
	s->counted = key->seen.counted;
	s->limit = key->rule->limit;
	s->window = key->rule->window;
	key->stream = s;
	return s;
}

static void
key_hold(const struct burst_run *run, struct burst_key *key)
{
	struct arena *arena = &run->message->arena;
	const struct verdict_stream *stream = key_stream(run, key);
	char rate[UNITS_BYTES];
	const char *reason =
	    arena_printf(arena, "over the limit of %s",
			 units_format_rate(key->rule->limit, key->rule->window, rate));
	size_t i;

	for (i = 0; i < key->count; i++) {
		struct verdict *v = &run->message->recipients[key->members[i].index].verdict;

		if (v->action == VERDICT_HOLD)
			continue; /* an earlier rule */
		v->action = VERDICT_HOLD;
		v->rule = key->name;
		v->reason = reason;
		v->stream = stream;
		v->settle = 0;
	}
}

static void
key_observe(const struct burst_run *run, struct burst_key *key)
{
	const struct verdict_stream *stream = key_stream(run, key);
	size_t i;

	for (i = 0; i < key->count; i++) {
		struct verdict *v = &run->message->recipients[key->members[i].index].verdict;

		if (v->observed != NULL)
			continue;
		v->observed = key->name;
		v->observed_stream = stream;
	}
}

static void
key_settle(const struct burst_run *run, struct burst_key *key)
{
	const struct config_burst *rule = key->rule;
	const char *reason = NULL;
	char rate[UNITS_BYTES];
	size_t i;

	for (i = 0; i < key->count; i++) {
		struct verdict *v = &run->message->recipients[key->members[i].index].verdict;

		if (key->seen.head_before + i < rule->head || v->action == VERDICT_HOLD ||
		    (v->action == VERDICT_WAIT && v->settle >= rule->settle))
			continue;
		if (reason == NULL)
			reason =
			    arena_printf(&run->message->arena, "beyond the head of %s",
					 units_format_rate(rule->head, rule->head_window, rate));
		v->action = VERDICT_WAIT;
		v->rule = key->name;
		v->reason = reason;
		v->stream = key_stream(run, key);
		v->settle = rule->settle;
	}
}

static void
key_judge(const struct burst_run *run, struct burst_key *key)
{
	const struct config_burst *rule = key->rule;
	struct counters_key hashes = {
	    .hash = key->members[0].hash,
	    .overflow = stream_hash_overflow(run->environment->config->name, key->name)};
	struct counters_rule counted = counters_rule_of(rule);
	bool holds;
	size_t i;

	counters_arrive(run->counters, &counted, hashes, (uint32_t)key->count, 0, run->mono,
			run->wall, run->mode, &key->seen);
	holds = key->seen.trips && rule->action == CONFIG_BURST_HOLD;
	if (holds)
		key_hold(run, key);
	else if (key->seen.trips)
		key_observe(run, key);
	else if (rule->head > 0 && rule->settle > 0 && rule->action == CONFIG_BURST_HOLD)
		key_settle(run, key);
	for (i = 0; i < key->count; i++) {
		key->members[i].left = !holds;
		key->members[i].hash = key->seen.hash;
	}
}

/* What another rule holds was counted as left by this one. */
static void
members_unleave(const struct burst_run *run, const struct member *members, size_t count)
{
	size_t i, n;

	for (i = 0; i < count; i += n) {
		uint32_t held = 0;
		size_t j;

		n = members_alike(members + i, count - i);
		for (j = i; j < i + n; j++)
			held += members[j].left &&
				run->message->recipients[members[j].index].verdict.action ==
				    VERDICT_HOLD;
		if (held > 0)
			counters_unleave(run->counters, members[i].hash, held);
	}
}

static size_t
count_passing(const struct message *m)
{
	size_t i, n = 0;

	for (i = 0; i < m->recipient_count; i++)
		n += m->recipients[i].verdict.action == VERDICT_PASS;
	return n;
}

void
burst_judge(const struct policy_environment *e, struct counters *c, struct message *m, int64_t mono,
	    int64_t wall, enum gate_mode mode)
{
	struct burst_run run = {.environment = e,
				.message = m,
				.counters = c,
				.mono = mono,
				.wall = wall,
				.mode = mode == GATE_COUNT ? COUNTERS_COUNT : COUNTERS_PEEK};
	size_t rules = e->config->burst_count, passing = count_passing(m), r, i;
	const char **names;
	struct member *all;

	if (rules == 0 || passing == 0)
		return;
	/* Every rule's members first: a verdict of the first rule must not hide it from the second.
	 */
	all = mem_resize_array(NULL, rules * passing, sizeof(*all));
	names = arena_alloc(&m->arena, rules * sizeof(*names));
	for (r = 0; r < rules; r++) {
		const struct config_burst *rule = &e->config->bursts[r];

		names[r] = arena_printf(&m->arena, "burst %s", rule->name);
		members_fill(m, e->config->name, rule, names[r], true, all + r * passing);
	}
	for (r = 0; r < rules; r++) {
		struct burst_key key = {.rule = &e->config->bursts[r], .name = names[r]};

		for (i = 0; i < passing; i += key.count) {
			key.members = all + r * passing + i;
			key.count = members_alike(key.members, passing - i);
			key.stream = NULL;
			key_judge(&run, &key);
		}
	}
	for (r = 0; mode == GATE_COUNT && r < rules; r++)
		members_unleave(&run, all + r * passing, passing);
	free(all);
}

void
counters_replay(struct counters *c, const struct policy *p, const struct message *m,
		int64_t mono_then)
{
	const struct policy_environment *e = policy_find(p, m->environment);
	struct member *members;
	size_t r, i, n, count;

	if (e == NULL || m->recipient_count == 0)
		return;
	members = mem_resize_array(NULL, m->recipient_count, sizeof(*members));
	for (r = 0; r < e->config->burst_count; r++) {
		const struct config_burst *rule = &e->config->bursts[r];
		char *name = mem_printf("burst %s", rule->name);
		uint64_t overflow = stream_hash_overflow(e->config->name, name);
		struct counters_rule counted = counters_rule_of(rule);

		count = members_fill(m, e->config->name, rule, name, false, members);
		for (i = 0; i < count; i += n) {
			struct counters_key key = {.hash = members[i].hash, .overflow = overflow};
			struct counters_seen seen;
			uint32_t left = 0;
			size_t j;

			n = members_alike(members + i, count - i);
			for (j = i; j < i + n; j++)
				left +=
				    m->recipients[members[j].index].verdict.action != VERDICT_HOLD;
			counters_arrive(c, &counted, key, (uint32_t)n, left, mono_then, 0,
					COUNTERS_REPLAY, &seen);
		}
		free(name);
	}
	free(members);
}

void
gate_explain_rules(const struct policy *p, struct counters *c, const struct message *m,
		   int64_t mono, void (*row)(void *context, const struct gate_rule_row *row),
		   void *context)
{
	const struct policy_environment *e = policy_find(p, m->environment);
	struct member *members;
	struct buf text = {0};
	size_t r, i, n, count;

	if (e == NULL || m->recipient_count == 0)
		return;
	members = mem_resize_array(NULL, m->recipient_count, sizeof(*members));
	for (r = 0; r < e->config->burst_count; r++) {
		const struct config_burst *rule = &e->config->bursts[r];
		char *name = mem_printf("burst %s", rule->name);
		uint64_t overflow = stream_hash_overflow(e->config->name, name);
		struct counters_rule counted = counters_rule_of(rule);

		count = members_fill(m, e->config->name, rule, name, false, members);
		for (i = 0; i < count; i += n) {
			struct counters_key key = {.hash = members[i].hash, .overflow = overflow};
			struct counters_seen seen;

			n = members_alike(members + i, count - i);
			counters_arrive(c, &counted, key, (uint32_t)n, 0, mono, 0, COUNTERS_PEEK,
					&seen);
			buf_clear(&text);
			stream_format_key(m, rule->per,
					  recipient_counted_as(&m->recipients[members[i].index]),
					  &text);
			row(context, &(struct gate_rule_row){.rule = name,
							     .key = buf_text(&text),
							     .applies = true,
							     .note = "",
							     .limit = rule->limit,
							     .window = rule->window,
							     .before = seen.before,
							     .after = seen.before + (uint32_t)n,
							     .head = rule->head,
							     .head_before = seen.head_before,
							     .head_window = rule->head_window,
							     .settle = rule->settle,
							     .holds = counted.holds,
							     .trips = seen.trips});
		}
		free(name);
	}
	buf_free(&text);
	free(members);
}
