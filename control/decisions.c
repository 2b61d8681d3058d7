/*
 * POST /v1/release, /v1/discard, /v1/restore and /v1/purge. Called by api.c, on the main loop.
 *
 * A call is read and checked, then becomes one store job after another: one for each batch it
 * names and one for all single ids. The answer comes after the last commit, with their sum.
 *
 *   decision_start -> decision_submit -> (writer) decision_done -> decision_stepped
 *                          ^------------- next batch -----------------'  '-> decision_answer
 *
 * decision_stepped() frees the struct decision with the answer. Each step is durable by itself:
 * where a later one fails, the answer says what was done before.
 */
#include "control/decisions.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/decision_answer.h"
#include "control/decision_call.h"
#include "control/json.h"
#include "control/request.h"
#include "control/stale.h"
#include "filters/pattern.h"

static void
decision_free(struct decision *d)
{
	policy_unref(d->policy);
	pattern_free(d->to);
	pattern_free(d->subject);
	free(d->batches);
	free(d->asked);
	free(d->ids);
	free(d);
}

/* ---- step by step */

/* Writer's thread. A recipient that cannot be read fits no pattern: it is not released. */
static bool
decision_match(void *context, const char *recipient, const char *subject)
{
	const struct decision *d = context;
	struct arena arena = {0};
	struct address address;
	bool fits = true;

	if (d->to != NULL)
		fits = address_parse(recipient, &arena, &address) == NULL &&
		       pattern_match_address(d->to, &address);
	if (fits && d->subject != NULL)
		fits = pattern_match_text(d->subject, subject);
	arena_free(&arena);
	return fits;
}

/* Writer's thread. */
static bool
decision_may_reach(void *context, const char *environment, const char *address)
{
	const struct decision *d = context;

	return gate_may_reach(d->policy, environment, address);
}

/* Writer's thread. */
static void
decision_done(struct store_job *job)
{
	struct decision *d = job->context;

	loop_post(d->loop, &d->post);
}

static bool
batch_is_drill(void *context, const struct store_batch *b)
{
	bool *drill = context;

	*drill = strcmp(b->environment, CONFIG_DRILL) == 0;
	return true;
}

/* What this step releases goes to the drill's own sink. What is not known for sure does not. */
static bool
step_is_drill(const struct decision *d)
{
	bool drill = false;

	if (d->batch_at == d->batch_count)
		return d->ids_are_drill;
	return store_view_batch(d->request->deps->view, d->batches[d->batch_at], batch_is_drill,
				&drill) == STORE_OK &&
	       drill;
}

static void
fill_release(struct decision *d, struct store_job *job)
{
	const struct config_approval *approval = &policy_config(d->policy)->approval;

	job->u.decide.rate_count = d->rate_count;
	job->u.decide.rate_window = d->rate_window;
	job->u.decide.rings = d->rings;
	job->u.decide.may_reach = decision_may_reach;
	if (step_is_drill(d))
		return;
	job->u.decide.approve_above = approval->above;
	job->u.decide.approvers = approval->approvers;
	job->u.decide.request_for = approval->expires;
}

static void
decision_submit(struct decision *d)
{
	struct store_job *job = &d->job;
	struct store_selector *selector = &job->u.decide.selector;

	memset(job, 0, sizeof(*job));
	job->op = STORE_DECIDE;
	job->done = decision_done;
	job->context = d;
	job->bytes = sizeof(*d);
	job->u.decide.decision = d->what;
	if (d->batch_at < d->batch_count) {
		selector->batch = d->batches[d->batch_at];
	} else {
		selector->ids = d->ids;
		selector->id_count = d->id_count;
	}
	selector->first = d->first;
	selector->percent = d->percent;
	selector->match_context = d;
	if (d->to != NULL || d->subject != NULL)
		selector->match = decision_match;
	job->u.decide.who = d->request->who;
	job->u.decide.reason = d->reason;
	job->u.decide.dry_run = d->dry_run;
	job->u.decide.page = &d->page;
	job->u.decide.stream_for = d->stream_for;
	job->u.decide.now = clock_wall();
	job->u.decide.due_now = clock_steady();
	if (d->what == STORE_RELEASE)
		fill_release(d, job);
	writer_submit(d->request->deps->store, job);
}

/* What the failed step was about: `batch B17`. */
static const char *
step_name(const struct decision *d, char *out, size_t size)
{
	char id[JSON_BATCH_BYTES];

	if (d->batch_at < d->batch_count)
		snprintf(out, size, "batch %s", json_batch_id(d->batches[d->batch_at], id));
	else
		snprintf(out, size, "delivery");
	return out;
}

static void
decision_failed(struct decision *d)
{
	const char *error = d->job.error;
	char what[64], text[400];

	step_name(d, what, sizeof(what));
	if (d->steps > 0 && !d->dry_run) {
		snprintf(text, sizeof(text),
			 "%s (before that, the %s of %" PRIu64 " recipients was done and stands)",
			 error[0] != '\0' ? error : "the next one failed", decision_name(d->what),
			 d->recipients);
		error = text;
	}
	request_fail_store(d->request, d->job.result, what, error);
	decision_free(d);
}

/* Tells the counters, the relay and the alerts of what is durable now. */
static void
decision_spread(struct decision *d)
{
	const struct control_deps *deps = d->request->deps;
	int64_t batch = d->job.u.decide.selector.batch;
	char id[JSON_BATCH_BYTES];

	if (d->dry_run)
		return;
	log_info("%s control.%s who=%s recipients=%" PRIu64 " left=%" PRIu64 " asked=%d",
		 batch != 0 ? json_batch_id(batch, id) : "-", decision_name(d->what),
		 log_safe(d->request->who), d->job.u.decide.recipients, d->job.u.decide.left,
		 d->job.u.decide.asked);
	if (d->job.u.decide.closed && d->job.u.decide.stream_hash != 0)
		counters_forget(deps->counters, d->job.u.decide.stream_hash);
	if (d->what == STORE_RELEASE)
		deps->queue_poke(deps->context);
	deps->alert_poke(deps->context);
}

/* False once `first` is used up. */
static bool
decision_add_up(struct decision *d)
{
	const uint64_t recipients = d->job.u.decide.recipients;
	const int64_t expires_at = d->job.u.decide.request_expires_at;

	d->steps++;
	d->messages += d->job.u.decide.messages;
	d->recipients += recipients;
	d->left += d->job.u.decide.left;
	d->released += d->job.u.decide.released;
	if (d->job.u.decide.asked) {
		if (d->job.u.decide.approvals_missing > d->approvals_missing)
			d->approvals_missing = d->job.u.decide.approvals_missing;
		if (d->expires_at == 0 || expires_at < d->expires_at)
			d->expires_at = expires_at;
	}
	if (d->batch_at < d->batch_count)
		d->asked[d->batch_at++] = d->job.u.decide.asked;
	else
		d->ids_done = true;
	if (d->first == 0)
		return true;
	d->first -= recipients < d->first ? recipients : d->first;
	return d->first > 0;
}

/* Main loop, after a commit. */
static void
decision_stepped(struct loop_post *post)
{
	struct decision *d =
	    (struct decision *)(void *)((char *)post - offsetof(struct decision, post));

	if (d->request->deps == NULL) { /* control is gone, nobody waits */
		request_fail(d->request, 503, "mailfused stops");
		decision_free(d);
		return;
	}
	if (d->job.result == STORE_REFUSED && d->page.changed != 0) {
		stale_fail(d->request, &d->page);
		decision_free(d);
		return;
	}
	if (d->job.result != STORE_OK) {
		decision_failed(d);
		return;
	}
	decision_spread(d);
	if (decision_add_up(d) &&
	    (d->batch_at < d->batch_count || (d->id_count > 0 && !d->ids_done))) {
		decision_submit(d);
		return;
	}
	request_reply(d->request, decision_answer(d));
	decision_free(d);
}

/* ---- the call */

static void
decision_start(struct request *r, enum store_decision what)
{
	struct decision *d = mem_zalloc(sizeof(*d));

	d->request = r;
	d->loop = r->deps->loop;
	d->what = what;
	d->policy = policy_ref(r->deps->policy(r->deps->context));
	d->post.run = decision_stepped;
	if (decision_read(r, d))
		decision_submit(d);
	else
		decision_free(d);
}

void
decisions_release(struct request *r)
{
	decision_start(r, STORE_RELEASE);
}

void
decisions_discard(struct request *r)
{
	decision_start(r, STORE_DISCARD);
}

void
decisions_restore(struct request *r)
{
	decision_start(r, STORE_RESTORE);
}

void
decisions_purge(struct request *r)
{
	decision_start(r, STORE_PURGE_NOW);
}
