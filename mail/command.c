/*
 * One line of a client as a struct: a table of verbs, each with the check of its argument. Reads
 * only. Called by relay/session.c for every command line, on the session's loop; the session's
 * arena owns the texts.
 */
#include "mail/command.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

/* RFC 1870 3: a size has at most 20 digits. */
enum { SIZE_DIGITS_MAX = 20, HELO_MAX = 255 };

typedef void command_check(struct command *c, struct arena *arena);

static command_check check_none, check_some, check_any, check_helo, check_mail, check_rcpt;

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
    {"VRFY", COMMAND_VRFY, check_any},
    {"EXPN", COMMAND_EXPN, check_any},
    {"HELP", COMMAND_HELP, check_any},
    {"STARTTLS", COMMAND_STARTTLS, check_none},
    {"AUTH", COMMAND_AUTH, check_some},
    {"BDAT", COMMAND_BDAT, check_some},
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

static void
check_some(struct command *c, struct arena *arena)
{
	if (*c->argument == '\0')
		set_error(c, 501, "5.5.4",
			  arena_printf(arena, "%s needs an argument", command_name(c->verb)));
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

/* Digits only; what is beyond 64 bits counts as the largest size, which every limit refuses. */
static bool
read_size(const char *value, uint64_t *size)
{
	size_t digits = strspn(value, "0123456789");

	if (digits == 0 || digits > SIZE_DIGITS_MAX || value[digits] != '\0')
		return false;
	for (*size = 0; *value != '\0'; value++)
		if (__builtin_mul_overflow(*size, UINT64_C(10), size) ||
		    __builtin_add_overflow(*size, (uint64_t)(*value - '0'), size)) {
			*size = UINT64_MAX;
			break;
		}
	return true;
}

static void
take_size(struct command *c, struct arena *arena, const char *value)
{
	if (c->has_size)
		bad_argument(c, arena, "SIZE is given twice");
	else if (value == NULL || !read_size(value, &c->size))
		bad_argument(c, arena, "SIZE needs a number of bytes, such as SIZE=1000");
	else
		c->has_size = true;
}

static void
take_body(struct command *c, struct arena *arena, const char *value, bool *has_body)
{
	if (*has_body)
		bad_argument(c, arena, "BODY is given twice");
	else if (value != NULL && strcasecmp(value, "7BIT") == 0)
		c->body = COMMAND_BODY_7BIT;
	else if (value != NULL && strcasecmp(value, "8BITMIME") == 0)
		c->body = COMMAND_BODY_8BITMIME;
	else
		bad_argument(c, arena, "BODY must be 7BIT or 8BITMIME");
	*has_body = true;
}

static void
unknown_parameter(struct command *c, struct arena *arena, const char *name)
{
	set_error(
	    c, 555, "5.5.4",
	    arena_printf(arena, "%s has no parameter %.40s here", command_name(c->verb), name));
}

/* What follows the path of MAIL: blanks and NAME or NAME=VALUE, in any order (RFC 5321 4.1.2). */
static void
read_parameters(struct command *c, struct arena *arena, const char *text)
{
	bool has_body = false;

	while (c->error_code == 0) {
		char *name, *value;
		size_t len;

		text += strspn(text, " \t");
		if (*text == '\0')
			return;
		len = strcspn(text, " \t");
		name = arena_strndup(arena, text, len);
		text += len;
		value = strchr(name, '=');
		if (value != NULL)
			*value++ = '\0';
		if (c->verb == COMMAND_MAIL && strcasecmp(name, "SIZE") == 0)
			take_size(c, arena, value);
		else if (c->verb == COMMAND_MAIL && strcasecmp(name, "BODY") == 0)
			take_body(c, arena, value, &has_body);
		else
			unknown_parameter(c, arena, name);
	}
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
		read_parameters(c, arena, text);
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

/* A tab counts as a blank, as clients and other servers have it. */
static const char *
explain_bytes(const char *line, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)line[i];

		if (c >= 0x80)
			return "That line has characters beyond ASCII; SMTPUTF8 is not offered";
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return "That line has control characters";
	}
	return NULL;
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
	reason = out->verb == COMMAND_HTTP ? NULL : explain_bytes(line, len);
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
