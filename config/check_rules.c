/*
 * Cross checks of burst and content rules. Called by check_environment.c. Whether an expression
 * compiles is for who compiles it (filters/); its form is told here, with its line.
 */
#include "config/check_rules.h"

#include <string.h>

#include "base/log.h"

enum { FIELD_NAME_MAX = 77 }; /* a line of 78 with its colon (RFC 5322 2.1.1) */

/* ---- burst */

static void
check_burst(const struct config_burst *b, const struct text_section *at, struct problems *problems)
{
	if (text_is_set(at, "settle") && !text_is_set(at, "head"))
		problem_add(problems, text_line(at, "settle"),
			    "settle needs head: what exceeds the head rate waits; add head "
			    "= \"10/10s\"");
	/* Whatever the head counts the limit counts too. */
	if (b->limit > 0 && b->head >= b->limit && b->head_window <= b->window)
		problem_add(problems, text_line(at, "head"),
			    "head lets %u leave before anything waits, and limit has tripped by "
			    "then: nothing would ever wait; write fewer than %u before the slash, "
			    "or remove it",
			    b->head, b->limit);
	if (b->declared > 0 && b->declared < b->limit)
		problem_add(problems, text_line(at, "declared"),
			    "declared allows fewer recipients than limit, so that to declare a "
			    "campaign would be worse than not to; write %u or more before the "
			    "slash, or remove it",
			    b->limit);
}

/* ---- content */

/* RFC 5322 2.2: printable ASCII without the colon. */
static void
check_header(const struct config_content *c, const struct text_section *at,
	     struct problems *problems)
{
	const char *name = c->header;
	size_t len = strlen(name);
	bool ok = len > 0 && len <= FIELD_NAME_MAX;

	for (size_t i = 0; i < len; i++)
		ok = ok && name[i] > ' ' && name[i] < 0x7f && name[i] != ':';
	if (!ok && !problem_is_at(problems, text_value_line(at, "header", 0)))
		problem_add(problems, text_value_line(at, "header", 0),
			    "header %s is no name of a header field; write one such as Subject or "
			    "List-Id, without a colon",
			    log_safe(name));
}

/* Where to look: exactly one of the two. */
static void
check_place(const struct config_content *c, const struct text_section *at,
	    struct problems *problems)
{
	bool header = text_is_set(at, "header"), part = text_is_set(at, "part");

	if (header && part)
		problem_add(problems, text_line(at, "part"),
			    "content %s looks at header or at part, not both; remove one, or make "
			    "two rules",
			    c->name);
	else if (!header && !part)
		problem_add(problems, at->line,
			    "content %s does not say where to look; add header = \"Subject\" or "
			    "part = body",
			    c->name);
	if (header)
		check_header(c, at, problems);
}

static void
check_pattern(const struct config_content *c, const struct text_section *at,
	      struct problems *problems)
{
	int line = text_value_line(at, "match", 0);
	const char *end = strrchr(c->match, '/');

	if (!text_is_set(at, "match") || problem_is_at(problems, line))
		return;
	if (c->match[0] == '\0')
		problem_add(problems, line,
			    "match is empty; write a text that occurs in the mail, or "
			    "'/expression/i'");
	else if (c->match[0] != '/')
		return;
	else if (end == c->match || end[1 + strspn(end + 1, "ims")] != '\0')
		problem_add(problems, line,
			    "%s is no regular expression; write '/expression/' with flags out of "
			    "i, m and s behind it; a text that begins with / is written '/\\/.../'",
			    log_safe(c->match));
	else if (end == c->match + 1)
		problem_add(problems, line,
			    "the regular expression of match is empty; write * for anything");
}

void
check_rules(const struct config_environment *e, const struct text_section *at,
	    struct problems *problems)
{
	for (size_t i = 0; i < e->burst_count; i++)
		check_burst(&e->bursts[i], text_child(at, "burst", i), problems);
	for (size_t i = 0; i < e->content_count; i++) {
		const struct text_section *own = text_child(at, "content", i);

		check_place(&e->contents[i], own, problems);
		check_pattern(&e->contents[i], own, problems);
	}
}
