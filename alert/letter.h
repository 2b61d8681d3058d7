/*
 * An alert as a mail: multipart/alternative of plain text and HTML (RFC 2046 5.1.4), nothing remote
 * in it, all of it ASCII in lines of at most 78, so that no server needs 8BITMIME or SMTPUTF8.
 * Pure: same input, same bytes.
 */
#ifndef ALERT_LETTER_H
#define ALERT_LETTER_H

#include "alert/wording.h"

/*
 * Header section (CRLF lines, no empty line) and body. Message-ID is the same for each try of an
 * alert on a channel, so that a reader sees one that came twice once; what is about one batch is
 * one thread.
 */
void letter_build(struct wording *w, const struct channel_note *note,
		  const struct config_alert *channel, struct buf *header, struct buf *body);

#endif
