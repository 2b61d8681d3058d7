/*
 * Content that comes in: after 354, or the octets of BDAT. On the session's loop.
 */
#ifndef RELAY_CONTENT_H
#define RELAY_CONTENT_H

#include <stddef.h>
#include <stdint.h>

#include "relay/session.h"

/* In DATA or CHUNK; returns how many bytes were used. May end the message, or the session. */
size_t content_take(struct session *s, const char *data, size_t len);
/*
 * BDAT: the next `size` octets are of the message; or thrown away with it if there is a refusal:
 * what follows in the pipeline would make a message with a hole (RFC 3030 2).
 */
void content_begin_chunk(struct session *s, uint64_t size, bool last,
			 const struct session_refusal *refusal);

#endif
