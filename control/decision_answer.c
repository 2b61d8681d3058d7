/*
 * What a decision came to, as JSON (docs/api.md): how many it touched, how many of these left at
 * once, in which rings the others follow, and whether a second person has to approve it. Called by
 * decisions.c, after the last step; main loop.
 */
#include "control/decision_answer.h"

#include "control/decision_call.h"
#include "control/json.h"
#include "control/plan_json.h"
#include "control/request.h"
#include "control/rings_call.h"
#include "filters/gate.h"

const char *
decision_name(enum store_decision what)
{
	static const char *const names[] = {[STORE_RELEASE] = "release",
					    [STORE_DISCARD] = "discard",
					    [STORE_RESTORE] = "restore",
					    [STORE_PURGE_NOW] = "purge"};

	return names[what];
}

static const char *
release_state(const struct decision *d)
{
	if (d->approvals_missing > 0)
		return "asked";
	return d->released < d->recipients ? "running" : "released";
}

/* Of the one batch that was released. */
static json_t *
read_plan(const struct decision *d)
{
	json_t *plan = NULL;

	if (d->batch_count == 1 && d->id_count == 0 && !d->dry_run &&
	    plan_json_read(d->request->deps->view, d->batches[0], &plan) == STORE_OK)
		return plan;
	json_decref(plan);
	return json_null();
}

static void
put_release(json_t *answer, const struct decision *d)
{
	json_t *asked = json_make_array();
	char id[JSON_BATCH_BYTES];

	for (size_t i = 0; i < d->batch_at; i++)
		if (d->asked[i])
			json_append(asked, json_string(json_batch_id(d->batches[i], id)));
	json_put_text(answer, "state", release_state(d));
	json_put_count(answer, "released", d->released);
	json_put(answer, "rings", rings_sizes(&d->rings, d->recipients));
	json_put_count(answer, "approvals_missing", d->approvals_missing);
	json_put_time(answer, "expires_at", d->expires_at);
	json_put(answer, "asked", asked);
	json_put(answer, "plan", read_plan(d));
	if (d->approvals_missing > 0)
		json_put_count(answer, "approval_above", policy_config(d->policy)->approval.above);
}

json_t *
decision_answer(const struct decision *d)
{
	json_t *answer = json_make_object(), *batches = json_make_array();
	char id[JSON_BATCH_BYTES];

	json_put_text(answer, "decision", decision_name(d->what));
	json_put_count(answer, "messages", d->messages);
	json_put_count(answer, "recipients", d->recipients);
	json_put_count(answer, "left", d->left);
	for (size_t i = 0; i < d->batch_at; i++) /* `first` may have ended it early */
		json_append(batches, json_string(json_batch_id(d->batches[i], id)));
	json_put(answer, "batches", batches);
	json_put_bool(answer, "dry_run", d->dry_run);
	if (d->what == STORE_RELEASE)
		put_release(answer, d);
	return answer;
}
