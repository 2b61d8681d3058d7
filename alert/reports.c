/*
 * STORE_ALERTS jobs. Called by outbox.c on the main loop; the store's answers start on its writer's
 * thread and come over by loop_post(). A job is freed by its answer.
 */
#include "alert/reports.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

struct report {
	TAILQ_ENTRY(report) next; /* those that the store could not take yet */
	struct store_job job;
	struct loop_post post;
	struct reports *owner;
	char *why;
	/* of a look */
	struct config *config; /* owns the names and events in channels */
	struct store_channel *channels;
	report_looked *done;
	void *context;
};
TAILQ_HEAD(report_list, report);

struct reports {
	struct loop *loop;
	struct store *store;
	struct report_list untaken;
	bool told;       /* that the store takes nothing: once, until it does */
	size_t at_store; /* jobs that have not come back */
	bool stopped;    /* freed when at_store is 0 */
};

static void
report_free(struct report *r)
{
	if (r->job.u.alerts.alerts != NULL)
		store_alerts_free(r->job.u.alerts.alerts, r->job.u.alerts.alert_count);
	config_unref(r->config);
	free(r->channels);
	free(r->why);
	free(r);
}

static void
reports_destroy(struct reports *s)
{
	struct report *r;

	while ((r = TAILQ_FIRST(&s->untaken)) != NULL) {
		TAILQ_REMOVE(&s->untaken, r, next);
		report_free(r);
	}
	free(s);
}

/* On the store's thread. */
static void
report_answered(struct store_job *job)
{
	struct report *r = job->context;

	loop_post(r->owner->loop, &r->post);
}

static void
report_submit(struct report *r)
{
	r->owner->at_store++;
	writer_submit(r->owner->store, &r->job);
}

static struct report *
report_new(struct reports *s, enum store_alert_step step, void (*answered)(struct loop_post *))
{
	struct report *r = mem_zalloc(sizeof(*r));

	r->owner = s;
	r->post.run = answered;
	r->job.op = STORE_ALERTS;
	r->job.done = report_answered;
	r->job.context = r;
	r->job.u.alerts.step = step;
	r->job.u.alerts.now = clock_wall();
	return r;
}

static struct report *
report_of(struct loop_post *post)
{
	return (struct report *)(void *)((char *)post - offsetof(struct report, post));
}

/* True if nobody waits for it any more; frees it then, and after the last one its owner. */
static bool
report_is_orphan(struct report *r)
{
	struct reports *s = r->owner;

	s->at_store--;
	if (!s->stopped)
		return false;
	report_free(r);
	if (s->at_store == 0)
		reports_destroy(s);
	return true;
}

/* ---- what became of a row */

static void
report_sent(struct loop_post *post)
{
	struct report *r = report_of(post);
	enum store_result result = r->job.result;

	if (report_is_orphan(r))
		return;
	if (result == STORE_OK || result == STORE_MISSING) {
		r->owner->told = false;
		report_free(r);
		return;
	}
	if (!r->owner->told)
		log_warn("- alert.report-failed why=%s", log_safe(r->job.error));
	r->owner->told = true;
	TAILQ_INSERT_TAIL(&r->owner->untaken, r, next);
}

void
report_send(struct reports *s, enum store_alert_step step, int64_t row, int64_t due_at, bool tried,
	    const char *why)
{
	struct report *r = report_new(s, step, report_sent);

	r->why = mem_strdup(why);
	r->job.u.alerts.row = row;
	r->job.u.alerts.due_at = due_at;
	r->job.u.alerts.tried = tried;
	r->job.u.alerts.error_text = r->why;
	report_submit(r);
}

void
reports_retry(struct reports *s)
{
	struct report_list todo = TAILQ_HEAD_INITIALIZER(todo);
	struct report *r;

	TAILQ_CONCAT(&todo, &s->untaken, next);
	while ((r = TAILQ_FIRST(&todo)) != NULL) {
		TAILQ_REMOVE(&todo, r, next);
		report_submit(r);
	}
}

/* ---- looks */

static void
report_look_done(struct loop_post *post)
{
	struct report *r = report_of(post);
	bool ok = r->job.result == STORE_OK;

	if (report_is_orphan(r))
		return;
	if (!ok)
		log_warn("- alert.store-failed why=%s", log_safe(r->job.error));
	r->done(r->context, r->job.u.alerts.step, ok, r->job.u.alerts.alerts,
		ok ? r->job.u.alerts.alert_count : 0);
	report_free(r);
}

void
report_look(struct reports *s, enum store_alert_step step, struct config *config, uint32_t limit,
	    bool (*is_full)(void *context, const char *channel), report_looked *done, void *context)
{
	struct report *r = report_new(s, step, report_look_done);
	size_t n = 0;

	r->done = done;
	r->context = context;
	r->config = config_ref(config);
	r->channels = mem_zalloc((config->alert_count + 1) * sizeof(*r->channels));
	for (size_t i = 0; i < config->alert_count; i++)
		if (step == STORE_ALERT_FAN_OUT || is_full(context, config->alerts[i].name))
			r->channels[n++] = (struct store_channel){config->alerts[i].name,
								  config->alerts[i].events};
	r->job.u.alerts.limit = limit;
	if (step == STORE_ALERT_FAN_OUT) {
		r->job.u.alerts.channels = r->channels;
		r->job.u.alerts.channel_count = n;
	} else {
		r->job.u.alerts.full = r->channels;
		r->job.u.alerts.full_count = n;
	}
	report_submit(r);
}

/* ---- */

struct reports *
reports_new(struct loop *loop, struct store *store)
{
	struct reports *s = mem_zalloc(sizeof(*s));

	s->loop = loop;
	s->store = store;
	TAILQ_INIT(&s->untaken);
	return s;
}

void
reports_free(struct reports *s)
{
	s->stopped = true;
	if (s->at_store == 0)
		reports_destroy(s);
}
