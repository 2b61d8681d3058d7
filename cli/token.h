/*
 * mailfuse token: who may use the HTTP API, and for what.
 */
#ifndef CLI_TOKEN_H
#define CLI_TOKEN_H

#include "cli/command.h"

int token_run(struct command *c);

#endif
