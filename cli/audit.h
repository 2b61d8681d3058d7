/*
 * audit verify and audit export: is the audit log what mailfuse wrote?
 */
#ifndef CLI_AUDIT_H
#define CLI_AUDIT_H

#include "cli/command.h"

int audit_run(struct command *c);

#endif
