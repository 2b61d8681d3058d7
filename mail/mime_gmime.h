/*
 * What mime.c and the files mime_*.c share; nobody else includes it, so
 * <gmime/gmime.h> stays behind mime.h.
 */
#ifndef MAIL_MIME_GMIME_H
#define MAIL_MIME_GMIME_H

#include <gmime/gmime.h>
#include <stdbool.h>
#include <stddef.h>

/* GMime recurses once for each group in a group; so many colons are the most it gets to see. */
enum { MIME_COLONS_MAX = 1000 };

/* Made by mime_init(), read by any thread. */
extern GMimeParserOptions *mime_options;

/* True if text in that charset is converted; other names must not reach GMime. */
bool mime_knows_charset(const char *name, size_t len);
/* Control characters to spaces, in place; newline and tab stay where `lines`. Valid UTF-8. */
void mime_blank_controls(char *text, bool lines);

#endif
