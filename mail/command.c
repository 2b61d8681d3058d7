/*
 * One line of a client as a struct: a table of verbs, each with the check of its argument. Reads
 * only. Called by relay/session.c for every command line, on the session's loop; the session's
 * arena owns the texts.
 */
#include "mail/command.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "mail/parameters.h"

enum { HELO_MAX = 255 };

typedef void command_check(struct command *c, struct arena *arena);

static command_check check_none, check_any, check_helo, check_mail, check_rcpt, check_vrfy,
    check_auth, check_bdat;

static const struct verb {
	const char *name;
	enum command_verb verb;
	command_check *check;
} verbs[] = {
    {"EHLO", COMMAND_EHLO, check_helo},
    {"HELO", COMMAND_HELO, check_helo},
    {"MAIL", COMMAND_MAIL, check_mail},
    {"RCPT", COMMAND_RCPT, check_rcpt},
    {"DATA", COMMAND_DATA, check_none},
    {"RSET", COMMAND_RSET, check_none},
    {"QUIT", COMMAND_QUIT, check_none},
    {"NOOP", COMMAND_NOOP, check_any},
    {"VRFY", COMMAND_VRFY, check_vrfy},
    {"EXPN", COMMAND_EXPN, check_any},
    {"HELP", COMMAND_HELP, check_any},
    {"STARTTLS", COMMAND_STARTTLS, check_none},
    {"AUTH", COMMAND_AUTH, check_auth},
    {"BDAT", COMMAND_BDAT, check_bdat},
    /* RFC 9110 9, RFC 5789, and the preface of HTTP/2 (RFC 9113 3.4) */
    {"GET", COMMAND_HTTP, NULL},
    {"HEAD", COMMAND_HTTP, NULL},
    {"POST", COMMAND_HTTP, NULL},
    {"PUT", COMMAND_HTTP, NULL},
    {"DELETE", COMMAND_HTTP, NULL},
    {"CONNECT", COMMAND_HTTP, NULL},
    {"OPTIONS", COMMAND_HTTP, NULL},
    {"TRACE", COMMAND_HTTP, NULL},
    {"PATCH", COMMAND_HTTP, NULL},
    {"PRI", COMMAND_HTTP, NULL},
};

enum { VERB_COUNT = sizeof(verbs) / sizeof(verbs[0]) };

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static void
set_error(struct command *c, int code, const char *status, char *text)
{
	c->error_code = code;
	c->error_status = status;
	c->error_text = text;
}

/* 501 5.5.4 */
static void
bad_argument(struct command *c, struct arena *arena, const char *text)
{
	set_error(c, 501, "5.5.4", arena_strdup(arena, text));
}

static void
check_any(struct command *c, struct arena *arena)
{
	(void)c;
	(void)arena;
}

static void
check_none(struct command *c, struct arena *arena)
{
	if (*c->argument != '\0')
		set_error(c, 501, "5.5.4",
			  arena_printf(arena, "%s takes no argument", command_name(c->verb)));
}

/*
 * A domain or an address literal by the grammar; clients send their host's name whatever it is, so
 * only what would break a Received field is refused: blanks, comments, quotes, brackets, `;`, `,`.
 */
static void
check_helo(struct command *c, struct arena *arena)
{
	static const char alnum[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	const char *name = c->argument;

	if (*name == '\0')
		set_error(c, 501, "5.5.4",
			  arena_printf(arena, "%s needs your host name: %s client.example.com",
				       command_name(c->verb), command_name(c->verb)));
	else if (strlen(name) > HELO_MAX)
		bad_argument(c, arena, "That host name has more than 255 characters");
	else if (name[strcspn(name, " \t()<>\"\\;,")] != '\0' || strpbrk(name, alnum) == NULL)
		bad_argument(
		    c, arena,
		    "That is no host name or address literal, such as client.example.com or "
		    "[192.0.2.1]");
}

/* RFC 3030 2: BDAT size [LAST] */
static void
check_bdat(struct command *c, struct arena *arena)
{
	const char *text = c->argument;
	size_t digits = strcspn(text, " \t");

	c->chunk_known = parameters_read_size(arena_strndup(arena, text, digits), &c->chunk_size);
	text += digits + strspn(text + digits, " \t");
	c->chunk_last = strcasecmp(text, "LAST") == 0;
	if (!c->chunk_known || (*text != '\0' && !c->chunk_last))
		bad_argument(c, arena, "Write it as BDAT 1000 or BDAT 1000 LAST");
}

/* RFC 4954 4: AUTH mechanism [initial response]. The text of a reply repeats nothing of it. */
static void
check_auth(struct command *c, struct arena *arena)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";
	const char *initial = c->argument + strcspn(c->argument, " \t");
	size_t len = (size_t)(initial - c->argument), n;

	if (len == 5 && strncasecmp(c->argument, "PLAIN", len) == 0)
		c->mechanism = COMMAND_AUTH_PLAIN;
	else if (len == 5 && strncasecmp(c->argument, "LOGIN", len) == 0)
		c->mechanism = COMMAND_AUTH_LOGIN;
	initial += strspn(initial, " \t");
	if (len == 0) {
		bad_argument(c, arena, "AUTH needs a mechanism: PLAIN or LOGIN");
	} else if (c->mechanism == COMMAND_AUTH_OTHER) {
		set_error(c, 504, "5.5.4",
			  arena_strdup(arena, "That mechanism is not offered; use PLAIN or LOGIN"));
	} else if (initial[strcspn(initial, " \t")] != '\0') {
		bad_argument(c, arena, "AUTH has one response behind its mechanism, in base64");
	} else if (*initial != '\0') {
		n = strspn(initial, base64);
		n += strspn(initial + n, "=");
		if (initial[n] != '\0' || (n % 4 != 0 && strcmp(initial, "=") != 0))
			set_error(c, 501, "5.5.2",
				  arena_strdup(arena, "That response is not in base64"));
		else
			c->initial = arena_strdup(arena, initial);
	}
}

/* RFC 6531 3.7.4.2: the last word may be SMTPUTF8. */
static void
check_vrfy(struct command *c, struct arena *arena)
{
	static const char word[] = "SMTPUTF8";
	size_t len = strlen(c->argument), n = sizeof(word) - 1;

	c->smtputf8 = len > n && is_blank(c->argument[len - n - 1]) &&
		      strcasecmp(c->argument + len - n, word) == 0;
	if (!c->smtputf8 && !text_is_ascii(c->argument, strlen(c->argument)))
		set_error(c, 553, "5.6.7",
			  arena_strdup(arena, "An address beyond ASCII needs SMTPUTF8 behind it"));
}

/* Finds the path behind `keyword` ("FROM:"); NULL and the error is set where there is none. */
static const char *
find_path(struct command *c, struct arena *arena, const char *keyword)
{
	const char *text = c->argument;
	size_t len = strlen(keyword);

	if (strncasecmp(text, keyword, len) != 0) {
		set_error(c, 501, "5.5.4",
			  arena_printf(arena, "Write it as %s %s<name@example.com>",
				       command_name(c->verb), keyword));
		return NULL;
	}
	text += len;
	return text + strspn(text, " \t");
}

static void
check_path(struct command *c, struct arena *arena, const char *keyword)
{
	bool mail = c->verb == COMMAND_MAIL;
	const char *text = find_path(c, arena, keyword), *reason;

	if (text == NULL)
		return;
	reason = address_parse_path(&text, mail, !mail, arena, &c->path);
	if (reason == NULL && *text != '\0' && !is_blank(*text))
		reason = "has something behind its >";
	if (reason == NULL) {
		parameters_read(c, text, arena);
		if (c->error_code == 0 && mail && c->path.utf8 && !c->smtputf8)
			set_error(c, 553, "5.6.7",
				  arena_strdup(arena, "A sender address beyond ASCII needs "
						      "SMTPUTF8 behind it"));
		return;
	}
	c->path = (struct address){0};
	set_error(c, 501, mail ? "5.1.7" : "5.1.3",
		  arena_printf(arena, "The %s address %s; write it as %s %s<name@example.com>",
			       mail ? "sender" : "recipient", reason, command_name(c->verb),
			       keyword));
}

static void
check_mail(struct command *c, struct arena *arena)
{
	check_path(c, arena, "FROM:");
}

static void
check_rcpt(struct command *c, struct arena *arena)
{
	check_path(c, arena, "TO:");
}

static const struct verb *
find_verb(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < VERB_COUNT; i++)
		if (strlen(verbs[i].name) == len && strncasecmp(verbs[i].name, name, len) == 0)
			return &verbs[i];
	return NULL;
}

/* RFC 6531 3.3, 3.7.4.2 */
static bool
may_have_utf8(enum command_verb verb)
{
	return verb == COMMAND_MAIL || verb == COMMAND_RCPT || verb == COMMAND_VRFY;
}

/* A tab counts as a blank, as clients and other servers have it. */
static const char *
explain_bytes(const char *line, size_t len, enum command_verb verb)
{
	bool ascii = true;
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return "That line has control characters";
		ascii = ascii && c < 0x80;
	}
	if (ascii)
		return NULL;
	if (!may_have_utf8(verb))
		return "That line has characters beyond ASCII";
	return text_is_utf8(line, len) ? NULL : "That line is not valid UTF-8";
}

void
command_parse(const char *line, size_t len, struct arena *arena, struct command *out)
{
	const struct verb *verb;
	const char *reason;
	size_t n = 0;

	*out = (struct command){0};
	while (len > 0 && is_blank(line[len - 1]))
		len--;
	while (n < len && !is_blank(line[n]))
		n++;
	verb = find_verb(line, n);
	if (verb != NULL)
		out->verb = verb->verb;
	reason = out->verb == COMMAND_HTTP ? NULL : explain_bytes(line, len, out->verb);
	if (reason == NULL && verb == NULL)
		reason = len == 0 ? "That line is empty; HELP lists the commands"
				  : "Command not recognised; HELP lists the commands";
	if (reason != NULL) {
		out->argument = arena_strdup(arena, "");
		set_error(out, 500, "5.5.2", arena_strdup(arena, reason));
		return;
	}
	while (n < len && is_blank(line[n]))
		n++;
	out->argument = arena_strndup(arena, line + n, len - n);
	if (verb->check != NULL)
		verb->check(out, arena);
}

const char *
command_name(enum command_verb verb)
{
	size_t i;

	if (verb == COMMAND_HTTP)
		return "HTTP";
	for (i = 0; i < VERB_COUNT; i++)
		if (verbs[i].verb == verb)
			return verbs[i].name;
	return "unknown";
}
