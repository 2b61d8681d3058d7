/*
 * Families of mail in the writer's memory. See family.h; called by sqlite_press.c.
 */
#include "store/family.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { WINDOW = 64, WORN_PERCENT = 15 };

uint64_t
family_hash(const struct message *m)
{
	const char *const parts[] = {m->environment, m->source, m->subject_key};
	uint64_t hash = TEXT_HASH_START;
	size_t i;

	/* With the NUL, so that "a", "bc" is not "ab", "c". */
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i] != NULL)
			hash = text_hash(hash, parts[i], strlen(parts[i]) + 1);
	return hash;
}

void
families_init(struct families *f)
{
	TAILQ_INIT(&f->list);
	f->count = f->bytes = 0;
}

static size_t
bytes_of(const struct family *it)
{
	return it->first.cap + (it->maker != NULL ? press_maker_bytes(it->maker) : 0);
}

void
families_forget(struct families *f, struct family *it)
{
	TAILQ_REMOVE(&f->list, it, next);
	f->count--;
	f->bytes -= bytes_of(it);
	buf_free(&it->first);
	press_maker_free(it->maker);
	free(it);
}

void
families_clear(struct families *f)
{
	while (!TAILQ_EMPTY(&f->list))
		families_forget(f, TAILQ_FIRST(&f->list));
}

/* The one at the head stays: it is in use. */
static void
make_room(struct families *f)
{
	while (f->count > 1 && (f->count > FAMILY_MAX || f->bytes > FAMILY_BYTES_MAX))
		families_forget(f, TAILQ_LAST(&f->list, family_list));
}

struct family *
families_peek(struct families *f, uint64_t hash)
{
	struct family *it;

	TAILQ_FOREACH (it, &f->list, next)
		if (it->hash == hash)
			break;
	return it;
}

struct family *
families_find(struct families *f, uint64_t hash, int64_t now)
{
	struct family *it = families_peek(f, hash);

	if (it == NULL)
		return NULL;
	TAILQ_REMOVE(&f->list, it, next);
	TAILQ_INSERT_HEAD(&f->list, it, next);
	it->used_at = now;
	return it;
}

struct family *
families_add(struct families *f, uint64_t hash, int64_t now)
{
	struct family *it = mem_zalloc(sizeof(*it));

	it->hash = hash;
	it->used_at = now;
	TAILQ_INSERT_HEAD(&f->list, it, next);
	f->count++;
	make_room(f);
	return it;
}

void
family_keep_first(struct families *f, struct family *it, const struct buf *plain)
{
	f->bytes -= bytes_of(it);
	buf_clear(&it->first);
	buf_add(&it->first, plain->data,
		plain->len < PRESS_DICTIONARY_MAX ? plain->len : PRESS_DICTIONARY_MAX);
	f->bytes += bytes_of(it);
	make_room(f);
}

void
family_begin(struct families *f, struct family *it, int64_t dictionary, struct press_maker *maker)
{
	f->bytes -= bytes_of(it);
	buf_free(&it->first);
	press_maker_free(it->maker);
	it->dictionary = dictionary;
	it->maker = maker;
	it->messages = it->packed = it->raw = it->began = 0;
	f->bytes += bytes_of(it);
	make_room(f);
}

/* A plain mean at first, then one that forgets a 64th with each message. */
static uint64_t
mean(uint64_t before, uint64_t messages, size_t bytes)
{
	const uint64_t window = messages < WINDOW ? messages : WINDOW;

	return (before * (window - 1) + (uint64_t)bytes * WINDOW) / window;
}

void
family_count(struct family *it, size_t raw, size_t packed)
{
	it->messages++;
	it->packed = mean(it->packed, it->messages, packed);
	it->raw = mean(it->raw, it->messages, raw);
	if (it->messages <= WINDOW)
		it->began = it->packed;
}

bool
family_is_worn(const struct family *it)
{
	return it->messages > WINDOW && it->packed > 2 * it->began &&
	       it->packed * 100 > it->raw * WORN_PERCENT;
}
