/*
 * STORE_FACT, something happened that is to be told, and STORE_ALERTS, the outbox that alert/
 * empties. An event becomes a row per channel that wants it; a row is pending, taken, given up or
 * delivered, and goes with its event. Runs on the writer's thread; what TAKE hands out is freed
 * with store_alerts_free().
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/failures.h"
#include "store/jobs.h"

enum { FAN_OUT_EVENTS = 100 }; /* of one step */

enum store_result
job_fact(struct work *w, struct store_job *job)
{
	TRY(work_audit(w, job->u.fact.now, job->u.fact.who, job->u.fact.event, job->u.fact.object,
		       job->u.fact.reason, job->u.fact.text));
	if (job->u.fact.keep != NULL)
		TRY(w->b->meta_set(w->db, job->u.fact.keep, job->u.fact.number));
	if (!job->u.fact.alert)
		return STORE_OK;
	return work_alert(w, &(struct event_row){.at = job->u.fact.now,
						 .event = job->u.fact.event,
						 .environment = job->u.fact.environment,
						 .who = job->u.fact.who,
						 .reason = job->u.fact.reason,
						 .text = job->u.fact.text});
}

/* ---- fan out ---- */

struct news {
	struct work *w;
	struct {
		int64_t id;
		const char *event, *environment;
	} events[FAN_OUT_EVENTS];
	size_t count;
};

static bool
keep_event(void *context, const struct event_row *e)
{
	struct news *news = context;

	news->events[news->count].id = e->id;
	news->events[news->count].environment = work_copy(news->w, e->environment);
	news->events[news->count++].event = work_copy(news->w, e->event);
	return news->count < FAN_OUT_EVENTS;
}

/* A channel that fails cannot tell of it, and a bounce of an alert must not make the next one. */
static bool
is_about(const char *environment, const struct store_channel *c)
{
	return store_is_alert_mail(environment) &&
	       strcmp(environment + strlen(STORE_ALERTS_PREFIX), c->name) == 0;
}

static bool
wants(const struct store_channel *c, const char *event, const char *environment)
{
	char **glob;

	if (is_about(environment, c))
		return false;
	for (glob = c->events; glob != NULL && *glob != NULL; glob++)
		if (text_glob(*glob, event))
			return true;
	return false;
}

static enum store_result
fan_out(struct work *w, struct store_job *job)
{
	struct news news = {.w = w};
	size_t i, c;

	TRY(failures_sweep(w, job->u.alerts.now));
	do {
		news.count = 0;
		TRY(w->b->event_list_new(w->db, FAN_OUT_EVENTS, keep_event, &news));
		for (i = 0; i < news.count; i++) {
			for (c = 0; c < job->u.alerts.channel_count; c++)
				if (wants(&job->u.alerts.channels[c], news.events[i].event,
					  news.events[i].environment))
					TRY(w->b->outbox_add(w->db, news.events[i].id,
							     job->u.alerts.channels[c].name,
							     job->u.alerts.now));
			TRY(w->b->event_set_fanned(w->db, news.events[i].id));
		}
	} while (news.count == FAN_OUT_EVENTS);
	return STORE_OK;
}

/* ---- take ---- */

/* An alert that is due. */
struct due {
	int64_t row, at;
};

struct taking {
	struct work *w;
	const struct store_job *job;
	char **channels; /* that something is pending for, in the job's arena */
	size_t channel_count;
	struct due *due;
	size_t due_count;
	struct store_alert *alerts;
	size_t count;
	int64_t now, next_due_at;
};

/* A channel that has enough to do for now. */
static bool
is_left_out(const struct store_job *job, const char *channel)
{
	size_t i;

	for (i = 0; i < job->u.alerts.full_count; i++)
		if (strcmp(job->u.alerts.full[i].name, channel) == 0)
			return true;
	return false;
}

static bool
keep_channel(void *context, const char *channel)
{
	struct taking *t = context;

	t->channels = mem_resize_array(t->channels, t->channel_count + 1, sizeof(*t->channels));
	t->channels[t->channel_count++] = arena_strdup(&t->w->arena, channel);
	return true;
}

static bool
keep_due(void *context, const struct outbox_row *o)
{
	struct taking *t = context;

	t->due[t->due_count++] = (struct due){o->row, o->due_at};
	return true;
}

static int
compare_due(const void *a, const void *b)
{
	const struct due *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->row > y->row) - (x->row < y->row);
}

static bool
take_row(void *context, const struct outbox_row *o)
{
	struct taking *t = context;
	struct store_alert *a;

	t->alerts = mem_resize_array(t->alerts, t->count + 1, sizeof(*a));
	a = &t->alerts[t->count++];
	*a = (struct store_alert){
	    .row = o->row,
	    .event_id = o->event.id,
	    .at = o->event.at,
	    .event = mem_strdup(o->event.event),
	    .channel = mem_strdup(o->channel),
	    .environment = mem_strdup(o->event.environment),
	    .text = mem_strdup(o->event.text),
	    .who = mem_strdup(o->event.who),
	    .reason = mem_strdup(o->event.reason),
	    .batch = o->event.batch,
	    .count = o->event.count,
	    .tries = o->tries,
	    .first_tried_at = o->first_tried_at != 0 ? o->first_tried_at : t->now,
	};
	return false;
}

/* The first that are due, of all channels that have not enough to do: thousands may wait for one
 * that has, and are not looked at. */
static enum store_result
take_due(struct work *w, struct taking *t)
{
	struct outbox_query q = {
	    .states = 1U << OUTBOX_PENDING, .due_before = t->now, .limit = t->job->u.alerts.limit};
	struct outbox_query one = {.states = 1U << OUTBOX_PENDING, .limit = 1};
	size_t i;

	t->due = arena_alloc(&w->arena, (t->channel_count * q.limit + 1) * sizeof(*t->due));
	for (i = 0; i < t->channel_count; i++) {
		q.channel = t->channels[i];
		if (q.limit > 0 && !is_left_out(t->job, q.channel))
			TRY(w->b->outbox_list(w->db, &q, keep_due, t));
	}
	qsort(t->due, t->due_count, sizeof(*t->due), compare_due);
	for (i = 0; i < t->due_count && t->count < q.limit; i++) {
		one.row = t->due[i].row;
		TRY(w->b->outbox_list(w->db, &one, take_row, t));
	}
	return STORE_OK;
}

static bool
see_next(void *context, const struct outbox_row *o)
{
	struct taking *t = context;

	if (t->next_due_at == 0 || o->due_at < t->next_due_at)
		t->next_due_at = o->due_at;
	return false;
}

static enum store_result
mark_taken(struct work *w, struct taking *t)
{
	struct outbox_query rest = {.states = 1U << OUTBOX_PENDING, .limit = 1};
	size_t i;

	for (i = 0; i < t->count; i++)
		TRY(w->b->outbox_set(
		    w->db, &(struct outbox_row){.row = t->alerts[i].row,
						.state = OUTBOX_TAKEN,
						.tries = t->alerts[i].tries,
						.due_at = t->now,
						.first_tried_at = t->alerts[i].first_tried_at,
						.error = ""}));
	for (i = 0; i < t->channel_count; i++) {
		rest.channel = t->channels[i];
		TRY(w->b->outbox_list(w->db, &rest, see_next, t));
	}
	return STORE_OK;
}

/* What a rewritten database can be held against later: somebody else has the alert. */
static void
add_head(const struct work *w, struct taking *t)
{
	size_t i;

	for (i = 0; i < t->count; i++) {
		t->alerts[i].audit_id = w->chain.now.id;
		audit_chain_format(w->chain.now.hash, t->alerts[i].audit_hash);
	}
}

static enum store_result
take(struct work *w, struct store_job *job)
{
	struct taking t = {.w = w, .job = job, .now = job->u.alerts.now};
	enum store_result r = w->b->outbox_channels(w->db, keep_channel, &t);

	if (r == STORE_OK)
		r = take_due(w, &t);
	if (r == STORE_OK)
		r = mark_taken(w, &t);
	free(t.channels);
	if (r != STORE_OK) {
		store_alerts_free(t.alerts, t.count);
		return r;
	}
	add_head(w, &t);
	job->u.alerts.alerts = t.alerts;
	job->u.alerts.alert_count = t.count;
	job->u.alerts.next_due_at = t.next_due_at;
	return STORE_OK;
}

/* ---- report ---- */

struct one {
	struct work *w;
	struct outbox_row row;
};

static bool
keep_row(void *context, const struct outbox_row *o)
{
	struct one *one = context;

	one->row = *o;
	one->row.channel = work_copy(one->w, o->channel);
	one->row.event.event = work_copy(one->w, o->event.event);
	return false;
}

static enum store_result
set_delivered(struct work *w, const struct store_job *job, struct outbox_row *row)
{
	row->state = OUTBOX_DELIVERED;
	row->tries++;
	row->due_at = job->u.alerts.now != 0 ? job->u.alerts.now : clock_wall();
	row->error = "";
	return w->b->outbox_set(w->db, row);
}

static enum store_result
report(struct work *w, struct store_job *job)
{
	struct outbox_query q = {.row = job->u.alerts.row, .limit = 1};
	struct one one = {.w = w};
	const char *error = job->u.alerts.error_text != NULL ? job->u.alerts.error_text : "";

	TRY(w->b->outbox_list(w->db, &q, keep_row, &one));
	if (one.row.row == 0 || one.row.state == OUTBOX_DELIVERED)
		return job_refuse(job, STORE_MISSING, "there is no such alert");
	if (job->u.alerts.step == STORE_ALERT_DONE)
		return set_delivered(w, job, &one.row);
	one.row.error = error;
	one.row.tries += job->u.alerts.tried;
	one.row.state = OUTBOX_PENDING;
	one.row.due_at = job->u.alerts.due_at;
	if (job->u.alerts.step == STORE_ALERT_GIVE_UP) {
		one.row.state = OUTBOX_FAILED;
		TRY(work_audit(w, job->u.alerts.now, "gate", "alert.failed", one.row.channel, error,
			       arena_printf(&w->arena, "event=%s tries=%u", one.row.event.event,
					    one.row.tries)));
	}
	return w->b->outbox_set(w->db, &one.row);
}

enum store_result
job_alerts(struct work *w, struct store_job *job)
{
	switch (job->u.alerts.step) {
	case STORE_ALERT_FAN_OUT:
		return fan_out(w, job);
	case STORE_ALERT_TAKE:
		return take(w, job);
	case STORE_ALERT_DONE:
	case STORE_ALERT_RETRY:
	case STORE_ALERT_GIVE_UP:
		return report(w, job);
	}
	return job_refuse(job, STORE_REFUSED, "unknown step");
}
