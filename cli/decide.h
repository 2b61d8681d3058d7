/*
 * The verbs that decide what becomes of held mail: release, discard, restore, purge.
 */
#ifndef CLI_DECIDE_H
#define CLI_DECIDE_H

#include "cli/command.h"

int release_run(struct command *c);
int discard_run(struct command *c);
int restore_run(struct command *c);
int purge_run(struct command *c);

#endif
