/*
 * What an upstream says it can do: the keywords of its EHLO reply (RFC 5321 4.1.1.1). Read by
 * smtp_opening.c, honoured by smtp_envelope.c. Pure.
 */
#ifndef RELAY_SMTP_EXTENSIONS_H
#define RELAY_SMTP_EXTENSIONS_H

#include <stdbool.h>
#include <stdint.h>

struct smtp_extensions {
	bool pipelining; /* RFC 2920 */
	bool eightbit;   /* 8BITMIME, RFC 6152 */
	bool size;       /* RFC 1870 */
	bool starttls;   /* RFC 3207 */
	bool utf8;       /* SMTPUTF8, RFC 6531 */
	bool dsn;        /* RFC 3461 */
	/* AUTH, RFC 4954, and those of its mechanisms that we speak */
	bool auth, auth_plain, auth_login;
	uint64_t size_max; /* 0 = not told */
};

/* `text` is the reply's, lines joined by '\n'; the first is the greeting and says nothing. */
void smtp_extensions_read(const char *text, struct smtp_extensions *out);

#endif
