/*
 * Ids that grow and are never given twice. Called by relay/ for each message, by control/ to read
 * what people type.
 */
#include "base/id.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

static _Atomic uint64_t id_last;
static uint64_t id_store;
static const char id_alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

void
id_init(uint64_t store_name, uint64_t highest_seen)
{
	id_store = store_name;
	atomic_store(&id_last, highest_seen);
}

uint64_t
id_next(void)
{
	uint64_t now = (uint64_t)(clock_wall() / 1000) << 16;
	uint64_t last = atomic_load_explicit(&id_last, memory_order_relaxed);
	uint64_t next;

	do
		next = now > last ? now : last + 1;
	while (!atomic_compare_exchange_weak_explicit(&id_last, &last, next, memory_order_relaxed,
						      memory_order_relaxed));
	return next;
}

uint64_t
id_highest(void)
{
	return atomic_load(&id_last);
}

const char *
id_format(uint64_t id, char out[ID_TEXT_BYTES])
{
	unsigned __int128 all = (unsigned __int128)id << 64 | id_store;
	int i;

	for (i = ID_TEXT_BYTES - 2; i >= 0; i--, all >>= 5)
		out[i] = id_alphabet[(unsigned)all & 31];
	out[ID_TEXT_BYTES - 1] = '\0';
	return out;
}

const char *
id_format_delivery(uint64_t id, uint32_t number, char out[ID_DELIVERY_BYTES])
{
	char text[ID_TEXT_BYTES];

	snprintf(out, ID_DELIVERY_BYTES, "%s.%u", id_format(id, text), number);
	return out;
}

/* 26 characters of Crockford's base 32; false if they are none. */
static bool
read_all(const char *text, unsigned __int128 *all)
{
	int i;

	*all = 0;
	for (i = 0; i < ID_TEXT_BYTES - 1; i++) {
		char c = text[i];
		const char *at;

		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		at = c != '\0' ? strchr(id_alphabet, c) : NULL;
		if (at == NULL ||
		    (i == 0 && at - id_alphabet > 7)) /* 26 * 5 bits are two too many */
			return false;
		*all = *all << 5 | (unsigned)(at - id_alphabet);
	}
	return *all >> 64 != 0 && *all >> 127 == 0;
}

bool
id_parse(const char *text, uint64_t *id, uint32_t *number)
{
	unsigned __int128 all;
	uint64_t n = 0;

	if (!read_all(text, &all))
		return false;
	text += ID_TEXT_BYTES - 1;
	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9' && n < UINT32_MAX; text++)
			n = n * 10 + (uint64_t)(*text - '0');
		if (n == 0 || n > UINT32_MAX)
			return false;
	}
	if (*text != '\0' || (uint64_t)all != id_store)
		return false;
	*id = (uint64_t)(all >> 64);
	*number = (uint32_t)n;
	return true;
}

bool
id_parse_foreign(const char *text, uint64_t *id, uint64_t *store_name)
{
	unsigned __int128 all;

	if (!read_all(text, &all) || text[ID_TEXT_BYTES - 1] != '\0')
		return false;
	*id = (uint64_t)(all >> 64);
	*store_name = (uint64_t)all;
	return true;
}

uint64_t
id_store_name(void)
{
	return id_store;
}
