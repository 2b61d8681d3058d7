/*
 * The responses of AUTH (RFC 4954, PLAIN of RFC 4616, LOGIN), and base64 (RFC 4648 4, strict: no
 * blanks, right padding, no stray bits). Any thread. What was decoded may be a password: the caller
 * wipes it with sasl_wipe().
 */
#ifndef MAIL_SASL_H
#define MAIL_SASL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* RFC 4954 4: a line of the exchange is at most 12288 octets; names and passwords we take. */
enum { SASL_LINE_MAX = 12288, SASL_NAME_MAX = 255, SASL_PASSWORD_MAX = 1024 };

/* Appends the decoded bytes; false if `text` is no base64, and then `out` is unchanged. */
bool sasl_decode(const char *text, size_t len, struct buf *out);
/* Appends base64. */
void sasl_encode(const void *data, size_t len, struct buf *out);

/*
 * PLAIN: [authzid] NUL authcid NUL password, decoded. Pointers into `data`, which ends with a NUL
 * that is not counted (a struct buf has one). False if it is malformed, too long, or not UTF-8, if
 * a name has control characters, or authzid is there and is not authcid: nobody acts for others.
 */
bool sasl_read_plain(const struct buf *data, const char **name, const char **password);
/* LOGIN: one decoded answer, as a name (max = SASL_NAME_MAX) or a password (SASL_PASSWORD_MAX);
 * the same limits. */
bool sasl_read_login(const struct buf *data, size_t max, const char **text);

/* Overwrites and frees. */
void sasl_wipe(struct buf *b);

#endif
