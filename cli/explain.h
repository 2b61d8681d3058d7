/*
 * The verb `explain`: what the gate would do with a message, and nothing sent.
 */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "cli/command.h"

int explain_run(struct command *c);

#endif
