/*
 * restore-from FILE --batch B17: one batch of a backup comes back into the running gate.
 */
#ifndef CLI_RESTORE_FROM_H
#define CLI_RESTORE_FROM_H

#include "cli/command.h"

int restore_from_run(struct command *c);

#endif
