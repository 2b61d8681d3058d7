/*
 * explain --client IP --from A --to B.. [--message FILE]: asks the daemon's own gate, so that the
 * answer is what the relay would do, with the counters as they are now.
 */
#include "cli/explain.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/text.h"
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

/* JSON holds only UTF-8, and the daemon takes no NUL in it: other bytes go as base64. */
static void
add_message(json_t *body, const struct buf *message)
{
	const char *bytes = buf_text(message);
	struct buf base64 = {0};

	if (memchr(bytes, '\0', message->len) == NULL && text_is_utf8(bytes, message->len)) {
		json_object_set_new(body, "message", json_stringn(bytes, message->len));
		return;
	}
	base64_encode(bytes, message->len, &base64);
	json_object_set_new(body, "message_base64", json_stringn(buf_text(&base64), base64.len));
	buf_free(&base64);
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

/* "10 s"; what is no number of seconds, as it is. */
static const char *
show_seconds(const json_t *o, const char *name, char out[UNITS_BYTES])
{
	int64_t n = field_count(o, name);

	return n > 0 && n < INT32_MAX ? units_format_duration(n * CLOCK_SECOND, out)
				      : field_show(o, name);
}

/* What becomes of it, in the words of a person. */
static void
add_reason(struct table *t, const json_t *recipient)
{
	const char *observed = field_text(recipient, "observed");
	struct buf text = {0};
	char unit[UNITS_BYTES];

	buf_add_text(&text, field_text(recipient, "reason"));
	if (field_count(recipient, "settle") > 0)
		buf_printf(&text, "%sleaves after %s unless the rule trips",
			   text.len > 0 ? "; " : "", show_seconds(recipient, "settle", unit));
	if (observed[0] != '\0')
		buf_printf(&text, "%s%s would have held it", text.len > 0 ? "; " : "", observed);
	table_add(t, buf_text(&text));
	buf_free(&text);
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
		add_reason(&t, item);
	}
	lists_print(&t);
}

/* What the rule says: a rule that does not count this message says nothing. */
static void
add_outcome(struct table *t, const json_t *rule)
{
	bool holds = field_is_true(rule, "holds");

	if (!field_is_true(rule, "applies"))
		table_add(t, "-");
	else if (field_is_true(rule, "trips"))
		table_add_styled(t, holds ? "yes" : "alerts", holds ? SCREEN_RED : SCREEN_YELLOW);
	else
		table_add(t, "no");
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
						      {"HEAD", TABLE_RIGHT},
						      {"IN HEAD", TABLE_RIGHT},
						      {"COUNTED PER", TABLE_SHRINKS},
						      {"NOTE", TABLE_SHRINKS}};
	json_t *items = json_object_get(answer, "rules"), *item;
	char unit[UNITS_BYTES];
	struct table t;
	size_t i;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(items, i, item)
	{
		int64_t head = field_count(item, "head"), over = field_count(item, "head_window");
		bool applies = field_is_true(item, "applies");
		bool has_head = head > 0 && head <= UINT32_MAX && over > 0 && over < INT32_MAX;

		table_add(&t, field_text(item, "rule"));
		table_add(&t, field_show(item, "limit"));
		table_add(&t, show_seconds(item, "window", unit));
		table_add(&t, applies ? field_show(item, "before") : "-");
		table_add(&t, applies ? field_show(item, "after") : "-");
		add_outcome(&t, item);
		table_add(&t, has_head
				  ? units_format_rate((uint32_t)head, over * CLOCK_SECOND, unit)
				  : "-");
		table_add(&t, has_head && applies ? field_show(item, "head_before") : "-");
		table_add(&t, field_text(item, "key"));
		table_add(&t, field_text(item, "note"));
	}
	if (t.cell_count > 0)
		putchar('\n');
	lists_print(&t);
}

static void
print_declared(const json_t *answer)
{
	if (*field_text(answer, "campaign") != '\0')
		printf("Campaign     %s, audience %s\n", field_show(answer, "campaign"),
		       field_show(answer, "audience"));
	if (*field_text(answer, "refused") != '\0')
		printf("Refused      %s\n", field_show(answer, "refused"));
}

static void
print_answer(const json_t *answer)
{
	const char *header = field_text(answer, "header");

	printf("Environment  %s (%s), by %s\n", field_show(answer, "environment"),
	       field_is_true(answer, "production") ? "production" : "not production",
	       field_show(answer, "match"));
	printf("Source       %s\n", field_show(answer, "source"));
	printf("Upstream     %s\n", field_show(answer, "upstream"));
	print_declared(answer);
	putchar('\n');
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
			add_message(body, &message);
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
