/*
 * The words of a configuration file, one after the other, as libConfuse will see them.
 */
#ifndef CONFIG_SCAN_H
#define CONFIG_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "config/problem.h"

enum scan_token {
	SCAN_END = 0,
	SCAN_WORD = 'w', /* bare, or in quotes */
	SCAN_OPEN = '{',
	SCAN_CLOSE = '}',
	SCAN_SET = '=',
	SCAN_APPEND = '+',
	SCAN_COMMA = ','
};

struct scan {
	char *text, *at;
	int line;
	struct problems *problems;
	bool broken;         /* a quote or comment without end: what follows means nothing */
	bool unset_is_empty; /* a ${NAME} that is not set is no problem */
	/* of the last token */
	char *start;
	char *word; /* without its quotes, not ended by NUL, escapes as written */
	size_t word_len;
	int word_line;
};

enum scan_token scan_next(struct scan *s);
/* Makes everything from `from` to `to` blank, keeping line ends. */
void scan_blank(char *from, const char *to);

#endif
