/*
 * The outbox with the store's memory twin and channels that answer as told: who gets what, when a
 * try is repeated, when it is given up, and that one dead channel holds up no other.
 */
#include <event2/event.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "alert/direct.h"
#include "alert/outbox.h"
#include "alert/state.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/load.h"

/* How long what must come may take on a busy machine: a wait for an event, no measurement. */
#define PATIENCE (30 * CLOCK_SECOND)

enum { SEEN_MAX = 11000 };

/*
 * A fake channel does what its name begins with: "ok" takes everything, "bad" refuses everything,
 * "once" refuses the first, "twice" the first two, "hang" never answers, "no" cannot start.
 */
struct seen {
	char channel[20], event[40], text[40];
	long long id;
	int64_t at;
};

static struct rig {
	struct loop *loop;
	struct store *store;
	struct store_view *view;
	struct alert *alert;
	struct loop_timer *pulse;
	struct seen seen[SEEN_MAX]; /* every start, in order */
	size_t count, cancelled;
} rig;

struct attempt {
	struct loop_timer *timer;
	channel_done *done;
	void *context;
	bool ok;
};

static size_t
seen_by(const char *channel)
{
	size_t n = 0;

	for (size_t i = 0; i < rig.count; i++)
		n += strcmp(rig.seen[i].channel, channel) == 0;
	return n;
}

static void
fake_answer(void *context)
{
	struct attempt *t = context;
	struct attempt was = *t;

	loop_timer_free(t->timer);
	free(t);
	was.done(was.context, was.ok, was.ok ? "fine" : "answered \"no\"");
}

static void *
fake_start(const struct channel_services *services, const struct config_alert *channel,
	   const struct channel_note *note, channel_done *done, void *context, struct buf *why)
{
	struct seen *s = &rig.seen[rig.count];
	struct attempt *t;

	assert_true(rig.count < SEEN_MAX);
	snprintf(s->channel, sizeof(s->channel), "%s", channel->name);
	snprintf(s->event, sizeof(s->event), "%s", note->alert->event);
	snprintf(s->text, sizeof(s->text), "%s", note->alert->text);
	s->id = (long long)note->alert->event_id;
	s->at = clock_mono();
	rig.count++;
	assert_string_equal(note->gate, "gate.example");
	assert_int_equal(strlen(note->json), note->json_len);
	if (strncmp(channel->name, "no", 2) == 0) {
		buf_add_text(why, "cannot start");
		return NULL;
	}
	t = mem_zalloc(sizeof(*t));
	t->done = done;
	t->context = context;
	t->ok = strncmp(channel->name, "ok", 2) == 0 ||
		(strncmp(channel->name, "once", 4) == 0 && seen_by(channel->name) > 1) ||
		(strncmp(channel->name, "twice", 5) == 0 && seen_by(channel->name) > 2);
	t->timer = loop_timer_new(services->loop, fake_answer, t);
	if (strncmp(channel->name, "hang", 4) != 0)
		loop_timer_set(t->timer, CLOCK_SECOND / 1000);
	return t;
}

static void
fake_cancel(void *attempt)
{
	struct attempt *t = attempt;

	rig.cancelled++;
	loop_timer_free(t->timer);
	free(t);
}

static const struct channel_type fake = {fake_start, fake_cancel};
static const struct channel_types fakes = {&fake, &fake, &fake, &fake, &fake};

/* ---- the rig */

/* Names of channels, such as "ok bad*upstream.*": a star and the events it wants, else all. */
static struct config *
make_config(const char *channels, const char *retry_for)
{
	struct buf text = {0}, errors = {0};
	char *list = mem_strdup(channels), *rest = list, *word;
	struct config *c;

	buf_add_text(&text, "hostname = \"gate.example\"\n");
	while ((word = strsep(&rest, " ")) != NULL) {
		char *events = strchr(word, '*');

		if (events != NULL)
			*events++ = '\0';
		if (*word != '\0')
			buf_printf(&text,
				   "alert %s { type = webhook url = \"http://127.0.0.1:1/\" "
				   "retry_for = %s events = {\"%s\"} }\n",
				   word, retry_for, events != NULL ? events : "*");
	}
	c = load_text(text.data, "t", false, &errors);
	if (c == NULL)
		fail_msg("%s", buf_text(&errors));
	free(list);
	buf_free(&text);
	buf_free(&errors);
	return c;
}

static void
rig_pulse(void *context)
{
	(void)context;
	loop_timer_set(rig.pulse, CLOCK_SECOND / 200);
}

static void
rig_open_patient(const char *channels, const char *retry_for, int64_t patience)
{
	const struct store_options options = {.path = "memory:", .size_limit = 1000000000};
	struct config *c = make_config(channels, retry_for);
	struct buf error = {0};

	memset(&rig, 0, sizeof(rig));
	rig.loop = loop_new("test");
	rig.store = store_open(&options, &error);
	if (rig.store == NULL)
		fail_msg("%s", buf_text(&error));
	rig.view = store_view_open(rig.store, &error);
	assert_non_null(rig.view);
	rig.alert = outbox_new(rig.loop, rig.store, rig.view, c,
			       &(struct outbox_options){.types = &fakes, .patience = patience});
	rig.pulse = loop_timer_new(rig.loop, rig_pulse, NULL);
	rig_pulse(NULL);
	config_unref(c);
	buf_free(&error);
}

static void
rig_open(const char *channels, const char *retry_for)
{
	rig_open_patient(channels, retry_for, 0);
}

/* As daemon/ ends it: the outbox first, then the store, then what the store still posted. */
static void
rig_close(void)
{
	alert_free(rig.alert);
	store_view_close(rig.view);
	store_close(rig.store);
	loop_drain(rig.loop);
	loop_timer_free(rig.pulse);
	loop_free(rig.loop);
}

static void
rig_turn(void)
{
	event_base_loop(loop_base(rig.loop), EVLOOP_ONCE);
}

static void
rig_pass(int64_t time)
{
	int64_t end = clock_mono() + time;

	while (clock_mono() < end)
		rig_turn();
}

/* Until that many starts were seen of a channel; false after the time. */
static bool
rig_sees(const char *channel, size_t count, int64_t time)
{
	int64_t end = clock_mono() + time;

	while (seen_by(channel) < count && clock_mono() < end)
		rig_turn();
	return seen_by(channel) >= count;
}

struct fact {
	struct store_job job;
	_Atomic bool done;
};

static void
fact_done(struct store_job *job)
{
	atomic_store(&((struct fact *)job)->done, true);
}

static void
tell(const char *event, const char *text)
{
	struct fact f = {.job = {.op = STORE_FACT, .done = fact_done}};

	f.job.u.fact.event = event;
	f.job.u.fact.environment = "staging";
	f.job.u.fact.object = "";
	f.job.u.fact.who = "gate";
	f.job.u.fact.reason = "";
	f.job.u.fact.text = text;
	f.job.u.fact.alert = true;
	f.job.u.fact.now = clock_wall();
	writer_submit(rig.store, &f.job);
	while (!atomic_load(&f.done))
		usleep(200);
	assert_int_equal(f.job.result, STORE_OK);
}

static void
backlog(uint64_t *pending, uint64_t *failed)
{
	int64_t oldest;

	assert_int_equal(store_view_alert_backlog(rig.view, pending, failed, &oldest), STORE_OK);
}

static bool
backlog_becomes(uint64_t pending, uint64_t failed, int64_t time)
{
	int64_t end = clock_mono() + time;
	uint64_t p = 0, f = 0;

	do {
		rig_turn();
		backlog(&p, &f);
	} while ((p != pending || f != failed) && clock_mono() < end);
	return p == pending && f == failed;
}

/* ---- tests */

static void
test_who_wants_what(void **state)
{
	(void)state;
	rig_open("ok ok2*upstream.*", "1d");
	tell("batch.opened", "one");
	tell("upstream.down", "two");
	alert_poke(rig.alert);
	assert_true(rig_sees("ok", 2, PATIENCE));
	assert_true(rig_sees("ok2", 1, PATIENCE));
	assert_true(backlog_becomes(0, 0, PATIENCE));
	assert_int_equal(rig.count, 3);
	for (size_t i = 0; i < rig.count; i++)
		if (strcmp(rig.seen[i].channel, "ok2") == 0)
			assert_string_equal(rig.seen[i].text, "two");
	rig_close();
}

static void
test_in_order(void **state)
{
	char text[20];

	(void)state;
	rig_open("ok", "1d");
	for (int i = 0; i < 12; i++) {
		snprintf(text, sizeof(text), "%d", i);
		tell("batch.opened", text);
	}
	alert_poke(rig.alert);
	assert_true(rig_sees("ok", 12, PATIENCE));
	for (int i = 0; i < 12; i++)
		assert_int_equal(strtol(rig.seen[i].text, NULL, 10), i);
	rig_close();
}

/* Of many that happen at once each arrives once and in order, beside a channel that hangs
 * and one that fails, and with a reload in the middle. */
static void
test_many_at_once(void **state)
{
	enum { MANY = 1500 }; /* the twin in memory looks through all of them each time */
	struct config *c = make_config("ok hang bad", "1d");
	char text[20];
	long next = 0;

	(void)state;
	rig_open("ok hang bad", "1d");
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text), "%d", i);
		tell("batch.opened", text);
	}
	alert_poke(rig.alert);
	assert_true(rig_sees("ok", MANY / 2, 4 * PATIENCE));
	alert_set_config(rig.alert, c);
	config_unref(c);
	assert_true(rig_sees("ok", MANY, 4 * PATIENCE));
	for (size_t i = 0; i < rig.count; i++)
		if (strcmp(rig.seen[i].channel, "ok") == 0)
			assert_int_equal(strtol(rig.seen[i].text, NULL, 10), next++);
	assert_int_equal(next, MANY);
	rig_close();
}

/* It looks by itself, once a second. */
static void
test_without_poke(void **state)
{
	(void)state;
	rig_open("ok", "1d");
	rig_pass(CLOCK_SECOND / 10);
	tell("batch.opened", "x");
	assert_true(rig_sees("ok", 1, PATIENCE));
	rig_close();
}

static void
test_retry(void **state)
{
	(void)state;
	rig_open("once", "1d");
	tell("batch.opened", "x");
	assert_true(rig_sees("once", 2, PATIENCE));
	assert_int_equal(rig.seen[0].id, rig.seen[1].id);
	/* 1 s, less a quarter of jitter. */
	assert_true(rig.seen[1].at - rig.seen[0].at >= 3 * CLOCK_SECOND / 4);
	assert_true(backlog_becomes(0, 0, PATIENCE));
	rig_close();
}

static bool
keep_failed(void *context, const struct store_audit *row)
{
	if (strcmp(row->action, "alert.failed") == 0) {
		buf_printf(context, "%s;", row->detail);
		/* Also of what was given up because its channel failed for too long. */
		assert_non_null(strstr(row->reason, "answered \"no\""));
	}
	return true;
}

/* What is handed back because another alert of its channel failed was not tried. */
static void
test_only_tries_count(void **state)
{
	struct buf seen = {0};

	(void)state;
	rig_open("bad", "2s");
	tell("batch.opened", "one");
	tell("batch.opened", "two");
	alert_poke(rig.alert);
	assert_true(backlog_becomes(0, 2, PATIENCE));
	assert_int_equal(store_view_audit(rig.view, 0, 0, 0, NULL, keep_failed, &seen), STORE_OK);
	for (const char *t = buf_text(&seen); (t = strstr(t, "tries=")) != NULL; t++)
		rig.count -= strtoul(t + 6, NULL, 10);
	assert_int_equal(rig.count, 0);
	buf_free(&seen);
	rig_close();
}

/* A channel that fails is left alone for a while: its other alerts are not tried one by one. */
static void
test_failing_channel_is_quiet(void **state)
{
	(void)state;
	rig_open("bad", "1d");
	for (int i = 0; i < 30; i++)
		tell("batch.opened", "x");
	alert_poke(rig.alert);
	assert_true(rig_sees("bad", 1, PATIENCE));
	rig_pass(CLOCK_SECOND / 2);
	assert_int_equal(seen_by("bad"), 1);
	assert_true(backlog_becomes(30, 0, PATIENCE));
	rig_close();
}

static void
test_dead_channel_delays_nobody(void **state)
{
	static const char *const dead[] = {"hang", "bad", "no"};

	(void)state;
	for (size_t i = 0; i < sizeof(dead) / sizeof(dead[0]); i++) {
		char channels[40];

		/* Its alerts are older and more than are taken at a time. */
		snprintf(channels, sizeof(channels), "%s ok*upstream.*", dead[i]);
		rig_open(channels, "1d");
		for (int k = 0; k < 150; k++)
			tell("batch.opened", "for the dead one");
		for (int k = 0; k < 5; k++)
			tell("upstream.down", "for both");
		alert_poke(rig.alert);
		if (!rig_sees("ok", 5, PATIENCE))
			fail_msg("%s: only %zu arrived", dead[i], seen_by("ok"));
		assert_true(seen_by(dead[i]) < 150);
		rig_close();
	}
}

static void
test_many_hanging_channels_delay_nobody(void **state)
{
	(void)state;
	rig_open("hang1 hang2 hang3 hang4 hang5 hang6 hang7 hang8 hang9 ok", "1d");
	tell("batch.opened", "for all");
	alert_poke(rig.alert);
	if (!rig_sees("ok", 1, PATIENCE))
		fail_msg("it did not arrive beside %zu that hang", rig.count);
	rig_close();
}

static bool
find_failed(void *context, const struct store_audit *a)
{
	bool *found = context;

	if (strcmp(a->action, "alert.failed") == 0 && strcmp(a->object, "bad") == 0 &&
	    strcmp(a->reason, "answered \"no\"") == 0)
		*found = true;
	return true;
}

static void
test_gives_up(void **state)
{
	bool found = false;

	(void)state;
	rig_open("bad", "3s"); /* the second try comes after about one */
	tell("batch.opened", "x");
	assert_true(backlog_becomes(0, 1, PATIENCE));
	assert_true(rig.count >= 2);
	assert_int_equal(store_view_audit(rig.view, 0, 0, 1000, NULL, find_failed, &found),
			 STORE_OK);
	assert_true(found);
	rig_close();
}

/* A channel that a reload took away gives up what waits for it; a new one gets what comes. */
static void
test_reload(void **state)
{
	struct config *c = make_config("ok", "1d");

	(void)state;
	rig_open("bad", "1d");
	tell("batch.opened", "old");
	assert_true(rig_sees("bad", 1, PATIENCE));
	alert_set_config(rig.alert, c);
	config_unref(c);
	tell("batch.opened", "new");
	assert_true(rig_sees("ok", 1, PATIENCE));
	assert_string_equal(rig.seen[rig.count - 1].text, "new");
	assert_true(backlog_becomes(0, 1, PATIENCE));
	assert_int_equal(seen_by("bad"), 1);
	rig_close();
}

/* What happened before there was a channel is not told to one that comes later. */
static void
test_no_channels(void **state)
{
	struct config *c = make_config("ok", "1d");

	(void)state;
	rig_open("", "1d");
	tell("batch.opened", "before anybody listened");
	alert_poke(rig.alert);
	rig_pass(CLOCK_SECOND / 5);
	alert_set_config(rig.alert, c);
	config_unref(c);
	tell("batch.opened", "after");
	assert_true(rig_sees("ok", 1, PATIENCE));
	assert_string_equal(rig.seen[0].text, "after");
	assert_int_equal(rig.count, 1);
	rig_close();
}

/* ---- a channel that fails is told of on the others */

static size_t
told_of(const char *channel, const char *event)
{
	size_t n = 0;

	for (size_t i = 0; i < rig.count; i++)
		n += strcmp(rig.seen[i].channel, channel) == 0 &&
		     strcmp(rig.seen[i].event, event) == 0;
	return n;
}

static bool
is_told(const char *channel, const char *event, size_t count, int64_t time)
{
	int64_t end = clock_mono() + time;

	while (told_of(channel, event) < count && clock_mono() < end)
		rig_turn();
	return told_of(channel, event) >= count;
}

/* Once, after its patience and not before, never to itself; and that it works again. */
static void
test_failing_channel_is_told(void **state)
{
	(void)state;
	rig_open_patient("twice ok*alert.*", "1d", 2 * CLOCK_SECOND);
	tell("batch.opened", "x");
	alert_poke(rig.alert);
	assert_true(rig_sees("twice", 1, PATIENCE));
	assert_true(is_told("ok", "alert.failed", 1, PATIENCE));
	assert_true(clock_mono() - rig.seen[0].at >= 2 * CLOCK_SECOND);
	assert_true(is_told("ok", "alert.recovered", 1, PATIENCE));
	assert_true(backlog_becomes(0, 0, PATIENCE));
	rig_pass(3 * CLOCK_SECOND / 2);
	assert_int_equal(told_of("ok", "alert.failed"), 1);
	assert_int_equal(told_of("ok", "alert.recovered"), 1);
	assert_int_equal(told_of("twice", "alert.failed"), 0);
	assert_int_equal(told_of("twice", "alert.recovered"), 0);
	rig_close();
}

/* What works again soon is nobody's business. */
static void
test_short_failure_is_not_told(void **state)
{
	(void)state;
	rig_open_patient("once ok*alert.*", "1d", 60 * CLOCK_SECOND);
	tell("batch.opened", "x");
	assert_true(rig_sees("once", 2, PATIENCE));
	assert_true(backlog_becomes(0, 0, PATIENCE));
	rig_pass(3 * CLOCK_SECOND / 2);
	assert_int_equal(seen_by("ok"), 0);
	rig_close();
}

/* A reload that takes the channel away ends it without a word. */
static void
test_removed_channel_is_not_told(void **state)
{
	struct config *c = make_config("ok*alert.*", "1d");

	(void)state;
	rig_open_patient("bad ok*alert.*", "1d", 2 * CLOCK_SECOND);
	tell("batch.opened", "x");
	assert_true(rig_sees("bad", 1, PATIENCE));
	alert_set_config(rig.alert, c);
	config_unref(c);
	assert_true(backlog_becomes(0, 1, PATIENCE));
	rig_pass(3 * CLOCK_SECOND);
	assert_int_equal(seen_by("ok"), 0);
	rig_close();
}

/* ---- trials */

static struct {
	size_t ended;
	bool ok;
	char why[100];
} trial;

static void
trial_ended(void *context, bool ok, int64_t took, const char *why)
{
	assert_null(context);
	assert_true(took >= 0);
	trial.ended++;
	trial.ok = ok;
	snprintf(trial.why, sizeof(trial.why), "%s", why);
}

static void
test_trials(void **state)
{
	static const struct {
		const char *channel;
		bool ok;
		const char *why;
	} rows[] = {
	    {"ok", true, ""}, {"bad", false, "answered \"no\""}, {"no", false, "cannot start"}};
	struct buf why = {0};

	(void)state;
	rig_open("ok bad no hang", "1d");
	for (size_t i = 0; i < 3; i++) {
		int64_t end = clock_mono() + PATIENCE;

		trial.ended = 0;
		assert_true(alert_try(rig.alert, rows[i].channel, "me", trial_ended, NULL, &why));
		assert_int_equal(trial.ended, 0); /* never from inside */
		while (trial.ended == 0 && clock_mono() < end)
			rig_turn();
		assert_int_equal(trial.ended, 1);
		assert_int_equal(trial.ok, rows[i].ok);
		assert_string_equal(trial.why, rows[i].why);
	}
	assert_false(alert_try(rig.alert, "nobody", "me", trial_ended, NULL, &why));
	assert_string_equal(buf_text(&why), "there is no channel nobody");
	/* What is under way ends with the outbox. */
	trial.ended = 0;
	assert_true(alert_try(rig.alert, "hang", "me", trial_ended, NULL, &why));
	rig_pass(CLOCK_SECOND / 20);
	assert_int_equal(trial.ended, 0);
	rig_close();
	assert_int_equal(trial.ended, 1);
	assert_false(trial.ok);
	assert_string_equal(trial.why, "mailfused stops");
	assert_int_equal(rig.cancelled, 1);
	buf_free(&why);
}

static void
test_stop_in_flight(void **state)
{
	uint64_t pending, failed;

	(void)state;
	rig_open("hang hang2", "1d");
	tell("batch.opened", "x");
	alert_poke(rig.alert);
	assert_true(rig_sees("hang", 1, PATIENCE));
	assert_true(rig_sees("hang2", 1, PATIENCE));
	backlog(&pending, &failed);
	assert_int_equal(pending, 2);
	assert_int_equal(rig.cancelled, 0);
	rig_close();
	assert_int_equal(rig.cancelled, 2);
}

/* Right after the start, with the first job at the store. */
static void
test_stop_at_once(void **state)
{
	(void)state;
	rig_open("ok", "1d");
	tell("batch.opened", "x");
	alert_poke(rig.alert);
	rig_close();
}

struct backoff_row {
	unsigned failures;
	int64_t wait; /* without jitter */
};

static void
test_backoff(void **state)
{
	static const struct backoff_row rows[] = {
	    {1, CLOCK_SECOND},       {2, 2 * CLOCK_SECOND},    {5, 16 * CLOCK_SECOND},
	    {9, 256 * CLOCK_SECOND}, {10, 300 * CLOCK_SECOND}, {4000000000, 300 * CLOCK_SECOND}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t least = INT64_MAX, most = 0;

		for (uint64_t seed = 0; seed < 200; seed++) {
			int64_t wait = state_backoff(rows[i].failures, seed);

			assert_in_range(wait, rows[i].wait * 3 / 4, rows[i].wait * 5 / 4);
			least = wait < least ? wait : least;
			most = wait > most ? wait : most;
		}
		assert_true(most - least > rows[i].wait / 4); /* it does spread */
	}
}

/* Past the outbox: each channel that wants it until it has it, the others never. */
static void
test_direct(void **state)
{
	struct config *c = make_config("ok once bad no other*upstream.*", "2s");
	int64_t end = clock_mono() + PATIENCE;
	struct direct *d;

	(void)state;
	rig_open("", "1d");
	d = direct_new(rig.loop, c, &fakes, "store.broken", "a sync failed");
	config_unref(c);
	while ((seen_by("once") < 2 || seen_by("bad") < 2) && clock_mono() < end)
		event_base_loop(loop_base(rig.loop), EVLOOP_ONCE);
	assert_int_equal(seen_by("ok"), 1);
	assert_int_equal(seen_by("once"), 2);
	assert_true(seen_by("bad") >= 2);
	assert_int_equal(seen_by("other"), 0);
	direct_free(d);
	rig_close();
}

/* What is under way ends with it. */
static void
test_direct_is_freed_in_flight(void **state)
{
	struct config *c = make_config("hang", "1d");
	struct direct *d;

	(void)state;
	rig_open("", "1d");
	d = direct_new(rig.loop, c, &fakes, "store.broken", "a sync failed");
	config_unref(c);
	assert_int_equal(seen_by("hang"), 1);
	direct_free(d);
	assert_int_equal(rig.cancelled, 1);
	direct_free(NULL);
	rig_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_direct),
	    cmocka_unit_test(test_direct_is_freed_in_flight),
	    cmocka_unit_test(test_who_wants_what),
	    cmocka_unit_test(test_in_order),
	    cmocka_unit_test(test_many_at_once),
	    cmocka_unit_test(test_without_poke),
	    cmocka_unit_test(test_retry),
	    cmocka_unit_test(test_only_tries_count),
	    cmocka_unit_test(test_failing_channel_is_quiet),
	    cmocka_unit_test(test_dead_channel_delays_nobody),
	    cmocka_unit_test(test_many_hanging_channels_delay_nobody),
	    cmocka_unit_test(test_gives_up),
	    cmocka_unit_test(test_reload),
	    cmocka_unit_test(test_no_channels),
	    cmocka_unit_test(test_failing_channel_is_told),
	    cmocka_unit_test(test_short_failure_is_not_told),
	    cmocka_unit_test(test_removed_channel_is_not_told),
	    cmocka_unit_test(test_trials),
	    cmocka_unit_test(test_stop_in_flight),
	    cmocka_unit_test(test_stop_at_once),
	    cmocka_unit_test(test_backoff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
