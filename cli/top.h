/*
 * top: what happens now, on a screen that follows it; once, as plain lines, where stdout is none.
 */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include "cli/command.h"

int top_run(struct command *c);

#endif
