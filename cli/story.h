/*
 * story BATCH [--markdown] [--names]: what happened, for the review of an incident.
 */
#ifndef CLI_STORY_H
#define CLI_STORY_H

#include "cli/command.h"

int story_run(struct command *c);

#endif
