/*
 * approve, pause and resume: one batch a call. As for every change a dry run comes first and says
 * how many recipients it is about; who may, and whether there is anything to approve or to pause,
 * is the daemon's to say.
 */
#include "cli/plan.h"

#include <stdlib.h>
#include <string.h>

#include "cli/decide_text.h"
#include "cli/field.h"
#include "cli/follow.h"
#include "cli/plan_text.h"
#include "cli/screen.h"
#include "cli/seen.h"

/* One for each verb. */
struct plan_verb {
	const char *path;
	void (*question)(const struct command *c, const char *batch, const json_t *dry,
			 struct buf *out);
	const char *doing; /* NULL: approve_doing() */
	const char *would; /* "Would pause the release of B17: 10 recipients" */
	void (*done)(const char *batch, const json_t *answer);
	unsigned seen; /* a pause must not be refused because more has left meanwhile */
};

static const char *
recipients_of(const json_t *answer)
{
	return screen_counted(field_count(answer, "recipients"), "recipient", "recipients");
}

static const json_t *
plan_of(const json_t *answer)
{
	return json_object_get(answer, "plan");
}

/* How it goes on, in words. */
static void
add_terms(const json_t *plan, struct buf *out)
{
	plan_text_terms(plan, out);
	buf_add_char(out, '?');
	plan_text_stream(plan, true, out);
}

/* ---- approve */

static void
approve_question(const struct command *c, const char *batch, const json_t *dry, struct buf *out)
{
	const json_t *plan = plan_of(dry);
	int64_t missing = field_count(dry, "approvals_missing");

	buf_printf(out, "%s asked for it at %s: %s\n", field_show(plan, "who"),
		   screen_time(field_text(plan, "created_at")), field_show(plan, "reason"));
	buf_printf(out, "Approve the release of %s of %s to ",
		   screen_counted(field_count(plan, "total"), "recipient", "recipients"), batch);
	decide_text_upstream(c, batch, out);
	add_terms(plan, out);
	if (missing > 0)
		buf_printf(out, " After you %s still have to approve it.",
			   screen_counted(missing, "person would", "people would"));
}

/* Who is not asked must see it in the log of the job all the same. */
static void
approve_doing(const char *batch, const json_t *plan, struct buf *out)
{
	buf_printf(out, "Approving the release of %s of %s, asked for by %s: %s",
		   screen_counted(field_count(plan, "total"), "recipient", "recipients"), batch,
		   field_show(plan, "who"), field_show(plan, "reason"));
}

static void
approve_done(const char *batch, const json_t *answer)
{
	int64_t missing = field_count(answer, "approvals_missing");
	const json_t *plan = plan_of(answer);
	const char *expires = field_text(plan, "expires_at");

	if (missing > 0) {
		printf("Approved. Nothing was sent yet: %s must approve the release of %s%s%s.\n",
		       screen_counted(missing, "more person", "more people"), batch,
		       *expires != '\0' ? " before " : "",
		       *expires != '\0' ? screen_time(expires) : "");
		return;
	}
	printf("Approved. Released %s of %s", recipients_of(answer), batch);
	if (json_array_size(json_object_get(plan, "rings")) > 1)
		printf(": ring 1 of its rings. mailfuse show %s --follow watches the others",
		       batch);
	printf(". Still held: %s.\n", screen_count(field_count(answer, "left")));
}

/* ---- pause */

static void
pause_question(const struct command *c, const char *batch, const json_t *dry, struct buf *out)
{
	(void)c;
	buf_printf(out,
		   "Pause the release of %s? What has not left, %s now, is held again until "
		   "mailfuse resume %s.",
		   batch, recipients_of(dry), batch);
}

static void
pause_done(const char *batch, const json_t *answer)
{
	printf("Paused %s: %s held again. What is with the upstream already ends there. Go on with "
	       "mailfuse resume %s\n",
	       batch, recipients_of(answer), batch);
}

/* ---- resume */

static void
resume_question(const struct command *c, const char *batch, const json_t *dry, struct buf *out)
{
	const json_t *plan = plan_of(dry);
	const char *why = field_text(plan, "why"), *rate = options_text(c->options, "rate");
	json_t *terms = json_copy((json_t *)(uintptr_t)plan);

	if (*why != '\0')
		buf_printf(out, "It is paused: %s\n", screen_text(why));
	buf_printf(out, "Go on with the release of %s, with %s now, to ", batch,
		   recipients_of(dry));
	decide_text_upstream(c, batch, out);
	/* Its rings and its stop rule stay, whatever the rate. */
	if (rate != NULL)
		json_object_set_new(terms, "rate", json_string(rate));
	add_terms(terms, out);
	json_decref(terms);
}

static void
resume_done(const char *batch, const json_t *answer)
{
	const char *left = screen_count(field_count(answer, "left"));

	if (field_count(answer, "recipients") > 0)
		printf("Resumed %s: %s on the way. Still held: %s.\n", batch, recipients_of(answer),
		       left);
	else
		printf("Resumed %s: its ring is delivered, the next one follows. Still held: %s.\n",
		       batch, left);
}

static const struct plan_verb verb_approve = {"/v1/approve", approve_question, NULL,
					      "approve",     approve_done,     SEEN_PLAN};
static const struct plan_verb verb_pause = {"/v1/pause", pause_question, "Pausing",
					    "pause",     pause_done,     SEEN_PLAN};
static const struct plan_verb verb_resume = {"/v1/resume", resume_question, "Resuming",
					     "go on with", resume_done,     SEEN_PLAN | SEEN_RING};

/* ---- the calls */

/* NULL, and the error is printed, if the word is no batch. */
static json_t *
make_body(const struct command *c, char **batch)
{
	const char *rate = options_text(c->options, "rate");
	json_t *body, *ids;

	*batch = command_batch_id(c->options->words[0]);
	if (*batch == NULL) {
		command_refused(c,
				"\"%s\" is no batch; batches look like B17 (mailfuse batches "
				"lists them).",
				screen_text(c->options->words[0]));
		return NULL;
	}
	body = json_object();
	ids = json_array();
	json_array_append_new(ids, json_string(*batch));
	json_object_set_new(body, "ids", ids);
	json_object_set_new(body, "reason", json_string(command_reason(c)));
	if (rate != NULL)
		json_object_set_new(body, "rate", json_string(rate));
	return body;
}

static void
print_dry_run(const struct command *c, const struct plan_verb *v, const char *batch,
	      const json_t *dry)
{
	struct buf terms = {0};

	if (c->json) {
		command_print_json(dry);
		return;
	}
	printf("Would %s the release of %s: %s %s.", v->would, batch,
	       v == &verb_approve
		   ? screen_counted(field_count(plan_of(dry), "total"), "recipient", "recipients")
		   : recipients_of(dry),
	       v == &verb_pause    ? "would be held again"
	       : v == &verb_resume ? "would go out now"
				   : "in all");
	if (v == &verb_approve) {
		plan_text_terms(plan_of(dry), &terms);
		printf(" Asked for by %s%s%s.", field_show(plan_of(dry), "who"),
		       terms.len > 0 ? "," : "", buf_text(&terms));
	}
	if (v == &verb_resume)
		printf(" Still held then: %s.", screen_count(field_count(dry, "left")));
	printf("\nA dry run: nothing was changed.\n");
	buf_free(&terms);
}

/* The dry run and the question; CLIENT_DONE = go on. */
static int
ask_first(const struct command *c, const struct plan_verb *v, const char *batch, json_t *body,
	  json_t **dry, json_t **seen)
{
	struct buf question = {0}, doing = {0};
	int result;

	*seen = NULL;
	if (!options_has(c->options, "dry-run"))
		*seen = seen_read(c, batch, v->seen);
	json_object_set_new(body, "dry_run", json_true());
	result = command_post(c, v->path, body, dry);
	json_object_del(body, "dry_run");
	if (result != CLIENT_DONE || options_has(c->options, "dry-run"))
		return result;
	if (command_will_ask(c))
		v->question(c, batch, *dry, &question);
	if (v->doing == NULL)
		approve_doing(batch, plan_of(*dry), &doing);
	else
		buf_printf(&doing, "%s the release of %s: %s.", v->doing, batch,
			   recipients_of(*dry));
	if (!command_confirm(c, buf_text(&question), buf_text(&doing)))
		result = CLIENT_REFUSED;
	buf_free(&question);
	buf_free(&doing);
	return result;
}

static int
run_plan(struct command *c, const struct plan_verb *v)
{
	json_t *body, *dry = NULL, *answer = NULL, *seen = NULL, *id;
	char *batch;
	int result;

	body = make_body(c, &batch);
	if (body == NULL)
		return CLIENT_REFUSED;
	result = ask_first(c, v, batch, body, &dry, &seen);
	if (result == CLIENT_DONE && options_has(c->options, "dry-run")) {
		print_dry_run(c, v, batch, dry);
		goto out;
	}
	/* What somebody said yes to, and not what took its place meanwhile. */
	id = json_object_get(plan_of(dry), "id");
	if (v == &verb_approve && json_is_integer(id))
		json_object_set(body, "plan", id);
	if (seen != NULL)
		json_object_set(body, "seen", seen);
	if (result == CLIENT_DONE)
		result = command_post(c, v->path, body, &answer);
	if (result == CLIENT_DONE) {
		if (c->json)
			command_print_json(answer);
		else
			v->done(batch, answer);
		fflush(stdout);
		if (options_has(c->options, "follow"))
			result = follow_batch(c, batch);
	}
out:
	json_decref(answer);
	json_decref(seen);
	json_decref(dry);
	json_decref(body);
	free(batch);
	return result;
}

int
approve_run(struct command *c)
{
	return run_plan(c, &verb_approve);
}

int
pause_run(struct command *c)
{
	return run_plan(c, &verb_pause);
}

int
resume_run(struct command *c)
{
	return run_plan(c, &verb_resume);
}
