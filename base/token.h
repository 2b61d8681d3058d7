/*
 * Tokens of the HTTP API, and the roles that a person may have. A token is "mf_" and 32 random
 * bytes as base64url; only its SHA-256 is kept, which is enough for something that nobody can
 * guess. Used by config/tokens.c, control/ and `mailfuse token`. Any thread.
 */
#ifndef BASE_TOKEN_H
#define BASE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

/* A set of bits, no ladder: who may decide need not approve. Any role may also look. */
enum role { ROLE_VIEWER = 1, ROLE_OPERATOR = 2, ROLE_APPROVER = 4 };
enum { ROLE_ALL = ROLE_VIEWER | ROLE_OPERATOR | ROLE_APPROVER, ROLE_TEXT_BYTES = 32 };

/* "viewer,operator": each once, no blanks. False if it is none. */
bool role_parse(const char *text, unsigned *roles);
/* The same text in one order; "" for none. */
void role_format(unsigned roles, char out[ROLE_TEXT_BYTES]);

/* With the NUL: 3 of "mf_" and 43; 64 of hex. */
enum { TOKEN_BYTES = 47, TOKEN_HASH_BYTES = 65 };

/* A new one. False if the system has no randomness. */
bool token_make(char out[TOKEN_BYTES]);
/* SHA-256 of any text, lower case hex. */
void token_hash(const char *token, char out[TOKEN_HASH_BYTES]);
/* True if it is such a hash. */
bool token_is_hash(const char *text);
/* Compares in constant time. Both must be hashes. */
bool token_same_hash(const char *a, const char *b);
/*
 * True if a token may be called so: 1 to 64 letters, digits, dots, dashes, underscores. It stands
 * in the audit log as "token:NAME".
 */
bool token_is_name(const char *name);

#endif
