/*
 * export BATCH DIR: a batch as a directory of .eml files and a manifest.
 */
#ifndef CLI_EXPORT_H
#define CLI_EXPORT_H

#include "cli/command.h"

int export_run(struct command *c);

#endif
