/*
 * The users file: who may log in, one `NAME:HASH` a line, written by `mailfuse passwd`; empty lines
 * and lines that begin with # are skipped. Immutable once loaded. Names are compared byte by byte.
 * HASH is base/password.h's. Loading is for the main thread (reads a file), finding for any.
 */
#ifndef CONFIG_USERS_H
#define CONFIG_USERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct users;

/*
 * NULL and "FILE:LINE: what is wrong; what to do" lines in `errors`: not readable, readable or
 * writable by others than its owner and group, over 16 MiB, a line without a colon, a name twice or
 * none by password_is_name(), a hash that is none.
 */
struct users *users_load(const char *path, struct buf *errors);
void users_free(struct users *u);
size_t users_count(const struct users *u);
/* The user's hash, or NULL. O(1). */
const char *users_find(const struct users *u, const char *name);
/*
 * Somebody's hash, the same for the same number; NULL without users. Checked in place of the one
 * that a user who does not exist has not, it costs what theirs cost.
 */
const char *users_decoy(const struct users *u, uint64_t number);

#endif
