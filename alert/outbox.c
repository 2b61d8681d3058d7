/*
 * The outbox: takes pending alerts from the store and hands each to its channel until that took it
 * or retry_for ended. Called by daemon/ and control/; everything runs on the main loop, only the
 * store's answers start on its writer's thread and come over by loop_post().
 *
 * One alert for one channel (struct note) is in one place:
 *
 *   store: pending --STORE_ALERT_TAKE--> waiting --note_start--> flights --note_ended--> reports
 *   reports --STORE_ALERT_DONE, _GIVE_UP--> gone
 *   reports --STORE_ALERT_RETRY--> store: pending, due later
 *   waiting --channel failed, note_hand_back--> store: pending, due later, not counted as a try
 *
 * A channel has one flight at a time, so its alerts arrive in order; after a failure it is quiet
 * for a while, and its alerts go back to the store meanwhile: a dead channel holds up no other.
 */
#include "alert/outbox.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "alert/http.h"
#include "alert/payload.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"

enum { CHANNEL_WAITING_MAX = 64, TAKE_LIMIT = 64 };
#define TICK CLOCK_SECOND
#define BACKOFF_FIRST CLOCK_SECOND
#define BACKOFF_MAX (5 * CLOCK_MINUTE)

/* What is remembered of a channel, by its name, over reloads. */
struct channel {
	LIST_ENTRY(channel) next;
	char *name;
	unsigned failures;   /* in a row */
	int64_t quiet_until; /* monotonic */
	unsigned flights, waiting;
	char why[200]; /* of the last failure */
};

struct note {
	TAILQ_ENTRY(note) next; /* waiting or flights */
	struct alert *a;
	struct arena arena; /* the strings of row */
	struct store_alert row;
	struct channel *channel;
	/* while in flights */
	struct config *config; /* keeps `to` alive over a reload */
	const struct config_alert *to;
	const struct channel_type *type;
	void *attempt;
};

/* A job of ours at the store. */
struct request {
	TAILQ_ENTRY(request) next; /* reports that the store could not take yet */
	struct store_job job;
	struct loop_post post;
	struct alert *a;
	struct config *config; /* FAN_OUT: owns the names and events in channels */
	struct store_channel *channels;
	char *error_text;
};

TAILQ_HEAD(note_list, note);
TAILQ_HEAD(request_list, request);

struct alert {
	struct loop *loop;
	struct store *store;
	struct store_view *view;
	struct config *config;
	struct outbox_types types;
	struct channel_services services;
	struct loop_timer *timer;
	LIST_HEAD(channel_list, channel) channels;
	struct note_list waiting, flights;
	struct request_list unreported;
	size_t at_store; /* requests that have not come back */
	bool stepping;   /* a FAN_OUT or TAKE is at the store */
	bool again;      /* poked meanwhile */
	bool stopped;    /* freed when at_store is 0 */
};

static void outbox_step(struct alert *a, enum store_alert_step step);
static void outbox_look(struct alert *a);

int64_t
outbox_backoff(unsigned failures, uint64_t seed)
{
	int64_t wait = BACKOFF_MAX;
	uint64_t random = text_hash(TEXT_HASH_START, &seed, sizeof(seed));

	/* 1 s << 9 is beyond 5 min. */
	if (failures <= 9)
		wait = BACKOFF_FIRST << (failures > 0 ? failures - 1 : 0);
	if (wait > BACKOFF_MAX)
		wait = BACKOFF_MAX;
	return wait - wait / 4 + (int64_t)(random % (uint64_t)(wait / 2 + 1));
}

/* ---- requests to the store */

static void
outbox_destroy(struct alert *a)
{
	struct request *r;
	struct channel *c;

	while ((r = TAILQ_FIRST(&a->unreported)) != NULL) {
		TAILQ_REMOVE(&a->unreported, r, next);
		free(r->error_text);
		free(r);
	}
	while ((c = LIST_FIRST(&a->channels)) != NULL) {
		LIST_REMOVE(c, next);
		free(c->name);
		free(c);
	}
	config_unref(a->config);
	free(a);
}

/* On the store's thread. */
static void
request_answered(struct store_job *job)
{
	struct request *r = job->context;

	loop_post(r->a->loop, &r->post);
}

static void
request_submit(struct request *r)
{
	r->a->at_store++;
	writer_submit(r->a->store, &r->job);
}

static struct request *
request_new(struct alert *a, enum store_alert_step step, void (*answered)(struct loop_post *))
{
	struct request *r = mem_zalloc(sizeof(*r));

	r->a = a;
	r->post.run = answered;
	r->job.op = STORE_ALERTS;
	r->job.done = request_answered;
	r->job.context = r;
	r->job.u.alerts.step = step;
	r->job.u.alerts.now = clock_wall();
	return r;
}

static struct request *
request_of(struct loop_post *post)
{
	return (struct request *)(void *)((char *)post - offsetof(struct request, post));
}

/* True if the outbox has been freed meanwhile; the caller frees its request and leaves. */
static bool
outbox_is_gone(struct alert *a)
{
	a->at_store--;
	if (!a->stopped)
		return false;
	if (a->at_store == 0)
		outbox_destroy(a);
	return true;
}

/* ---- reports: what became of one row */

static void
report_answered(struct loop_post *post)
{
	struct request *r = request_of(post);
	struct alert *a = r->a;
	enum store_result result = r->job.result;

	if (!outbox_is_gone(a) && result != STORE_OK && result != STORE_MISSING) {
		log_warn("- alert.report-failed why=%s", log_safe(r->job.error));
		TAILQ_INSERT_TAIL(&a->unreported, r, next); /* outbox_tick() tries again */
		return;
	}
	free(r->error_text);
	free(r);
}

static void
outbox_report(struct alert *a, enum store_alert_step step, int64_t row, int64_t due_at, bool tried,
	      const char *error_text)
{
	struct request *r = request_new(a, step, report_answered);

	r->error_text = mem_strdup(error_text);
	r->job.u.alerts.row = row;
	r->job.u.alerts.due_at = due_at;
	r->job.u.alerts.tried = tried;
	r->job.u.alerts.error_text = r->error_text;
	request_submit(r);
}

/* ---- channels */

static struct channel *
channel_get(struct alert *a, const char *name)
{
	struct channel *c;

	LIST_FOREACH (c, &a->channels, next)
		if (strcmp(c->name, name) == 0)
			return c;
	c = mem_zalloc(sizeof(*c));
	c->name = mem_strdup(name);
	LIST_INSERT_HEAD(&a->channels, c, next);
	return c;
}

static const struct config_alert *
channel_config(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->alert_count; i++)
		if (strcmp(config->alerts[i].name, name) == 0)
			return &config->alerts[i];
	return NULL;
}

static const struct channel_type *
channel_type_of(const struct alert *a, const struct config_alert *to)
{
	switch (to->type) {
	case CONFIG_ALERT_WEBHOOK:
		return a->types.webhook;
	case CONFIG_ALERT_SLACK:
		return a->types.slack;
	case CONFIG_ALERT_EXEC:
		return a->types.exec;
	}
	panic("alert: no such type of channel: %d", (int)to->type);
}

/* ---- notes */

static void
note_free(struct note *n)
{
	config_unref(n->config);
	arena_free(&n->arena);
	free(n);
}

static struct note *
note_new(struct alert *a, const struct store_alert *row)
{
	struct note *n = mem_zalloc(sizeof(*n));

	n->a = a;
	n->row = *row;
	n->row.event = arena_strdup(&n->arena, row->event);
	n->row.channel = arena_strdup(&n->arena, row->channel);
	n->row.environment = arena_strdup(&n->arena, row->environment);
	n->row.text = arena_strdup(&n->arena, row->text);
	n->row.who = arena_strdup(&n->arena, row->who);
	n->row.reason = arena_strdup(&n->arena, row->reason);
	n->channel = channel_get(a, row->channel);
	return n;
}

static const char *
note_log_id(const struct note *n, char out[32])
{
	if (n->row.batch == 0)
		return "-";
	snprintf(out, 32, "B%" PRId64, n->row.batch);
	return out;
}

/* How long it may be tried is over: the operator finds it in the log and in the audit log. `tried`:
 * just now. */
static void
note_give_up(struct note *n, bool tried, const char *why)
{
	char id[32];

	log_warn("%s alert.given-up channel=%s event=%s tries=%u why=%s", note_log_id(n, id),
		 n->row.channel, n->row.event, n->row.tries + tried, log_safe(why));
	outbox_report(n->a, STORE_ALERT_GIVE_UP, n->row.row, 0, tried, why);
}

/* Not tried: its channel is quiet, or has enough to do. Frees the note. */
static void
note_hand_back(struct note *n, int64_t wait, const char *why)
{
	outbox_report(n->a, STORE_ALERT_RETRY, n->row.row, clock_wall() + wait, false, why);
	note_free(n);
}

static bool
note_is_expired(const struct note *n, const struct config_alert *to)
{
	return n->row.first_tried_at != 0 && clock_wall() - n->row.first_tried_at >= to->retry_for;
}

/* What waits for a channel that just failed goes back to the store until the channel is tried
 * again. */
static void
channel_clear_waiting(struct alert *a, struct channel *c, int64_t wait)
{
	struct note *n = TAILQ_FIRST(&a->waiting);

	while (n != NULL) {
		struct note *next = TAILQ_NEXT(n, next);

		if (n->channel == c) {
			TAILQ_REMOVE(&a->waiting, n, next);
			c->waiting--;
			note_hand_back(n, wait, "an earlier alert of this channel failed");
		}
		n = next;
	}
}

static void
note_failed(struct note *n, const char *why)
{
	struct channel *c = n->channel;
	int64_t now = clock_wall();
	unsigned failures;
	int64_t wait;
	char id[32];

	c->failures++;
	snprintf(c->why, sizeof(c->why), "%s", why);
	metric_add(METRIC_ALERTS_FAILED, 1);
	failures = n->row.tries + 1 > c->failures ? n->row.tries + 1 : c->failures;
	if (n->row.first_tried_at == 0)
		n->row.first_tried_at = now;
	wait = outbox_backoff(c->failures, (uint64_t)now);
	c->quiet_until = clock_mono() + wait;
	if (note_is_expired(n, n->to)) {
		note_give_up(n, true, why);
	} else {
		log_warn("%s alert.failed channel=%s event=%s tries=%u why=%s", note_log_id(n, id),
			 n->row.channel, n->row.event, n->row.tries + 1, log_safe(why));
		outbox_report(n->a, STORE_ALERT_RETRY, n->row.row,
			      now + outbox_backoff(failures, (uint64_t)n->row.row), true, why);
	}
	channel_clear_waiting(n->a, c, wait);
}

static void note_start(struct note *n);

/* Starts what may start: every channel by itself, so there are no more flights than channels. */
static void
outbox_pump(struct alert *a)
{
	struct note *n = TAILQ_FIRST(&a->waiting);

	while (n != NULL) {
		if (n->channel->flights == 0) {
			note_start(n);
			n = TAILQ_FIRST(&a->waiting); /* a failure may have emptied the list */
		} else {
			n = TAILQ_NEXT(n, next);
		}
	}
}

static void
note_land(struct note *n)
{
	TAILQ_REMOVE(&n->a->flights, n, next);
	n->channel->flights--;
}

/* channel_done: the try has ended. */
static void
note_ended(void *context, bool ok, const char *why)
{
	struct note *n = context;
	struct alert *a = n->a;
	char id[32];

	note_land(n);
	if (ok) {
		n->channel->failures = 0;
		n->channel->quiet_until = 0;
		metric_add(METRIC_ALERTS_SENT, 1);
		log_info("%s alert.sent channel=%s event=%s tries=%u", note_log_id(n, id),
			 n->row.channel, n->row.event, n->row.tries + 1);
		outbox_report(a, STORE_ALERT_DONE, n->row.row, 0, true, "");
	} else {
		note_failed(n, why);
	}
	note_free(n);
	outbox_pump(a);
}

struct body {
	struct note *note;
	struct alert *a;
	uint64_t distinct;
	struct buf *out;
};

static bool
body_add_batch(void *context, const struct store_batch *b)
{
	struct body *body = context;

	payload_json(&body->note->row, b, body->distinct, body->a->config->hostname, body->out);
	return false;
}

/* With the batch as it is now: who reads it late wants to know how it stands. */
static void
note_write_body(struct note *n, struct buf *out)
{
	struct alert *a = n->a;
	struct body body = {n, a, 0, out};

	if (n->row.batch != 0 &&
	    store_view_distinct(a->view, n->row.batch, &body.distinct) == STORE_OK)
		store_view_batch(a->view, n->row.batch, body_add_batch, &body);
	if (out->len == 0)
		payload_json(&n->row, NULL, 0, a->config->hostname, out);
}

/* From waiting into flights, or straight back if it cannot start. */
static void
note_start(struct note *n)
{
	struct alert *a = n->a;
	struct buf body = {0};
	struct buf why = {0};

	TAILQ_REMOVE(&a->waiting, n, next);
	n->channel->waiting--;
	TAILQ_INSERT_TAIL(&a->flights, n, next);
	n->channel->flights++;
	n->config = config_ref(a->config);
	n->to = channel_config(n->config, n->row.channel);
	if (n->to != NULL) {
		n->type = channel_type_of(a, n->to);
		note_write_body(n, &body);
		struct channel_note note = {&n->row, a->config->hostname, buf_text(&body),
					    body.len};
		n->attempt = n->type->start(&a->services, n->to, &note, note_ended, n, &why);
	}
	if (n->attempt == NULL) {
		note_land(n);
		if (n->to == NULL)
			note_give_up(n, false, "the channel is no longer configured");
		else
			note_failed(n, buf_text(&why));
		note_free(n);
	}
	buf_free(&body);
	buf_free(&why);
}

/* A row of STORE_ALERT_TAKE. */
static void
note_arrived(struct alert *a, const struct store_alert *row)
{
	struct note *n = note_new(a, row);
	const struct config_alert *to = channel_config(a->config, row->channel);
	int64_t quiet = n->channel->quiet_until - clock_mono();
	char why[300];

	if (to == NULL) {
		note_give_up(n, false, "the channel is no longer configured");
		note_free(n);
	} else if (quiet > 0 && note_is_expired(n, to)) {
		snprintf(why, sizeof(why),
			 "the channel failed for as long as retry_for says, at last: %s",
			 n->channel->why);
		note_give_up(n, false, why);
		note_free(n);
	} else if (quiet > 0) {
		note_hand_back(n, quiet, "an earlier alert of this channel failed");
	} else if (n->channel->waiting >= CHANNEL_WAITING_MAX) {
		note_hand_back(n, 2 * TICK, "the channel has others to send first");
	} else {
		TAILQ_INSERT_TAIL(&a->waiting, n, next);
		n->channel->waiting++;
	}
}

/* ---- looking into the store */

static void
step_answered(struct loop_post *post)
{
	struct request *r = request_of(post);
	struct alert *a = r->a;
	enum store_alert_step step = r->job.u.alerts.step;
	enum store_result result = r->job.result;
	size_t count =
	    step == STORE_ALERT_TAKE && result == STORE_OK ? r->job.u.alerts.alert_count : 0;

	if (!outbox_is_gone(a)) {
		if (result != STORE_OK)
			log_warn("- alert.store-failed why=%s", log_safe(r->job.error));
		for (size_t i = 0; i < count; i++)
			note_arrived(a, &r->job.u.alerts.alerts[i]);
		a->stepping = false;
		outbox_pump(a);
		if (step == STORE_ALERT_FAN_OUT && result == STORE_OK) {
			outbox_step(a, STORE_ALERT_TAKE);
		} else if (a->again || count == TAKE_LIMIT) {
			a->again = false;
			outbox_look(a);
		}
	}
	if (r->job.u.alerts.alerts != NULL)
		store_alerts_free(r->job.u.alerts.alerts, r->job.u.alerts.alert_count);
	config_unref(r->config);
	free(r->channels);
	free(r);
}

static void
outbox_step(struct alert *a, enum store_alert_step step)
{
	struct request *r = request_new(a, step, step_answered);

	a->stepping = true;
	r->job.u.alerts.limit = TAKE_LIMIT;
	if (step == STORE_ALERT_FAN_OUT) {
		size_t n = a->config->alert_count;

		r->config = config_ref(a->config);
		r->channels = mem_zalloc((n + 1) * sizeof(*r->channels));
		for (size_t i = 0; i < n; i++)
			r->channels[i] = (struct store_channel){a->config->alerts[i].name,
								a->config->alerts[i].events};
		r->job.u.alerts.channels = r->channels;
		r->job.u.alerts.channel_count = n;
	}
	request_submit(r);
}

static void
outbox_look(struct alert *a)
{
	if (a->stepping)
		a->again = true;
	else
		outbox_step(a, STORE_ALERT_FAN_OUT);
}

static void
outbox_tick(void *context)
{
	struct alert *a = context;
	struct request_list todo = TAILQ_HEAD_INITIALIZER(todo);
	struct request *r;

	TAILQ_CONCAT(&todo, &a->unreported, next);
	while ((r = TAILQ_FIRST(&todo)) != NULL) {
		TAILQ_REMOVE(&todo, r, next);
		request_submit(r);
	}
	outbox_look(a);
	loop_timer_set(a->timer, TICK);
}

/* ---- alert.h */

struct alert *
outbox_new(struct loop *loop, struct store *store, struct store_view *view, struct config *config,
	   const struct outbox_types *types)
{
	struct alert *a = mem_zalloc(sizeof(*a));

	a->loop = loop;
	a->store = store;
	a->view = view;
	a->config = config_ref(config);
	a->types = *types;
	a->services.loop = loop;
	a->services.http = http_new(loop);
	LIST_INIT(&a->channels);
	TAILQ_INIT(&a->waiting);
	TAILQ_INIT(&a->flights);
	TAILQ_INIT(&a->unreported);
	a->timer = loop_timer_new(loop, outbox_tick, a);
	loop_timer_set(a->timer, 0);
	return a;
}

struct alert *
alert_new(struct loop *loop, struct store *store, struct store_view *view, struct config *config)
{
	static const struct outbox_types types = {&channel_webhook, &channel_slack, &channel_exec};

	return outbox_new(loop, store, view, config, &types);
}

void
alert_set_config(struct alert *a, struct config *config)
{
	struct channel *c;

	loop_assert(a->loop);
	config_unref(a->config);
	a->config = config_ref(config);
	/* What failed may have been mended: try again at once. */
	LIST_FOREACH (c, &a->channels, next) {
		c->failures = 0;
		c->quiet_until = 0;
	}
	outbox_look(a);
}

void
alert_poke(struct alert *a)
{
	loop_assert(a->loop);
	outbox_look(a);
}

void
alert_free(struct alert *a)
{
	struct note *n;

	if (a == NULL)
		return;
	while ((n = TAILQ_FIRST(&a->waiting)) != NULL) {
		TAILQ_REMOVE(&a->waiting, n, next);
		note_free(n);
	}
	while ((n = TAILQ_FIRST(&a->flights)) != NULL) {
		n->type->cancel(n->attempt);
		note_land(n);
		note_free(n);
	}
	loop_timer_free(a->timer);
	http_free(a->services.http);
	a->stopped = true;
	if (a->at_store == 0)
		outbox_destroy(a);
}
