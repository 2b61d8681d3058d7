/*
 * Escapes for Markdown. See markdown.h. Called by cli/story_show.c.
 */
#include "cli/markdown.h"

#include <string.h>

/* All that can begin or end anything within a line; `:` and `@` make automatic links in GitHub's.
 */
static const char markup[] = "\\`*_{}[]<>()#!|~&:@$";

void
markdown_add(struct buf *out, const char *text)
{
	const char *p;

	for (p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f) {
			buf_add_char(out, ' ');
			continue;
		}
		/* "www." begins a link as well. */
		if (strchr(markup, *p) != NULL ||
		    (*p == '.' && p > text && (p[-1] == 'w' || p[-1] == 'W')))
			buf_add_char(out, '\\');
		buf_add_char(out, *p);
	}
}
