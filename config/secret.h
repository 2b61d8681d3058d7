/*
 * Values that stand in a file of their own: `file:PATH`.
 */
#ifndef CONFIG_SECRET_H
#define CONFIG_SECRET_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

/*
 * False and a reason that starts with `name` if more people than a secret's file may have can read
 * or write it: it is for its owner, and its group may read it.
 */
bool secret_check_mode(const char *name, const char *path, mode_t mode, struct buf *why);

/*
 * The first line of the file, without its end; with `secret` its mode is checked. False and a
 * reason that starts with `name` otherwise. Never blocks on a FIFO.
 */
bool secret_read(const char *name, const char *path, bool secret, struct buf *out, struct buf *why);

#endif
