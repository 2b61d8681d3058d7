/*
 * The Content-Transfer-Encoding of a header section (RFC 2045 6): what it says, what it shall say.
 * Called by seven.c and seven_part.c; any thread.
 */
#ifndef MAIL_SEVEN_LABEL_H
#define MAIL_SEVEN_LABEL_H

#include "mail/header.h"

enum label {
	LABEL_NONE,
	LABEL_SEVEN,
	LABEL_EIGHT,  /* 8bit, binary; also what no one knows, as readers of mail take it */
	LABEL_ENCODED /* quoted-printable, base64, and x-... that two sides know */
};

/* Of several fields the first one counts. */
enum label label_read(const struct header *h);
/* Puts `encoding` in place of the first field and removes the others: they would contradict it. */
void label_replace(struct header *h, const char *encoding);

#endif
