/*
 * Kinds of mail that are much alike, as the writer remembers them between two messages: which
 * dictionary packs them, or the first message, which will be one, and how well it still fits. No
 * database here; sqlite_press.c keeps the rows. Writer's thread; bounded in number and bytes, the
 * one that was used longest ago goes first. Nothing is lost by forgetting: the newest dictionary of
 * a family is found in the store again.
 */
#ifndef STORE_FAMILY_H
#define STORE_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "mail/message.h"
#include "store/press.h"

enum { FAMILY_MAX = 32, FAMILY_BYTES_MAX = 6 << 20 };

struct family {
	TAILQ_ENTRY(family) next;
	uint64_t hash;
	int64_t used_at;           /* wall clock */
	int64_t dictionary;        /* id of its row; 0 = none yet */
	struct press_maker *maker; /* of it */
	struct buf first;          /* the unwrapped first message, while there is no dictionary */
	/* Since the dictionary began: messages, and the mean of the last 64 of them, packed and
	 * as they came; `began` is the mean of the first 64. In 64ths of a byte. */
	uint64_t messages, packed, raw, began;
};

struct families {
	TAILQ_HEAD(family_list, family) list; /* used last, first */
	size_t count, bytes;
};

/* The same for messages of one environment, source and subject (in its normal form). */
uint64_t family_hash(const struct message *m);

void families_init(struct families *f);
void families_clear(struct families *f);
/* NULL if it is not remembered. The pointer is good until the next call that may forget one. */
struct family *families_find(struct families *f, uint64_t hash, int64_t now);
/* The same, but it stays as long ago as it was used. */
struct family *families_peek(struct families *f, uint64_t hash);
void families_forget(struct families *f, struct family *it);
/* It must not be there. May forget others. */
struct family *families_add(struct families *f, uint64_t hash, int64_t now);

/* As `first`, cut to PRESS_DICTIONARY_MAX. May forget others. */
void family_keep_first(struct families *f, struct family *it, const struct buf *plain);
/* From now on it has this dictionary, `maker` is its own; the first message is not needed any
 * more. May forget others. */
void family_begin(struct families *f, struct family *it, int64_t dictionary,
		  struct press_maker *maker);
/* A message was packed with its dictionary. */
void family_count(struct family *it, size_t raw, size_t packed);
/*
 * The dictionary does not fit any more: the last 64 messages take more than twice what the first
 * did, and more than 15 % of what they are unpacked.
 */
bool family_is_worn(const struct family *it);

#endif
