/*
 * The header section of a message (RFC 5322 2.2): split into fields, looked up, edited, written.
 * Fields that are not touched keep their bytes. Any thread; one owner.
 */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"

struct header_field {
	const char *name; /* as written, NUL-terminated, without the colon */
	const char *raw;  /* the whole field, folding and final CRLF included; raw_len bytes */
	size_t raw_len;
	size_t value_at; /* offset in raw of what follows the colon */
	bool removed;
};

struct header {
	struct header_field *fields;
	size_t count, cap;
	struct arena *arena;
};

/*
 * Reads a header section: CRLF lines (as body_feed() made them), without the empty line. Lines
 * that are no field ("From " of mbox, garbage) end up as fields with an empty name, kept as they
 * are only when they continue nothing; the caller asks header_is_clean(). Memory: `arena`, which
 * also keeps a copy of `data`. O(len).
 */
void header_parse(struct header *h, const char *data, size_t len, struct arena *arena);
/* False if a line was no field: such a message gets an empty line before it, as body (Postfix). */
bool header_is_clean(const struct header *h);
/* The first field of that name, any case; NULL if none or removed. */
const struct header_field *header_find(const struct header *h, const char *name);
size_t header_count(const struct header *h, const char *name);
/* Unfolded value, blanks at both ends removed, in the arena. */
char *header_value(const struct header *h, const struct header_field *f);
void header_remove(struct header *h, const char *name);
/* Every field whose name starts so, any case. */
void header_remove_prefix(struct header *h, const char *prefix);
/*
 * Puts a field in place of this one: `name: value` folded at 78 where it can be (RFC 5322 2.2.3).
 * Folds that `value` already has stay; any other CR or LF, and NUL, becomes a space.
 */
void header_replace(struct header *h, struct header_field *f, const char *value);
/* New fields go on top (trace fields, RFC 5321 4.4) or at the bottom. */
void header_prepend(struct header *h, const char *name, const char *value);
void header_append(struct header *h, const char *name, const char *value);
/* All that is not removed, each ending with CRLF, without the empty line. */
void header_write(const struct header *h, struct buf *out);

#endif
