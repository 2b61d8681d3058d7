/*
 * explain --client IP --from A --to B.. [--message FILE]: asks the daemon's own gate, so that the
 * answer is what the relay would do, with the counters as they are now.
 */
#include "cli/explain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/field.h"
#include "cli/lists.h"
#include "cli/screen.h"

/* The daemon takes requests up to 32 MB (docs/api.md); JSON may double what is escaped. */
#define MESSAGE_MAX ((size_t)16 * 1024 * 1024)

/* The message of --message; "-" is stdin. CLIENT_DONE or what was printed. */
static int
read_message(const struct command *c, const char *path, struct buf *out)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	char piece[8192];
	size_t n;
	int result = CLIENT_DONE;

	if (file == NULL)
		return command_refused(c, "cannot read %s: %s", screen_text(path), strerror(errno));
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0 && out->len <= MESSAGE_MAX)
		buf_add(out, piece, n);
	if (ferror(file))
		result =
		    command_refused(c, "cannot read %s: %s", screen_text(path), strerror(errno));
	else if (out->len > MESSAGE_MAX)
		result =
		    command_refused(c,
				    "%s is over 16 MB; the header and the first lines are "
				    "enough: head -c 1000000 %s | mailfuse explain ... --message -",
				    screen_text(path), screen_text(path));
	if (file != stdin)
		fclose(file);
	return result;
}

/* JSON holds only UTF-8: a byte that is none is asked about as "?". */
static json_t *
message_json(struct buf *message)
{
	json_t *text = json_stringn(buf_text(message), message->len);
	size_t i;

	if (text != NULL)
		return text;
	for (i = 0; i < message->len; i++) {
		if ((unsigned char)message->data[i] >= 0x80)
			message->data[i] = '?';
	}
	command_note("The message is not UTF-8: its bytes above 127 are asked about as \"?\".");
	return json_stringn(buf_text(message), message->len);
}

static void
add_text(const struct command *c, json_t *body, const char *option, const char *name)
{
	const char *text = options_text(c->options, option);

	if (text != NULL)
		json_object_set_new(body, name, json_string(text));
}

static json_t *
make_body(const struct command *c)
{
	const struct options *o = c->options;
	json_t *body = json_object(), *to = json_array();
	const char *text;
	size_t i;

	add_text(c, body, "client", "client");
	add_text(c, body, "user", "user");
	add_text(c, body, "tls-name", "tls_name");
	add_text(c, body, "listener", "listener");
	add_text(c, body, "helo", "helo");
	text = options_text(o, "from");
	json_object_set_new(body, "from", json_string(strcmp(text, "<>") == 0 ? "" : text));
	for (i = 0; (text = options_list(o, "to", i)) != NULL; i++)
		json_array_append_new(to, json_string(text));
	for (i = 0; i < o->word_count; i++)
		json_array_append_new(to, json_string(o->words[i]));
	json_object_set_new(body, "to", to);
	return body;
}

static void
print_recipients(const json_t *answer)
{
	static const struct table_column columns[] = {{"RECIPIENT", TABLE_SHRINKS},
						      {"VERDICT", 0},
						      {"GOES TO", TABLE_SHRINKS},
						      {"RULE", 0},
						      {"WHY", TABLE_SHRINKS}};
	json_t *items = json_object_get(answer, "recipients"), *item;
	struct table t;
	size_t i;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(items, i, item)
	{
		const char *verdict = field_text(item, "verdict");

		table_add(&t, field_text(item, "address"));
		table_add_styled(&t, verdict, screen_state_style(verdict));
		table_add(&t, field_text(item, "final"));
		table_add(&t, field_text(item, "rule"));
		table_add(&t, field_text(item, "reason"));
	}
	lists_print(&t);
}

static void
print_rules(const json_t *answer)
{
	static const struct table_column columns[] = {{"RULE", 0},
						      {"LIMIT", TABLE_RIGHT},
						      {"WINDOW", TABLE_RIGHT},
						      {"BEFORE", TABLE_RIGHT},
						      {"AFTER", TABLE_RIGHT},
						      {"TRIPS", 0},
						      {"COUNTED PER", TABLE_SHRINKS}};
	json_t *items = json_object_get(answer, "rules"), *item;
	struct table t;
	size_t i;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(items, i, item)
	{
		bool trips = field_is_true(item, "trips");
		int64_t window = field_count(item, "window"); /* seconds */
		char unit[UNITS_BYTES];

		table_add(&t, field_text(item, "rule"));
		table_add(&t, field_show(item, "limit"));
		table_add(&t, window > 0 && window < INT32_MAX
				  ? units_format_duration(window * CLOCK_SECOND, unit)
				  : field_show(item, "window"));
		table_add(&t, field_show(item, "before"));
		table_add(&t, field_show(item, "after"));
		table_add_styled(&t, trips ? "yes" : "no", trips ? SCREEN_RED : SCREEN_PLAIN);
		table_add(&t, field_text(item, "key"));
	}
	if (t.cell_count > 0)
		putchar('\n');
	lists_print(&t);
}

static void
print_answer(const json_t *answer)
{
	const char *header = field_text(answer, "header");

	printf("Environment  %s (%s), by %s\n", field_show(answer, "environment"),
	       field_is_true(answer, "production") ? "production" : "not production",
	       field_show(answer, "match"));
	printf("Source       %s\n", field_show(answer, "source"));
	printf("Upstream     %s\n\n", field_show(answer, "upstream"));
	print_recipients(answer);
	print_rules(answer);
	if (*header != '\0') {
		printf("\n%sHeader as it would leave%s\n", screen_on(SCREEN_BOLD),
		       screen_off(SCREEN_BOLD));
		screen_lines(stdout, header, strlen(header));
	}
	command_note("Nothing was sent, and nothing was counted.");
}

int
explain_run(struct command *c)
{
	const struct options *o = c->options;
	const char *path = options_text(o, "message");
	struct buf message = {0};
	json_t *body, *answer;
	int result = CLIENT_DONE;

	if (!options_has(o, "client"))
		return command_usage(c, "from where? Add --client IP, the address it comes from.");
	if (!options_has(o, "from"))
		return command_usage(c,
				     "from whom? Add --from ADDRESS (--from \"<>\" is a bounce).");
	if (!options_has(o, "to") && o->word_count == 0)
		return command_usage(c, "to whom? Add --to ADDRESS, as often as needed.");
	if (path != NULL)
		result = read_message(c, path, &message);
	if (result == CLIENT_DONE) {
		body = make_body(c);
		if (path != NULL)
			json_object_set_new(body, "message", message_json(&message));
		result = command_post(c, "/v1/explain", body, &answer);
		json_decref(body);
	}
	buf_free(&message);
	if (result != CLIENT_DONE)
		return result;
	if (c->json)
		command_print_json(answer);
	else
		print_answer(answer);
	json_decref(answer);
	return CLIENT_DONE;
}
