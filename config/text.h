/*
 * The text of a configuration file before libConfuse reads it: what stands on which line, and
 * everything that libConfuse would pass over in silence (stray characters, lost backslashes, unset
 * environment variables, settings given twice) said aloud.
 */
#ifndef CONFIG_TEXT_H
#define CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "config/options.h"
#include "config/problem.h"

struct text_mark {
	const struct option *row;
	bool is_value;   /* one value of the setting; false: the setting's name */
	bool is_literal; /* the value itself, not the name of a file or variable that has it */
	int line;
};

struct text_section {
	const struct option *row; /* NULL = the file */
	struct text_section *parent;
	int line; /* where it opens */
	char *title;
	struct text_section **children; /* in the order of the file */
	size_t child_count;
	struct text_mark *marks;
	size_t mark_count;
};

/*
 * Reads the text and blanks in it (keeping lines) comments and every statement that it refused, so
 * that libConfuse can go on behind them. With `secrets` false an unset variable in a secret setting
 * is no problem. *broken: libConfuse should not see it. Free the tree with text_free().
 */
struct text_section *text_scan(char *text, bool secrets, struct problems *problems, bool *broken);
void text_free(struct text_section *s);

bool text_is_set(const struct text_section *s, const char *name);
/* True if one of its values stands in this file itself. */
bool text_is_literal(const struct text_section *s, const char *name);
/* Where a setting stands; where its section opens if it is not set. */
int text_line(const struct text_section *s, const char *name);
/* Where its value number `index` stands. */
int text_value_line(const struct text_section *s, const char *name, size_t index);
/* The section's child number `index` of the kind `name`, NULL if there are not so many. */
const struct text_section *text_child(const struct text_section *s, const char *name, size_t index);

#endif
