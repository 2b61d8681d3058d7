/*
 * Takes the base64 out of a message, without a look at its MIME structure: lines of base64 hide how
 * alike two bodies are, and cost a third more. Any thread; nothing is kept.
 *
 * A run is at least LINES64_LEAST lines of one length, a multiple of four, each ended by CRLF, and
 * perhaps one last line that is shorter or padded. Strict base64 is one to one (RFC 4648 3.5), so
 * what was decoded is written again byte for byte: for any input at all, be it mail or not.
 */
#ifndef STORE_LINES64_H
#define STORE_LINES64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Lines of a run; characters a line: real ones have 60 to 76, a line of SMTP at most 998. */
enum { LINES64_LEAST = 4, LINES64_SHORTEST = 32, LINES64_LONGEST = 996 };

/*
 * Appends the unwrapped bytes to `plain`, never more than `len`, and to `runs` three varints for
 * each run: the bytes before it that are as they were, characters a line, bytes that it decodes to.
 * O(len).
 */
void lines64_unwrap(const char *data, size_t len, struct buf *runs, struct buf *plain);

/*
 * The way back: appends exactly `len` bytes; false, and `out` as it was, if runs and bytes do not
 * make that many, or are not what lines64_unwrap() writes. Never needs room for more.
 */
bool lines64_wrap(const char *runs, size_t runs_len, const char *plain, size_t plain_len,
		  size_t len, struct buf *out);

#endif
