/*
 * audit verify [--head ID:HASH] [--file EXPORT [--after N]] and audit export [--after N]. The chain
 * is computed here, over every row: mailfused is only asked for them.
 */
#include "cli/audit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/audit_check.h"
#include "cli/field.h"
#include "cli/screen.h"

enum { PAGE = 1000, LINE_MAX_BYTES = 1 << 20 };

/*
 * Every row of the running log behind `after` (NULL = from the first), page by page, until a page
 * is empty; *head is what stood beside that one. row() returns false to end it.
 */
static int
read_rows(const struct command *c, const char *after,
	  bool (*row)(void *context, const json_t *item), void *context, struct audit_head *head)
{
	char cursor[32];
	bool more = true;

	snprintf(cursor, sizeof(cursor), "%s", after != NULL ? after : "");
	while (more) {
		struct buf path = {0};
		json_t *answer, *items, *item;
		size_t i;
		int result;

		buf_printf(&path, "/v1/log?limit=%d", PAGE);
		client_add_query(&path, "after", *cursor != '\0' ? cursor : NULL);
		result = command_get(c, buf_text(&path), &answer);
		buf_free(&path);
		if (result != CLIENT_DONE)
			return result;
		items = json_object_get(answer, "items");
		more = json_array_size(items) > 0;
		json_array_foreach(items, i, item) more = more && row(context, item);
		snprintf(cursor, sizeof(cursor), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(json_object_get(answer, "next")));
		head->id = field_count(json_object_get(answer, "head"), "id");
		snprintf(head->hash, sizeof(head->hash), "%s",
			 field_text(json_object_get(answer, "head"), "hash"));
		json_decref(answer);
	}
	return CLIENT_DONE;
}

/* ---- verify */

static bool
verify_row(void *context, const json_t *item)
{
	return audit_check_row(context, item);
}

/* The rows of an export, one a line. */
static int
verify_file(const struct command *c, const char *path, struct audit_check *check)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	char *line = NULL;
	size_t size = 0, number = 0;
	ssize_t n;
	int result = CLIENT_DONE;

	if (file == NULL)
		return command_refused(c, "%s: %s", screen_text(path), strerror(errno));
	while (result == CLIENT_DONE && (n = getline(&line, &size, file)) >= 0) {
		json_t *row = n <= LINE_MAX_BYTES ? json_loadb(line, (size_t)n, 0, NULL) : NULL;

		number++;
		if (!json_is_object(row))
			result = command_refused(c,
						 "%s: line %zu is no row of mailfuse audit export; "
						 "the rows before it: %" PRIu64,
						 screen_text(path), number, check->rows);
		else if (!audit_check_row(check, row))
			n = -1;
		json_decref(row);
		if (n < 0)
			break;
	}
	if (ferror(file))
		result = command_refused(c, "%s: %s", screen_text(path), strerror(errno));
	free(line);
	if (file != stdin)
		fclose(file);
	return result;
}

static void
print_verdict(const struct command *c, const struct audit_check *check)
{
	const char *problem = buf_text(&check->problem);
	bool whole = *problem == '\0';

	if (c->json) {
		json_t *o =
		    json_pack("{s:b, s:I, s:{s:I, s:s}, s:s?, s:I}", "whole", (int)whole, "rows",
			      (json_int_t)check->rows, "head", "id", (json_int_t)check->last.id,
			      "hash", check->last.hash, "problem", whole ? NULL : problem,
			      "times_back", (json_int_t)check->times_back);

		if (!whole)
			json_object_set_new(o, "row", json_integer(check->problem_row));
		command_print_json(o);
		json_decref(o);
		return;
	}
	if (check->times_back > 0)
		command_note("Times go back at %s, the last of them row %" PRId64
			     ": a clock that was set back does that; it is no error.",
			     screen_counted((int64_t)check->times_back, "row", "rows"),
			     check->times_back_row);
	if (!whole)
		command_refused(c,
				"%s. %s. Keep the database as it is, and a copy: mailfuse backup "
				"FILE.",
				screen_text(problem),
				screen_counted((int64_t)check->rows, "row before it is whole",
					       "rows before it are whole"));
	else if (check->rows == 0)
		printf("0 rows: the log is empty\n");
	else
		printf("%s, chain is whole; head %" PRId64 ":%s\n",
		       screen_counted((int64_t)check->rows, "row", "rows"), check->last.id,
		       check->last.hash);
}

static int
verify(struct command *c)
{
	const char *file = options_text(c->options, "file");
	const char *head = options_text(c->options, "head");
	struct audit_check check = {0};
	struct audit_head beside = {0};
	int result;

	if (head != NULL && !audit_head_parse(head, &check.wanted))
		return command_usage(c, "--head takes a row and its hash as an alert has them: "
					"57:ab12..., 64 letters and digits in all.");
	if (file == NULL && options_has(c->options, "after"))
		return command_usage(c, "--after goes with --file: mailfused's own log is verified "
					"whole.");
	check.start = (int64_t)options_number(c->options, "after");
	result = file != NULL ? verify_file(c, file, &check)
			      : read_rows(c, NULL, verify_row, &check, &beside);
	if (result == CLIENT_DONE) {
		audit_check_end(&check, file != NULL ? NULL : &beside);
		print_verdict(c, &check);
		result = check.problem.len > 0 ? CLIENT_REFUSED : CLIENT_DONE;
	}
	audit_check_free(&check);
	return result;
}

/* ---- export */

static bool
export_row(void *context, const json_t *item)
{
	(void)context;
	command_print_json(item);
	return true;
}

static int export(struct command *c)
{
	struct audit_head head;

	if (options_has(c->options, "head") || options_has(c->options, "file"))
		return command_usage(c, "export takes --after N only.");
	return read_rows(c, options_text(c->options, "after"), export_row, NULL, &head);
}

int
audit_run(struct command *c)
{
	const char *word = c->options->words[0];

	if (strcmp(word, "verify") == 0)
		return verify(c);
	if (strcmp(word, "export") == 0)
		return export(c);
	return command_usage(c, "\"%s\" is neither verify nor export.", screen_text(word));
}
