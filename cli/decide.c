/*
 * release, discard and restore: a dry run first, which says how many recipients it would touch,
 * then the question, then the change. Mail that arrives between the two may join the batch, so what
 * was done is told from the second answer.
 */
#include "cli/decide.h"

#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "cli/field.h"
#include "cli/screen.h"

/* One row for each verb. */
struct decision {
	const char *path;
	const char *doing; /* "Releasing 10 recipients of B17." */
	const char *done;
	const char *able; /* "nothing of B17 can be ..." */
};

static const struct decision decision_release = {"/v1/release", "Releasing", "Released",
						 "released"};
static const struct decision decision_discard = {"/v1/discard", "Discarding", "Discarded",
						 "discarded"};
static const struct decision decision_restore = {"/v1/restore", "Restoring", "Restored",
						 "restored"};

/* Words as the daemon wants them; NULL and a sentence if one is no id. */
static json_t *
read_ids(const struct command *c)
{
	json_t *ids = json_array();
	size_t i;

	for (i = 0; i < c->options->word_count; i++) {
		const char *word = c->options->words[i];
		char *id = command_batch_id(word);

		if (id == NULL)
			id = command_message_id(word);
		if (id == NULL) {
			command_refused(
			    c,
			    "\"%s\" is no batch and no message id; batches look like "
			    "B17 (mailfuse batches), messages have 26 letters and digits "
			    "(mailfuse messages).",
			    screen_text(word));
			json_decref(ids);
			return NULL;
		}
		json_array_append_new(ids, json_string(id));
		free(id);
	}
	return ids;
}

static void
add_text(const struct command *c, json_t *body, const char *name)
{
	const char *text = options_text(c->options, name);

	if (text != NULL)
		json_object_set_new(body, name, json_string(text));
}

static json_t *
make_body(const struct command *c, json_t *ids)
{
	double percent = options_percent(c->options, "percent");
	json_t *body = json_object();

	json_object_set(body, "ids", ids);
	json_object_set_new(body, "reason", json_string(command_reason(c)));
	if (options_has(c->options, "first"))
		json_object_set_new(body, "first",
				    json_integer((json_int_t)options_number(c->options, "first")));
	if (percent > 0)
		json_object_set_new(body, "percent",
				    percent == (double)(json_int_t)percent
					? json_integer((json_int_t)percent)
					: json_real(percent));
	add_text(c, body, "to");
	add_text(c, body, "subject");
	add_text(c, body, "rate");
	return body;
}

/* "B17", "B17 and B18", "5 ids". */
static void
name_ids(const json_t *ids, struct buf *out)
{
	size_t count = json_array_size(ids);

	buf_add_text(out, screen_text(json_string_value(json_array_get(ids, 0))));
	if (count == 2)
		buf_printf(out, " and %s", screen_text(json_string_value(json_array_get(ids, 1))));
	if (count <= 2)
		return;
	buf_clear(out);
	buf_printf(out, "%zu ids", count);
}

/* Whose upstream it goes to: that of the batch's environment, where there is one batch. */
static void
name_upstream(const struct command *c, const json_t *ids, struct buf *out)
{
	const char *id = json_string_value(json_array_get(ids, 0));
	struct buf path = {0}, ignored = {0};
	json_t *batch = NULL;

	if (json_array_size(ids) == 1 && id[0] == 'B') {
		buf_printf(&path, "/v1/batches/%s", id);
		/* Only the question reads better with it. */
		if (client_get(c->client, buf_text(&path), &batch, &ignored) != CLIENT_DONE)
			batch = NULL;
	}
	if (*field_text(batch, "environment") != '\0')
		buf_printf(out, "%s's upstream", field_show(batch, "environment"));
	else
		buf_add_text(out, "the upstream of its environment");
	json_decref(batch);
	buf_free(&path);
	buf_free(&ignored);
}

static void
write_question(const struct command *c, const struct decision *d, const json_t *ids,
	       const char *recipients, const char *what, struct buf *out)
{
	if (d == &decision_release) {
		buf_printf(out, "Release %s of %s to ", recipients, what);
		name_upstream(c, ids, out);
		if (options_has(c->options, "rate"))
			buf_printf(out, " at %s", screen_text(options_text(c->options, "rate")));
		buf_add_char(out, '?');
	} else if (d == &decision_discard) {
		buf_printf(out, "Discard %s of %s, so that nothing of it is sent?", recipients,
			   what);
	} else {
		buf_printf(out, "Restore %s of %s, so that they are held again? Nothing is sent.",
			   recipients, what);
	}
}

/* The dry run and the question; CLIENT_DONE = go on. */
static int
ask_first(const struct command *c, const struct decision *d, json_t *body, const char *what)
{
	struct buf question = {0}, doing = {0};
	json_t *dry, *ids = json_object_get(body, "ids");
	const char *recipients;
	int result;

	json_object_set_new(body, "dry_run", json_true());
	result = command_post(c, d->path, body, &dry);
	json_object_del(body, "dry_run");
	if (result != CLIENT_DONE)
		return result;
	recipients = screen_counted(field_count(dry, "recipients"), "recipient", "recipients");
	if (field_count(dry, "recipients") <= 0) {
		result = command_refused(
		    c, "nothing of %s can be %s%s. Nothing was changed.", what, d->able,
		    d == &decision_release && json_object_size(body) > 2 ? " with these options"
									 : "");
	} else {
		if (command_will_ask(c))
			write_question(c, d, ids, recipients, what, &question);
		buf_printf(&doing, "%s %s of %s.", d->doing, recipients, what);
		if (!command_confirm(c, buf_text(&question), buf_text(&doing)))
			result = CLIENT_REFUSED;
	}
	buf_free(&question);
	buf_free(&doing);
	json_decref(dry);
	return result;
}

/* When the last one leaves, where a rate spreads them; the first leaves at once. */
static void
print_span(const char *rate, int64_t recipients)
{
	char text[UNITS_BYTES];
	uint32_t count;
	int64_t period;

	if (rate == NULL || recipients < 2 || !units_parse_rate(rate, &count, &period))
		return;
	printf(" At %s the last leaves in about %s.", screen_text(rate),
	       units_format_duration((int64_t)((double)(recipients - 1) * (double)period / count),
				     text));
}

static void
print_done(const struct command *c, const struct decision *d, const json_t *answer,
	   const char *what)
{
	printf("%s %s (%s) of %s.", d->done,
	       screen_counted(field_count(answer, "recipients"), "recipient", "recipients"),
	       screen_counted(field_count(answer, "messages"), "message", "messages"), what);
	if (d != &decision_restore && json_is_integer(json_object_get(answer, "left")))
		printf(" Still held: %s.", screen_count(field_count(answer, "left")));
	print_span(options_text(c->options, "rate"), field_count(answer, "recipients"));
	if (d == &decision_discard)
		printf(" Until they are purged, mailfuse restore brings them back.");
	if (d == &decision_restore)
		printf(" They are held again.");
	putchar('\n');
}

static int
decide(struct command *c, const struct decision *d)
{
	json_t *ids = read_ids(c), *body, *answer;
	struct buf what = {0};
	int result;

	if (ids == NULL)
		return CLIENT_REFUSED;
	name_ids(ids, &what);
	body = make_body(c, ids);
	result = ask_first(c, d, body, buf_text(&what));
	if (result == CLIENT_DONE)
		result = command_post(c, d->path, body, &answer);
	if (result == CLIENT_DONE) {
		if (c->json)
			command_print_json(answer);
		else
			print_done(c, d, answer, buf_text(&what));
		json_decref(answer);
	}
	json_decref(body);
	json_decref(ids);
	buf_free(&what);
	return result;
}

/* The audit log must be able to say why. */
static bool
has_reason(const struct command *c)
{
	if (options_has(c->options, "reason"))
		return true;
	command_usage(c, "say why, for the audit log: add --reason \"checked with the team\".");
	return false;
}

int
release_run(struct command *c)
{
	if (!has_reason(c))
		return CLIENT_USAGE;
	if (options_has(c->options, "first") && options_has(c->options, "percent"))
		return command_usage(c, "--first and --percent exclude each other; choose one.");
	return decide(c, &decision_release);
}

int
discard_run(struct command *c)
{
	return has_reason(c) ? decide(c, &decision_discard) : CLIENT_USAGE;
}

int
restore_run(struct command *c)
{
	return decide(c, &decision_restore);
}
