/*
 * Whom the rules count. Called by judge.c on the relay loop that has the message, by replay.c at
 * the start and by explain.c on the control thread. One allocation for each message, freed by
 * rules_end().
 */
#include "filters/rules.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filters/stream.h"

const char *
rule_recipient(const struct recipient *r)
{
	return r->final != NULL ? r->final : r->address.text;
}

static bool
is_rule(const char *name)
{
	return strncmp(name, "burst ", 6) == 0 || strncmp(name, "content ", 8) == 0 ||
	       strcmp(name, "audience") == 0;
}

/* Left the recipients filter as PASS: what the rules made of it since does not matter. */
static bool
was_counted(const struct recipient *r)
{
	const struct verdict *v = &r->verdict;

	if (v->action == VERDICT_PASS || v->action == VERDICT_WAIT)
		return true;
	return v->action == VERDICT_HOLD && v->rule != NULL && is_rule(v->rule);
}

static bool
is_whom(const struct recipient *r, enum rules_whom whom)
{
	return whom == RULES_LEAVING ? r->verdict.action == VERDICT_PASS : was_counted(r);
}

static size_t
count_whom(const struct message *m, enum rules_whom whom)
{
	size_t i, n = 0;

	for (i = 0; i < m->recipient_count; i++)
		n += is_whom(&m->recipients[i], whom);
	return n;
}

/* ---- does the rule apply */

static bool
has_campaign(const struct message *m)
{
	return m->audience > 0 && m->campaign != NULL && *m->campaign != '\0';
}

static void
use_audience(struct rule_use *use, const struct message *m)
{
	use->applies = has_campaign(m);
	use->counted.limit = m->audience;
	if (!use->applies)
		use->note = "no audience is declared";
}

static void
use_burst(struct rule_use *use, const struct message *m)
{
	const struct policy_rule *rule = use->rule;

	use->applies = true;
	if (rule->declared == 0 || !has_campaign(m) || m->audience > rule->declared)
		return;
	use->declared = true;
	use->counted = rule->declared_counted;
	use->note = "a declared audience is counted apart";
}

static void
use_content(struct rule_use *use, struct content_view *view, struct arena *arena)
{
	const char *why = "it matches";

	use->applies = content_match(use->rule->content, view, arena, &why);
	use->note = use->applies ? why : "it does not match";
}

/* ---- who, under which key */

static int
by_key(const void *a, const void *b)
{
	const struct rule_member *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

static void
use_fill(struct rules_run *run, struct rule_use *use)
{
	const struct policy_rule *rule = use->rule;
	const struct message *m = run->message;
	bool per_recipient = (rule->per & CONFIG_PER_RECIPIENT) != 0;
	uint64_t start = use->declared ? rule->declared_hash : rule->hash;
	uint64_t shared = stream_hash_parts(start, rule->per & ~CONFIG_PER_RECIPIENT, m, NULL);
	size_t i;

	use->key.overflow_all = stream_hash_overflow(start);
	use->key.overflow = stream_hash_parts(use->key.overflow_all, CONFIG_PER_SOURCE, m, NULL);
	use->key.owner = stream_hash_parts(run->environment->hash, CONFIG_PER_SOURCE, m, NULL);
	for (i = 0; i < run->count; i++)
		use->members[i] = (struct rule_member){
		    .place = (uint32_t)i,
		    .hash = per_recipient ? stream_hash_parts(shared, CONFIG_PER_RECIPIENT, m,
							      rule_recipient(run->recipients[i]))
					  : shared};
	if (per_recipient && run->count > 1)
		qsort(use->members, run->count, sizeof(*use->members), by_key);
}

/* One block: the uses, then the recipients, then the members of each use. */
static void
run_allocate(struct rules_run *run)
{
	size_t uses = run->use_count * sizeof(*run->uses);
	size_t recipients = run->count * sizeof(struct recipient *);
	size_t members = run->count * sizeof(struct rule_member);
	char *block = mem_alloc(uses + recipients + run->use_count * members);
	size_t i;

	run->uses = (struct rule_use *)block;
	run->recipients = (struct recipient **)(block + uses);
	for (i = 0; i < run->use_count; i++) {
		const struct policy_rule *rule = &run->environment->rules[i];

		run->uses[i] = (struct rule_use){
		    .rule = rule,
		    .note = "",
		    .counted = rule->counted,
		    .members = (struct rule_member *)(block + uses + recipients + i * members)};
	}
}

bool
rules_begin(struct rules_run *run, const struct policy_environment *e, const struct message *m,
	    enum rules_whom whom, struct arena *arena)
{
	struct content_view view;
	bool has_contents;
	size_t i, n = 0;

	*run = (struct rules_run){.environment = e, .message = m};
	run->count = count_whom(m, whom);
	run->use_count = e->rule_count;
	if (run->count == 0 || run->use_count == 0)
		return false;
	run_allocate(run);
	has_contents = whom != RULES_PAST && e->rules[0].kind == POLICY_CONTENT;
	for (i = 0; i < m->recipient_count; i++)
		if (is_whom(&m->recipients[i], whom))
			run->recipients[n++] = &m->recipients[i];
	/* Of an environment without content rules not even the view is made. */
	if (has_contents)
		content_view_init(&view, m);
	for (i = 0; i < run->use_count; i++) {
		struct rule_use *use = &run->uses[i];

		if (use->rule->kind == POLICY_AUDIENCE)
			use_audience(use, m);
		else if (use->rule->kind == POLICY_BURST)
			use_burst(use, m);
		else if (whom == RULES_PAST)
			use->applies = true;
		else
			use_content(use, &view, arena);
		if (use->applies)
			use_fill(run, use);
	}
	if (has_contents)
		content_view_free(&view);
	return true;
}

void
rules_end(struct rules_run *run)
{
	free(run->uses);
	*run = (struct rules_run){0};
}

size_t
rule_members_alike(const struct rule_member *members, size_t count)
{
	size_t i = 1;

	while (i < count && members[i].hash == members[0].hash)
		i++;
	return i;
}

struct counters_key
rule_key(const struct rule_use *use, const struct rule_member *member)
{
	struct counters_key key = use->key;

	key.hash = member->hash;
	return key;
}

/* ---- in words */

/* Which parts the counted key has: an overflow key has the source's, or none. */
static unsigned
counted_per(const struct rule_use *use, const struct rule_member *member)
{
	if (member->hash == use->key.overflow)
		return CONFIG_PER_SOURCE;
	return member->hash == use->key.overflow_all ? 0 : use->rule->per;
}

void
rule_format_key(const struct rules_run *run, const struct rule_use *use,
		const struct rule_member *member, struct buf *out)
{
	unsigned per = counted_per(use, member);

	stream_format_key(run->message, per, rule_recipient(run->recipients[member->place]), out);
	if (member->hash == use->key.overflow)
		buf_add_text(out, " and more than can be told apart");
	else if (member->hash == use->key.overflow_all)
		buf_add_text(out, "all that is too much to be told apart");
	if (use->declared)
		buf_add_text(out, out->len > 0 ? " declared" : "declared");
}

struct verdict_stream *
rule_stream(const struct rules_run *run, const struct rule_use *use,
	    const struct rule_member *member, struct message *m)
{
	struct verdict_stream *s = stream_new(m, member->hash, counted_per(use, member), NULL);
	struct buf key = {0};

	rule_format_key(run, use, member, &key);
	s->key = arena_strdup(&m->arena, buf_text(&key));
	s->window = use->counted.window;
	buf_free(&key);
	return s;
}
