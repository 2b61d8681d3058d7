/*
 * What a batch was when somebody was asked about it, for `seen` of a decision (docs/api.md).
 */
#ifndef CLI_SEEN_H
#define CLI_SEEN_H

#include <stdbool.h>

#include "cli/command.h"

/* Which fields. What is bound to change while somebody thinks must not refuse the decision. */
enum seen_fields {
	SEEN_NUMBERS = 1, /* state, released, discarded */
	SEEN_HELD = 2,
	SEEN_PLAN = 4,
	SEEN_RING = 8
};

/*
 * Asks for the batch, before the dry run and the question. NULL where nobody will be asked, `id` is
 * no batch, or it cannot be read: the decision itself then says why.
 */
json_t *seen_read(const struct command *c, const char *id, unsigned fields);

#endif
