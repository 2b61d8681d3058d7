/*
 * Numbers of 1 to 10 bytes, seven bits a byte, the lowest first, the highest bit on all but the
 * last: for lengths in packed messages. Any thread.
 */
#ifndef STORE_VARINT_H
#define STORE_VARINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* What is still to be read. */
struct bytes {
	const char *at;
	size_t left;
};

void varint_add(struct buf *out, uint64_t n);
/* False if it is cut short, or does not fit into *n; then nothing is used. */
bool varint_take(struct bytes *in, uint64_t *n);

#endif
