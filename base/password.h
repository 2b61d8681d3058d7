/*
 * Password hashes: scrypt (RFC 7914) in the form "$scrypt$ln=15,r=8,p=1$SALT$HASH", base64 without
 * padding, as other tools write it too. Any thread; never on a relay loop: a check takes about
 * 0.1 s and 32 MiB.
 */
#ifndef BASE_PASSWORD_H
#define BASE_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

/* With a new random salt of 16 bytes; for free(). NULL if the system has no randomness or memory.
 */
char *password_hash(const char *password);
/* True if it can be checked against: ln 10 to 18, r 1 to 16, p 1 to 4, salt 8 to 64, hash 16 to 64
 * bytes; so a file cannot make the daemon take more than 512 MiB. */
bool password_is_hash(const char *hash);
/* Compares in constant time. With hash NULL (no such user) it works as long, and says false. */
bool password_verify(const char *hash, const char *password);
/*
 * True if a user may be called so in a users file: 1 to 255 bytes of UTF-8, nothing that
 * text_is_clean() refuses (AUTH refuses it too), no colon, no # at the start, no space at an end.
 */
bool password_is_name(const char *name, size_t len);

#endif
