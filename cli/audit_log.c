/*
 * log [--last N] [--follow]: the newest rows of the audit log, then, with --follow, what is added.
 */
#include "cli/audit_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/field.h"
#include "cli/pager.h"
#include "cli/screen.h"

enum { LAST = 20, LAST_MAX = 1000, POLL_SECONDS = 1 };

/* Rows come one by one with --follow: columns are as wide as most of them need. */
enum { WHO_COLUMNS = 14, ACTION_COLUMNS = 15 };

/* A column, and two spaces behind it. */
static void
print_padded(const char *text, enum screen_style style, size_t columns)
{
	size_t width = screen_width(text);

	printf("%s%s%s%*s", screen_on(style), text, screen_off(style),
	       2 + (width < columns ? (int)(columns - width) : 0), "");
}

/* "2026-11-21 12:04:11  uid:0(root)  batch.released  B17  checked with the team  (10 of ...)" */
static void
print_row(const json_t *row)
{
	const char *reason = field_text(row, "reason");
	const json_t *detail = json_object_get(row, "detail");
	char *object = json_is_object(detail) ? json_dumps(detail, JSON_COMPACT) : NULL;
	const char *more = object != NULL ? object : field_text(row, "detail");

	printf("%s  ", screen_time(field_text(row, "at")));
	print_padded(field_show(row, "who"), SCREEN_PLAIN, WHO_COLUMNS);
	print_padded(field_show(row, "action"), SCREEN_BOLD, ACTION_COLUMNS);
	fputs(field_show(row, "object"), stdout);
	if (*reason != '\0')
		printf("  \"%s\"", screen_text(reason));
	if (*more != '\0')
		printf("  %s%s%s", screen_on(SCREEN_DIM), screen_text(more),
		       screen_off(SCREEN_DIM));
	putchar('\n');
	free(object);
}

/* Prints one answer; *after becomes the highest id seen. */
static size_t
print_rows(const struct command *c, const json_t *answer, json_int_t *after)
{
	json_t *items = json_object_get(answer, "items"), *item;
	const json_t *next = json_object_get(answer, "next");
	size_t i;

	json_array_foreach(items, i, item)
	{
		if (c->json)
			command_print_json(item);
		else
			print_row(item);
		if (field_count(item, "id") > *after)
			*after = field_count(item, "id");
	}
	if (json_is_integer(next) && json_integer_value(next) > *after)
		*after = json_integer_value(next);
	fflush(stdout);
	return json_array_size(items);
}

/*
 * A daemon that restarts must not end a --follow in the middle of the night: it is told once,
 * and asked again each second. What answers but refuses ends it.
 */
static int
follow(const struct command *c, json_int_t after)
{
	bool lost = false;

	for (;;) {
		struct buf path = {0}, error = {0};
		json_t *answer;
		int result;

		sleep(POLL_SECONDS);
		if (ferror(stdout))
			return CLIENT_DONE;
		buf_printf(&path, "/v1/log?after=%lld", (long long)after);
		result = client_get(c->client, buf_text(&path), &answer, &error);
		if (result == CLIENT_DONE) {
			if (lost)
				command_note("mailfused answers again.");
			lost = false;
			print_rows(c, answer, &after);
			json_decref(answer);
		} else if (result == CLIENT_NOT_REACHED && !lost) {
			command_note("mailfuse: %s Asking again each second.", buf_text(&error));
			lost = true;
		} else if (result != CLIENT_NOT_REACHED) {
			command_refused(c, "%s", buf_text(&error));
		}
		buf_free(&path);
		buf_free(&error);
		if (result == CLIENT_REFUSED)
			return result;
	}
}

int
audit_log_run(struct command *c)
{
	unsigned long last = LAST;
	json_int_t after = 0;
	struct buf path = {0};
	json_t *answer;
	size_t rows;
	int result;

	if (options_has(c->options, "last"))
		last = options_number(c->options, "last");
	if (last > LAST_MAX)
		return command_usage(c, "--last goes up to %s.", screen_count(LAST_MAX));
	buf_printf(&path, "/v1/log?last=%lu&limit=%lu", last, last);
	result = command_get(c, buf_text(&path), &answer);
	buf_free(&path);
	if (result != CLIENT_DONE)
		return result;
	if (!options_has(c->options, "follow"))
		pager_start(c, json_array_size(json_object_get(answer, "items")));
	rows = print_rows(c, answer, &after);
	pager_finish();
	json_decref(answer);
	if (options_has(c->options, "follow"))
		return follow(c, after);
	if (rows == 0)
		command_note("The log is empty.");
	return CLIENT_DONE;
}
