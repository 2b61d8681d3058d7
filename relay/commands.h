/*
 * What each SMTP command does: the protocol as a table. mail/command.c reads a line;
 * this runs it.
 */
#ifndef RELAY_COMMANDS_H
#define RELAY_COMMANDS_H

#include <stddef.h>

struct session;

/* Reads and runs one line (without its line end). May end the session. */
void command_run(struct session *s, const char *line, size_t len);

#endif
