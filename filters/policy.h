/*
 * The inside of a compiled policy, for the files of this room: the configuration with its patterns
 * and matches made ready. Immutable after policy_new(), counted, read by all threads.
 */
#ifndef FILTERS_POLICY_H
#define FILTERS_POLICY_H

#include <stdatomic.h>
#include <stddef.h>

#include "config/config.h"
#include "filters/identify.h"
#include "filters/pattern.h"

struct policy_environment {
	const struct config_environment *config;
	struct pattern **allow;
	size_t allow_count;
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
/* The burst rule that a verdict names: "burst volume". NULL if there is none. */
const struct config_burst *policy_find_burst(const struct policy *p, const char *environment,
					     const char *rule);

#endif
