/*
 * The form of delivery.keys: 8 bytes of hash, lowest first, then stamp * 2 + settles in groups of
 * seven bits, lowest first, the highest bit of a byte saying that another follows. Behind the last
 * the time, 8 bytes, lowest first: fewer than any key has. Databases out there have it: it is never
 * changed. Called by work.c and view.c.
 */
#include "store/keys.h"

#include <string.h>

enum { HASH_BYTES = 8, NUMBER_BYTES_MAX = 5, TIME_BYTES = 8 };

static size_t
put_eight(unsigned char *to, uint64_t value)
{
	size_t n;

	for (n = 0; n < 8; n++)
		to[n] = (unsigned char)(value >> 8 * n);
	return n;
}

static uint64_t
get_eight(const unsigned char *from)
{
	uint64_t value = 0;
	size_t n;

	for (n = 0; n < 8; n++)
		value |= (uint64_t)from[n] << 8 * n;
	return value;
}

static size_t
put_key(unsigned char *to, const struct verdict_key *key)
{
	uint64_t number = (uint64_t)key->stamp << 1 | key->settles;
	size_t n = put_eight(to, key->hash);

	for (; number >= 0x80; number >>= 7)
		to[n++] = (unsigned char)(number | 0x80);
	to[n++] = (unsigned char)number;
	return n;
}

const char *
keys_pack(struct arena *a, const struct verdict_key *keys, size_t count, int64_t at, size_t *len)
{
	unsigned char *data;
	size_t i;

	*len = 0;
	if (count == 0)
		return NULL;
	data = arena_alloc(a, count * (HASH_BYTES + NUMBER_BYTES_MAX) + TIME_BYTES);
	for (i = 0; i < count; i++)
		*len += put_key(data + *len, &keys[i]);
	if (at != 0)
		*len += put_eight(data + *len, (uint64_t)at);
	return (const char *)data;
}

/* Bytes read; 0 if that is no whole key. */
static size_t
get_key(const unsigned char *from, size_t len, struct verdict_key *key)
{
	uint64_t number = 0;
	size_t n;

	if (len < KEYS_BYTES_MIN)
		return 0;
	key->hash = get_eight(from);
	for (n = HASH_BYTES; n < len && n < HASH_BYTES + NUMBER_BYTES_MAX; n++) {
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

int64_t
keys_time(const char *data, size_t len, int64_t otherwise)
{
	const unsigned char *from = (const unsigned char *)data;
	struct verdict_key unused;
	size_t n;

	while ((n = get_key(from, len, &unused)) > 0) {
		from += n;
		len -= n;
	}
	return len == TIME_BYTES ? (int64_t)get_eight(from) : otherwise;
}
