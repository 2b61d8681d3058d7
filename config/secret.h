/*
 * Values that stand in a file of their own: `file:PATH`.
 */
#ifndef CONFIG_SECRET_H
#define CONFIG_SECRET_H

#include <stdbool.h>

#include "base/buf.h"

/*
 * The first line of the file, without its end. With `secret` a file that every user may read is
 * refused. False and a reason that starts with `name` otherwise. Never blocks on a FIFO.
 */
bool secret_read(const char *name, const char *path, bool secret, struct buf *out, struct buf *why);

#endif
