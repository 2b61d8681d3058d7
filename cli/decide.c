/*
 * release, discard, restore and purge: a dry run first, which says how many recipients it would
 * touch, then the question, then the change. More ids than one call takes go in several, and what
 * is told is their sum.
 */
#include "cli/decide.h"

#include <string.h>

#include "cli/decide_call.h"
#include "cli/decide_text.h"
#include "cli/field.h"
#include "cli/follow.h"
#include "cli/ids.h"
#include "cli/screen.h"
#include "cli/seen.h"

static const struct decision decision_release = {DECISION_RELEASE, "/v1/release", "Releasing",
						 "Released", "release"};
static const struct decision decision_discard = {DECISION_DISCARD, "/v1/discard", "Discarding",
						 "Discarded", "discard"};
static const struct decision decision_restore = {DECISION_RESTORE, "/v1/restore", "Restoring",
						 "Restored", "restore"};
static const struct decision decision_purge = {DECISION_PURGE, "/v1/purge", "Deleting", "Deleted",
					       "delete"};

/* ---- the calls */

/* Adds one answer to the sum of those before; the first is the sum. */
static void
add_answer(json_t **sum, json_t *answer)
{
	static const char *const counts[] = {"messages", "recipients", "left", "released"};
	static const char *const lists[] = {"batches", "asked"};
	size_t i;

	if (*sum == NULL) {
		*sum = json_incref(answer);
		return;
	}
	for (i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (json_object_get(answer, counts[i]) != NULL)
			json_object_set_new(*sum, counts[i],
					    json_integer(field_count(*sum, counts[i]) +
							 field_count(answer, counts[i])));
	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		json_array_extend(json_object_get(*sum, lists[i]),
				  json_object_get(answer, lists[i]));
	/* What waits for approval is what people must hear of. */
	if (strcmp(field_text(answer, "state"), "asked") == 0) {
		json_object_set(*sum, "state", json_object_get(answer, "state"));
		json_object_set(*sum, "approvals_missing",
				json_object_get(answer, "approvals_missing"));
		json_object_set(*sum, "expires_at", json_object_get(answer, "expires_at"));
	}
}

/*
 * Calls with part after part of the ids. `first` counts over all of them. *sum is NULL if nothing
 * was done.
 */
static int
call_parts(const struct command *c, const struct decision *d, const struct ids *ids, json_t *body,
	   json_t **sum)
{
	json_int_t first = field_count(body, "first"), left = first;
	size_t at, end = ids_count(ids);
	int result = CLIENT_DONE;

	*sum = NULL;
	for (at = 0; at < end && result == CLIENT_DONE && (first == 0 || left > 0);
	     at += IDS_PER_CALL) {
		json_t *answer = NULL;

		json_object_set_new(body, "ids", ids_part(ids, at));
		if (first > 0)
			json_object_set_new(body, "first", json_integer(left));
		result = command_post(c, d->path, body, &answer);
		if (result != CLIENT_DONE)
			break;
		left -= field_count(answer, "recipients");
		add_answer(sum, answer);
		json_decref(answer);
	}
	if (first > 0)
		json_object_set_new(body, "first", json_integer(first));
	return result;
}

/* With --stream whoever decides expects more mail, and what is filling must be stoppable. */
static unsigned
seen_fields(const struct command *c, const struct decision *d)
{
	unsigned fields = SEEN_NUMBERS | SEEN_PLAN | SEEN_RING;

	return d->kind == DECISION_RELEASE && !options_has(c->options, "stream")
		   ? fields | SEEN_HELD
		   : fields;
}

/* The dry run, and the question unless that is all that was wanted; CLIENT_DONE = go on. *seen is
 * what it was about, NULL where nobody was asked. */
static int
ask_first(const struct command *c, const struct decision *d, const struct ids *ids, json_t *body,
	  const char *what, json_t **dry, json_t **seen)
{
	struct buf question = {0}, doing = {0};
	int result;

	*seen = NULL;
	if (ids_count(ids) == 1 && !options_has(c->options, "dry-run"))
		*seen = seen_read(c, json_string_value(json_array_get(ids->list, 0)),
				  seen_fields(c, d));
	json_object_set_new(body, "dry_run", json_true());
	result = call_parts(c, d, ids, body, dry);
	json_object_del(body, "dry_run");
	if (result != CLIENT_DONE)
		return result;
	/* With --stream it may be about what still comes alone. */
	if (field_count(*dry, "recipients") <= 0 && !options_has(c->options, "stream")) {
		result = command_refused(c, "nothing of %s can be %s%s%s. Nothing was changed.",
					 what, d->able, d->kind == DECISION_DISCARD ? "ed" : "d",
					 json_object_size(body) > 2 ? " with these options" : "");
	} else if (!options_has(c->options, "dry-run")) {
		if (command_will_ask(c))
			decide_text_question(c, d, body, *dry, what, &question);
		decide_text_doing(d, *dry, what, &doing);
		if (!command_confirm(c, buf_text(&question), buf_text(&doing)))
			result = CLIENT_REFUSED;
	}
	buf_free(&question);
	buf_free(&doing);
	return result;
}

/* The change itself. What stands after a later call failed must be known. */
static int
carry_out(const struct command *c, const struct decision *d, const struct ids *ids, json_t *body,
	  const char *what, json_t **answer)
{
	int result = call_parts(c, d, ids, body, answer);

	if (result != CLIENT_DONE && *answer != NULL)
		command_note(
		    "Before that it was done for %s, which stands.",
		    screen_counted(field_count(*answer, "recipients"), "recipient", "recipients"));
	if (result != CLIENT_DONE)
		return result;
	if (c->json)
		command_print_json(*answer);
	else
		decide_print_done(d, body, *answer, what);
	fflush(stdout);
	return result;
}

/* True if what leaves is to be watched: on a terminal where it takes rings, else if asked for. */
static bool
is_watched(const struct command *c, const json_t *answer)
{
	if (strcmp(field_text(answer, "state"), "asked") == 0)
		return false;
	return options_has(c->options, "follow") ||
	       (options_has(c->options, "rings") && !c->json && screen_is_terminal());
}

static int
decide_ids(struct command *c, const struct decision *d, const struct ids *ids, json_t *body)
{
	struct buf what = {0};
	json_t *dry = NULL, *answer = NULL, *seen = NULL;
	int result;

	decide_text_ids(ids->list, &what);
	result = ask_first(c, d, ids, body, buf_text(&what), &dry, &seen);
	if (result != CLIENT_DONE)
		goto out;
	if (options_has(c->options, "dry-run")) {
		if (!c->json && d->kind == DECISION_RELEASE)
			decide_print_replaced(c, ids->list);
		if (c->json)
			command_print_json(dry);
		else
			decide_print_dry_run(d, body, dry, buf_text(&what));
		goto out;
	}
	if (seen != NULL)
		json_object_set(body, "seen", seen);
	result = carry_out(c, d, ids, body, buf_text(&what), &answer);
	if (result == CLIENT_DONE && is_watched(c, answer))
		result = follow_batch(c, json_string_value(json_array_get(ids->list, 0)));
out:
	json_decref(dry);
	json_decref(seen);
	json_decref(answer);
	buf_free(&what);
	return result;
}

/* ---- the verbs */

static int
decide(struct command *c, const struct decision *d, bool needs_reason)
{
	struct ids ids = {0};
	json_t *body;
	int result = CLIENT_DONE;

	/* The audit log must be able to say why. */
	if (needs_reason && !options_has(c->options, "reason") &&
	    !options_has(c->options, "dry-run"))
		return command_usage(
		    c, "say why, for the audit log: add --reason \"checked with the team\".");
	result = decide_check_options(c);
	if (result == CLIENT_DONE)
		result = decide_read_ids(c, &ids);
	if (result == CLIENT_DONE)
		result = decide_check_scope(c, &ids);
	if (result == CLIENT_DONE && c->stdin_taken && !c->yes &&
	    !options_has(c->options, "dry-run") && !command_will_ask(c))
		result =
		    command_usage(c, "standard input holds the ids and there is no terminal to "
				     "ask on; add --yes, or --dry-run to see what would happen.");
	if (result == CLIENT_DONE) {
		body = decide_make_body(c);
		result = decide_ids(c, d, &ids, body);
		json_decref(body);
	}
	ids_free(&ids);
	return result;
}

int
release_run(struct command *c)
{
	return decide(c, &decision_release, true);
}

int
discard_run(struct command *c)
{
	return decide(c, &decision_discard, true);
}

int
restore_run(struct command *c)
{
	return decide(c, &decision_restore, false);
}

int
purge_run(struct command *c)
{
	return decide(c, &decision_purge, true);
}
