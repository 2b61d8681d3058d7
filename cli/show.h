/*
 * The verb `show`: the story of one batch.
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/command.h"

int show_run(struct command *c);

#endif
