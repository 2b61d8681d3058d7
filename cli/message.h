/*
 * The verb `message`: one message, or its bytes or text.
 */
#ifndef CLI_MESSAGE_H
#define CLI_MESSAGE_H

#include "cli/command.h"

int message_run(struct command *c);

#endif
