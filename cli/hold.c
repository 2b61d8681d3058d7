/*
 * hold stops all mail of an environment, a source or everything, at once; unhold lets mail pass
 * again. What was held meanwhile stays held until it is released.
 */
#include "cli/hold.h"

#include <stdlib.h>
#include <string.h>

#include "cli/field.h"
#include "cli/screen.h"

struct scope {
	const char *scope, *name; /* "environment", "staging" */
};

/* How many of the three scopes were given; the last one in *s. */
static int
read_scope(const struct command *c, struct scope *s)
{
	int given = 0;

	if (options_has(c->options, "everything")) {
		*s = (struct scope){"everything", ""};
		given++;
	}
	if (options_has(c->options, "environment")) {
		*s = (struct scope){"environment", options_text(c->options, "environment")};
		given++;
	}
	if (options_has(c->options, "source")) {
		*s = (struct scope){"source", options_text(c->options, "source")};
		given++;
	}
	return given;
}

static json_t *
make_body(const struct command *c, const struct scope *s)
{
	json_t *body = json_object();

	json_object_set_new(body, "scope", json_string(s->scope));
	if (strcmp(s->scope, "everything") != 0)
		json_object_set_new(body, "name", json_string(s->name));
	json_object_set_new(body, "reason", json_string(command_reason(c)));
	return body;
}

/* "everything", "environment staging". */
static void
name_scope(const struct scope *s, struct buf *out)
{
	buf_add_text(out, screen_text(s->scope));
	if (strcmp(s->scope, "everything") != 0)
		buf_printf(out, " %s", screen_text(s->name));
}

/*
 * What is on its way now in that scope; -1 where the daemon does not count it, or cannot: the panic
 * button must work all the same.
 */
static int64_t
count_moving(const struct command *c, const struct scope *s)
{
	struct buf ignored = {0};
	json_t *status, *rows, *row;
	int64_t sum = 0;
	size_t i;

	if (strcmp(s->scope, "source") == 0)
		return -1;
	if (client_get(c->client, "/v1/status", &status, &ignored) != CLIENT_DONE) {
		buf_free(&ignored);
		return -1;
	}
	rows = json_object_get(status, "counts");
	json_array_foreach(rows, i, row)
	{
		const char *state = field_text(row, "state");

		if (strcmp(state, "queued") != 0 && strcmp(state, "waiting") != 0)
			continue;
		if (strcmp(s->scope, "everything") == 0 ||
		    strcmp(s->name, field_text(row, "environment")) == 0)
			sum += field_count(row, "count");
	}
	json_decref(status);
	return sum;
}

/* The change itself. */
static int
post_hold(struct command *c, bool on, const struct scope *s, const char *what)
{
	json_t *body = make_body(c, s), *answer;
	int result = command_post(c, on ? "/v1/hold" : "/v1/unhold", body, &answer);

	json_decref(body);
	if (result != CLIENT_DONE)
		return result;
	if (c->json)
		command_print_json(answer);
	else if (!field_is_true(answer, "changed"))
		printf(on ? "It was on hold already: %s.\n" : "It was not on hold: %s.\n", what);
	else if (on)
		printf("On hold: %s. Stopped: %s. Lift it with mailfuse unhold --%s\n", what,
		       screen_counted(field_count(answer, "stopped"), "recipient", "recipients"),
		       what);
	else
		printf("No longer on hold: %s. What was held stays held: mailfuse batches\n", what);
	json_decref(answer);
	return CLIENT_DONE;
}

int
hold_run(struct command *c)
{
	struct buf what = {0}, question = {0}, doing = {0};
	struct scope s;
	int64_t moving;
	int result = CLIENT_REFUSED;

	if (read_scope(c, &s) != 1)
		return command_usage(c, "hold what? Write one of --environment E, --source S, "
					"--everything.");
	if (!options_has(c->options, "reason"))
		return command_usage(c, "say why, for the audit log: add --reason \"wrong list is "
					"being mailed\".");
	moving = count_moving(c, &s);
	name_scope(&s, &what);
	buf_printf(&question, "Stop all mail of %s", buf_text(&what));
	buf_printf(&doing, "Stopping all mail of %s", buf_text(&what));
	if (moving >= 0) {
		const char *counted = screen_counted(moving, "recipient", "recipients");

		buf_printf(&question, " (%s on the way now)", counted);
		buf_printf(&doing, " (%s on the way now)", counted);
	}
	buf_add_char(&question, '?');
	buf_add_char(&doing, '.');
	if (command_confirm(c, buf_text(&question), buf_text(&doing)))
		result = post_hold(c, true, &s, buf_text(&what));
	buf_free(&what);
	buf_free(&question);
	buf_free(&doing);
	return result;
}

/* Without an option: the only hold there is. *status keeps its texts alive. */
static int
find_only_hold(struct command *c, struct scope *s, json_t **status)
{
	json_t *holds, *hold;
	int result = command_get(c, "/v1/status", status);

	if (result != CLIENT_DONE)
		return result;
	holds = json_object_get(*status, "holds");
	hold = json_array_get(holds, 0);
	if (hold == NULL)
		return command_refused(c, "nothing is on hold. Held batches: mailfuse batches");
	if (json_array_size(holds) > 1)
		return command_usage(c,
				     "%zu holds are set (mailfuse status lists them); write one "
				     "of --environment E, --source S, --everything.",
				     json_array_size(holds));
	*s = (struct scope){field_text(hold, "scope"), field_text(hold, "name")};
	return CLIENT_DONE;
}

int
unhold_run(struct command *c)
{
	struct buf what = {0}, question = {0};
	json_t *status = NULL;
	struct scope s;
	int given = read_scope(c, &s), result = CLIENT_DONE;

	if (given > 1)
		return command_usage(c, "write only one of --environment E, --source S, "
					"--everything.");
	if (given == 0)
		result = find_only_hold(c, &s, &status);
	if (result == CLIENT_DONE) {
		name_scope(&s, &what);
		buf_printf(&question, "Let new mail of %s pass again?", buf_text(&what));
		result = CLIENT_REFUSED;
		if (command_confirm(c, buf_text(&question), ""))
			result = post_hold(c, false, &s, buf_text(&what));
	}
	buf_free(&what);
	buf_free(&question);
	json_decref(status);
	return result;
}
