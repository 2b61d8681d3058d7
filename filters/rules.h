/*
 * A message under the counting rules of its environment: whom each rule counts, and under which
 * keys. What the judge, the replay after a start and `explain` have in common. One thread, for one
 * message; nothing is counted here.
 */
#ifndef FILTERS_RULES_H
#define FILTERS_RULES_H

#include "base/buf.h"
#include "filters/policy.h"
#include "mail/message.h"

/* One recipient under one rule. */
struct rule_member {
	uint64_t hash;  /* of its key; after counting, of what was counted */
	uint32_t place; /* in rules_run.recipients */
	uint32_t stamp; /* of the counter that counted it */
	bool left;      /* counted as not held */
};

/* One rule and the message. */
struct rule_use {
	const struct policy_rule *rule;
	bool applies;                 /* else it counts nobody */
	bool declared;                /* counted apart, as mail of a declared campaign */
	const char *note;             /* of a content rule: what matches; else why not, or "" */
	struct counters_rule counted; /* with this message's limit */
	struct counters_key key;      /* without its hash */
	/* One for each recipient, those of one key side by side and in the message's order. */
	struct rule_member *members;
};

struct rules_run {
	const struct policy_environment *environment;
	const struct message *message;
	struct recipient **recipients; /* who is counted, in the message's order */
	size_t count;
	struct rule_use *uses; /* one for each rule */
	size_t use_count;
};

enum rules_whom {
	RULES_LEAVING, /* who would leave: before the rules have judged */
	RULES_COUNTED, /* who was counted: afterwards */
	/* The same, for mail whose content is not there: no pattern is asked. */
	RULES_PAST
};

/* False if there is nobody to count, or no rule; rules_end() either way. Texts that it makes are in
 * `arena`. O(recipients * rules). */
bool rules_begin(struct rules_run *run, const struct policy_environment *e, const struct message *m,
		 enum rules_whom whom, struct arena *arena);
void rules_end(struct rules_run *run);

/* How many of these members, from the first on, share its key. */
size_t rule_members_alike(const struct rule_member *members, size_t count);
/* The counters' key of these members. */
struct counters_key rule_key(const struct rule_use *use, const struct rule_member *member);
/* The address that a recipient is counted as. */
const char *rule_recipient(const struct recipient *r);

/*
 * The stream of what was counted for `member` (its hash may be one of the overflow keys), and only
 * its key in words: `source=shop subject="hello" declared`.
 */
struct verdict_stream *rule_stream(const struct rules_run *run, const struct rule_use *use,
				   const struct rule_member *member, struct message *m);
void rule_format_key(const struct rules_run *run, const struct rule_use *use,
		     const struct rule_member *member, struct buf *out);

#endif
