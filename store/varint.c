/*
 * Numbers in packed messages. See varint.h; called by lines64.c and press.c.
 */
#include "store/varint.h"

void
varint_add(struct buf *out, uint64_t n)
{
	for (; n >= 0x80; n >>= 7)
		buf_add_char(out, (char)(0x80 | (n & 0x7f)));
	buf_add_char(out, (char)n);
}

bool
varint_take(struct bytes *in, uint64_t *n)
{
	uint64_t value = 0, part;
	size_t i;

	for (i = 0; i < in->left && i < 10; i++) {
		part = (unsigned char)in->at[i] & 0x7f;
		if (i == 9 && part > 1)
			return false;
		value |= part << (7 * i);
		if (((unsigned char)in->at[i] & 0x80) != 0)
			continue;
		in->at += i + 1;
		in->left -= i + 1;
		*n = value;
		return true;
	}
	return false;
}
