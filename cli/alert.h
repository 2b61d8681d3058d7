/*
 * The verb alert: are people told?
 */
#ifndef CLI_ALERT_H
#define CLI_ALERT_H

#include "cli/command.h"

int alert_run(struct command *c);

#endif
