/*
 * batches, messages and queue: rows of the daemon as tables for people, or one object a line.
 */
#include "cli/lists.h"

#include <stdlib.h>
#include <string.h>

#include "cli/field.h"
#include "cli/pager.h"
#include "cli/plan_show.h"

/* What a list is filled into; lives on the stack of the verb. */
struct list {
	bool json;
	size_t rows;
	struct table table;
	void (*add)(struct table *t, const json_t *item);
};

void
lists_print(struct table *t)
{
	if (t->cell_count > 0)
		table_print(t, stdout, screen_columns());
	table_free(t);
}

static void
list_take(void *context, const json_t *item)
{
	struct list *list = context;

	list->rows++;
	if (list->json)
		command_print_json(item);
	else
		list->add(&list->table, item);
}

/* Fetches, prints, and says on stderr when there is nothing or more. */
static int
list_run(struct command *c, const char *path, const struct table_column *columns, size_t count,
	 void (*add)(struct table *t, const json_t *item), const char *nothing)
{
	struct list list = {.json = c->json, .add = add};
	size_t limit = command_limit(c);
	bool more;
	int result;

	table_init(&list.table, columns, count);
	result = command_list(c, path, limit, list_take, &list, &more);
	/* Its titles, and the prompt that follows. */
	pager_start(c, list.rows + 1);
	lists_print(&list.table);
	pager_finish();
	if (result == CLIENT_DONE && list.rows == 0)
		command_note("%s", nothing);
	if (more)
		command_note("The first %s are shown; there are more: --limit %zu shows them.",
			     screen_count((int64_t)list.rows), limit * 10);
	return result;
}

/* What neither source nor subject tells apart, such as a campaign, its key does. */
static void
batches_add_subject(struct table *t, const json_t *b)
{
	const char *key = field_text(b, "key");
	struct buf text = {0};

	if (*field_text(b, "source") != '\0' || *field_text(b, "subject") != '\0' || *key == '\0') {
		table_add(t, field_text(b, "subject"));
		return;
	}
	buf_printf(&text, "(%s)", key);
	table_add(t, buf_text(&text));
	buf_free(&text);
}

/* "held", "held, asked", "releasing 2/4". */
static void
batches_add_state(struct table *t, const json_t *b)
{
	const char *state = field_text(b, "state");
	struct buf text = {0};

	buf_printf(&text, "%s%s", state, plan_show_mark(b));
	table_add_styled(t, buf_text(&text), screen_state_style(state));
	buf_free(&text);
}

static void
batches_add(struct table *t, const json_t *b)
{
	table_add_styled(t, field_text(b, "id"), SCREEN_BOLD);
	batches_add_state(t, b);
	table_add(t, field_text(b, "environment"));
	table_add(t, field_text(b, "rule"));
	table_add_count(t, field_count(b, "recipients"));
	table_add_count(t, field_count(b, "held"));
	table_add_count(t, field_count(b, "leaked"));
	table_add(t, screen_time(field_text(b, "opened_at")));
	table_add(t, field_text(b, "source"));
	batches_add_subject(t, b);
}

int
batches_run(struct command *c)
{
	static const struct table_column columns[] = {{"BATCH", 0},
						      {"STATE", 0},
						      {"ENVIRONMENT", 0},
						      {"RULE", TABLE_OPTIONAL},
						      {"RECIPIENTS", TABLE_RIGHT},
						      {"HELD", TABLE_RIGHT},
						      {"LEAKED", TABLE_RIGHT | TABLE_OPTIONAL},
						      {"OPENED", 0},
						      {"SOURCE", TABLE_SHRINKS | TABLE_OPTIONAL},
						      {"SUBJECT", TABLE_SHRINKS}};
	struct buf path = {0};
	bool all = options_has(c->options, "all");
	int result;

	buf_add_text(&path, "/v1/batches");
	client_add_query(&path, "state", options_text(c->options, "state"));
	client_add_query(&path, "all", all ? "1" : NULL);
	result =
	    list_run(c, buf_text(&path), columns, sizeof(columns) / sizeof(columns[0]), batches_add,
		     all ? "There is no batch."
		     : options_has(c->options, "state")
			 ? "There is no batch in that state."
			 : "Nothing is held. Batches already decided: mailfuse batches --all");
	buf_free(&path);
	return result;
}

static void
messages_add(struct table *t, const json_t *d)
{
	table_add(t, field_text(d, "id"));
	table_add_styled(t, field_text(d, "state"), screen_state_style(field_text(d, "state")));
	table_add(t, field_text(d, "environment"));
	table_add(t, field_text(d, "batch"));
	table_add(t, screen_time(field_text(d, "accepted_at")));
	table_add(t, field_text(d, "recipient"));
	table_add(t, field_text(d, "final"));
	table_add(t, field_text(d, "subject"));
}

/* Of what failed, why it did. */
static void
failed_add(struct table *t, const json_t *d)
{
	const char *reply = field_text(d, "reply");

	table_add(t, field_text(d, "id"));
	table_add(t, field_text(d, "environment"));
	table_add(t, screen_time(field_text(d, "changed_at")));
	table_add(t, field_text(d, "recipient"));
	table_add(t, *reply != '\0' ? reply : field_text(d, "reason"));
	table_add(t, field_text(d, "subject"));
}

static int
messages_list(struct command *c, const char *path)
{
	static const struct table_column failed[] = {{"DELIVERY", 0},
						     {"ENVIRONMENT", TABLE_OPTIONAL},
						     {"FAILED", TABLE_OPTIONAL},
						     {"RECIPIENT", TABLE_SHRINKS},
						     {"WHY OR LAST REPLY", TABLE_SHRINKS},
						     {"SUBJECT", TABLE_SHRINKS | TABLE_OPTIONAL}};
	static const struct table_column columns[] = {{"DELIVERY", 0},
						      {"STATE", 0},
						      {"ENVIRONMENT", TABLE_OPTIONAL},
						      {"BATCH", TABLE_OPTIONAL},
						      {"ACCEPTED", TABLE_OPTIONAL},
						      {"RECIPIENT", TABLE_SHRINKS},
						      {"GOES TO", TABLE_SHRINKS},
						      {"SUBJECT", TABLE_SHRINKS}};
	const char *state = options_text(c->options, "state");

	if (state != NULL && strcmp(state, "failed") == 0)
		return list_run(c, path, failed, sizeof(failed) / sizeof(failed[0]), failed_add,
				"Nothing failed.");
	return list_run(c, path, columns, sizeof(columns) / sizeof(columns[0]), messages_add,
			"There is no such delivery.");
}

int
messages_run(struct command *c)
{
	const struct options *o = c->options;
	struct buf path = {0};
	char *batch = NULL;
	int result;

	if (o->word_count == 0 && !options_has(o, "environment") && !options_has(o, "state"))
		return command_usage(
		    c, "which ones? Write a batch such as B17, --environment E or "
		       "--state S (held, queued, waiting, sent, failed, dropped, discarded).");
	if (o->word_count > 0 && (batch = command_batch_id(o->words[0])) == NULL)
		return command_refused(c,
				       "\"%s\" is no batch; batches look like B17 (mailfuse "
				       "batches lists them). One message: mailfuse message ID.",
				       screen_text(o->words[0]));
	buf_add_text(&path, "/v1/deliveries");
	client_add_query(&path, "batch", batch);
	client_add_query(&path, "environment", options_text(o, "environment"));
	client_add_query(&path, "state", options_text(o, "state"));
	result = messages_list(c, buf_text(&path));
	buf_free(&path);
	free(batch);
	return result;
}

static void
print_queue_environments(const json_t *answer)
{
	static const struct table_column columns[] = {
	    {"ENVIRONMENT", 0},       {"UPSTREAM", 0}, {"STATE", 0},   {"QUEUED", TABLE_RIGHT},
	    {"WAITING", TABLE_RIGHT}, {"OLDEST", 0},   {"NEXT TRY", 0}};
	json_t *item, *items = json_object_get(answer, "environments");
	struct table t;
	size_t i;

	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(items, i, item)
	{
		const json_t *up = json_object_get(item, "up");

		table_add(&t, field_text(item, "environment"));
		table_add(&t, field_text(item, "upstream"));
		table_add_styled(&t,
				 json_is_true(up)    ? "up"
				 : json_is_false(up) ? "down"
						     : "-",
				 json_is_false(up) ? SCREEN_RED : SCREEN_PLAIN);
		table_add_count(&t, field_count(item, "queued"));
		table_add_count(&t, field_count(item, "waiting"));
		table_add(&t, screen_time(field_text(item, "oldest_at")));
		/* Its probes, and not that time, begin the next try. */
		table_add(&t, json_is_false(up) ? "once it answers"
						: screen_time(field_text(item, "next_try_at")));
	}
	lists_print(&t);
}

int
queue_run(struct command *c)
{
	static const struct table_column columns[] = {{"DELIVERY", 0},
						      {"STATE", TABLE_OPTIONAL},
						      {"ENVIRONMENT", TABLE_OPTIONAL},
						      {"ACCEPTED", TABLE_OPTIONAL},
						      {"TRIES", TABLE_RIGHT},
						      {"NEXT TRY", 0},
						      {"GOES TO", TABLE_SHRINKS},
						      {"LAST REPLY", TABLE_SHRINKS}};
	json_t *answer, *items, *item;
	struct table t;
	size_t i;
	int result = command_get(c, "/v1/queue", &answer);

	if (result != CLIENT_DONE)
		return result;
	if (c->json) {
		command_print_json(answer);
		json_decref(answer);
		return CLIENT_DONE;
	}
	items = json_object_get(answer, "deliveries");
	pager_start(c, json_array_size(items) +
			   json_array_size(json_object_get(answer, "environments")) + 4);
	print_queue_environments(answer);
	table_init(&t, columns, sizeof(columns) / sizeof(columns[0]));
	json_array_foreach(items, i, item)
	{
		table_add(&t, field_text(item, "id"));
		table_add(&t, field_text(item, "state"));
		table_add(&t, field_text(item, "environment"));
		table_add(&t, screen_time(field_text(item, "accepted_at")));
		table_add_count(&t, field_count(item, "tries"));
		table_add(&t, screen_time(field_text(item, "next_try_at")));
		table_add(&t, field_text(item, "final"));
		table_add(&t, field_text(item, "reply"));
	}
	if (t.cell_count > 0)
		printf("\nWaiting longest\n");
	else
		command_note("No mail waits to be sent.");
	lists_print(&t);
	pager_finish();
	json_decref(answer);
	return CLIENT_DONE;
}
