/*
 * The verb `status`: what runs, what is protected, what is held.
 */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "cli/command.h"

int status_run(struct command *c);

#endif
