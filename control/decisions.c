/*
 * POST /v1/release, /v1/discard and /v1/restore. Called by http.c, on the main loop.
 *
 * A call is read and checked, then becomes one store job after another: one for each batch it
 * names and one for all single ids. The answer comes after the last commit, with their sum.
 *
 *   decision_start -> decision_submit -> (writer) decision_done -> decision_stepped
 *                          ^------------- next batch -----------------'  '-> decision_finish
 *
 * decision_finish() frees the struct decision. Each step is durable by itself: where a later one
 * fails, the answer says what was done before.
 */
#include "control/decisions.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "control/http.h"
#include "control/json.h"
#include "filters/pattern.h"

enum { IDS_MAX = 10000, PATTERN_MAX = 1000 };

struct decision {
	struct store_job job;
	struct loop_post post;
	struct loop *loop;
	struct request *request; /* keeps `reason` and `who` alive too */
	enum store_decision what;

	int64_t *batches; /* in the order of the call */
	size_t batch_count, batch_at;
	struct store_delivery_id *ids; /* sorted, each once */
	size_t id_count;
	bool ids_done;

	const char *reason;
	uint64_t first; /* of what is left to take over all steps; 0 = no limit */
	double percent;
	struct pattern *to, *subject;
	uint32_t rate_count;
	int64_t rate_window;
	bool dry_run;

	uint64_t messages, recipients, left; /* so far */
	size_t steps;                        /* done */
};

static const char *
decision_name(enum store_decision what)
{
	static const char *const names[] = {"release", "discard", "restore"};

	return names[what];
}

static void
decision_free(struct decision *d)
{
	pattern_free(d->to);
	pattern_free(d->subject);
	free(d->batches);
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
static void
decision_done(struct store_job *job)
{
	struct decision *d = job->context;

	loop_post(d->loop, &d->post);
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
	if (d->to != NULL || d->subject != NULL) {
		selector->match = decision_match;
		selector->match_context = d;
	}
	job->u.decide.who = d->request->who;
	job->u.decide.reason = d->reason;
	job->u.decide.dry_run = d->dry_run;
	job->u.decide.rate_count = d->rate_count;
	job->u.decide.rate_window = d->rate_window;
	job->u.decide.now = clock_wall();
	writer_submit(d->request->deps->store, job);
}

static void
decision_finish(struct decision *d)
{
	json_t *answer = json_make_object(), *batches = json_make_array();
	char id[JSON_BATCH_BYTES];

	json_put_text(answer, "decision", decision_name(d->what));
	json_put_count(answer, "messages", d->messages);
	json_put_count(answer, "recipients", d->recipients);
	json_put_count(answer, "left", d->left);
	for (size_t i = 0; i < d->batch_count; i++)
		json_append(batches, json_string(json_batch_id(d->batches[i], id)));
	json_put(answer, "batches", batches);
	json_put_bool(answer, "dry_run", d->dry_run);
	request_reply(d->request, answer);
	decision_free(d);
}

/* What the failed step was about: `batch B17`. */
static const char *
step_name(const struct decision *d, char *out, size_t size)
{
	char id[JSON_BATCH_BYTES];

	if (d->batch_at < d->batch_count)
		snprintf(out, size, "batch %s", json_batch_id(d->batches[d->batch_at], id));
	else
		snprintf(out, size, "such delivery");
	return out;
}

static void
decision_failed(struct decision *d)
{
	const char *error = d->job.error;
	char what[64], text[512];

	step_name(d, what, sizeof(what));
	if (d->steps > 0 && !d->dry_run) {
		snprintf(text, sizeof(text),
			 "%s (before that, the %s of %" PRIu64 " recipients was done and stands)",
			 error[0] != '\0' ? error : "it is not there", decision_name(d->what),
			 d->recipients);
		request_fail(d->request,
			     d->job.result == STORE_MISSING   ? 404
			     : d->job.result == STORE_REFUSED ? 409
							      : 503,
			     "%s: %s", what, text);
	} else {
		request_fail_store(d->request, d->job.result, what, error);
	}
	decision_free(d);
}

/* Tells the counters, the relay and the alerts of what is durable now. */
static void
decision_spread(struct decision *d)
{
	const struct control_deps *deps = d->request->deps;
	char what[64];

	if (d->dry_run)
		return;
	log_info("- control_%s what=%s who=%s recipients=%" PRIu64 " left=%" PRIu64,
		 decision_name(d->what), log_safe(step_name(d, what, sizeof(what))),
		 log_safe(d->request->who), d->job.u.decide.recipients, d->job.u.decide.left);
	if (d->job.u.decide.closed && d->job.u.decide.stream_hash != 0)
		counters_forget(deps->counters, d->job.u.decide.stream_hash);
	if (d->what == STORE_RELEASE)
		deps->queue_poke(deps->context);
	deps->alert_poke(deps->context);
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
	if (d->job.result != STORE_OK) {
		decision_failed(d);
		return;
	}
	decision_spread(d);
	d->steps++;
	d->messages += d->job.u.decide.messages;
	d->recipients += d->job.u.decide.recipients;
	d->left += d->job.u.decide.left;
	if (d->batch_at < d->batch_count)
		d->batch_at++;
	else
		d->ids_done = true;
	if (d->first > 0) {
		d->first -=
		    d->job.u.decide.recipients < d->first ? d->job.u.decide.recipients : d->first;
		if (d->first == 0) {
			decision_finish(d);
			return;
		}
	}
	if (d->batch_at < d->batch_count || (d->id_count > 0 && !d->ids_done))
		decision_submit(d);
	else
		decision_finish(d);
}

/* ---- may it leave? */

/* What stands in the way of a release of this environment's and source's mail, NULL if nothing. */
static char *
release_obstacle(struct request *r, const char *environment, const char *source)
{
	const struct config *config = request_config(r);
	const struct config_environment *env = config_find_environment(config, environment);
	const char *name = log_safe(environment);

	if (env == NULL)
		return mem_printf("the configuration has no environment %s any more: put it back "
				  "with an upstream and reload (SIGHUP), or discard the mail",
				  name);
	if (env->upstream == NULL && strcmp(environment, "unknown") == 0)
		return mem_printf(
		    "its source %s matches no environment, so its mail has nowhere to "
		    "go: add a match block for the source to an environment, reload "
		    "(SIGHUP), let the application send again, and discard this",
		    log_safe(source));
	if (env->upstream == NULL)
		return mem_printf("environment %s has no upstream: define one and reload (SIGHUP)",
				  name);
	if (env->upstream[0] == '\0')
		return mem_printf(
		    "environment %s captures (upstream = none), so nothing leaves from "
		    "it: `mailfuse message ID` shows the mail; to let it out, name an "
		    "upstream and reload (SIGHUP)",
		    name);
	if (counters_is_held(r->deps->counters, environment, source))
		return mem_printf(
		    "the panic button holds it (`mailfuse status` shows why): end that "
		    "first with `mailfuse unhold`, then release");
	return NULL;
}

struct obstacle {
	struct request *request;
	bool found;
	char *text;
};

static bool
check_batch(void *context, const struct store_batch *b)
{
	struct obstacle *o = context;

	o->found = true;
	o->text = release_obstacle(o->request, b->environment, b->source);
	return true;
}

static bool
check_delivery(void *context, const struct store_delivery *d)
{
	struct obstacle *o = context;

	o->found = true;
	o->text = release_obstacle(o->request, d->environment, d->source);
	return false;
}

/* Answers and returns false where the store failed, there is no such thing, or it may not leave. */
static bool
judge_obstacle(struct request *r, enum store_result result, struct obstacle *o, const char *what)
{
	if (result == STORE_OK && !o->found)
		result = STORE_MISSING;
	if (result != STORE_OK)
		request_fail_store(r, result, what, "");
	else if (o->text != NULL)
		request_fail(r, 409, "%s cannot be released: %s", what, o->text);
	else
		return true;
	free(o->text);
	return false;
}

static bool
release_is_possible(struct request *r, const struct decision *d)
{
	char what[64], id[ID_TEXT_BYTES];
	enum store_result result;

	for (size_t i = 0; i < d->batch_count; i++) {
		struct obstacle o = {.request = r};

		result = store_view_batch(r->deps->view, d->batches[i], check_batch, &o);
		snprintf(what, sizeof(what), "batch %s", json_batch_id(d->batches[i], id));
		if (!judge_obstacle(r, result, &o, what))
			return false;
	}
	for (size_t i = 0; i < d->id_count; i++) {
		const struct store_filter filter = {
		    .message = d->ids[i].id, .state = -1, .limit = 1};
		struct obstacle o = {.request = r};

		if (i > 0 && d->ids[i].id == d->ids[i - 1].id)
			continue; /* another delivery of the same message */
		result = store_view_deliveries(r->deps->view, &filter, check_delivery, &o);
		snprintf(what, sizeof(what), "message %s", id_format(d->ids[i].id, id));
		if (!judge_obstacle(r, result, &o, what))
			return false;
	}
	return true;
}

/* ---- the call */

static void
add_batch(struct decision *d, int64_t batch)
{
	for (size_t i = 0; i < d->batch_count; i++)
		if (d->batches[i] == batch)
			return;
	d->batches[d->batch_count++] = batch;
}

static int
compare_ids(const void *left, const void *right)
{
	const struct store_delivery_id *a = left, *b = right;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

/* Each once; number 0, the whole message, comes first and takes in its deliveries. */
static void
sort_ids(struct decision *d)
{
	size_t kept = 0;

	qsort(d->ids, d->id_count, sizeof(*d->ids), compare_ids);
	for (size_t i = 0; i < d->id_count; i++) {
		const struct store_delivery_id *last = kept > 0 ? &d->ids[kept - 1] : NULL;

		if (last != NULL && last->id == d->ids[i].id &&
		    (last->number == 0 || last->number == d->ids[i].number))
			continue;
		d->ids[kept++] = d->ids[i];
	}
	d->id_count = kept;
}

static bool
read_ids(struct request *r, struct decision *d)
{
	json_t *ids = json_object_get(r->body, "ids"), *item;
	size_t count = json_array_size(ids), i;

	if (!json_is_array(ids) || count == 0 || count > IDS_MAX) {
		request_fail(
		    r, 400,
		    "ids: list what is meant, such as [\"B17\"]; from 1 to %d batches, messages or "
		    "deliveries",
		    IDS_MAX);
		return false;
	}
	d->batches = mem_zalloc(count * sizeof(*d->batches));
	d->ids = mem_zalloc(count * sizeof(*d->ids));
	json_array_foreach(ids, i, item)
	{
		const char *text = json_is_string(item) ? json_string_value(item) : "";
		struct store_delivery_id id;
		int64_t batch;

		if (store_batch_parse(text, &batch)) {
			add_batch(d, batch);
		} else if (id_parse(text, &id.id, &id.number)) {
			d->ids[d->id_count++] = id;
		} else {
			request_fail(r, 400,
				     "ids: %s is no batch (B17), message (26 letters and digits) "
				     "or delivery "
				     "(message.2) of this store",
				     log_safe(text));
			return false;
		}
	}
	sort_ids(d);
	return true;
}

static bool
read_amount(struct request *r, struct decision *d)
{
	json_t *first = json_object_get(r->body, "first");
	json_t *percent = json_object_get(r->body, "percent");

	if (first != NULL && !json_is_null(first)) {
		if (!json_is_integer(first) || json_integer_value(first) < 1) {
			request_fail(r, 400, "first: write a whole number from 1");
			return false;
		}
		d->first = (uint64_t)json_integer_value(first);
	}
	if (percent != NULL && !json_is_null(percent)) {
		d->percent = json_number_value(percent);
		if (!json_is_number(percent) || !isfinite(d->percent) || d->percent <= 0 ||
		    d->percent > 100) {
			request_fail(r, 400, "percent: write a number over 0, at most 100");
			return false;
		}
	}
	if (d->first > 0 && d->percent > 0) {
		request_fail(r, 400, "first and percent exclude each other: give one");
		return false;
	}
	if (d->percent > 0 && d->id_count > 0) {
		request_fail(r, 400, "percent is a share of a batch: leave the single ids out");
		return false;
	}
	return true;
}

static bool
read_pattern(struct request *r, const char *name,
	     struct pattern *(*compile)(const char *text, char **error), struct pattern **out)
{
	char *error = NULL;
	const char *text;

	if (!request_field_text(r, name, PATTERN_MAX, &text))
		return false;
	if (text[0] == '\0')
		return true;
	*out = compile(text, &error);
	if (*out == NULL)
		request_fail(r, 400, "%s: %s is no pattern: %s", name, log_safe(text),
			     error != NULL ? error : "it cannot be read");
	free(error);
	return *out != NULL;
}

static bool
read_rate(struct request *r, struct decision *d)
{
	const char *text;

	if (!request_field_text(r, "rate", 40, &text))
		return false;
	if (text[0] == '\0' || units_parse_rate(text, &d->rate_count, &d->rate_window))
		return true;
	request_fail(r, 400, "rate: %s is none; write a number and a time, such as 100/1m",
		     log_safe(text));
	return false;
}

static bool
read_call(struct request *r, struct decision *d)
{
	static const char *const release_fields[] = {
	    "ids", "reason", "dry_run", "first", "percent", "to", "subject", "rate", NULL};
	static const char *const fields[] = {"ids", "reason", "dry_run", NULL};

	if (!request_check_fields(r, d->what == STORE_RELEASE ? release_fields : fields) ||
	    !request_field_reason(r, &d->reason) ||
	    !request_field_bool(r, "dry_run", &d->dry_run) || !read_ids(r, d))
		return false;
	if (d->what != STORE_RELEASE)
		return true;
	return read_amount(r, d) && read_pattern(r, "to", pattern_for_address, &d->to) &&
	       read_pattern(r, "subject", pattern_for_text, &d->subject) && read_rate(r, d) &&
	       release_is_possible(r, d);
}

static void
decision_start(struct request *r, enum store_decision what)
{
	struct decision *d = mem_zalloc(sizeof(*d));

	d->request = r;
	d->loop = r->deps->loop;
	d->what = what;
	d->post.run = decision_stepped;
	if (read_call(r, d))
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
