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
#include "mail/notify.h"

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

/* AUTH PLAIN and LOGIN (RFC 4616, draft-murchison-sasl-login). */
enum command_mechanism { COMMAND_AUTH_OTHER, COMMAND_AUTH_PLAIN, COMMAND_AUTH_LOGIN };

struct command {
	enum command_verb verb;
	char *argument;         /* the rest of the line, blanks at both ends removed; "" if none */
	struct address path;    /* MAIL, RCPT */
	enum command_body body; /* MAIL BODY= */
	bool has_size;
	uint64_t size; /* MAIL SIZE= */
	bool smtputf8; /* MAIL SMTPUTF8; also VRFY (RFC 6531 3.4, 3.7.4.2) */
	/* DSN (RFC 3461 4): RET, ENVID of MAIL; NOTIFY, ORCPT of RCPT. NULL where not given. */
	enum dsn_ret ret;
	char *envid;     /* xtext, as given: printable ASCII, at most 100 characters */
	unsigned notify; /* enum dsn_notify; 0 = not given */
	char *orcpt;     /* "rfc822;xtext" as given, or "utf-8;..." in its form for 7 bits (RFC 6533
			  * 3); printable ASCII, at most 500 characters */
	bool has_auth;   /* MAIL AUTH= (RFC 4954 5): read, checked, not believed */
	/* BDAT (RFC 3030 2) */
	uint64_t chunk_size; /* octets that follow the line */
	bool chunk_known;    /* false: the size cannot be read, so nobody knows what follows is a
			      * command or content: hang up */
	bool chunk_last;
	/* AUTH (RFC 4954 4) */
	enum command_mechanism mechanism;
	char *initial; /* the initial response in base64, NULL if there is none, "=" is an empty one
			*/
	/* On a bad line: a ready reply, code, enhanced code and text, else code is 0. */
	int error_code;
	const char *error_status; /* "5.5.4" */
	char *error_text;
};

/*
 * Reads one line (no CRLF) of `len` bytes; it may hold anything. Errors: 500 5.5.2 for what cannot
 * be read (NUL, control characters, no UTF-8; bytes beyond ASCII but in MAIL, RCPT and VRFY), 501
 * 5.5.4 for bad arguments, 501 5.1.7 / 5.1.3 for bad sender / recipient addresses, 553 5.6.7 for a
 * sender, or an argument of VRFY, in UTF-8 without SMTPUTF8 (of RCPT the caller must see to it:
 * path.utf8), 504 5.5.4 for a mechanism of AUTH that is not ours, 501 5.5.2 for a response that is
 * no base64 (RFC 4954 4), 555 5.5.4 for unknown parameters of MAIL and RCPT and for
 * BODY=BINARYMIME. A BDAT line with an error still has chunk_size set, and chunk_known, where the
 * octets that follow are known.
 * "MAIL FROM: <a@b>" with blanks after the colon is accepted, as Postfix does. Memory: `arena`.
 */
void command_parse(const char *line, size_t len, struct arena *arena, struct command *out);

/* "MAIL": for logs. */
const char *command_name(enum command_verb verb);

#endif
