/*
 * Collects ids. Called by the verbs that take many (cli/decide.c). What standard input says may be
 * the output of any program: each line is checked before the daemon is asked, so that a list that
 * is cut or of something else changes nothing.
 */
#include "cli/ids.h"

#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/screen.h"

/* A row of `messages --json` is a few KB; its subject may be long. */
enum { LINE_MAX_BYTES = 1024 * 1024, SHOWN_BYTES = 60 };

/* Takes `id`, which may be NULL; false if it is, or if there are too many. */
static bool
take_id(struct ids *ids, char *id, struct buf *error)
{
	bool fits = true;

	if (id == NULL)
		return false;
	if (ids->list == NULL) {
		ids->list = json_array();
		ids->seen = json_object();
	}
	if (json_object_get(ids->seen, id) == NULL) {
		fits = ids_count(ids) < IDS_MAX;
		if (fits) {
			json_array_append_new(ids->list, json_string(id));
			json_object_set_new(ids->seen, id, json_true());
		} else {
			buf_printf(error, "more than %s ids; give them in several lists",
				   screen_count(IDS_MAX));
		}
	}
	free(id);
	return fits;
}

static char *
normalize_id(const char *word)
{
	char *id = command_batch_id(word);

	return id != NULL ? id : command_message_id(word);
}

bool
ids_add(struct ids *ids, const char *word, struct buf *error)
{
	if (take_id(ids, normalize_id(word), error))
		return true;
	if (error->len == 0)
		buf_printf(error,
			   "\"%s\" is no batch and no message id; batches look like B17 (mailfuse "
			   "batches), messages have 26 letters and digits (mailfuse messages).",
			   screen_text(word));
	return false;
}

/* The next line without its end; false at the end of the input. At most one byte too long. */
static bool
read_line(FILE *in, struct buf *line)
{
	int c = EOF;

	/* So that even an empty line has memory. */
	buf_reserve(line, 1);
	buf_clear(line);
	while (line->len <= LINE_MAX_BYTES && (c = getc(in)) != EOF && c != '\n')
		buf_add_char(line, (char)c);
	return line->len > 0 || c != EOF;
}

/* What stands between blanks, up to "#"; the end of a file from elsewhere is CRLF. */
static char *
trim_line(char *text)
{
	size_t len;

	text += strspn(text, " \t\r");
	len = *text == '{' ? strlen(text) : strcspn(text, "#");
	while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL)
		len--;
	text[len] = '\0';
	return text;
}

/* The id of a line that is not blank; NULL if it has none. */
static char *
read_id(const char *text)
{
	json_t *row;
	const char *word;
	char *id = NULL;

	if (*text != '{')
		return normalize_id(text);
	row = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	word = json_string_value(json_object_get(row, "id"));
	if (word != NULL)
		id = normalize_id(word);
	json_decref(row);
	return id;
}

static void
report_line(size_t number, const char *text, struct buf *error)
{
	char start[SHOWN_BYTES + 1];

	if (error->len > 0)
		return;
	snprintf(start, sizeof(start), "%s", text);
	buf_printf(error,
		   "line %s of standard input, \"%s%s\", is no id: write one a line, or what "
		   "mailfuse messages --json prints.",
		   screen_count((int64_t)number), screen_text(start),
		   strlen(text) > SHOWN_BYTES ? "..." : "");
}

bool
ids_read(struct ids *ids, FILE *in, struct buf *error)
{
	struct buf line = {0};
	size_t number = 0;
	bool good = true;

	while (good && read_line(in, &line)) {
		char *text;

		number++;
		/* A byte order mark, as some editors write it. */
		if (number == 1 && strncmp(line.data, "\xef\xbb\xbf", 3) == 0)
			buf_drop(&line, 3);
		good = line.len <= LINE_MAX_BYTES && memchr(line.data, '\0', line.len) == NULL;
		text = trim_line(line.data);
		if (good && *text != '\0')
			good = take_id(ids, read_id(text), error);
		if (!good)
			report_line(number, text, error);
	}
	if (good && ferror(in)) {
		buf_add_text(error, "standard input cannot be read to its end.");
		good = false;
	}
	buf_free(&line);
	return good;
}

size_t
ids_count(const struct ids *ids)
{
	return json_array_size(ids->list);
}

json_t *
ids_part(const struct ids *ids, size_t at)
{
	json_t *part = json_array();
	size_t end = ids_count(ids);

	if (end - at > IDS_PER_CALL)
		end = at + IDS_PER_CALL;
	for (; at < end; at++)
		json_array_append(part, json_array_get(ids->list, at));
	return part;
}

void
ids_free(struct ids *ids)
{
	json_decref(ids->list);
	json_decref(ids->seen);
	memset(ids, 0, sizeof(*ids));
}
