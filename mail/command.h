/*
 * One line of a client: verb and argument (RFC 5321 4.1.1). Reads only; commands.c in relay/ acts.
 * Any thread.
 */
#ifndef MAIL_COMMAND_H
#define MAIL_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "mail/address.h"

enum command_verb {
	COMMAND_UNKNOWN,
	COMMAND_EHLO,
	COMMAND_HELO,
	COMMAND_MAIL,
	COMMAND_RCPT,
	COMMAND_DATA,
	COMMAND_RSET,
	COMMAND_NOOP,
	COMMAND_VRFY,
	COMMAND_EXPN,
	COMMAND_HELP,
	COMMAND_QUIT,
	COMMAND_STARTTLS,
	COMMAND_AUTH,
	COMMAND_BDAT,
	COMMAND_HTTP /* GET, POST, ... : a browser was sent here; the session hangs up */
};

enum command_body { COMMAND_BODY_7BIT, COMMAND_BODY_8BITMIME };

struct command {
	enum command_verb verb;
	char *argument;         /* the rest of the line, blanks at both ends removed; "" if none */
	struct address path;    /* MAIL, RCPT */
	enum command_body body; /* MAIL BODY= */
	bool has_size;
	uint64_t size; /* MAIL SIZE= */
	/* On a bad line: a ready reply, code, enhanced code and text, else code is 0. */
	int error_code;
	const char *error_status; /* "5.5.4" */
	char *error_text;
};

/*
 * Reads one line (no CRLF) of `len` bytes; it may hold anything. Errors: 500 5.5.2 for what cannot
 * be read (NUL, control characters, bytes beyond ASCII), 501 5.5.4 for bad arguments, 501 5.1.7 /
 * 5.1.3 for bad sender / recipient addresses, 555 5.5.4 for unknown parameters of MAIL and RCPT.
 * "MAIL FROM: <a@b>" with blanks after the colon is accepted, as Postfix does. Memory: `arena`.
 */
void command_parse(const char *line, size_t len, struct arena *arena, struct command *out);

/* "MAIL": for logs. */
const char *command_name(enum command_verb verb);

#endif
