/*
 * HTML as text a person can read: for the operator's view of a message that has no text part.
 * Not a browser: no layout, no links. Any thread.
 */
#ifndef MAIL_HTML_H
#define MAIL_HTML_H

#include <stddef.h>

#include "base/buf.h"

/*
 * Appends the text of `html` (UTF-8): tags, comments, scripts and styles dropped, white space
 * collapsed, the commonest entities decoded; stops once `out` holds `max` bytes. O(length).
 */
void html_add_text(struct buf *out, const char *html, size_t max);

#endif
