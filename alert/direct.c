/*
 * Alerts past the outbox. Called by daemon/ on the main loop; direct_free() frees all of it. A try
 * is the channel's own (channel.h), the wait between two of them the outbox's.
 */
#include "alert/direct.h"

#include <stdio.h>
#include <stdlib.h>

#include "alert/http.h"
#include "alert/payload.h"
#include "alert/state.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

/* One channel: a try is under way, or the timer runs, or it is over. */
struct target {
	struct direct *direct;
	const struct config_alert *to;
	void *attempt;
	struct loop_timer *again;
	unsigned failures;
};

struct direct {
	struct config *config;
	const struct channel_types *types;
	struct channel_services services;
	struct store_alert alert;
	char *event, *text;
	char who[8], none[1];
	int64_t began; /* monotonic */
	struct target *targets;
	size_t count;
};

static void
target_failed(struct target *t, const struct channel_end *end)
{
	struct direct *d = t->direct;
	int64_t wait = state_backoff(t->failures + 1, (uint64_t)clock_wall());
	bool over;

	if (wait < end->leave)
		wait = end->leave;
	over = clock_mono() + wait - d->began >= t->to->retry_for;
	t->failures++;
	channel_count(t->to->name, over ? TALLY_FAILED : TALLY_DEFERRED);
	log_warn("- alert.%s channel=%s event=%s tries=%u why=%s", over ? "given-up" : "try-failed",
		 t->to->name, d->event, t->failures, log_safe(end->why));
	if (!over)
		loop_timer_set(t->again, wait);
}

static void
target_ended(void *context, const struct channel_end *end)
{
	struct target *t = context;

	t->attempt = NULL;
	if (!end->ok) {
		target_failed(t, end);
		return;
	}
	channel_count(t->to->name, TALLY_DELIVERED);
	log_info("- alert.sent channel=%s event=%s tries=%u", t->to->name, t->direct->event,
		 t->failures + 1);
}

static void
target_start(void *context)
{
	struct target *t = context;
	struct direct *d = t->direct;
	struct buf body = {0}, why = {0};

	payload_json(&d->alert, NULL, 0, d->config->hostname, &body);
	struct channel_note note = {.alert = &d->alert,
				    .gate = d->config->hostname,
				    .console =
					d->config->http.url != NULL ? d->config->http.url : "",
				    .json = buf_text(&body),
				    .json_len = body.len};
	t->attempt = channel_type_of(t->direct->types, t->to->type)
			 ->start(&d->services, t->to, &note, target_ended, t, &why);
	if (t->attempt == NULL)
		target_failed(t, &(struct channel_end){.why = buf_text(&why)});
	buf_free(&body);
	buf_free(&why);
}

static bool
is_wanted(const struct config_alert *to, const char *event)
{
	for (size_t i = 0; to->events[i] != NULL; i++)
		if (text_glob(to->events[i], event))
			return true;
	return false;
}

struct direct *
direct_new(struct loop *loop, struct config *config, const struct channel_types *types,
	   const char *event, const char *text)
{
	struct direct *d = mem_zalloc(sizeof(*d));

	d->config = config_ref(config);
	d->types = types != NULL ? types : &channel_types_real;
	d->services.loop = loop;
	d->services.http = http_new(loop);
	d->event = mem_strdup(event);
	d->text = mem_strdup(text);
	snprintf(d->who, sizeof(d->who), "gate");
	d->began = clock_mono();
	d->alert = (struct store_alert){.at = clock_wall(),
					.event = d->event,
					.channel = d->none,
					.environment = d->none,
					.text = d->text,
					.who = d->who,
					.reason = d->none};
	d->targets = mem_zalloc((config->alert_count + 1) * sizeof(*d->targets));
	for (size_t i = 0; i < config->alert_count; i++) {
		struct target *t = &d->targets[d->count];

		/* Mail goes by the store, which is what is broken. */
		if (config->alerts[i].type == CONFIG_ALERT_EMAIL ||
		    !is_wanted(&config->alerts[i], event))
			continue;
		d->count++;
		t->direct = d;
		t->to = &config->alerts[i];
		t->again = loop_timer_new(loop, target_start, t);
		target_start(t);
	}
	return d;
}

void
direct_free(struct direct *d)
{
	if (d == NULL)
		return;
	for (size_t i = 0; i < d->count; i++) {
		struct target *t = &d->targets[i];

		if (t->attempt != NULL)
			channel_type_of(t->direct->types, t->to->type)->cancel(t->attempt);
		loop_timer_free(t->again);
	}
	http_free(d->services.http);
	config_unref(d->config);
	free(d->targets);
	free(d->event);
	free(d->text);
	free(d);
}
