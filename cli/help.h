/*
 * The verbs as a table, and what `mailfuse help` prints of it.
 */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "cli/command.h"

/* One row; a row without a name ends the table. */
struct verb {
	const char *name;
	const char *synopsis; /* what stands after the name */
	const char *help;     /* one line */
	const struct option *options;
	size_t words_min, words_max;
	int (*run)(struct command *c); /* NULL: it is main()'s, as help */
	const char *details;           /* lines for `help VERB`; NULL = none */
};

void help_print(FILE *out, const struct verb *verbs, const struct option *global);
void help_print_verb(FILE *out, const struct verb *v, const struct option *global);

#endif
