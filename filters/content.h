/*
 * Content rules: a pattern over a header field or over decoded parts of the body. Compiled with the
 * policy, immutable, any thread; what a message's rules have in common is decoded once and lives in
 * the view, which the caller frees.
 */
#ifndef FILTERS_CONTENT_H
#define FILTERS_CONTENT_H

#include <stdbool.h>

#include "base/buf.h"
#include "config/config.h"
#include "mail/header.h"
#include "mail/message.h"

struct content;

/* NULL and a malloc'd reason in *error ("match: ...; write ..."). */
struct content *content_new(const struct config_content *config, char **error);
void content_free(struct content *c);
bool content_wants_body(const struct content *c);

/* One message as content rules look at it; nothing is decoded before a rule asks. */
struct content_view {
	const struct message *message;
	bool decoded[4]; /* by enum config_part */
	struct buf text[4];
	bool unread; /* some of the body could not be looked at */
	struct arena arena;
	struct header header; /* parsed, in `arena`; decoded[CONFIG_PART_HEADER] says so */
};
void content_view_init(struct content_view *v, const struct message *m);
void content_view_free(struct content_view *v);

/*
 * A header rule looks at every field of that name, decoded; a message without one does not match.
 * Where the header section is empty, message.subject is its Subject.
 * A body rule looks at the first MESSAGE_SAMPLE_MAX bytes of the body; where nobody knows the body
 * (message.body_unknown) it does not match.
 *
 * True if the rule's pattern matches, or cannot be held against the message (a match limit): then
 * the mail counts as matching, so that nothing slips through. *why (may be NULL) gets a static text
 * or one in the message's arena: "Subject matches", "the pattern gave up on the body: it counts as
 * a match".
 */
bool content_match(const struct content *c, struct content_view *v, struct arena *arena,
		   const char **why);

#endif
