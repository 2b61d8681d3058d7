/*
 * The responses of AUTH (RFC 4954, PLAIN of RFC 4616, LOGIN), decoded. Any thread. They may be a
 * password: the caller wipes them with sasl_wipe().
 */
#ifndef MAIL_SASL_H
#define MAIL_SASL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* RFC 4954 4: a line of the exchange is at most 12288 octets; names and passwords we take. */
enum { SASL_LINE_MAX = 12288, SASL_NAME_MAX = 255, SASL_PASSWORD_MAX = 1024 };

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
