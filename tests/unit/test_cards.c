/*
 * Alerts for chats: shape and limits of Slack's blocks and of the Teams card, and that nothing a
 * stranger wrote is read as markup.
 */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alert/cards.h"
#include "base/mem.h"
#include "mail/mime.h"

#define TEXT(s) ((char[]){s})

static struct store_alert alert;
static struct store_batch batch;
static struct channel_note note;
static struct config_alert channel;

static int
set_up(void **state)
{
	static char event[] = "batch.opened", name[] = "chat", environment[] = "staging",
		    who[] = "gate", empty[] = "", text[] = "hello";

	(void)state;
	alert = (struct store_alert){.event_id = 42,
				     .at = INT64_C(1795262651123000),
				     .event = event,
				     .channel = name,
				     .environment = environment,
				     .text = text,
				     .who = who,
				     .reason = empty};
	batch = (struct store_batch){.id = 17, .subject = "hi", .source = "s", .rule = "r"};
	note = (struct channel_note){.alert = &alert, .gate = "gate.example", .console = ""};
	channel = (struct config_alert){.name = name, .subject = empty, .text = empty};
	return 0;
}

static json_t *
make(void (*cards)(struct wording *w, const struct channel_note *n, struct buf *out), size_t *len)
{
	struct buf out = {0};
	struct wording w;
	json_error_t error;
	json_t *o;

	wording_make(&w, &note, &channel);
	cards(&w, &note, &out);
	o = json_loads(buf_text(&out), JSON_REJECT_DUPLICATES, &error);
	assert_non_null(o);
	if (len != NULL)
		*len = out.len;
	buf_free(&out);
	wording_free(&w);
	return o;
}

static const char *
get(const json_t *o, const char *key)
{
	const char *text = json_string_value(json_object_get(o, key));

	return text != NULL ? text : "";
}

static const char *
block(const json_t *o, size_t i)
{
	return get(json_array_get(json_object_get(o, "blocks"), i), "type");
}

static void
test_slack_blocks(void **state)
{
	json_t *o = make(cards_slack, NULL), *button;

	(void)state;
	assert_string_equal(get(o, "text"),
			    "hello\nmailfuse status | batch.opened from gate.example at "
			    "2026-11-21T12:04:11.123Z");
	assert_string_equal(block(o, 0), "header");
	assert_string_equal(block(o, 1), "section");
	assert_string_equal(block(o, 2), "context");
	assert_string_equal(block(o, 3), "");
	json_decref(o);
	alert.batch = 17;
	note.batch = &batch;
	alert.reason = TEXT("why");
	note.console = "https://gate.example:8025";
	o = make(cards_slack, NULL);
	assert_string_equal(block(o, 2), "section"); /* the reason */
	assert_string_equal(block(o, 3), "section"); /* facts */
	assert_string_equal(block(o, 4), "actions");
	assert_string_equal(block(o, 5), "context");
	button = json_array_get(
	    json_object_get(json_array_get(json_object_get(o, "blocks"), 4), "elements"), 0);
	assert_string_equal(get(button, "url"), "https://gate.example:8025/batches/B17");
	json_decref(o);
}

/* Every text object: within its limit, and without what Slack reads as a mention or a link. */
static void
check_texts(const json_t *o)
{
	const char *key;
	json_t *value;
	size_t i;

	if (json_is_array(o)) {
		json_array_foreach(o, i, value) check_texts(value);
		return;
	}
	if (!json_is_object(o))
		return;
	if (json_is_string(json_object_get(o, "text")) && *get(o, "type") != '\0') {
		const char *text = get(o, "text");

		assert_null(strpbrk(text, "<>"));
		assert_true(strlen(text) > 0 && strlen(text) <= 3000);
		assert_string_equal(get(o, "type"), "plain_text");
		assert_true(json_is_false(json_object_get(o, "emoji")));
	}
	json_object_foreach((json_t *)(uintptr_t)o, key, value) check_texts(value);
}

static void
test_slack_hostile(void **state)
{
	char *text = mem_zalloc(20001);
	json_t *o, *header;

	(void)state;
	for (size_t i = 0; i < 20000 / 20; i++)
		memcpy(text + 20 * i, "<!channel> & \xf0\x9f\x94\xa5 \x1b\r", 20);
	alert.text = text;
	alert.reason = TEXT("<!here>");
	batch.subject = "<http://evil|x> *b*";
	alert.batch = 17;
	note.batch = &batch;
	o = make(cards_slack, NULL);
	check_texts(json_object_get(o, "blocks"));
	assert_null(strpbrk(get(o, "text"), "<>"));
	assert_true(json_is_false(json_object_get(o, "mrkdwn")));
	assert_true(strlen(get(o, "text")) <= 4000);
	header = json_object_get(json_array_get(json_object_get(o, "blocks"), 0), "text");
	assert_string_equal(get(header, "type"), "plain_text");
	assert_true(strlen(get(header, "text")) <= 150);
	json_decref(o);
	free(text);
}

static json_t *
teams_body(const json_t *o)
{
	json_t *attachment = json_array_get(json_object_get(o, "attachments"), 0);

	assert_string_equal(get(o, "type"), "message");
	assert_string_equal(get(attachment, "contentType"),
			    "application/vnd.microsoft.card.adaptive");
	assert_string_equal(get(json_object_get(attachment, "content"), "type"), "AdaptiveCard");
	return json_object_get(json_object_get(attachment, "content"), "body");
}

/* Nothing in it is Markdown: RichTextBlocks of TextRuns only. */
static void
test_teams(void **state)
{
	json_t *o, *element;
	size_t i, count;

	(void)state;
	alert.text = TEXT("[click](http://evil) **x**");
	alert.batch = 17;
	note.batch = &batch;
	channel.text = TEXT("%t\n\nline two");
	o = make(cards_teams, NULL);
	count = json_array_size(teams_body(o));
	json_array_foreach(teams_body(o), i, element)
	{
		assert_string_equal(get(element, "type"), "RichTextBlock");
		assert_true(json_array_size(json_object_get(element, "inlines")) > 0);
	}
	/* headline, two lines, the facts of the batch, footer */
	assert_int_equal(count, 1 + 2 + 7 + 1);
	json_decref(o);
	note.console = "https://gate.example:8025";
	o = make(cards_teams, NULL);
	element = json_array_get(
	    json_object_get(
		json_object_get(json_array_get(json_object_get(o, "attachments"), 0), "content"),
		"actions"),
	    0);
	assert_string_equal(get(element, "type"), "Action.OpenUrl");
	assert_string_equal(get(element, "url"), "https://gate.example:8025/batches/B17");
	json_decref(o);
}

static void
test_teams_size(void **state)
{
	char *text = mem_zalloc(30001);
	json_t *o;
	size_t len;

	(void)state;
	memset(text, '"', 30000); /* twice as long in JSON */
	alert.text = alert.reason = text;
	batch.subject = batch.source = batch.rule = text;
	alert.batch = 17;
	note.batch = &batch;
	o = make(cards_teams, &len);
	assert_true(len < 28 * 1024);
	json_decref(o);
	free(text);
}

/* A service refuses a card with an empty text, and an alert that is refused tells nobody. */
static void
test_nothing_is_empty(void **state)
{
	static const char *const rows[] = {"%b", "%l", " %e ", "%b%l%l%b"};
	json_t *o;

	(void)state;
	alert.environment = TEXT("");
	batch.rule = "";
	note.batch = &batch;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *element;
		size_t k;

		channel.subject = channel.text = (char *)(uintptr_t)rows[i];
		alert.text = i == 0 ? TEXT("") : TEXT("upstream smarthost is down");
		o = make(cards_slack, NULL);
		check_texts(json_object_get(o, "blocks"));
		if (i > 0)
			assert_non_null(strstr(get(o, "text"), "smarthost is down"));
		json_decref(o);
		o = make(cards_teams, NULL);
		json_array_foreach(teams_body(o), k, element)
		{
			const json_t *runs = json_object_get(element, "inlines");

			for (size_t n = 0; n < json_array_size(runs); n++)
				assert_true(strlen(get(json_array_get(runs, n), "text")) > 0);
		}
		json_decref(o);
	}
}

/* A line costs more than its letters: a template of many lines is no card that is refused. */
static void
test_teams_many_lines(void **state)
{
	char template[2001] = "";
	json_t *o;
	size_t len;

	(void)state;
	for (size_t i = 0; i + 3 < sizeof(template); i += 3)
		memcpy(template + i, "x%l", 4);
	channel.text = template;
	o = make(cards_teams, &len);
	assert_true(len < 28 * 1024);
	json_decref(o);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(test_slack_blocks, set_up),
	    cmocka_unit_test_setup(test_slack_hostile, set_up),
	    cmocka_unit_test_setup(test_teams, set_up),
	    cmocka_unit_test_setup(test_teams_size, set_up),
	    cmocka_unit_test_setup(test_nothing_is_empty, set_up),
	    cmocka_unit_test_setup(test_teams_many_lines, set_up),
	};

	mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
