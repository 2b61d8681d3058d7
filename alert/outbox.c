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
 *   waiting --too many an hour--> digest.c --channel_tell_summary--> waiting, all in one
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
	struct arena arena;     /* the strings of row and batch */
	struct store_alert row; /* of a summary: made up */
	struct channel *channel;
	struct digest_row one, *rows; /* those of the outbox that it tells of */
	size_t row_count;
	struct digest_summary summary; /* nothing if it is none */
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
	if (n->rows != &n->one)
		free(n->rows);
	digest_summary_free(&n->summary);
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
	n->one = (struct digest_row){row->row, row->first_tried_at};
	n->rows = &n->one;
	n->row_count = 1;
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
note_give_up(struct note *n, const struct digest_row *row, bool tried, const char *why)
{
	tally_add(tally_get_channel(n->row.channel), TALLY_FAILED, 1);
	report_send(n->a->reports, STORE_ALERT_GIVE_UP, row->row, 0, tried, why);
}

static void
note_log_given_up(const struct note *n, size_t count, bool tried, const char *why)
{
	char id[32];

	log_warn("%s alert.given-up channel=%s event=%s alerts=%zu tries=%u why=%s",
		 note_log_id(n, id), n->row.channel, n->row.event, count, n->row.tries + tried,
		 log_safe(why));
}

/* Not tried any more. Frees the note. */
static void
note_drop(struct note *n, const char *why)
{
	for (size_t i = 0; i < n->row_count; i++)
		note_give_up(n, &n->rows[i], false, why);
	note_log_given_up(n, n->row_count, false, why);
	note_free(n);
}

/* Not tried: its channel is quiet, or has enough to do. Frees the note. */
static void
note_hand_back(struct note *n, int64_t wait, const char *why)
{
	for (size_t i = 0; i < n->row_count; i++)
		report_send(n->a->reports, STORE_ALERT_RETRY, n->rows[i].row, clock_wall() + wait,
			    false, why);
	note_free(n);
}

static bool
row_is_expired(const struct digest_row *row, const struct config_alert *to)
{
	return row->first_tried_at != 0 && clock_wall() - row->first_tried_at >= to->retry_for;
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

/* The try has failed: what was tried for long enough is given up, the rest comes again. */
static void
note_settle(struct note *n, int64_t wait, const char *why)
{
	size_t over = 0;
	char id[32];

	for (size_t i = 0; i < n->row_count; i++) {
		if (row_is_expired(&n->rows[i], n->to)) {
			over++;
			note_give_up(n, &n->rows[i], true, why);
		} else {
			report_send(n->a->reports, STORE_ALERT_RETRY, n->rows[i].row,
				    clock_wall() + wait, true, why);
		}
	}
	if (over < n->row_count) {
		tally_add(tally_get_channel(n->row.channel), TALLY_DEFERRED, 1);
		log_warn("%s alert.try-failed channel=%s event=%s tries=%u why=%s",
			 note_log_id(n, id), n->row.channel, n->row.event, n->row.tries + 1,
			 log_safe(why));
	}
	if (over > 0) {
		note_log_given_up(n, over, true, why);
		state_gave_up(&n->a->states, n->channel, why);
	}
}

/* The try, or one that could not start, has failed. */
static void
note_failed(struct note *n, const struct channel_end *end)
{
	struct channel *c = n->channel;
	int64_t quiet = state_failed(&n->a->states, c, end), wait;
	unsigned tries = n->row.tries + 1;

	metric_add(METRIC_ALERTS_FAILED, 1);
	wait = state_backoff(tries > c->failures ? tries : c->failures, (uint64_t)n->rows[0].row);
	note_settle(n, wait > end->leave ? wait : end->leave, end->why);
	channel_clear_waiting(n->a, c, quiet);
}

static void note_start(struct note *n);

/* True if there were too many within the hour: the note is in the channel's summary then. */
static bool
note_sum_up(struct note *n)
{
	const struct config_alert *to = channel_find(n->a->config, n->row.channel);
	struct digest *d = &n->channel->digest;

	if (n->summary.text != NULL || to == NULL || !digest_wants(d, to->per_hour, clock_mono()))
		return false;
	digest_add(d, &n->row, clock_mono());
	TAILQ_REMOVE(&n->a->waiting, n, next);
	n->channel->waiting--;
	note_free(n);
	return true;
}

/* Starts what may start: every channel by itself, so there are no more flights than channels. */
static void
outbox_pump(struct alert *a)
{
	struct note *n = TAILQ_FIRST(&a->waiting);

	while (n != NULL) {
		struct note *next = TAILQ_NEXT(n, next);

		if (note_sum_up(n)) {
			n = next;
		} else if (n->channel->flights == 0) {
			note_start(n);
			n = TAILQ_FIRST(&a->waiting); /* a failure may have emptied the list */
		} else {
			n = next;
		}
	}
}

static void
note_land(struct note *n)
{
	TAILQ_REMOVE(&n->a->flights, n, next);
	n->channel->flights--;
}

static void
note_told(struct note *n)
{
	char id[32];

	state_fine(&n->a->states, n->channel);
	if (n->summary.text == NULL)
		digest_count(&n->channel->digest, clock_mono());
	metric_add(METRIC_ALERTS_SENT, (int64_t)n->row_count);
	tally_add(tally_get_channel(n->row.channel), TALLY_DELIVERED, (int64_t)n->row_count);
	log_info("%s alert.sent channel=%s event=%s alerts=%zu tries=%u", note_log_id(n, id),
		 n->row.channel, n->row.event, n->row_count, n->row.tries + 1);
	for (size_t i = 0; i < n->row_count; i++)
		report_send(n->a->reports, STORE_ALERT_DONE, n->rows[i].row, 0, true, "");
}

/* channel_done: the try has ended. */
static void
note_ended(void *context, const struct channel_end *end)
{
	struct note *n = context;
	struct alert *a = n->a;

	note_land(n);
	if (end->ok)
		note_told(n);
	else
		note_failed(n, end);
	/* There was more than it could take, perhaps. */
	if (end->ok && n->channel->waiting == CHANNEL_ENOUGH - 1)
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
				    .lines = n->summary.lines,
				    .console =
					n->config->http.url != NULL ? n->config->http.url : ""};
	struct buf body = {0};
	void *attempt;

	if (n->row.batch != 0)
		store_view_batch(a->view, n->row.batch, copy_batch, &copy);
	if (copy.found) {
		note.batch = &copy.batch;
		note.distinct = copy.batch.distinct;
	}
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
		if (n->to == NULL) {
			note_drop(n, "the channel is no longer configured");
		} else {
			note_failed(n, &(struct channel_end){.why = buf_text(&why)});
			note_free(n);
		}
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
		note_drop(n, "the channel is no longer configured");
	} else if (quiet > 0 && row_is_expired(n->rows, to)) {
		snprintf(why, sizeof(why),
			 "the channel failed for as long as retry_for says, at last: %s",
			 n->channel->why);
		state_gave_up(&a->states, n->channel, n->channel->why);
		note_drop(n, why);
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

/* What came too fast to be told one by one, before all else that waits for the channel. */
static void
channel_tell_summary(struct alert *a, struct channel *c)
{
	char event[] = "alert.summary", who[] = "gate", none[] = "";
	struct digest *d = &c->digest;
	struct digest_summary summary;
	struct note *n;

	digest_sum_up(d, clock_mono(), &summary);
	n = note_new(a, &(struct store_alert){.at = clock_wall(),
					      .event = event,
					      .channel = c->name,
					      .environment = d->environment,
					      .text = summary.text,
					      .who = who,
					      .reason = none,
					      .tries = d->tries});
	n->summary = summary;
	n->rows = digest_take(d, &n->row_count);
	TAILQ_INSERT_HEAD(&a->waiting, n, next);
	c->waiting++;
}

/* A summary whose channel was taken away is due too, and finds that out. */
static void
outbox_tell_summaries(struct alert *a)
{
	struct channel *c;
	int64_t now = clock_mono();

	LIST_FOREACH (c, &a->states.channels, next)
		if (c->flights == 0 && now >= c->quiet_until &&
		    (digest_is_due(&c->digest, now) ||
		     (c->digest.count > 0 && channel_find(a->config, c->name) == NULL)))
			channel_tell_summary(a, c);
	outbox_pump(a);
}

static void
outbox_tick(void *context)
{
	struct alert *a = context;

	reports_retry(a->reports);
	state_tick(&a->states, a->config);
	outbox_tell_summaries(a);
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
	states_init(&a->states, store, view);
	if (options->patience != 0)
		a->states.patience = options->patience;
	if (options->digest_first != 0)
		a->states.digest_first = options->digest_first;
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
