/*
 * What mime.c and the files mime_*.c share; nobody else includes it, so
 * <gmime/gmime.h> stays behind mime.h.
 */
#ifndef MAIL_MIME_GMIME_H
#define MAIL_MIME_GMIME_H

#include <gmime/gmime.h>
#include <stdbool.h>
#include <stddef.h>

/* GMime recurses once for each group in a group; so many colons are the most it gets to see. */
enum { MIME_COLONS_MAX = 1000 };

/* Made by mime_init(), read by any thread. */
extern GMimeParserOptions *mime_options;

/* True if text in that charset is converted; other names must not reach GMime. */
bool mime_knows_charset(const char *name, size_t len);
/* Control characters to spaces, in place; newline and tab stay where `lines`. Valid UTF-8. */
void mime_blank_controls(char *text, bool lines);

/*
 * A message parsed, from a copy of its header section with the empty line and of its body; for
 * g_object_unref(). NULL if GMime cannot. *cut: it has more parts or fields than are parsed.
 */
GMimeMessage *mime_open(const char *head, size_t head_len, const char *body, size_t body_len,
			bool *cut);

/* Every part that has no parts of its own, in order. Bounded, whatever is nested in what. */
struct mime_walk {
	bool (*visit)(void *context, GMimePart *part); /* false ends the walk */
	void *context;
	bool skip_attachments; /* with all that is in them */
	int parts;
	bool done;
	bool unread;  /* result: there are more parts, or deeper ones, than are looked at */
	bool skipped; /* result: there was an attachment */
};
void mime_walk(struct mime_walk *w, GMimeMessage *message);

/*
 * The part decoded: valid UTF-8 without NUL, LF line ends, control characters but newline and tab
 * blanked; for g_free(). At most three times as long as it was encoded.
 */
char *mime_part_text(GMimePart *part);

#endif
