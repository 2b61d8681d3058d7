/*
 * The tokens file: who may use the HTTP API, one `NAME:ROLES:HASH` a line, written by `mailfuse
 * token`; empty lines and lines that begin with # are skipped. ROLES is role_parse()'s, HASH
 * token_hash()'s. Immutable once loaded. Loading and asking are for the main thread.
 */
#ifndef CONFIG_TOKENS_H
#define CONFIG_TOKENS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/token.h"

struct tokens;

/*
 * NULL and "FILE:LINE: what is wrong; what to do" lines in `errors`: not readable, readable or
 * writable by others than its owner and group, over 1 MiB, a line of another form, a name or a hash
 * twice.
 */
struct tokens *tokens_load(const char *path, struct buf *errors);
void tokens_free(struct tokens *t);
/*
 * True if there is such a token; its name is good as long as the tokens. Takes as long for a wrong
 * one: all are compared, in constant time.
 */
bool tokens_find(const struct tokens *t, const char *token, const char **name, unsigned *roles);
/* The same by token_hash() of the token, for what was made of it before. */
bool tokens_find_hash(const struct tokens *t, const char *hash, const char **name, unsigned *roles);
/* The names of those that have the role, in the order of the file. */
void tokens_list(const struct tokens *t, unsigned role,
		 void (*row)(void *context, const char *name), void *context);

#endif
