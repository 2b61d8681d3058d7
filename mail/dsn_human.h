/*
 * The part of a notification that people read: what happened, to whom, what the other server said,
 * and what to do about it. Called by dsn.c; any thread.
 */
#ifndef MAIL_DSN_HUMAN_H
#define MAIL_DSN_HUMAN_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "mail/dsn.h"

/* True if the text starts as an SMTP reply does, "550 ...": a server said it, not we. */
bool dsn_is_reply(const char *text);
/* Plain English for the Subject. */
const char *dsn_subject(const struct dsn *d);
/* Appends it, CRLF lines in UTF-8. Scratch memory comes from `arena`. */
void dsn_add_human(const struct dsn *d, struct arena *arena, struct buf *out);

#endif
