/*
 * The verb `simulate`: what a configuration would have done with a trace or with the recorded
 * traffic. No mail is sent; with --trace the daemon is not asked.
 */
#ifndef CLI_SIMULATE_H
#define CLI_SIMULATE_H

#include "cli/command.h"

int simulate_run(struct command *c);

#endif
