/*
 * What an application declares of a message in X-Mailfuse-Campaign and X-Mailfuse-Audience. Only
 * message_read_header() calls it.
 */
#ifndef MAIL_DECLARATION_H
#define MAIL_DECLARATION_H

#include "mail/header.h"
#include "mail/message.h"

/* Fills campaign, audience and declaration_error, as message_read_header() says. */
void declaration_read(struct message *m, const struct header *h);

#endif
