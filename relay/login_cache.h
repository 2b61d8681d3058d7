/*
 * The logins that were right on one loop, for ten minutes each, at most 4096: as digests that
 * login.c makes. On the loop's thread.
 */
#ifndef RELAY_LOGIN_CACHE_H
#define RELAY_LOGIN_CACHE_H

#include <stdbool.h>

enum { LOGIN_DIGEST_BYTES = 32 }; /* of HMAC-SHA256 */

struct login_cache;

struct login_cache *login_cache_new(void);
void login_cache_free(struct login_cache *cache);
bool login_cache_has(struct login_cache *cache, const unsigned char *digest);
/* The one that was added longest ago makes room. Ten minutes begin with the first time. */
void login_cache_add(struct login_cache *cache, const unsigned char *digest);

#endif
