/*
 * The verbs for a release under way: approve, pause, resume.
 */
#ifndef CLI_PLAN_H
#define CLI_PLAN_H

#include "cli/command.h"

int approve_run(struct command *c);
int pause_run(struct command *c);
int resume_run(struct command *c);

#endif
