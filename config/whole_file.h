/*
 * A small file with secrets, read at once: for users.c and tokens.c.
 */
#ifndef CONFIG_WHOLE_FILE_H
#define CONFIG_WHOLE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * All of the file, and a line end behind it. False and why not in `why`: it cannot be read (`cure`
 * says what makes one), is no regular file, is larger than `max`, or every user can read or write
 * it. Never blocks on a FIFO.
 */
bool whole_file_read(const char *path, size_t max, const char *cure, struct buf *out,
		     struct buf *why);

#endif
