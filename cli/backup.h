/*
 * backup FILE, backup --verify FILE: a copy of the store, and whether one is whole.
 */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include <stdint.h>

#include "cli/command.h"

int backup_run(struct command *c);

/* "3 h 10 min old": of a copy that was made then; good like screen_text(). */
const char *backup_age(int64_t made_at);

#endif
