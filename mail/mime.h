/*
 * What needs GMime: encoded words, address lists, decoded text for display (RFC 2047, 5322, 2045).
 * The only user of <gmime/gmime.h>. Any thread after mime_init().
 */
#ifndef MAIL_MIME_H
#define MAIL_MIME_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"

/* Once per process, before any thread. */
void mime_init(void);

/*
 * A header value as UTF-8 text: encoded words decoded, invalid bytes replaced, control characters
 * (C0, DEL, C1) replaced by a space. No GMime call where the text is plain ASCII without "=?".
 */
char *mime_decode_text(const char *value, struct arena *arena);
/* UTF-8 text as a header value: as it is when plain printable ASCII, else as encoded words. */
char *mime_encode_text(const char *utf8, struct arena *arena);

/*
 * The normal form in which subjects are compared (DESIGN 2), from decoded UTF-8: reply prefixes
 * (re, fw, fwd, aw, wg, sv, antw, any number, with [2]) and bracketed environment prefixes at the start
 * removed, case folded (Unicode), runs of digits and hexadecimal tokens of 6 or more (UUIDs too)
 * replaced by '#', white space collapsed. Never NULL.
 */
char *mime_normal_subject(const char *utf8, struct arena *arena);

/*
 * Rewrites an address-list value (To, Cc, Reply-To, Resent-*): each mailbox's address goes through
 * `map`, which returns it unchanged (the same pointer) or another. Display names and groups are kept.
 * The result is written anew by GMime, folded lines joined; what GMime cannot read as an
 * address does not survive, so nothing slips through unread. Returns NULL if every address was kept
 * (leave the field as it is), "" if nothing is left.
 */
typedef const char *mime_map(void *context, const char *address);
char *mime_map_addresses(const char *value, mime_map *map, void *context, struct arena *arena);

/*
 * The readable text of a whole message (header, empty line, body) for an operator: the first
 * text/plain part, else text/html with its tags dropped, decoded to UTF-8, control characters but
 * newline and tab replaced, cut at `max` bytes. Bounded work on hostile nesting.
 */
void mime_message_text(const char *message, size_t len, size_t max, struct buf *out);

#endif
