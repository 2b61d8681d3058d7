/*
 * The form of delivery.keys: 8 bytes of hash, lowest first, then stamp * 2 + settles in groups of
 * seven bits, lowest first, the highest bit of a byte saying that another follows. Databases out
 * there have it: it is never changed. Called by work.c and view.c.
 */
#include "store/keys.h"

#include <string.h>

enum { HASH_BYTES = 8, NUMBER_BYTES_MAX = 5 };

static size_t
put_key(unsigned char *to, const struct verdict_key *key)
{
	uint64_t number = (uint64_t)key->stamp << 1 | key->settles;
	size_t n;

	for (n = 0; n < HASH_BYTES; n++)
		to[n] = (unsigned char)(key->hash >> 8 * n);
	for (; number >= 0x80; number >>= 7)
		to[n++] = (unsigned char)(number | 0x80);
	to[n++] = (unsigned char)number;
	return n;
}

const char *
keys_pack(struct arena *a, const struct verdict_key *keys, size_t count, size_t *len)
{
	unsigned char *data;
	size_t i;

	*len = 0;
	if (count == 0)
		return NULL;
	data = arena_alloc(a, count * (HASH_BYTES + NUMBER_BYTES_MAX));
	for (i = 0; i < count; i++)
		*len += put_key(data + *len, &keys[i]);
	return (const char *)data;
}

/* Bytes read; 0 if that is no whole key. */
static size_t
get_key(const unsigned char *from, size_t len, struct verdict_key *key)
{
	uint64_t number = 0;
	size_t n;

	key->hash = 0;
	if (len < KEYS_BYTES_MIN)
		return 0;
	for (n = 0; n < HASH_BYTES; n++)
		key->hash |= (uint64_t)from[n] << 8 * n;
	for (; n < len && n < HASH_BYTES + NUMBER_BYTES_MAX; n++) {
		number |= (uint64_t)(from[n] & 0x7f) << 7 * (n - HASH_BYTES);
		if ((from[n] & 0x80) != 0)
			continue;
		key->stamp = (uint32_t)(number >> 1);
		key->settles = (number & 1) != 0;
		return n + 1;
	}
	return 0;
}

size_t
keys_unpack(const char *data, size_t len, struct verdict_key *out)
{
	const unsigned char *from = (const unsigned char *)data;
	size_t count = 0, n;

	while (len > 0) {
		n = get_key(from, len, &out[count]);
		if (n == 0)
			break;
		count++;
		from += n;
		len -= n;
	}
	return count;
}
