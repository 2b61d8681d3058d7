/*
 * What release, discard, restore and purge were told: the ids that they are about and the body of
 * their call (docs/api.md). Called by cli/decide.c. What is wrong is said before the daemon is
 * asked.
 */
#include "cli/decide_call.h"

#include <string.h>

int
decide_read_ids(struct command *c, struct ids *ids)
{
	struct buf error = {0};
	bool good = true;
	size_t i;

	for (i = 0; good && i < c->options->word_count; i++) {
		const char *word = c->options->words[i];

		if (strcmp(word, "-") != 0) {
			good = ids_add(ids, word, &error);
			continue;
		}
		good = ids_read(ids, stdin, &error);
		c->stdin_taken = true;
	}
	if (good && ids_count(ids) == 0) {
		buf_add_text(&error, "standard input lists nothing.");
		good = false;
	}
	if (!good)
		command_refused(c, "%s", buf_text(&error));
	buf_free(&error);
	return good ? CLIENT_DONE : CLIENT_REFUSED;
}

static void
add_text(const struct command *c, json_t *body, const char *name)
{
	const char *text = options_text(c->options, name);

	if (text != NULL)
		json_object_set_new(body, name, json_string(text));
}

static void
add_percent(const struct command *c, json_t *body, const char *option, const char *name)
{
	double percent = options_percent(c->options, option);

	if (options_has(c->options, option))
		json_object_set_new(body, name,
				    percent == (double)(json_int_t)percent
					? json_integer((json_int_t)percent)
					: json_real(percent));
}

static void
add_rings(const struct command *c, json_t *body)
{
	uint64_t sizes[OPTIONS_RINGS_MAX];
	size_t count = options_rings(c->options, "rings", sizes), i;
	json_t *rings;

	if (count == 0)
		return;
	rings = json_array();
	for (i = 0; i < count; i++)
		json_array_append_new(rings, sizes[i] == 0 ? json_string("all")
							   : json_integer((json_int_t)sizes[i]));
	json_object_set_new(body, "rings", rings);
}

json_t *
decide_make_body(const struct command *c)
{
	json_t *body = json_object();

	json_object_set_new(body, "reason", json_string(command_reason(c)));
	if (options_has(c->options, "first"))
		json_object_set_new(body, "first",
				    json_integer((json_int_t)options_number(c->options, "first")));
	add_percent(c, body, "percent", "percent");
	add_text(c, body, "to");
	add_text(c, body, "subject");
	add_text(c, body, "rate");
	add_rings(c, body);
	add_text(c, body, "wait");
	add_percent(c, body, "stop-on", "stop_on");
	add_text(c, body, "stream");
	return body;
}

int
decide_check_scope(const struct command *c, const struct ids *ids)
{
	static const char *const plan[] = {"rings", "stop-on", "stream", "follow"};
	static const char *const parts[] = {"first", "percent", "to", "subject"};
	const char *id = json_string_value(json_array_get(ids->list, 0));
	bool one = ids_count(ids) == 1 && id[0] == 'B';
	size_t i;

	for (i = 0; i < sizeof(plan) / sizeof(plan[0]); i++)
		if (options_has(c->options, plan[i]) && !one)
			return command_usage(c,
					     "--%s is for one batch; name that one alone, such as "
					     "B17.",
					     plan[i]);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (options_has(c->options, "stream") && options_has(c->options, parts[i]))
			return command_usage(c,
					     "--stream is for all of a batch and what follows it; "
					     "leave --%s out.",
					     parts[i]);
	return CLIENT_DONE;
}

int
decide_check_options(const struct command *c)
{
	if (options_has(c->options, "first") && options_has(c->options, "percent"))
		return command_usage(c, "--first and --percent exclude each other; choose one.");
	if (options_has(c->options, "wait") && !options_has(c->options, "rings"))
		return command_usage(c, "--wait is the time between rings; add --rings "
					"10,100,1000,all.");
	return CLIENT_DONE;
}
