/*
 * Splits a configuration file into words the way libConfuse 3.3 does, but stricter: what libConfuse
 * drops in silence (a `*` outside quotes, the backslash of "\d", an unset ${VARIABLE}) is a problem
 * here, and the text is changed so that libConfuse reads the rest in step. Called by text.c only.
 */
#include "config/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static bool
is_bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("_.:/@%-", c) != NULL);
}

void
scan_blank(char *from, const char *to)
{
	for (; from < to; from++)
		if (*from != '\n')
			*from = ' ';
}

/* Comments go: libConfuse 3.3 counts a line too many for each in C's form. */
static void
skip_comment(struct scan *s)
{
	char *start = s->at;

	if (*s->at == '#' || s->at[1] == '/') {
		s->at += strcspn(s->at, "\n");
		scan_blank(start, s->at);
		return;
	}
	for (s->at += 2; *s->at != '\0'; s->at++) {
		if (s->at[0] == '*' && s->at[1] == '/') {
			s->at += 2;
			for (const char *p = start; p < s->at; p++)
				s->line += *p == '\n';
			scan_blank(start, s->at);
			return;
		}
	}
	problem_add(s->problems, s->line,
		    "the comment that starts here has no end; write */ after it");
	s->broken = true;
}

static void
skip_space(struct scan *s)
{
	for (;;) {
		char c = *s->at;

		if (c == '\n')
			s->line++;
		if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
			s->at++;
		else if (c == '#' || (c == '/' && (s->at[1] == '/' || s->at[1] == '*')))
			skip_comment(s);
		else
			return;
		if (s->broken)
			return;
	}
}

/* A ${NAME} or ${NAME:-default} in double quotes, which libConfuse expands; s->at is on the `$`. */
static void
scan_variable(struct scan *s)
{
	char name[128];
	char *inside = s->at + 2;
	size_t len = strcspn(inside, "}\"\n");
	size_t name_len =
	    strspn(inside, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");

	if (inside[len] != '}' || name_len == 0 || name_len >= sizeof(name) ||
	    (name_len < len && strncmp(inside + name_len, ":-", 2) != 0)) {
		problem_add_last(s->problems, s->line,
				 "${ must be followed by the name of an environment variable and "
				 "}; for a plain $ write \\$");
		*s->at = '_'; /* or libConfuse would look for the } beyond the quotes */
		s->at += 2;
		return;
	}
	snprintf(name, sizeof(name), "%.*s", (int)name_len, inside);
	if (name_len == len && !s->unset_is_empty && getenv(name) == NULL)
		problem_add_last(s->problems, s->line,
				 "${%s} is not set in the environment; set it, or give a default: "
				 "${%s:-default}",
				 name, name);
	s->at = inside + len + 1;
}

/* Backslashes: libConfuse would make "\d" a plain d, which ruins a regular expression unseen. */
static void
scan_escape(struct scan *s, char quote)
{
	char c = s->at[1];

	if (quote == '"' && (c == '\0' || strchr("\\\"$", c) == NULL))
		problem_add_last(s->problems, s->line,
				 "a backslash in double quotes stands only before \\, \" and $; "
				 "write \\\\ for one backslash, or use "
				 "single quotes");
	s->at += c == '\0' || c == '\n' ? 1 : 2;
}

static enum scan_token
scan_quoted(struct scan *s)
{
	char quote = *s->at;

	s->word = ++s->at;
	for (;;) {
		if (*s->at == quote) {
			s->word_len = (size_t)(s->at - s->word);
			s->at++;
			return SCAN_WORD;
		}
		if (*s->at == '\0' || *s->at == '\n') {
			problem_add(s->problems, s->line,
				    "the quote that opens here is not closed on its line; write %c "
				    "at the end of the value",
				    quote);
			s->broken = true;
			return SCAN_END;
		}
		if (*s->at == '\\')
			scan_escape(s, quote);
		else if (quote == '"' && s->at[0] == '$' && s->at[1] == '{')
			scan_variable(s);
		else
			s->at++;
	}
}

/* A bare word; what must not stand in one is made into harmless letters after it was reported. */
static enum scan_token
scan_bare(struct scan *s)
{
	char shown[64];
	bool odd = false;

	s->word = s->at;
	while (*s->at != '\0' && strchr(" \t\r\n{}=,#\"'", *s->at) == NULL) {
		if (!is_bare(*s->at))
			odd = true;
		s->at++;
	}
	s->word_len = (size_t)(s->at - s->word);
	if (!odd)
		return SCAN_WORD;
	snprintf(shown, sizeof(shown), "%.*s", (int)s->word_len, s->word);
	problem_add_last(s->problems, s->line, "%s must stand in double quotes", log_safe(shown));
	for (char *p = s->word; p < s->at; p++)
		if (!is_bare(*p))
			*p = '_';
	return SCAN_WORD;
}

enum scan_token
scan_next(struct scan *s)
{
	skip_space(s);
	s->start = s->at;
	s->word_line = s->line;
	s->word_len = 0;
	if (s->broken || *s->at == '\0')
		return SCAN_END;
	switch (*s->at) {
	case '{':
	case '}':
	case '=':
	case ',':
		return (enum scan_token)(unsigned char)*s->at++;
	case '"':
	case '\'':
		return scan_quoted(s);
	case '+':
		if (s->at[1] == '=') {
			s->at += 2;
			return SCAN_APPEND;
		}
		return scan_bare(s);
	default:
		return scan_bare(s);
	}
}
