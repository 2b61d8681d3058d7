/*
 * `mailfuse complete WORD...`: what the last word may go on to. For the shells (etc/completions),
 * so it is not in the help.
 */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include "cli/help.h"

struct complete {
	const struct verb *verbs;
	const struct option *global;
	/* NULL, with what is wrong on stderr, if these options name no daemon. */
	struct client *(*open)(const struct command *c);
};

/*
 * Prints a line for each: the word, a tab, what it is. Or one line, ":files" or ":dirs": the shell
 * knows these. The words are those that follow `mailfuse`, up to the one that is being typed, which
 * may be "". Always ends well: a daemon that does not answer just adds nothing.
 */
int complete_run(const struct complete *tables, int count, char **words);

#endif
