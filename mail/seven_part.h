/*
 * One part of a message on its way out in 7 bits: its header section, which waits until it is known
 * what becomes of the content, then the content. Also a preamble or an epilogue, which have no
 * header. One owner: the struct seven that it is in.
 *
 * header -part_pass()--> content as it is
 *        -part_encode()-> content encoded
 *        -part_look()--> content held -8-bit, or too long-> encoded
 *                                     -part_end()---------> as it is
 */
#ifndef MAIL_SEVEN_PART_H
#define MAIL_SEVEN_PART_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "mail/body.h"
#include "mail/seven_encode.h"

struct part {
	struct buf header; /* as it came, without its empty line */
	bool ended;        /* it has an empty line */
	bool message;      /* it is a message's, not a part's */
	bool sealed;       /* signed or encrypted: 7-bit content must not change */
	bool newline;      /* a line ended; a delimiter's if one follows (RFC 2046 5.1.1) */

	bool look;                /* the content is in `held` */
	struct buf held;          /* 7-bit so far */
	enum encoder_kind wanted; /* how it leaves if it does not stay so */
	struct encoder encoder;

	struct buf out;
	body_sink *sink; /* of the call that is under way */
	void *context;
};

/* Hands on the header section; for a container `encoding` is what it shall say, "" what it says,
 * NULL: not a byte changes. Then content as it is. */
void part_pass(struct part *p, const char *encoding);
/* Hands on the header section so that it fits the encoded content that follows. */
void part_encode(struct part *p, enum encoder_kind kind);
/* Content that says it is 7-bit: as it is if so, else as `wanted`. */
void part_look(struct part *p, enum encoder_kind wanted);
/* Bytes of a line, without its end. */
void part_add(struct part *p, const char *data, size_t len);
void part_end_line(struct part *p);
/* The content is complete, but for `newline`. */
void part_end(struct part *p);
/* Bytes between parts, which are 7-bit. */
void part_raw(struct part *p, const char *data, size_t len);
void part_flush(struct part *p);
void part_free(struct part *p);

#endif
