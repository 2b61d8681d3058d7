/*
 * The verb `status`: what runs, what is protected, what is held.
 */
#ifndef CLI_STATUS_H
#define CLI_STATUS_H

#include "cli/command.h"

int status_run(struct command *c);

/* True for a warning that those who print `holds` and `store` have said already. */
bool status_is_said(const char *warning);
/* What an environment of that name is: "production", "test", or "alerts" for the gate's own. */
const char *status_kind(const char *name, bool production);

#endif
