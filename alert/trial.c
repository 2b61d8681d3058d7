/*
 * Trials. Owned by the outbox; a trial is freed when it ends. It goes past the outbox, so that it
 * neither waits behind alerts that cannot be told nor counts as one: what it finds is for who
 * asked.
 */
#include "alert/trial.h"

#include <stdlib.h>

#include "alert/payload.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/fact.h"

/* One a channel in `--all` of a large configuration. */
enum { TRIALS_MAX = 32 };

struct trial {
	LIST_ENTRY(trial) next;
	struct trials *owner;
	struct config *config; /* keeps the channel alive over a reload */
	const struct config_alert *to;
	const struct channel_type *type;
	void *attempt;
	int64_t began; /* monotonic */
	alert_tried *done;
	void *context;
	char *why; /* of one that could not start */
	struct loop_timer *soon;
};

void
trials_init(struct trials *t, const struct channel_services *services,
	    const struct channel_types *types, struct store *store)
{
	*t = (struct trials){.services = services, .types = types, .store = store};
	LIST_INIT(&t->list);
}

static void
trial_end(struct trial *t, bool ok, const char *why)
{
	alert_tried *done = t->done;
	void *context = t->context;
	int64_t took = clock_mono() - t->began;

	log_info("- alert.tested channel=%s ok=%d why=%s", t->to->name, ok, log_safe(why));
	LIST_REMOVE(t, next);
	t->owner->count--;
	done(context, ok, took, why);
	loop_timer_free(t->soon);
	config_unref(t->config);
	free(t->why);
	free(t);
}

static void
trial_ended(void *context, const struct channel_end *end)
{
	struct trial *t = context;

	t->attempt = NULL;
	channel_count(t->to->name, end->ok ? TALLY_DELIVERED : TALLY_FAILED);
	trial_end(t, end->ok, end->ok ? "" : end->why);
}

static void
trial_not_started(void *context)
{
	struct trial *t = context;

	channel_count(t->to->name, TALLY_FAILED);
	trial_end(t, false, t->why);
}

/* What it says is what nobody may take for an alarm at night. */
static void
trial_send(struct trial *t, const char *who, struct buf *why)
{
	char event[] = "alert.test", none[] = "";
	char *text = mem_printf("TEST: channel %s works if you read this. Nothing happened, and "
				"nothing is to be done.",
				t->to->name);
	char *asked = mem_strdup(who);
	const struct store_alert alert = {.at = clock_wall(),
					  .event = event,
					  .channel = t->to->name,
					  .environment = none,
					  .text = text,
					  .who = asked,
					  .reason = none};
	struct channel_note note = {.alert = &alert,
				    .gate = t->config->hostname,
				    .console =
					t->config->http.url != NULL ? t->config->http.url : "",
				    .trial = true};
	struct buf body = {0};

	payload_json(&alert, NULL, 0, note.gate, &body);
	note.json = buf_text(&body);
	note.json_len = body.len;
	t->attempt = t->type->start(t->owner->services, t->to, &note, trial_ended, t, why);
	buf_free(&body);
	free(text);
	free(asked);
}

bool
trial_start(struct trials *owner, struct config *config, const char *channel, const char *who,
	    alert_tried *done, void *context, struct buf *why)
{
	const struct config_alert *to = channel_find(config, channel);
	struct buf reason = {0};
	struct trial *t;

	if (to == NULL) {
		buf_printf(why, "there is no channel %s", log_safe(channel));
		return false;
	}
	if (owner->count == TRIALS_MAX) {
		buf_printf(why, "%d tests are under way; wait until they have ended", TRIALS_MAX);
		return false;
	}
	t = mem_zalloc(sizeof(*t));
	t->owner = owner;
	t->config = config_ref(config);
	t->to = to;
	t->type = channel_type_of(owner->types, to->type);
	t->began = clock_mono();
	t->done = done;
	t->context = context;
	t->soon = loop_timer_new(owner->services->loop, trial_not_started, t);
	LIST_INSERT_HEAD(&owner->list, t, next);
	owner->count++;
	fact_tell(owner->store,
		  &(struct fact){.event = "alert.tested", .object = to->name, .who = who});
	trial_send(t, who, &reason);
	if (t->attempt == NULL) {
		t->why = mem_strdup(buf_text(&reason));
		loop_timer_set(t->soon, 0);
	}
	buf_free(&reason);
	return true;
}

void
trials_end(struct trials *owner, const char *why)
{
	struct trial *t;

	while ((t = LIST_FIRST(&owner->list)) != NULL) {
		if (t->attempt != NULL)
			t->type->cancel(t->attempt);
		t->attempt = NULL;
		trial_end(t, false, why);
	}
}
