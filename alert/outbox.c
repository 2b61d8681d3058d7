/*
 * The outbox: takes pending alerts from the store and hands each to its channel until that took it
 * or retry_for ended. Called by daemon/ and control/; everything runs on the main loop. What goes
 * to the store and comes from it is reports.c, how a channel fares is state.c.
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
#include "alert/reports.h"
#include "alert/state.h"
#include "alert/trial.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/tally.h"

/* No more are taken for a channel that has ENOUGH: one that is handed back would lose its place. */
enum { TAKE_LIMIT = 64, CHANNEL_ENOUGH = 32, CHANNEL_WAITING_MAX = CHANNEL_ENOUGH + TAKE_LIMIT };
#define TICK CLOCK_SECOND

struct note {
	TAILQ_ENTRY(note) next; /* waiting or flights */
	struct alert *a;
	struct arena arena; /* the strings of row and batch */
	struct store_alert row;
	struct channel *channel;
	/* while in flights */
	struct config *config; /* keeps `to` alive over a reload */
	const struct config_alert *to;
	const struct channel_type *type;
	void *attempt;
};

TAILQ_HEAD(note_list, note);

struct alert {
	struct loop *loop;
	struct store_view *view;
	struct config *config;
	struct channel_types types;
	struct channel_services services;
	struct loop_timer *timer;
	struct states states;
	struct reports *reports;
	struct trials trials;
	struct note_list waiting, flights;
	bool stepping; /* a FAN_OUT or TAKE is at the store */
	bool again;    /* poked meanwhile */
};

static void outbox_step(struct alert *a, enum store_alert_step step);
static void outbox_look(struct alert *a);

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
	n->channel = state_get(&a->states, row->channel);
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

	tally_add(tally_get_channel(n->row.channel), TALLY_FAILED, 1);
	log_warn("%s alert.given-up channel=%s event=%s tries=%u why=%s", note_log_id(n, id),
		 n->row.channel, n->row.event, n->row.tries + tried, log_safe(why));
	report_send(n->a->reports, STORE_ALERT_GIVE_UP, n->row.row, 0, tried, why);
}

/* Not tried: its channel is quiet, or has enough to do. Frees the note. */
static void
note_hand_back(struct note *n, int64_t wait, const char *why)
{
	report_send(n->a->reports, STORE_ALERT_RETRY, n->row.row, clock_wall() + wait, false, why);
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

/* The try, or one that could not start, has failed. */
static void
note_failed(struct note *n, const char *why)
{
	struct channel *c = n->channel;
	int64_t now = clock_wall(), wait;
	unsigned tries = n->row.tries + 1;
	char id[32];

	metric_add(METRIC_ALERTS_FAILED, 1);
	if (n->row.first_tried_at == 0)
		n->row.first_tried_at = now;
	wait = state_failed(&n->a->states, c, why, 0);
	if (note_is_expired(n, n->to)) {
		note_give_up(n, true, why);
		state_gave_up(&n->a->states, c, why);
	} else {
		unsigned failures = tries > c->failures ? tries : c->failures;

		tally_add(tally_get_channel(n->row.channel), TALLY_DEFERRED, 1);
		log_warn("%s alert.try-failed channel=%s event=%s tries=%u why=%s",
			 note_log_id(n, id), n->row.channel, n->row.event, tries, log_safe(why));
		report_send(n->a->reports, STORE_ALERT_RETRY, n->row.row,
			    now + state_backoff(failures, (uint64_t)n->row.row), true, why);
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
		state_fine(&a->states, n->channel);
		metric_add(METRIC_ALERTS_SENT, 1);
		tally_add(tally_get_channel(n->row.channel), TALLY_DELIVERED, 1);
		log_info("%s alert.sent channel=%s event=%s tries=%u", note_log_id(n, id),
			 n->row.channel, n->row.event, n->row.tries + 1);
		report_send(a->reports, STORE_ALERT_DONE, n->row.row, 0, true, "");
	} else {
		note_failed(n, why);
	}
	/* There was more than it could take, perhaps. */
	if (ok && n->channel->waiting == CHANNEL_ENOUGH - 1)
		outbox_look(a);
	note_free(n);
	outbox_pump(a);
}

/* ---- what is told */

struct batch_copy {
	struct arena *arena;
	struct store_batch batch;
	bool found;
};

/* A view's texts end with its callback. */
static bool
copy_batch(void *context, const struct store_batch *b)
{
	struct batch_copy *copy = context;
	const char **texts[] = {
	    &copy->batch.environment, &copy->batch.rule,           &copy->batch.key,
	    &copy->batch.source,      &copy->batch.sender,         &copy->batch.subject,
	    &copy->batch.decided_by,  &copy->batch.decided_reason, &copy->batch.seen_by};

	copy->batch = *b;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		*texts[i] = arena_strdup(copy->arena, *texts[i] != NULL ? *texts[i] : "");
	copy->found = true;
	return false;
}

/* With the batch as it is now: who reads it late wants to know how it stands. */
static void *
note_send(struct note *n, struct buf *why)
{
	struct alert *a = n->a;
	struct batch_copy copy = {.arena = &n->arena};
	struct channel_note note = {.alert = &n->row,
				    .gate = n->config->hostname,
				    .console =
					n->config->http.url != NULL ? n->config->http.url : ""};
	struct buf body = {0};
	void *attempt;

	if (n->row.batch != 0 &&
	    store_view_distinct(a->view, n->row.batch, &note.distinct) == STORE_OK)
		store_view_batch(a->view, n->row.batch, copy_batch, &copy);
	if (copy.found)
		note.batch = &copy.batch;
	payload_json(&n->row, note.batch, note.distinct, note.gate, &body);
	note.json = buf_text(&body);
	note.json_len = body.len;
	attempt = n->type->start(&a->services, n->to, &note, note_ended, n, why);
	buf_free(&body);
	return attempt;
}

/* From waiting into flights, or straight back if it cannot start. */
static void
note_start(struct note *n)
{
	struct alert *a = n->a;
	struct buf why = {0};

	TAILQ_REMOVE(&a->waiting, n, next);
	n->channel->waiting--;
	TAILQ_INSERT_TAIL(&a->flights, n, next);
	n->channel->flights++;
	n->config = config_ref(a->config);
	n->to = channel_find(n->config, n->row.channel);
	if (n->to != NULL) {
		n->type = channel_type_of(&a->types, n->to->type);
		n->attempt = note_send(n, &why);
	}
	if (n->attempt == NULL) {
		note_land(n);
		if (n->to == NULL)
			note_give_up(n, false, "the channel is no longer configured");
		else
			note_failed(n, buf_text(&why));
		note_free(n);
	}
	buf_free(&why);
}

/* A row of STORE_ALERT_TAKE. */
static void
note_arrived(struct alert *a, const struct store_alert *row)
{
	struct note *n = note_new(a, row);
	const struct config_alert *to = channel_find(a->config, row->channel);
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
		state_gave_up(&a->states, n->channel, n->channel->why);
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
outbox_looked(void *context, enum store_alert_step step, bool ok, const struct store_alert *alerts,
	      size_t count)
{
	struct alert *a = context;

	for (size_t i = 0; i < count; i++)
		note_arrived(a, &alerts[i]);
	a->stepping = false;
	outbox_pump(a);
	if (step == STORE_ALERT_FAN_OUT && ok) {
		outbox_step(a, STORE_ALERT_TAKE);
	} else if (a->again || count == TAKE_LIMIT) {
		a->again = false;
		outbox_look(a);
	}
}

/* What waits here for a slow channel is enough: the rest stays in the store, and is not carried to
 * and fro. */
static bool
outbox_is_full(void *context, const char *channel)
{
	struct alert *a = context;

	return state_get(&a->states, channel)->waiting >= CHANNEL_ENOUGH;
}

static void
outbox_step(struct alert *a, enum store_alert_step step)
{
	a->stepping = true;
	report_look(a->reports, step, a->config, TAKE_LIMIT, outbox_is_full, outbox_looked, a);
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

	reports_retry(a->reports);
	state_tick(&a->states, a->config);
	outbox_look(a);
	loop_timer_set(a->timer, TICK);
}

/* ---- alert.h */

/* Those that can alert are told of from now on, as 0. */
static void
count_channels(const struct config *config)
{
	for (size_t i = 0; i < config->alert_count; i++)
		tally_expect(tally_get_channel(config->alerts[i].name),
			     TALLY_BIT(TALLY_DELIVERED) | TALLY_BIT(TALLY_DEFERRED) |
				 TALLY_BIT(TALLY_FAILED));
}

struct alert *
outbox_new(struct loop *loop, struct store *store, struct store_view *view, struct config *config,
	   const struct outbox_options *options)
{
	struct alert *a = mem_zalloc(sizeof(*a));

	a->loop = loop;
	a->view = view;
	a->config = config_ref(config);
	a->types = *options->types;
	a->services = (struct channel_services){
	    .loop = loop, .http = http_new(loop), .store = store, .view = view};
	states_init(&a->states, store, view,
		    options->patience != 0 ? options->patience : STATE_PATIENCE);
	a->reports = reports_new(loop, store);
	count_channels(config);
	trials_init(&a->trials, &a->services, &a->types, store);
	TAILQ_INIT(&a->waiting);
	TAILQ_INIT(&a->flights);
	a->timer = loop_timer_new(loop, outbox_tick, a);
	loop_timer_set(a->timer, 0);
	return a;
}

struct alert *
alert_new(struct loop *loop, struct store *store, struct store_view *view, struct config *config)
{
	return outbox_new(loop, store, view, config,
			  &(struct outbox_options){.types = &channel_types_real});
}

void
alert_on_mail(struct alert *a, void (*mailed)(void *context), void *context)
{
	a->services.mailed = mailed;
	a->services.mailed_context = context;
}

void
alert_set_config(struct alert *a, struct config *config)
{
	loop_assert(a->loop);
	config_unref(a->config);
	a->config = config_ref(config);
	count_channels(config);
	state_forgive(&a->states);
	outbox_look(a);
}

void
alert_poke(struct alert *a)
{
	loop_assert(a->loop);
	outbox_look(a);
}

bool
alert_try(struct alert *a, const char *channel, const char *who, alert_tried *done, void *context,
	  struct buf *why)
{
	loop_assert(a->loop);
	return trial_start(&a->trials, a->config, channel, who, done, context, why);
}

void
alert_free(struct alert *a)
{
	struct note *n;

	if (a == NULL)
		return;
	trials_end(&a->trials, "mailfused stops");
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
	reports_free(a->reports);
	states_free(&a->states);
	config_unref(a->config);
	free(a);
}
