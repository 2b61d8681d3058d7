/*
 * Replies of an SMTP server (RFC 5321 4.2), as our client reads them: any number of lines, pieces
 * of lines, any length; bounded in what is kept. Any thread.
 */
#ifndef MAIL_REPLY_H
#define MAIL_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { REPLY_LINE_MAX = 2048, REPLY_TEXT_MAX = 8192, REPLY_BYTES_MAX = 131072 };

enum reply_result {
	REPLY_MORE, /* needs more bytes */
	REPLY_DONE, /* a whole reply is in the struct */
	REPLY_BAD   /* what came is no SMTP reply, or too long: the connection cannot be used on */
};

struct reply {
	int code;        /* 200 to 599 */
	char status[12]; /* "5.1.1", the last one that fits the code's class (RFC 2034), "" if none
			  */
	struct buf text; /* lines without code and status, joined by '\n'; control characters and
			  * non-ASCII replaced by '?' */
	/* private: the line in progress */
	struct buf line;
	size_t bytes;
	int first_code;
};

void reply_free(struct reply *r);
/* Forgets the last reply, ready for the next one. */
void reply_reset(struct reply *r);
/*
 * Takes bytes until one reply is complete; *used says how many it took, so that pipelined replies
 * are read one by one. Accepts lines ended by CRLF or bare LF, and "250" with nothing behind it.
 * Keeps REPLY_LINE_MAX of a line and REPLY_TEXT_MAX of all. Codes that differ from line to line,
 * and more than REPLY_BYTES_MAX, are REPLY_BAD. After REPLY_DONE, reply_reset() comes before the
 * next.
 */
enum reply_result reply_feed(struct reply *r, const char *data, size_t len, size_t *used);
/* Appends "451 4.3.0 text of it": one line, for logs, the store and people. At most 500 bytes. */
void reply_format(const struct reply *r, struct buf *out);

#endif
