/*
 * The content of a message on its way in and out: dots, line ends, the end (RFC
 * 5321 4.5.2, 4.1.1.4).
 *
 * In: body_feed() takes what the client sends after DATA, undoes dot-stuffing, and hands content
 * to a sink in runs; only CRLF.CRLF ends it. A bare LF becomes CRLF and a bare CR a space
 * (normalize), or the message is marked bad (reject), and is then read to its end all the same.
 * A dot after a bare LF is content, so no smuggled end of data exists. NUL marks the message bad.
 *
 * Out: body_stuff() writes content with dots doubled; body_finish() adds the end.
 *
 * Machine of body_in (all transitions in feed_step):
 *   LINE_START -'.'-> DOT        -other-> TEXT
 *   DOT        -CR-> DOT_CR      -other-> TEXT (dot dropped)
 *   DOT_CR     -LF-> DONE        -other-> TEXT (dot dropped, bare CR)
 *   TEXT       -CR-> CR
 *   CR         -LF-> LINE_START  -other-> TEXT (bare CR)
 *   any bare LF -> TEXT, as content CRLF: what follows is not at a line's start
 * In chunks (body_feed_chunk) there are only TEXT, CR and LINE_START, which is as TEXT, and DONE.
 * Any thread; one owner.
 */
#ifndef MAIL_BODY_H
#define MAIL_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum body_state { BODY_LINE_START, BODY_TEXT, BODY_CR, BODY_DOT, BODY_DOT_CR, BODY_DONE };

struct body_in {
	enum body_state state; /* starts as BODY_LINE_START = 0 */
	bool bare_newline;     /* saw a bare CR or LF */
	bool nul;              /* saw a NUL */
	bool eightbit;         /* saw a byte beyond ASCII */
	uint64_t bytes;        /* content bytes handed out so far */
};

typedef void body_sink(void *context, const char *data, size_t len);

/*
 * Takes up to len bytes; returns how many were used: all, or up to and with the end of data, when
 * state is BODY_DONE and the rest is the next command. Never blocks, allocates nothing; the sink
 * gets slices of `data` wherever no byte had to change.
 */
size_t body_feed(struct body_in *in, const char *data, size_t len, body_sink *sink, void *context);

/*
 * The same for the octets of BDAT (RFC 3030): dots mean nothing, nothing in it ends it, line ends
 * are treated alike. All of `len` is used. A CR at the end of a chunk is held back until the next
 * one, or until body_end_chunks() says that there is none: then it was a bare one. After that the
 * state is BODY_DONE, and nothing more may be fed.
 */
void body_feed_chunk(struct body_in *in, const char *data, size_t len, body_sink *sink,
		     void *context);
void body_end_chunks(struct body_in *in, body_sink *sink, void *context);

/* Out; starts as all zero. Content must have CRLF line ends only (what we stored). */
struct body_out {
	bool mid_line; /* false: the next byte starts a line */
	bool after_cr;
};

/* Content to wire form; the sink gets slices of `data` and single dots. */
void body_stuff(struct body_out *out, const char *data, size_t len, body_sink *sink, void *context);
/* The end: ".\r\n", with a CRLF before it where the content did not end with one. */
void body_finish(struct body_out *out, body_sink *sink, void *context);

#endif
