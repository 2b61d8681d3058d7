/*
 * What needs GMime: encoded words, address lists, decoded text for display (RFC 2047, 5322, 2045).
 * mime.c has the encoded words, mime_subject.c, mime_address.c, mime_text.c, mime_html.c,
 * mime_parts.c, mime_walk.c and mime_type.c the rest; they are the only users of <gmime/gmime.h>.
 * Any thread after mime_init().
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
 * (C0, DEL, C1) replaced by a space. An unknown charset is read as UTF-8. Only the first
 * MIME_TEXT_MAX bytes are looked at. No GMime call where the text is plain ASCII without "=?".
 */
enum { MIME_TEXT_MAX = 16384 };
char *mime_decode_text(const char *value, struct arena *arena);
/* UTF-8 text as encoded words with a space between them; blanks at its ends are inside. */
char *mime_encode_words(const char *utf8, struct arena *arena);
/* The same, but plain printable ASCII without "=?" stays as it is. */
char *mime_encode_text(const char *utf8, struct arena *arena);
/* Behind the reply prefixes ("Re: ", "Fwd[2]: ") and blanks at the start of a subject. */
const char *mime_skip_replies(const char *subject);

/*
 * The normal form in which subjects are compared, from decoded UTF-8: reply prefixes
 * (re, fw, fwd, aw, wg, sv, antw, any number, with [2]) and bracketed environment prefixes at the
 * start removed, case folded (Unicode), runs of digits, hexadecimal tokens of 6 or more with a
 * digit in them, and UUIDs replaced by '#', white space collapsed. Never NULL.
 */
char *mime_normal_subject(const char *utf8, struct arena *arena);

/*
 * Rewrites an address-list value (To, Cc, Reply-To, Resent-*): each mailbox's address goes through
 * `map`, which returns it unchanged (the same pointer) or another. Display names and groups are
 * kept. The result is written anew by GMime, folded lines joined; what GMime cannot read as an
 * address does not survive, so nothing slips through unread; nor does a display name with an '@'
 * in it. Returns NULL if every address was kept and no other '@' stands in the value (leave the
 * field as it is), "" if nothing is left.
 */
typedef const char *mime_map(void *context, const char *address);
char *mime_map_addresses(const char *value, mime_map *map, void *context, struct arena *arena);

/* A Content-Type value, in the arena; type and subtype in lower case, boundary "" if none. */
struct mime_type {
	char *type, *subtype, *boundary;
};
/* What is no type is application/octet-stream. */
void mime_parse_type(const char *value, struct arena *arena, struct mime_type *out);

/*
 * The readable text of a whole message (header, empty line, body) for an operator: the first
 * text/plain part, else text/html with its tags dropped, decoded to UTF-8, control characters but
 * newline and tab replaced, cut at `max` bytes. Bounded work on hostile nesting.
 */
void mime_message_text(const char *message, size_t len, size_t max, struct buf *out);

/*
 * The source of the first text/html part of a whole message that is no attachment, decoded to valid
 * UTF-8 without NUL, control characters but newline and tab blanked, cut at `max` bytes (*cut). It
 * is as hostile as it was, but for `link`, `meta` and `base`, which are no elements any more. False
 * if there is none. Bounded work on hostile nesting.
 */
bool mime_message_html(const char *message, size_t len, size_t max, struct buf *out, bool *cut);

/*
 * A message as content rules look at it: the text/plain parts and the source of the text/html
 * parts, decoded to valid UTF-8 without NUL, LF line ends, control characters but newline and tab
 * blanked, a newline between two parts. Attachments are not looked at, nor is what they hold. A
 * body without a type, or with one that cannot be read, is plain text.
 */
struct mime_parts {
	struct buf plain, html;
	bool other;  /* it has parts of other kinds: images, attachments, ... */
	bool unread; /* it has more parts, or deeper ones, than are looked at: not all is here */
};
/*
 * Reads header section and body; the body may be cut off anywhere. Memory and work are a few times
 * what it is given. To be freed with mime_parts_free().
 */
void mime_read_parts(const char *header, size_t header_len, const char *body, size_t body_len,
		     struct mime_parts *out);
void mime_parts_free(struct mime_parts *p);
/*
 * Appends what a reader sees: the plain text, or where that is blank the HTML without its tags.
 * Where both are blank, but there is an image, another part or (`cut`) more of the body, it is
 * U+FFFC: a message is empty only where nothing at all can be seen.
 */
void mime_parts_seen(const struct mime_parts *p, bool cut, struct buf *out);

/* GMime's, for `mailfused -V`. */
const char *mime_library_version(void);

#endif
