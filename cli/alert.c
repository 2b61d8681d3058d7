/*
 * alert list shows the channels and how each fares; alert test sends a marked alert through one of
 * them, or all, and waits for what becomes of it.
 */
#include "cli/alert.h"

#include <stdio.h>
#include <string.h>

#include "cli/field.h"
#include "cli/lists.h"
#include "cli/screen.h"
#include "cli/table.h"

/* A channel's timeout is ten minutes at most. */
enum { TEST_SECONDS = 660 };

/* ---- list */

static enum screen_style
health_style(const char *health)
{
	return strcmp(health, "ok") == 0        ? SCREEN_GREEN
	       : strcmp(health, "failing") == 0 ? SCREEN_RED
						: SCREEN_PLAIN;
}

static void
add_channel(struct table *t, const json_t *channel)
{
	const char *health = field_text(channel, "health");

	table_add_styled(t, screen_text(field_text(channel, "name")), SCREEN_BOLD);
	table_add(t, screen_text(field_text(channel, "type")));
	table_add_styled(t, screen_text(health), health_style(health));
	table_add_count(t, field_count(channel, "pending"));
	table_add_count(t, field_count(channel, "failed"));
	table_add(t, screen_time(field_text(channel, "last_at")));
	table_add(t, field_show(channel, "events"));
	table_add(t, screen_text(json_is_string(json_object_get(channel, "last_error"))
				     ? field_text(channel, "last_error")
				     : NULL));
}

static int
list(struct command *c, json_t *channels)
{
	static const struct table_column columns[] = {
	    {"CHANNEL", 0},
	    {"TYPE", 0},
	    {"HEALTH", 0},
	    {"PENDING", TABLE_RIGHT},
	    {"GIVEN UP", TABLE_RIGHT},
	    {"LAST", TABLE_OPTIONAL},
	    {"EVENTS", TABLE_SHRINKS | TABLE_OPTIONAL},
	    {"LAST ERROR", TABLE_SHRINKS},
	};
	const json_t *channel;
	struct table t;
	size_t i;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(channels, i, channel)
	{
		if (c->json)
			command_print_json(channel);
		else
			add_channel(&t, channel);
	}
	lists_print(&t);
	return CLIENT_DONE;
}

/* ---- test */

static int
test_one(struct command *c, const char *name)
{
	json_t *body = json_object(), *answer;
	bool ok;
	int result;

	json_object_set_new(body, "channel", json_string(name));
	client_wait(c->client, TEST_SECONDS);
	result = command_post(c, "/v1/alerts/test", body, &answer);
	json_decref(body);
	if (result != CLIENT_DONE)
		return result;
	ok = field_is_true(answer, "ok");
	if (c->json)
		command_print_json(answer);
	else if (ok)
		printf("%s: delivered in %.1f s\n", screen_text(name),
		       json_number_value(json_object_get(answer, "seconds")));
	else
		printf("%s: not delivered: %s\n", screen_text(name),
		       screen_text(field_text(answer, "why")));
	fflush(stdout);
	json_decref(answer);
	return ok ? CLIENT_DONE : CLIENT_REFUSED;
}

/* The worst of all. */
static int
test_all(struct command *c, json_t *channels)
{
	const json_t *channel;
	int worst = CLIENT_DONE;
	size_t i;

	json_array_foreach(channels, i, channel)
	{
		int result = test_one(c, field_text(channel, "name"));

		if (result > worst)
			worst = result;
	}
	return worst;
}

/* ---- the verb */

static int
with_channels(struct command *c, int (*run)(struct command *c, json_t *channels))
{
	json_t *answer, *channels;
	int result = command_get(c, "/v1/alerts?limit=1", &answer);

	if (result != CLIENT_DONE)
		return result;
	channels = json_object_get(answer, "channels");
	if (json_array_size(channels) == 0) {
		command_note("There are no channels, so nobody is told: add a section alert to the "
			     "configuration.");
		result = run == test_all ? CLIENT_REFUSED : CLIENT_DONE;
	} else {
		result = run(c, channels);
	}
	json_decref(answer);
	return result;
}

int
alert_run(struct command *c)
{
	const struct options *o = c->options;
	const char *what = o->words[0], *name = o->word_count > 1 ? o->words[1] : NULL;
	bool all = options_has(o, "all");

	if (strcmp(what, "list") == 0) {
		if (name != NULL || all)
			return command_usage(
			    c, "list takes nothing behind it; one channel: test NAME.");
		return with_channels(c, list);
	}
	if (strcmp(what, "test") != 0)
		return command_usage(c, "there is no alert %s; write list or test.",
				     screen_text(what));
	if ((name != NULL) == all)
		return command_usage(c, "test what? Write a channel's name, or --all.");
	return all ? with_channels(c, test_all) : test_one(c, name);
}
