/*
 * Walks through the text of a configuration file before libConfuse does, with the table of settings
 * at hand: notes on which line everything stands, reports what is unknown, misplaced, said twice
 * or of a later version, and blanks it, so that one mistake does not hide the next. Called by
 * load.c, which frees the tree.
 */
#include "config/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "config/scan.h"

enum { TITLE_MAX = 64 };

struct walk {
	struct scan scan;
	struct problems *problems;
	bool secrets; /* their variables are wanted */
	bool broken;
	enum scan_token token;
};

/* One word of the file as a C string, cut where it is absurdly long. */
struct word {
	char text[128];
	char *start;
	int line;
};

static void
walk_next(struct walk *w)
{
	w->token = scan_next(&w->scan);
	if (w->scan.broken)
		w->broken = true;
}

static void
walk_word(const struct walk *w, struct word *out)
{
	snprintf(out->text, sizeof(out->text), "%.*s", (int)w->scan.word_len, w->scan.word);
	out->start = w->scan.start;
	out->line = w->scan.word_line;
}

static void __attribute__((format(printf, 3, 4)))
walk_break(struct walk *w, int line, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (!w->broken)
		problem_add(w->problems, line, "%s", text);
	w->broken = true;
}

static const char *
section_kind(const struct text_section *s)
{
	return s->row == NULL ? "" : s->row->name;
}

static void
section_mark(struct text_section *s, struct text_mark mark)
{
	/* Grown by doubling: a list of networks may be long. */
	if ((s->mark_count & (s->mark_count - 1)) == 0)
		s->marks = mem_resize_array(s->marks, s->mark_count == 0 ? 1 : s->mark_count * 2,
					    sizeof(*s->marks));
	s->marks[s->mark_count++] = mark;
}

/* `file:PATH` and `"${NAME}"` say where the value is; anything else, a default too, is a value. */
static bool
is_literal(const struct scan *s)
{
	if (s->word_len >= 5 && strncmp(s->word, "file:", 5) == 0)
		return false;
	return s->word_len > 0 && (*s->start != '"' || strncmp(s->word, "${", 2) != 0 ||
				   memchr(s->word, '}', s->word_len) != s->word + s->word_len - 1 ||
				   memchr(s->word, ':', s->word_len) != NULL);
}

static void
mark_value(struct walk *w, struct text_section *in, const struct option *row)
{
	if (row != NULL)
		section_mark(
		    in, (struct text_mark){row, true, is_literal(&w->scan), w->scan.word_line});
}

static struct text_section *
section_new(struct text_section *parent, const struct option *row, const char *title, int line)
{
	struct text_section *s = mem_zalloc(sizeof(*s));

	s->row = row;
	s->parent = parent;
	s->line = line;
	s->title = mem_strdup(title);
	if (parent == NULL)
		return s;
	if ((parent->child_count & (parent->child_count - 1)) == 0)
		parent->children = mem_resize_array(
		    parent->children, parent->child_count == 0 ? 1 : parent->child_count * 2,
		    sizeof(*parent->children));
	parent->children[parent->child_count++] = s;
	return s;
}

void
text_free(struct text_section *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->child_count; i++)
		text_free(s->children[i]);
	free(s->children);
	free(s->marks);
	free(s->title);
	free(s);
}

/* ---- what is refused */

static void
report_unknown(struct walk *w, const struct text_section *in, const struct word *name)
{
	const char *kind = section_kind(in);
	const char *near = options_suggest(kind, name->text);
	const char *elsewhere = options_elsewhere(kind, name->text);

	if (elsewhere != NULL && elsewhere[0] != '\0')
		problem_add(w->problems, name->line, "%s belongs into a section %s { ... }",
			    log_safe(name->text), elsewhere);
	else if (elsewhere != NULL)
		problem_add(w->problems, name->line,
			    "%s belongs to the top level, outside of %s { ... }",
			    log_safe(name->text), kind);
	else if (near != NULL)
		problem_add(w->problems, name->line, "unknown setting %s; did you mean %s?",
			    log_safe(name->text), near);
	else
		problem_add(w->problems, name->line,
			    "unknown setting %s; mailfuse.conf(5) lists all of them",
			    log_safe(name->text));
}

/* From behind a `{` to behind its `}`. */
static void
skip_braces(struct walk *w, int line)
{
	for (size_t depth = 1; depth > 0 && !w->broken;) {
		walk_next(w);
		if (w->token == SCAN_OPEN)
			depth++;
		else if (w->token == SCAN_CLOSE)
			depth--;
		else if (w->token == SCAN_END)
			walk_break(w, line,
				   "the { that opens here is not closed; write } where it ends");
	}
}

/* ---- settings */

/* The token is the first behind `=`. With row NULL the values are only passed over. */
static void
walk_values(struct walk *w, struct text_section *in, const struct option *row,
	    const struct word *name)
{
	bool want_value = true;

	if (w->token == SCAN_WORD) {
		mark_value(w, in, row);
		return;
	}
	if (w->token != SCAN_OPEN) {
		walk_break(w, name->line, "%s has no value; write %s = ...", log_safe(name->text),
			   log_safe(name->text));
		return;
	}
	for (walk_next(w); w->token != SCAN_CLOSE; walk_next(w)) {
		if (w->token == SCAN_WORD && want_value) {
			mark_value(w, in, row);
		} else if (w->token != SCAN_COMMA || want_value) {
			walk_break(w, w->scan.word_line,
				   "the list of %s is not of the form {\"a\", \"b\"}",
				   log_safe(name->text));
			return;
		}
		want_value = !want_value;
	}
}

/* NULL if the setting may stand as it does; else it was reported. */
static bool
setting_refused(struct walk *w, struct text_section *in, const struct option *row,
		const struct word *name, bool append)
{
	if (row == NULL) {
		report_unknown(w, in, name);
		return true;
	}
	if (row->type == OPTION_SECTION) {
		problem_add(w->problems, name->line, "%s is a section; write %s%s { ... }",
			    row->name, row->name,
			    (row->flags & OPTION_TITLE) != 0 ? " \"name\"" : "");
		return true;
	}
	if (append && !options_is_list(row)) {
		problem_add(w->problems, name->line, "%s is no list; write %s = ...", row->name,
			    row->name);
		return true;
	}
	if (!append && text_is_set(in, row->name)) {
		problem_add(w->problems, name->line,
			    "%s is already set on line %d; keep one of them", row->name,
			    text_line(in, row->name));
		return true;
	}
	return false;
}

static void
walk_setting(struct walk *w, struct text_section *in, const struct word *name)
{
	const struct option *row = options_find(section_kind(in), name->text);
	bool refused = setting_refused(w, in, row, name, w->token == SCAN_APPEND);
	int value_line;

	w->scan.unset_is_empty = !w->secrets && row != NULL && (row->flags & OPTION_SECRET) != 0;
	walk_next(w);
	value_line = w->scan.word_line;
	if (!refused && w->token == SCAN_OPEN && !options_is_list(row)) {
		problem_add(w->problems, value_line, "%s takes one value, not a list", row->name);
		refused = true;
	}
	if (!refused)
		section_mark(in, (struct text_mark){row, false, false, name->line});
	walk_values(w, in, refused ? NULL : row, name);
	w->scan.unset_is_empty = false;
	if (refused)
		scan_blank(name->start, w->scan.at);
}

/* ---- sections */

static const struct text_section *
find_title(const struct text_section *in, const struct option *row, const char *title)
{
	for (size_t i = 0; i < in->child_count; i++)
		if (in->children[i]->row == row && strcmp(in->children[i]->title, title) == 0)
			return in->children[i];
	return NULL;
}

static bool
section_refused(struct walk *w, const struct text_section *in, const struct option *row,
		const struct word *name, const struct word *title)
{
	const struct text_section *twin;

	if (row == NULL) {
		report_unknown(w, in, name);
	} else if (row->type != OPTION_SECTION) {
		problem_add(w->problems, name->line, "%s is a setting; write %s = ...", row->name,
			    row->name);
	} else if ((row->flags & OPTION_TITLE) == 0) {
		twin = (row->flags & OPTION_ONCE) != 0 ? find_title(in, row, "") : NULL;
		if (title == NULL && twin == NULL)
			return false;
		if (title != NULL)
			problem_add(w->problems, name->line, "%s takes no name; write %s { ... }",
				    row->name, row->name);
		else
			problem_add(w->problems, name->line,
				    "there is already a section %s on line %d; write all of it "
				    "there",
				    row->name, twin->line);
	} else if (title == NULL) {
		problem_add(w->problems, name->line, "%s needs a name; write %s \"name\" { ... }",
			    row->name, row->name);
	} else if ((twin = find_title(in, row, title->text)) != NULL) {
		problem_add(w->problems, title->line,
			    "there is already a %s %s on line %d; choose another name", row->name,
			    log_safe(title->text), twin->line);
	} else {
		return false;
	}
	return true;
}

static void
check_title(struct walk *w, const struct option *row, const struct word *title)
{
	static const char allowed[] =
	    " ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	bool phrase = (row->flags & OPTION_PHRASE) != 0;
	size_t len = strspn(title->text, phrase ? allowed : allowed + 1);

	if (len == 0 || len > TITLE_MAX || title->text[len] != '\0' || title->text[0] == ' ' ||
	    title->text[len - 1] == ' ')
		problem_add(w->problems, title->line,
			    "%s cannot be the name of this %s; use 1 to %d letters, digits, dots, "
			    "dashes%s underscores%s",
			    log_safe(title->text), row->name, TITLE_MAX, phrase ? "," : " and",
			    phrase ? ", and spaces between them" : "");
}

/* The token is the `{`; afterwards it is the matching `}`. Returns the section to go on in. */
static struct text_section *
walk_section(struct walk *w, struct text_section *in, const struct word *name,
	     const struct word *title)
{
	const struct option *row = options_find(section_kind(in), name->text);

	if (section_refused(w, in, row, name, title)) {
		skip_braces(w, name->line);
		scan_blank(name->start, w->scan.at);
		return in;
	}
	if (title != NULL)
		check_title(w, row, title);
	return section_new(in, row, title == NULL ? "" : title->text, name->line);
}

/* ---- statements */

static struct text_section *
walk_statement(struct walk *w, struct text_section *in)
{
	struct word name, title;

	walk_word(w, &name);
	walk_next(w);
	if (w->token == SCAN_SET || w->token == SCAN_APPEND) {
		walk_setting(w, in, &name);
		return in;
	}
	if (w->token == SCAN_OPEN)
		return walk_section(w, in, &name, NULL);
	if (w->token == SCAN_WORD) {
		walk_word(w, &title);
		walk_next(w);
		if (w->token == SCAN_OPEN)
			return walk_section(w, in, &name, &title);
	}
	walk_break(w, name.line, "there must be = and a value, or { and a section, after %s",
		   log_safe(name.text));
	return in;
}

struct text_section *
text_scan(char *text, bool secrets, struct problems *problems, bool *broken)
{
	struct text_section *root = section_new(NULL, NULL, "", 1);
	struct text_section *in = root;
	struct walk w = {.scan = {.text = text, .at = text, .line = 1, .problems = problems},
			 .problems = problems,
			 .secrets = secrets};

	if (strncmp(text, "\xef\xbb\xbf", 3) == 0) /* the mark that some editors put before UTF-8 */
		scan_blank(text, text + 3);
	for (walk_next(&w); w.token != SCAN_END && !w.broken; walk_next(&w)) {
		if (w.token == SCAN_WORD)
			in = walk_statement(&w, in);
		else if (w.token == SCAN_CLOSE && in->parent != NULL)
			in = in->parent;
		else if (w.token == SCAN_CLOSE)
			walk_break(&w, w.scan.word_line, "this } closes nothing; remove it");
		else
			walk_break(&w, w.scan.word_line,
				   "a setting or a section must begin here, not %c", (int)w.token);
	}
	if (in != root)
		walk_break(&w, in->line, "%s %s{ is not closed; write } where it ends",
			   in->row->name, in->title[0] != '\0' ? "... " : "");
	*broken = w.broken;
	return root;
}

/* ---- where things stand */

bool
text_is_set(const struct text_section *s, const char *name)
{
	for (size_t i = 0; i < s->mark_count; i++)
		if (!s->marks[i].is_value && strcmp(s->marks[i].row->name, name) == 0)
			return true;
	return false;
}

bool
text_is_literal(const struct text_section *s, const char *name)
{
	for (size_t i = 0; i < s->mark_count; i++)
		if (s->marks[i].is_literal && strcmp(s->marks[i].row->name, name) == 0)
			return true;
	return false;
}

int
text_line(const struct text_section *s, const char *name)
{
	for (size_t i = 0; i < s->mark_count; i++)
		if (!s->marks[i].is_value && strcmp(s->marks[i].row->name, name) == 0)
			return s->marks[i].line;
	return s->line;
}

int
text_value_line(const struct text_section *s, const char *name, size_t index)
{
	for (size_t i = 0; i < s->mark_count; i++)
		if (s->marks[i].is_value && strcmp(s->marks[i].row->name, name) == 0 &&
		    index-- == 0)
			return s->marks[i].line;
	return text_line(s, name);
}

const struct text_section *
text_child(const struct text_section *s, const char *name, size_t index)
{
	for (size_t i = 0; i < s->child_count; i++)
		if (strcmp(s->children[i]->row->name, name) == 0 && index-- == 0)
			return s->children[i];
	return NULL;
}
