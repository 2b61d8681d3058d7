/*
 * base64 (RFC 4648 4), strict: no blanks, right padding, no stray bits. Any thread.
 */
#ifndef BASE_BASE64_H
#define BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/*
 * Appends the decoded bytes; false if `text` is no base64, and then `out` is unchanged. The room
 * for them is made before: where they are a secret, growing leaves no copies.
 */
bool base64_decode(const char *text, size_t len, struct buf *out);
/* Appends base64. */
void base64_encode(const void *data, size_t len, struct buf *out);

#endif
