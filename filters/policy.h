/*
 * The inside of a compiled policy, for the files of this room: the configuration with its patterns,
 * matches and rules made ready. Immutable after policy_new(), counted, read by all threads.
 */
#ifndef FILTERS_POLICY_H
#define FILTERS_POLICY_H

#include <stdatomic.h>
#include <stddef.h>

#include "config/config.h"
#include "filters/content.h"
#include "filters/counters.h"
#include "filters/identify.h"
#include "filters/pattern.h"

struct tally;

enum policy_rule_kind { POLICY_CONTENT, POLICY_AUDIENCE, POLICY_BURST };

/* One rule of an environment that counts. */
struct policy_rule {
	enum policy_rule_kind kind;
	char *name;    /* "burst volume", as verdicts and batches have it */
	unsigned per;  /* enum config_per */
	uint64_t hash; /* where the hashes of its streams start */
	/* An audience's limit is in the message; here it is as large as can be. */
	struct counters_rule counted;
	int64_t settle;
	bool settles; /* what is beyond the head waits, and is called back when it trips */
	/* Mail that declares an audience of at most so many is counted apart; 0 = none is. */
	uint32_t declared;
	struct counters_rule declared_counted;
	uint64_t declared_hash;
	const char *match; /* CONTENT: the pattern as it was written */
	struct content *content;
	struct tally *tally;
};

struct policy_environment {
	const struct config_environment *config;
	uint64_t hash; /* where the hashes of its sources start */
	struct pattern **allow;
	size_t allow_count;
	struct policy_rule *rules; /* in the order in which they judge: content, audience, burst */
	size_t rule_count;
	bool wants_body; /* a content rule looks into it */
	/* Of what no rule has to do with, of the recipients filter, and of `capture`. */
	struct tally *tally, *tally_recipients, *tally_capture;
};

struct policy {
	struct config *config;
	struct policy_environment *environments; /* as in config */
	size_t environment_count;
	struct identify *identify;
	const struct config_environment *unknown; /* always there */
	atomic_int refs;
};

/* NULL if there is none of that name, as after a reload that removed it: the caller holds.
 * O(environments). */
const struct policy_environment *policy_find(const struct policy *p, const char *environment);
/* The rule that a verdict names: "content test marker", "audience", "burst volume". NULL if there
 * is none. */
const struct policy_rule *policy_find_rule(const struct policy *p, const char *environment,
					   const char *rule);

#endif
