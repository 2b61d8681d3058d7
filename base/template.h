/*
 * Short texts with letters to be filled in: "%e: %t". `%%` is a percent sign; any other letter has
 * to be one of those that the owner knows. What is filled in is never read as a template again.
 * Pure; any thread.
 */
#ifndef BASE_TEMPLATE_H
#define BASE_TEMPLATE_H

#include <stdbool.h>

#include "base/buf.h"

struct template_value {
	char letter;
	const char *text;
};

/*
 * True if every % in it is followed by % or one of `letters`. Else what stands there is in `bad`,
 * "%" and what follows it, at most one character: "%x", "%" at the end.
 */
enum { TEMPLATE_BAD_BYTES = 8 };
bool template_check(const char *text, const char *letters, char bad[TEMPLATE_BAD_BYTES]);
/* Appends the text with its letters filled in; `values` ends with a letter of 0. A letter that is
 * not among them stays as it is. */
void template_fill(const char *text, const struct template_value *values, struct buf *out);

#endif
