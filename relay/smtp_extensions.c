/*
 * The keywords of an EHLO reply. Called by smtp_opening.c on the connection's loop, and again after
 * STARTTLS, when nothing of before counts. Keeps nothing.
 */
#include "relay/smtp_extensions.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* True if the word of `len` bytes is this keyword, in either case. */
static bool
is_word(const char *word, size_t len, const char *keyword)
{
	return strlen(keyword) == len && strncasecmp(word, keyword, len) == 0;
}

static void
read_mechanisms(const char *at, const char *end, struct smtp_extensions *out)
{
	out->auth = true;
	while (at < end) {
		size_t len = strcspn(at, " \n");

		if (is_word(at, len, "PLAIN"))
			out->auth_plain = true;
		else if (is_word(at, len, "LOGIN"))
			out->auth_login = true;
		at += len + 1;
	}
}

static void
read_line(const char *line, const char *end, struct smtp_extensions *out)
{
	/* "AUTH=LOGIN" is how some servers said it before RFC 2554, and do to this day. */
	size_t len = strcspn(line, " =\n");
	const char *parameter = line + len < end ? line + len + 1 : end;

	if (is_word(line, len, "PIPELINING"))
		out->pipelining = true;
	else if (is_word(line, len, "8BITMIME"))
		out->eightbit = true;
	else if (is_word(line, len, "STARTTLS"))
		out->starttls = true;
	else if (is_word(line, len, "SMTPUTF8"))
		out->utf8 = true;
	else if (is_word(line, len, "DSN"))
		out->dsn = true;
	else if (is_word(line, len, "AUTH"))
		read_mechanisms(parameter, end, out);
	else if (is_word(line, len, "SIZE")) {
		out->size = true;
		if (parameter < end && *parameter >= '0' && *parameter <= '9')
			out->size_max = strtoull(parameter, NULL, 10);
	}
}

void
smtp_extensions_read(const char *text, struct smtp_extensions *out)
{
	const char *line = strchr(text, '\n');

	*out = (struct smtp_extensions){0};
	while (line != NULL) {
		const char *end = strchr(++line, '\n');

		read_line(line, end != NULL ? end : line + strlen(line), out);
		line = end;
	}
}
