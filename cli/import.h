/*
 * import DIR: an exported batch comes back, held.
 */
#ifndef CLI_IMPORT_H
#define CLI_IMPORT_H

#include "cli/command.h"

int import_run(struct command *c);

#endif
