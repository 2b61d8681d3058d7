/*
 * A small file with secrets, read at once, line by line: for users.c and tokens.c.
 */
#ifndef CONFIG_WHOLE_FILE_H
#define CONFIG_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct problems;

/* One line, without its end; it may hold a NUL, may be written to, and stays where it is. */
typedef void whole_file_line_fn(void *context, char *text, size_t len, int line,
				struct problems *problems);

/*
 * Calls each() for every line, until too much is wrong. `text` gets what the lines point into, for
 * free() also after a failure. False, with the problems in `errors`, if there were any, or if it
 * cannot be read (`cure` says what makes one), is no regular file, is larger than `max`, or every
 * user can read or write it. Never blocks on a FIFO.
 */
bool whole_file_lines(const char *path, size_t max, const char *cure, whole_file_line_fn *each,
		      void *context, char **text, struct buf *errors);

#endif
