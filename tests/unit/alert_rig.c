/*
 * See alert_rig.h.
 */
#include "tests/unit/alert_rig.h"

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

#include "alert/outbox.h"
#include "base/clock.h"
#include "base/mem.h"
#include "config/load.h"

struct alert_rig rig;

struct attempt {
	struct loop_timer *timer;
	channel_done *done;
	void *context;
	bool ok;
	int64_t leave;
};

size_t
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
	was.done(was.context, &(struct channel_end){.ok = was.ok,
						    .leave = was.leave,
						    .why = was.ok ? "fine" : "answered \"no\""});
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
	for (size_t i = 0; note->lines != NULL && note->lines[i] != NULL; i++)
		snprintf(s->line, sizeof(s->line), "%s", note->lines[i]);
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
	if (strncmp(channel->name, "late", 4) == 0)
		t->ok = strcmp(note->alert->event, "alert.summary") != 0 ||
			told_of(channel->name, "alert.summary") > 1;
	t->leave = strncmp(channel->name, "busy", 4) == 0 ? CLOCK_HOUR : 0;
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
const struct channel_types rig_fakes = {&fake, &fake, &fake, &fake, &fake};

/* ---- the rig */

struct config *
make_config(const char *channels, const char *retry_for, const char *keys)
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
				   "alert %s { %s url = \"http://127.0.0.1:1/\" "
				   "retry_for = %s events = {\"%s\"} }\n",
				   word, keys != NULL ? keys : "type = webhook", retry_for,
				   events != NULL ? events : "*");
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

void
rig_open_with(const char *channels, const char *retry_for, const struct rig_options *with)
{
	const struct store_options options = {.path = with->path != NULL ? with->path : "memory:",
					      .size_limit = 1000000000};
	struct config *c = make_config(channels, retry_for, with->keys);
	struct buf error = {0};

	memset(&rig, 0, sizeof(rig));
	rig.loop = loop_new("test");
	rig.store = store_open(&options, &error);
	if (rig.store == NULL)
		fail_msg("%s", buf_text(&error));
	rig.view = store_view_open(rig.store, &error);
	assert_non_null(rig.view);
	rig.alert = outbox_new(rig.loop, rig.store, rig.view, c,
			       &(struct outbox_options){.types = &rig_fakes,
							.patience = with->patience,
							.digest_first = with->digest_first});
	rig.pulse = loop_timer_new(rig.loop, rig_pulse, NULL);
	rig_pulse(NULL);
	config_unref(c);
	buf_free(&error);
}

void
rig_open(const char *channels, const char *retry_for)
{
	rig_open_with(channels, retry_for, &(struct rig_options){0});
}

void
rig_close(void)
{
	alert_free(rig.alert);
	store_view_close(rig.view);
	store_close(rig.store);
	loop_drain(rig.loop);
	loop_timer_free(rig.pulse);
	loop_free(rig.loop);
}

void
rig_turn(void)
{
	event_base_loop(loop_base(rig.loop), EVLOOP_ONCE);
}

void
rig_pass(int64_t time)
{
	int64_t end = clock_mono() + time;

	while (clock_mono() < end)
		rig_turn();
}

bool
rig_sees(const char *channel, size_t count, int64_t time)
{
	int64_t end = clock_mono() + time;

	while (seen_by(channel) < count && clock_mono() < end)
		rig_turn();
	return seen_by(channel) >= count;
}

struct fact {
	struct store_job job;
	char text[24];
	_Atomic bool done;
};

static void
fact_done(struct store_job *job)
{
	atomic_store(&((struct fact *)job)->done, true);
}

static void
fact_submit(struct fact *f, const char *event, const char *text)
{
	f->job = (struct store_job){.op = STORE_FACT, .done = fact_done};
	f->job.u.fact.event = event;
	f->job.u.fact.environment = "staging";
	f->job.u.fact.object = "";
	f->job.u.fact.who = "gate";
	f->job.u.fact.reason = "";
	f->job.u.fact.text = text;
	f->job.u.fact.alert = true;
	f->job.u.fact.now = clock_wall();
	writer_submit(rig.store, &f->job);
}

static void
fact_wait(struct fact *f)
{
	while (!atomic_load(&f->done))
		usleep(200);
	assert_int_equal(f->job.result, STORE_OK);
}

void
tell(const char *event, const char *text)
{
	struct fact f = {0};

	fact_submit(&f, event, text);
	fact_wait(&f);
}

void
tell_many(const char *event, size_t count)
{
	struct fact *all = mem_zalloc(count * sizeof(*all));

	for (size_t i = 0; i < count; i++) {
		snprintf(all[i].text, sizeof(all[i].text), "%zu", i);
		fact_submit(&all[i], event, all[i].text);
	}
	for (size_t i = 0; i < count; i++)
		fact_wait(&all[i]);
	free(all);
}

void
backlog(uint64_t *pending, uint64_t *failed)
{
	int64_t oldest;

	assert_int_equal(store_view_alert_backlog(rig.view, pending, failed, &oldest), STORE_OK);
}

bool
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

size_t
told_of(const char *channel, const char *event)
{
	size_t n = 0;

	for (size_t i = 0; i < rig.count; i++)
		n += strcmp(rig.seen[i].channel, channel) == 0 &&
		     strcmp(rig.seen[i].event, event) == 0;
	return n;
}

bool
is_told(const char *channel, const char *event, size_t count, int64_t time)
{
	int64_t end = clock_mono() + time;

	while (told_of(channel, event) < count && clock_mono() < end)
		rig_turn();
	return told_of(channel, event) >= count;
}
