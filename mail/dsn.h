/*
 * Delivery status notifications: multipart/report of RFC 3462 with the message/delivery-status of
 * RFC 3464 and the header of the original (text/rfc822-headers); where an address or that header
 * is in UTF-8, the global forms of RFC 6533. Made by relay/bounce.c; any thread. Pure: same input,
 * same bytes.
 */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum dsn_action {
	DSN_FAILED, /* it will not arrive */
	DSN_RELAYED /* NOTIFY=SUCCESS, and the upstream cannot tell more (RFC 3461 5.2.2) */
};

struct dsn_recipient {
	enum dsn_action action;
	const char *address;    /* Final-Recipient, where it was sent to */
	const char *orcpt;      /* Original-Recipient: the ORCPT parameter, "" if none */
	const char *reply;      /* what the upstream said ("550 5.1.1 no such user"), or our reason
				   ("4.4.7 gave up after ..."); anything may be in it */
	const char *remote_mta; /* the upstream's host, "" if none */
	int64_t last_attempt;   /* wall clock, microseconds; 0 = never tried */
};

struct dsn {
	const char *hostname;    /* Reporting-MTA, and MAILER-DAEMON's domain */
	const char *id;          /* of this notification, for Message-ID and the boundary */
	const char *about;       /* id of the message that it tells of */
	const char *to;          /* the original's sender */
	const char *envid;       /* xtext, "" if none */
	int64_t arrived_at, now; /* wall clock */
	const struct dsn_recipient *recipients;
	size_t recipient_count; /* at least 1 */
	const char *header;     /* the original's header section, CRLF lines; cut after 64 KiB */
	size_t header_len;
};

/*
 * Header section (CRLF lines, no empty line) and body of the notification. Header: From
 * MAILER-DAEMON, To, Subject, Date, Message-ID, Auto-Submitted: auto-replied (RFC 3834),
 * MIME-Version, Content-Type. Lines of both end in CRLF, none is longer than 998 octets; nothing of
 * the input can end a line, a part or the boundary. *eightbit: it has bytes beyond ASCII in it;
 * *utf8: it needs SMTPUTF8.
 */
void dsn_build(const struct dsn *d, struct buf *header, struct buf *body, bool *eightbit,
	       bool *utf8);
/* "5.1.1" out of a reply, else "5.0.0" or "4.0.0" or "2.0.0" by its code, else 5.0.0 (RFC 3463);
 * for RFC 3464 2.3.4. */
void dsn_status(const char *reply, enum dsn_action action, char out[12]);

#endif
