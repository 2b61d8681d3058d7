/*
 * Made and freed by relay.c with its loop; login.c asks on the loop, and adds what the desk found
 * right. What is in it is no secret without the key of the process (login.c).
 */
#include "relay/login_cache.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define uthash_fatal(message) fatal("out of memory")
#include <uthash.h>

enum { CACHE_MAX = 4096 };

#define CACHE_TIME (10 * CLOCK_MINUTE)

struct memory {
	UT_hash_handle hh; /* in the order in which they were added */
	unsigned char digest[LOGIN_DIGEST_BYTES];
	int64_t until; /* monotonic */
};

struct login_cache {
	struct memory *table;
};

struct login_cache *
login_cache_new(void)
{
	return mem_zalloc(sizeof(struct login_cache));
}

static void
forget_memory(struct login_cache *cache, struct memory *m)
{
	HASH_DEL(cache->table, m);
	free(m);
}

void
login_cache_free(struct login_cache *cache)
{
	if (cache == NULL)
		return;
	while (cache->table != NULL)
		forget_memory(cache, cache->table);
	free(cache);
}

/* The oldest is the table's first. */
static void
forget_old(struct login_cache *cache, int64_t now)
{
	while (cache->table != NULL && cache->table->until <= now)
		forget_memory(cache, cache->table);
}

bool
login_cache_has(struct login_cache *cache, const unsigned char *digest)
{
	struct memory *m;

	forget_old(cache, clock_mono());
	HASH_FIND(hh, cache->table, digest, LOGIN_DIGEST_BYTES, m);
	return m != NULL;
}

void
login_cache_add(struct login_cache *cache, const unsigned char *digest)
{
	struct memory *m;

	if (login_cache_has(cache, digest))
		return;
	if (HASH_COUNT(cache->table) >= CACHE_MAX)
		forget_memory(cache, cache->table);
	m = mem_zalloc(sizeof(*m));
	memcpy(m->digest, digest, LOGIN_DIGEST_BYTES);
	m->until = clock_mono() + CACHE_TIME;
	HASH_ADD(hh, cache->table, digest, LOGIN_DIGEST_BYTES, m);
}
