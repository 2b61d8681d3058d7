/*
 * mailfuse passwd: who may log in, and with which password.
 */
#ifndef CLI_PASSWD_H
#define CLI_PASSWD_H

#include "cli/command.h"

int passwd_run(struct command *c);

#endif
