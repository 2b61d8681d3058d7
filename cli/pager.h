/*
 * What is longer than the terminal, page by page.
 */
#ifndef CLI_PAGER_H
#define CLI_PAGER_H

#include <stddef.h>

#include "cli/command.h"

/*
 * What is printed on stdout from here on goes through $PAGER, else less -FRX, where stdout is a
 * terminal, it is not for a program (--json), and so many lines do not fit on it; SIZE_MAX: who
 * knows how many. Nothing changes where there is no pager. Colours and widths stay the terminal's.
 */
void pager_start(const struct command *c, size_t lines);
/* Waits until it was read; notes may follow. Nothing where no pager was started. */
void pager_finish(void);

#endif
