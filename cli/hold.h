/*
 * The panic button: hold and unhold.
 */
#ifndef CLI_HOLD_H
#define CLI_HOLD_H

#include "cli/command.h"

int hold_run(struct command *c);
int unhold_run(struct command *c);

#endif
