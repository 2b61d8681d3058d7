/*
 * One message's header and body as one packed blob, and back. What repeats in a blast is in a
 * dictionary: another message of the same kind, unwrapped, as raw content. Which one, and where it
 * is kept, is sqlite_press.c's business. A struct press is one thread's; its owner frees it.
 *
 * A blob: version (1) | flags (0) | dictionary's id, 0 = none | bytes of header, of body, of the
 * unwrapped bytes, of the runs | the runs, see lines64.h | one zstd frame of the unwrapped bytes.
 * All numbers are varints. The id is in the first bytes, so that it is read without the rest. The
 * frame has a checksum (XXH64): it finds a flipped bit, and a wrong dictionary.
 */
#ifndef STORE_PRESS_H
#define STORE_PRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "mail/message.h"

enum {
	PRESS_PLAIN_MAX = 2 << 20,         /* header and body: what is larger is not packed */
	PRESS_DICTIONARY_MAX = 128 * 1024, /* what a dictionary holds of its message */
	PRESS_HEAD_MAX = 12,               /* the first bytes of a blob, up to the id */
	PRESS_LEVEL = 1
};

/* A dictionary made ready for one direction. Never changes; its owner frees it. */
struct press_maker;
struct press_reader;
struct press;

struct press *press_new(void);
void press_free(struct press *p);

/*
 * NULL if `data` cannot be one: it is empty, longer than PRESS_DICTIONARY_MAX, or begins as a
 * trained dictionary does, which would be read as one. The bytes are copied.
 */
struct press_maker *press_maker_new(const char *data, size_t len);
void press_maker_free(struct press_maker *d);
size_t press_maker_bytes(const struct press_maker *d);
struct press_reader *press_reader_new(const char *data, size_t len);
void press_reader_free(struct press_reader *d);
size_t press_reader_bytes(const struct press_reader *d);

/*
 * Header and body, unwrapped: good until the next call. False if they are larger than
 * PRESS_PLAIN_MAX, or part of the body is elsewhere.
 */
bool press_take(struct press *p, const struct message *m);
const struct buf *press_plain(const struct press *p);
/* What was taken last, with that dictionary (NULL and 0: none); appends to `blob`. */
void press_pack(struct press *p, int64_t id, const struct press_maker *d, struct buf *blob);
/* True if a blob of that size is worth it: a tenth less than what was taken last. */
bool press_pays(const struct press *p, size_t blob_bytes);

/* The dictionary that a blob needs, out of at least its first PRESS_HEAD_MAX bytes; 0 = none, -1 =
 * it is no blob. */
int64_t press_dictionary(const char *blob, size_t len);
/*
 * The header, appended, and the body, which replaces what is in `body`. NULL, or what is wrong with
 * the blob, a text for people; then `header` is as it was. However much the blob claims, no buffer
 * grows beyond PRESS_PLAIN_MAX (by its doubling, twice that).
 */
const char *press_unpack(struct press *p, const char *blob, size_t len,
			 const struct press_reader *d, struct buf *header, struct buf *body);

/* A dictionary's bytes as they are stored: one zstd frame. */
void press_store(struct press *p, const char *data, size_t len, struct buf *out);
/* False if it is none, or longer than PRESS_DICTIONARY_MAX. Appends. */
bool press_restore(struct press *p, const char *frame, size_t len, struct buf *out);

#endif
