/*
 * The command line of a decision, read and checked.
 */
#ifndef CLI_DECIDE_CALL_H
#define CLI_DECIDE_CALL_H

#include "cli/command.h"
#include "cli/ids.h"

/* These print what is wrong and return the exit code; CLIENT_DONE = go on. */

/* Which options exclude or need each other. */
int decide_check_options(const struct command *c);
/* The words; "-" is what standard input lists, which then is taken. */
int decide_read_ids(struct command *c, struct ids *ids);
/* What is a plan of one batch, or rules on all of its stream, cannot be of something else. */
int decide_check_scope(const struct command *c, const struct ids *ids);

/* The call, but for its ids. */
json_t *decide_make_body(const struct command *c);

#endif
