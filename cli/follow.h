/*
 * Watching a release: a bar for each ring on a terminal, a line for each change elsewhere.
 */
#ifndef CLI_FOLLOW_H
#define CLI_FOLLOW_H

#include "cli/command.h"

/*
 * Watches the plan of that batch until it is done, paused or ended, or until Ctrl-C. CLIENT_DONE
 * if it is done or somebody watched long enough, CLIENT_REFUSED if it is paused or has ended
 * before its end.
 */
int follow_batch(struct command *c, const char *batch);

#endif
