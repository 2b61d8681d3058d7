/*
 * The SMTP server's half of a conversation with mailfused's relay (RFC 5321), as far as a drill's
 * sink needs it: bytes in, replies out, and who the mail was for. It keeps no mail.
 */
#ifndef CLI_DRILL_TALK_H
#define CLI_DRILL_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum { DRILL_TALK_LINE = 2048, DRILL_TALK_RECIPIENTS = 1000 };

struct drill_talk {
	const char *domain; /* of this drill's recipients, drill-000123@DOMAIN; not owned */
	/* Called for each recipient of a message that was taken whole; number 0 is a stranger. */
	void (*take)(void *context, uint32_t number);
	void *context;
	enum { DRILL_TALK_COMMAND, DRILL_TALK_DATA, DRILL_TALK_ENDED } state;
	char line[DRILL_TALK_LINE];
	size_t line_len;
	bool line_long; /* the rest of it is thrown away */
	bool greeted, mail;
	uint32_t recipients[DRILL_TALK_RECIPIENTS];
	size_t recipient_count;
};

/* Zeroed but for domain, take and context; writes the greeting. */
void drill_talk_start(struct drill_talk *t, struct buf *out);
/* What came, in pieces of any size; replies are added to `out`. Nothing after it has ENDED. */
void drill_talk_feed(struct drill_talk *t, const char *data, size_t len, struct buf *out);

#endif
