/*
 * The sentences of release, discard, restore and purge. Called by cli/decide.c. Every question and
 * every result says how many recipients it is about; what was done is told from the answer, as mail
 * may join a batch between the question and the change.
 */
#include "cli/decide_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "cli/field.h"
#include "cli/plan_text.h"
#include "cli/screen.h"

static const char *
recipients_of(const json_t *answer)
{
	return screen_counted(field_count(answer, "recipients"), "recipient", "recipients");
}

void
decide_text_ids(const json_t *ids, struct buf *out)
{
	size_t count = json_array_size(ids);

	if (count > 2) {
		buf_printf(out, "%s ids", screen_count((int64_t)count));
		return;
	}
	buf_add_text(out, screen_text(json_string_value(json_array_get(ids, 0))));
	if (count == 2)
		buf_printf(out, " and %s", screen_text(json_string_value(json_array_get(ids, 1))));
}

/* NULL if `id` is none that can be read: only the question reads better with it. */
static json_t *
read_batch(const struct command *c, const char *id)
{
	struct buf path = {0}, ignored = {0};
	json_t *batch = NULL;

	if (id != NULL && id[0] == 'B') {
		buf_printf(&path, "/v1/batches/%s", id);
		if (client_get(c->client, buf_text(&path), &batch, &ignored) != CLIENT_DONE)
			batch = NULL;
	}
	buf_free(&path);
	buf_free(&ignored);
	return batch;
}

static void
add_upstream(const json_t *batch, struct buf *out)
{
	if (*field_text(batch, "environment") != '\0')
		buf_printf(out, "%s's upstream", field_show(batch, "environment"));
	else
		buf_add_text(out, "the upstream of its environment");
}

void
decide_text_upstream(const struct command *c, const char *id, struct buf *out)
{
	json_t *batch = read_batch(c, id);

	add_upstream(batch, out);
	json_decref(batch);
}

/* "a second person", "2 more people". */
static void
add_approvers(int64_t missing, struct buf *out)
{
	if (missing <= 1)
		buf_add_text(out, "a second person");
	else
		buf_printf(out, "%s more people", screen_count(missing));
}

/* A line about what a release would take the place of; the stop rule may have paused it. */
static void
add_replaced(const json_t *batch, struct buf *out)
{
	const json_t *plan = json_object_get(batch, "plan");
	const char *state = field_text(plan, "state"), *id = screen_text(field_text(batch, "id"));

	if (strcmp(state, "paused") == 0)
		buf_printf(out,
			   "The release of %s is paused in ring %s of %zu: %s. This one takes its "
			   "place; mailfuse resume %s would go on with it.\n",
			   id, screen_count(field_count(plan, "ring")),
			   json_array_size(json_object_get(plan, "rings")), field_show(plan, "why"),
			   id);
	else if (strcmp(state, "asked") == 0)
		buf_printf(out,
			   "A release of %s waits for approval, which %s asked for: %s. This one "
			   "takes its place.\n",
			   id, field_show(plan, "who"), field_show(plan, "reason"));
}

void
decide_print_replaced(const struct command *c, const json_t *ids)
{
	struct buf text = {0};
	json_t *batch = NULL;

	if (json_array_size(ids) == 1)
		batch = read_batch(c, json_string_value(json_array_get(ids, 0)));
	add_replaced(batch, &text);
	fputs(buf_text(&text), stdout);
	json_decref(batch);
	buf_free(&text);
}

static bool
is_asked(const json_t *answer)
{
	return strcmp(field_text(answer, "state"), "asked") == 0;
}

static void
add_release_question(const struct command *c, const json_t *body, const json_t *dry,
		     const char *what, struct buf *out)
{
	const json_t *ids = json_object_get(body, "ids");
	const char *id =
	    json_array_size(ids) == 1 ? json_string_value(json_array_get(ids, 0)) : NULL;

	json_t *batch = read_batch(c, id);

	add_replaced(batch, out);
	buf_printf(out, "%s %s of %s to ", is_asked(dry) ? "Ask for the release of" : "Release",
		   recipients_of(dry), what);
	add_upstream(batch, out);
	json_decref(batch);
	plan_text_terms(body, out);
	buf_add_char(out, '?');
	plan_text_stream(body, true, out);
	if (!is_asked(dry))
		return;
	buf_add_text(out, " Nothing is sent before ");
	add_approvers(field_count(dry, "approvals_missing"), out);
	buf_printf(out, " %s approved it.",
		   field_count(dry, "approvals_missing") > 1 ? "have" : "has");
}

void
decide_text_question(const struct command *c, const struct decision *d, const json_t *body,
		     const json_t *dry, const char *what, struct buf *out)
{
	const char *recipients = recipients_of(dry);

	switch (d->kind) {
	case DECISION_RELEASE:
		add_release_question(c, body, dry, what, out);
		break;
	case DECISION_DISCARD:
		buf_printf(out, "Discard %s of %s, so that nothing of it is sent?", recipients,
			   what);
		plan_text_stream(body, false, out);
		break;
	case DECISION_RESTORE:
		buf_printf(out, "Restore %s of %s, so that they are held again? Nothing is sent.",
			   recipients, what);
		break;
	case DECISION_PURGE:
		buf_printf(out, "Delete %s of %s for good? Nothing brings them back.", recipients,
			   what);
		break;
	}
}

void
decide_text_doing(const struct decision *d, const json_t *dry, const char *what, struct buf *out)
{
	buf_printf(out, "%s %s of %s.", is_asked(dry) ? "Asking for the release of" : d->doing,
		   recipients_of(dry), what);
}

static void
print_held(const json_t *answer, const char *format)
{
	if (json_is_integer(json_object_get(answer, "left")))
		printf(format, screen_count(field_count(answer, "left")));
}

void
decide_print_dry_run(const struct decision *d, const json_t *body, const json_t *dry,
		     const char *what)
{
	const json_t *rings = json_object_get(dry, "rings");
	struct buf terms = {0};
	int64_t missing = field_count(dry, "approvals_missing");
	size_t i;

	plan_text_terms(body, &terms);
	printf("Would %s %s (%s) of %s%s.", d->able, recipients_of(dry),
	       screen_counted(field_count(dry, "messages"), "message", "messages"), what,
	       buf_text(&terms));
	buf_clear(&terms);
	plan_text_stream(body, d->kind == DECISION_RELEASE, &terms);
	fputs(buf_text(&terms), stdout);
	if (d->kind == DECISION_DISCARD ||
	    (d->kind == DECISION_RELEASE && missing == 0 && json_array_size(rings) < 2))
		print_held(dry, " Still held then: %s.");
	else if (d->kind == DECISION_RELEASE && missing == 0)
		print_held(dry, " Still held after ring 1: %s.");
	putchar('\n');
	if (json_array_size(rings) > 1)
		for (i = 0; i < json_array_size(rings); i++)
			printf("  Ring %zu: %s\n", i + 1,
			       screen_counted(json_integer_value(json_array_get(rings, i)),
					      "recipient", "recipients"));
	buf_clear(&terms);
	add_approvers(missing, &terms);
	if (d->kind == DECISION_RELEASE && missing > 0)
		printf("Needs approval: %s must say yes before anything is sent.\n",
		       buf_text(&terms));
	else if (d->kind == DECISION_RELEASE)
		printf("Needs nobody else's approval.\n");
	printf("A dry run: nothing was changed.\n");
	buf_free(&terms);
}

/* When the last one leaves, where a rate spreads them; the first leaves at once. */
static void
print_span(const char *rate, int64_t recipients)
{
	char text[UNITS_BYTES];
	uint32_t count;
	int64_t period;

	if (recipients < 2 || !units_parse_rate(rate, &count, &period))
		return;
	printf(" At %s the last leaves in about %s.", screen_text(rate),
	       units_format_duration((int64_t)((double)(recipients - 1) * (double)period / count),
				     text));
}

/* "Nothing was sent yet. This release of 25,000 recipients ...: mailfuse approve B17" */
static void
print_asked(const json_t *answer)
{
	int64_t missing = field_count(answer, "approvals_missing");
	int64_t released = field_count(answer, "released");
	const char *expires = field_text(answer, "expires_at");
	json_t *asked = json_object_get(answer, "asked"), *id;
	struct buf who = {0}, why = {0};
	size_t i;

	add_approvers(missing, &who);
	if (released > 0)
		printf("Released %s.\n", screen_counted(released, "recipient", "recipients"));
	if (field_count(answer, "approval_above") > 0)
		buf_printf(&why,
			   "beyond what one person may release of a batch (%s recipients, and "
			   "nothing that was imported or is still to come)",
			   screen_count(field_count(answer, "approval_above")));
	else
		buf_add_text(&why, "a large one");
	printf("%s This release of %s is %s: %s must approve it%s%s: ",
	       released > 0 ? "Nothing of the rest was sent yet." : "Nothing was sent yet.",
	       recipients_of(answer), buf_text(&why), buf_text(&who),
	       *expires != '\0' ? " before " : "", *expires != '\0' ? screen_time(expires) : "");
	json_array_foreach(asked, i, id)
	    printf("%smailfuse approve %s", i > 0 ? ", " : "", screen_text(json_string_value(id)));
	putchar('\n');
	buf_free(&why);
	buf_free(&who);
}

/* The first ring left; the others follow by themselves. */
static void
print_running(const json_t *answer, const char *what)
{
	printf("Released %s of %s of %s: ring 1 of %zu. The others follow by themselves: mailfuse "
	       "show %s --follow watches them, mailfuse pause %s stops them.\n",
	       screen_count(field_count(answer, "released")), recipients_of(answer), what,
	       json_array_size(json_object_get(answer, "rings")), what, what);
}

void
decide_print_done(const struct decision *d, const json_t *body, const json_t *answer,
		  const char *what)
{
	struct buf stream = {0};

	if (is_asked(answer)) {
		print_asked(answer);
		return;
	}
	if (strcmp(field_text(answer, "state"), "running") == 0) {
		print_running(answer, what);
		return;
	}
	printf("%s %s (%s) of %s.", d->done, recipients_of(answer),
	       screen_counted(field_count(answer, "messages"), "message", "messages"), what);
	if (d->kind == DECISION_RELEASE || d->kind == DECISION_DISCARD)
		print_held(answer, " Still held: %s.");
	print_span(field_text(body, "rate"), field_count(answer, "recipients"));
	plan_text_stream(body, d->kind == DECISION_RELEASE, &stream);
	fputs(buf_text(&stream), stdout);
	if (d->kind == DECISION_DISCARD)
		printf(" Until they are purged, mailfuse restore brings them back.");
	if (d->kind == DECISION_RESTORE)
		printf(" They are held again.");
	if (d->kind == DECISION_PURGE)
		printf(" They are gone for good.");
	putchar('\n');
	buf_free(&stream);
}
