/*
 * message ID [--raw | --text]. On a terminal even --raw is made harmless; elsewhere its bytes are
 * exact.
 */
#include "cli/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "cli/field.h"
#include "cli/lists.h"
#include "cli/pager.h"
#include "cli/screen.h"

/* A terminal gets whole lines, so that no character is split between two pieces. */
static void
raw_take(void *context, const char *data, size_t len)
{
	struct buf *line = context;
	const char *end;

	if (!screen_is_terminal()) {
		fwrite(data, 1, len, stdout);
		return;
	}
	buf_add(line, data, len);
	end = memrchr(buf_text(line), '\n', line->len);
	if (end == NULL)
		return;
	len = (size_t)(end + 1 - line->data);
	screen_lines(stdout, line->data, len);
	buf_drop(line, len);
}

static int
print_raw(struct command *c, const char *id)
{
	struct buf path = {0}, line = {0}, error = {0};
	int result;

	buf_printf(&path, "/v1/messages/%s/raw", id);
	result = client_get_bytes(c->client, buf_text(&path), raw_take, &line, &error);
	screen_lines(stdout, buf_text(&line), line.len);
	if (result == CLIENT_NOT_REACHED)
		command_note("mailfuse: %s", buf_text(&error));
	else if (result != CLIENT_DONE)
		command_note("mailfuse message: %s", buf_text(&error));
	buf_free(&path);
	buf_free(&line);
	buf_free(&error);
	return result;
}

/* The last of what is paged: notes about it follow. */
static void
print_text(const json_t *answer)
{
	const char *text = field_text(answer, "text");

	screen_lines(stdout, text, strlen(text));
	pager_finish();
	if (*text == '\0')
		command_note("The message has no text; mailfuse message %s --raw shows it whole.",
			     screen_text(field_text(answer, "id")));
	if (field_is_true(answer, "text_cut"))
		command_note("The text goes on; mailfuse message %s --raw shows it whole.",
			     screen_text(field_text(answer, "id")));
}

static bool
is_told_alike(const json_t *a, const json_t *b)
{
	return strcmp(field_text(a, "sender_told"), field_text(b, "sender_told")) == 0 &&
	       strcmp(field_text(a, "sender_notice"), field_text(b, "sender_notice")) == 0;
}

/* How many of the deliveries went the way of the one at `i`; 0 if an earlier one did. */
static size_t
count_told_alike(const json_t *deliveries, size_t i)
{
	const json_t *d = json_array_get(deliveries, i);
	size_t k, n = 0;

	for (k = 0; k < json_array_size(deliveries); k++) {
		if (!is_told_alike(json_array_get(deliveries, k), d))
			continue;
		if (k < i)
			return 0;
		n++;
	}
	return n;
}

/* "Sender told  yes, of 2 deliveries: in 01JD..."; a line for each way that it went. */
static void
print_told(const json_t *deliveries)
{
	const json_t *d;
	size_t i, n;

	json_array_foreach(deliveries, i, d)
	{
		const char *told = field_text(d, "sender_told");
		const char *notice = field_text(d, "sender_notice");
		bool yes = strcmp(told, "yes") == 0;

		if ((!yes && strcmp(told, "pending") != 0 && *notice == '\0') ||
		    (n = count_told_alike(deliveries, i)) == 0)
			continue;
		printf("Sender told  %s, of %s", screen_text(told),
		       screen_counted((int64_t)n, "delivery", "deliveries"));
		if (*notice != '\0')
			printf(": %s%s", yes ? "in " : "", screen_text(notice));
		printf("\n");
	}
}

static void
print_message(const json_t *m)
{
	static const struct table_column columns[] = {{"DELIVERY", 0},
						      {"STATE", 0},
						      {"RECIPIENT", TABLE_SHRINKS},
						      {"GOES TO", TABLE_SHRINKS},
						      {"BATCH", TABLE_OPTIONAL},
						      {"RULE", TABLE_OPTIONAL},
						      {"CHANGED", TABLE_OPTIONAL},
						      {"WHY OR LAST REPLY", TABLE_SHRINKS}};
	json_t *items = json_object_get(m, "deliveries"), *d;
	const char *header = field_text(m, "header"), *sender = field_text(m, "sender");
	char size[UNITS_BYTES];
	struct table t;
	size_t i;

	printf("%sMessage %s%s\n", screen_on(SCREEN_BOLD), screen_text(field_text(m, "id")),
	       screen_off(SCREEN_BOLD));
	printf("Environment  %s\n", field_show(m, "environment"));
	printf("Source       %s\n", field_show(m, "source"));
	printf("Sender       %s\n", *sender == '\0' ? "<>" : screen_text(sender));
	printf("Subject      %s\n", field_show(m, "subject"));
	printf("Accepted     %s, %s\n\n", screen_time(field_text(m, "accepted_at")),
	       units_format_size((uint64_t)field_count(m, "bytes"), size));
	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(items, i, d)
	{
		const char *state = field_text(d, "state"), *reply = field_text(d, "reply");

		table_add(&t, field_text(d, "id"));
		table_add_styled(&t, state, screen_state_style(state));
		table_add(&t, field_text(d, "recipient"));
		table_add(&t, field_text(d, "final"));
		table_add(&t, field_text(d, "batch"));
		table_add(&t, field_text(d, "rule"));
		table_add(&t, screen_time(field_text(d, "changed_at")));
		table_add(&t, *reply != '\0' ? reply : field_text(d, "reason"));
	}
	lists_print(&t);
	if (field_is_true(m, "deliveries_cut"))
		printf("There are more; GET /v1/deliveries?message=%s lists all.\n",
		       screen_text(field_text(m, "id")));
	print_told(items);
	printf("\n%sHeader as it would leave%s\n", screen_on(SCREEN_BOLD), screen_off(SCREEN_BOLD));
	screen_lines(stdout, header, strlen(header));
	printf("\n%sText%s\n", screen_on(SCREEN_BOLD), screen_off(SCREEN_BOLD));
}

static void
print_paged(const struct command *c, const json_t *message, bool only_text)
{
	pager_start(c, SIZE_MAX);
	if (!only_text)
		print_message(message);
	print_text(message);
}

int
message_run(struct command *c)
{
	const struct options *o = c->options;
	bool raw = options_has(o, "raw"), text = options_has(o, "text");
	char *id = command_message_id(o->words[0]);
	struct buf path = {0};
	json_t *answer;
	int result;

	if (id == NULL)
		return command_refused(c,
				       "\"%s\" is no message id; they have 26 letters and digits "
				       "(mailfuse messages lists them).",
				       screen_text(o->words[0]));
	if (raw + text + c->json > 1) {
		free(id);
		return command_usage(c, "--raw, --text and --json exclude each other; choose one.");
	}
	/* A delivery's id names its message too. */
	id[strcspn(id, ".")] = '\0';
	if (raw) {
		result = print_raw(c, id);
		free(id);
		return result;
	}
	buf_printf(&path, "/v1/messages/%s", id);
	free(id);
	result = command_get(c, buf_text(&path), &answer);
	buf_free(&path);
	if (result != CLIENT_DONE)
		return result;
	if (c->json)
		command_print_json(answer);
	else
		print_paged(c, answer, text);
	json_decref(answer);
	return CLIENT_DONE;
}
