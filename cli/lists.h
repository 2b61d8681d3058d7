/*
 * The verbs that print lists: batches, messages (deliveries), queue.
 */
#ifndef CLI_LISTS_H
#define CLI_LISTS_H

#include "cli/command.h"
#include "cli/table.h"

int batches_run(struct command *c);
int messages_run(struct command *c);
int queue_run(struct command *c);

/* Prints a table cut to the terminal, if it has a row, and frees it. */
void lists_print(struct table *t);

#endif
