/*
 * Text of strangers within Markdown: it stays text, whatever it says. Any thread.
 */
#ifndef CLI_MARKDOWN_H
#define CLI_MARKDOWN_H

#include "base/buf.h"

/*
 * Adds a text that means nothing in CommonMark and its GitHub dialect: every character of markup is
 * escaped by a backslash (CommonMark 2.4), so that there are no links, images, code, tables, HTML,
 * mentions of a reference or automatic links. Line ends become blanks. The text must not begin a
 * line: what comes before it is the caller's.
 */
void markdown_add(struct buf *out, const char *text);

#endif
