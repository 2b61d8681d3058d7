/*
 * The streams of a delivery as they stand in its row: for each key its hash, and a number that
 * holds its stamp and whether its rule settles, 10 to 13 bytes a key; and when they counted it, 8
 * bytes. Any thread.
 */
#ifndef STORE_KEYS_H
#define STORE_KEYS_H

#include <stddef.h>

#include "base/arena.h"
#include "mail/verdict.h"

/* Into the arena; NULL and *len 0 without keys. `at`: when they counted it, 0 = not said. */
const char *keys_pack(struct arena *a, const struct verdict_key *keys, size_t count, int64_t at,
		      size_t *len);
/* When they counted it; `otherwise` where they do not say. */
int64_t keys_time(const char *data, size_t len, int64_t otherwise);
/* As many as can be read, at most len / KEYS_BYTES_MIN, into `out`. */
enum { KEYS_BYTES_MIN = 9 };
size_t keys_unpack(const char *data, size_t len, struct verdict_key *out);

#endif
