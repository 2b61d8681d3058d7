/*
 * The wrapped functions. Jobs are answered on the loop's thread, which done() does not mind.
 */
#include "tests/unit/control_fake.h"

#include <stdio.h>
#include <string.h>

#include "filters/gate.h"

struct fake fake = {.lock = PTHREAD_MUTEX_INITIALIZER};

const struct store_plan fake_running = {
    .id = 3,
    .batch = 1,
    .state = STORE_PLAN_RUNNING,
    .rings = {.count = 3, .sizes = {10, 100, 0}, .wait = 600 * CLOCK_SECOND, .stop_on = 2.5},
    .rate_count = 100,
    .rate_window = CLOCK_MINUTE,
    .stream_for = CLOCK_HOUR,
    .total = 25000,
    .released = 110,
    .ring = 2,
    .ring_size = 100,
    .ring_released = 100,
    .ring_sent = 90,
    .ring_failed = 4,
    .ring_deferred = 7,
    .ring_refused = 10,
    .ring_started_at = NOON,
    .created_at = NOON,
    .changed_at = NOON,
    .who = "uid:1000(ann)",
    .reason = "checked",
    .why = "",
    .refusals = "7 450 4.2.1 slow\n4 550 5.1.1 no such user\n",
    .approvers = 3,
    .approved_by = "uid:1001(bob)\ntoken:eve\n"};

void __real_writer_submit(struct store *s, struct store_job *job);
void __wrap_writer_submit(struct store *s, struct store_job *job);
void __wrap_counters_forget(struct counters *c, uint64_t stream_hash);
enum store_result __wrap_store_view_plan(struct store_view *v, int64_t batch,
					 bool (*row)(void *context, const struct store_plan *p),
					 void *context);
enum store_result __wrap_store_view_alert_fates(struct store_view *v, int64_t batch, uint32_t limit,
						bool (*row)(void *context,
							    const struct store_alert_fate *f),
						void *context);

static void
answer_plan(struct store_job *job)
{
	job->u.plan.state = fake.answer.u.plan.state;
	job->u.plan.recipients = fake.answer.u.plan.recipients;
	job->u.plan.left = fake.answer.u.plan.left;
	job->u.plan.approvals_missing = fake.answer.u.plan.approvals_missing;
	job->u.plan.closed = fake.answer.u.plan.closed;
	job->u.plan.stream_hash = fake.answer.u.plan.stream_hash;
}

static void
answer_decide(struct store_job *job)
{
	job->u.decide.asked = fake.answer.u.decide.asked;
	job->u.decide.approvals_missing = fake.answer.u.decide.approvals_missing;
	job->u.decide.request_expires_at = fake.answer.u.decide.request_expires_at;
	job->u.decide.messages = fake.answer.u.decide.messages;
	job->u.decide.recipients = fake.answer.u.decide.recipients;
	job->u.decide.released = fake.answer.u.decide.released;
	job->u.decide.left = fake.answer.u.decide.left;
}

void
__wrap_writer_submit(struct store *s, struct store_job *job)
{
	bool answered;

	pthread_mutex_lock(&fake.lock);
	answered = job->op == STORE_PLAN || (job->op == STORE_DECIDE && fake.decides);
	if (job->op == STORE_PLAN || job->op == STORE_DECIDE)
		fake.asked = *job;
	if (job->op == STORE_SEEN) {
		fake.seen++;
		snprintf(fake.seen_by, sizeof(fake.seen_by), "%s", job->u.seen.who);
	}
	if (answered) {
		job->result = fake.answer.result;
		memcpy(job->error, fake.answer.error, sizeof(job->error));
		if (job->op == STORE_PLAN)
			answer_plan(job);
		else
			answer_decide(job);
	}
	if (job->op == STORE_DECIDE && job->u.decide.may_reach != NULL &&
	    fake.reach_environment != NULL)
		fake.reached = job->u.decide.may_reach(job->context, fake.reach_environment,
						       fake.reach_address);
	pthread_mutex_unlock(&fake.lock);
	if (answered)
		job->done(job);
	else
		__real_writer_submit(s, job);
}

void
__wrap_counters_forget(struct counters *c, uint64_t stream_hash)
{
	(void)c;
	fake.forgotten = stream_hash;
}

enum store_result
__wrap_store_view_plan(struct store_view *v, int64_t batch,
		       bool (*row)(void *context, const struct store_plan *p), void *context)
{
	(void)v;
	if (fake.plan == NULL || fake.plan->batch != batch)
		return STORE_MISSING;
	row(context, fake.plan);
	return STORE_OK;
}

enum store_result
__wrap_store_view_alert_fates(struct store_view *v, int64_t batch, uint32_t limit,
			      bool (*row)(void *context, const struct store_alert_fate *f),
			      void *context)
{
	(void)v;
	(void)batch;
	for (size_t i = 0; i < fake.fate_count && i < limit; i++)
		if (!row(context, &fake.fates[i]))
			break;
	return STORE_OK;
}

int
fake_reset(void **state)
{
	(void)state;
	fake.decides = false;
	memset(&fake.asked, 0, sizeof(fake.asked));
	memset(&fake.answer, 0, sizeof(fake.answer));
	fake.seen = 0;
	fake.plan = NULL;
	fake.fate_count = 0;
	fake.forgotten = 0;
	fake.reach_environment = fake.reach_address = NULL;
	return 0;
}
