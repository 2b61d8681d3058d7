/*
 * The three ways in which seven.c makes content 7-bit. A stream: any pieces, but a CRLF comes
 * whole. Any thread; one owner.
 */
#ifndef MAIL_SEVEN_ENCODE_H
#define MAIL_SEVEN_ENCODE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum encoder_kind {
	ENCODER_MASK,   /* as it is, `?` for what is beyond ASCII */
	ENCODER_QUOTED, /* quoted-printable (RFC 2045 6.7), CRLF stays a line end */
	ENCODER_BASE64  /* RFC 2045 6.8 */
};

struct encoder {
	enum encoder_kind kind;
	size_t column; /* of the output line, not for ENCODER_MASK */
	char blank;    /* quoted: a blank that may turn out to end its line */
	unsigned char carry[3];
	size_t carried;
};

void encoder_start(struct encoder *e, enum encoder_kind kind);
void encoder_add(struct encoder *e, const char *data, size_t len, struct buf *out);
/* Writes what is kept; no line end. */
void encoder_end(struct encoder *e, struct buf *out);

#endif
