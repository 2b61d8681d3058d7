/*
 * The verb `log`: the audit log, who did what and why.
 */
#ifndef CLI_AUDIT_LOG_H
#define CLI_AUDIT_LOG_H

#include "cli/command.h"

int audit_log_run(struct command *c);

#endif
