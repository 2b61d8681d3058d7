/*
 * Text from outside, made fit for a notification: what the files dsn*.c share. Nothing that went
 * through here can end a line, a field or a part. Any thread.
 */
#ifndef MAIL_DSN_TEXT_H
#define MAIL_DSN_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"

enum {
	DSN_LINE_MAX = 998,     /* RFC 5322 2.1.1 */
	DSN_VALUE_MAX = 900,    /* of one value that stands in one line; leaves room for a name */
	DSN_REPLY_MAX = 2000,   /* of what a server said */
	DSN_HEADER_MAX = 65536, /* of the original's header section */
};

/*
 * A copy of one line of valid UTF-8 and at most `max` bytes: blanks and line ends are a space, none
 * at its ends; control characters, characters that turn the direction of text, and bytes that are
 * no UTF-8 are `?`.
 */
char *dsn_clean(struct arena *arena, const char *text, size_t max);
/* The same, and `?` for all beyond ASCII. */
char *dsn_clean_ascii(struct arena *arena, const char *text, size_t max);
/* What xtext stands for, clean; other text, such as UTF-8 (RFC 6533 3), stands for itself. */
char *dsn_clean_xtext(struct arena *arena, const char *xtext);
/*
 * Appends the words of a clean text behind `column` characters of a line; lines that would be
 * longer than 78 go on in the next one, behind `indent`. Words are broken where they are no fit.
 */
void dsn_fold(struct buf *out, size_t column, const char *indent, const char *text);
/*
 * Appends a header section up to DSN_HEADER_MAX or its first empty line, whole lines, each cleaned
 * and ended by CRLF; lines that are too long are folded.
 */
void dsn_add_header(struct buf *out, const char *header, size_t len);

#endif
