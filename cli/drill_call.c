/*
 * What the steps of a drill are made of: telling how one went, asking mailfused, clearing away what
 * drills leave behind. Called by drill_steps.c; one thread.
 */
#include "cli/drill_call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/drill_sink.h"
#include "cli/field.h"
#include "cli/screen.h"

enum { TEXT_BYTES = 1000, ROUNDS_MAX = 100, WAIT_MS = 50 };

/* ---- what is told */

static void __attribute__((format(printf, 4, 0)))
step_add(struct drill *d, const char *name, bool passed, const char *format, va_list args)
{
	int64_t now = clock_mono();
	double seconds = (double)(now - d->step_at) / 1e6;
	char whole[TEXT_BYTES];
	const char *text;
	size_t len;
	json_t *step = json_object();

	vsnprintf(whole, sizeof(whole), format, args);
	len = strlen(whole);
	while (!text_is_utf8(whole, len)) /* cut within a character */
		whole[--len] = '\0';
	text = screen_text(whole); /* whatever a step has taken from an answer */
	d->step_at = now;
	d->wrong += !passed;
	json_object_set_new(step, "step", json_string(name));
	json_object_set_new(step, "passed", json_boolean(passed));
	json_object_set_new(step, "text", json_string(text));
	json_object_set_new(step, "seconds", json_real((double)(int64_t)(seconds * 1000) / 1000));
	json_array_append_new(d->steps, step);
	if (d->quiet)
		return;
	if (passed)
		printf("  %sok%s      %-12s  %s (%.1f s)\n", screen_on(SCREEN_GREEN),
		       screen_off(SCREEN_GREEN), name, text, seconds);
	else
		printf("  %sFAILED  %-12s  %s%s (%.1f s)\n", screen_on(SCREEN_RED), name, text,
		       screen_off(SCREEN_RED), seconds);
	fflush(stdout);
}

void
drill_pass(struct drill *d, const char *name, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	step_add(d, name, true, format, args);
	va_end(args);
}

/* Why, and what to do next. Always false. */
bool
drill_fail(struct drill *d, const char *name, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	step_add(d, name, false, format, args);
	va_end(args);
	return false;
}

/* ---- questions to mailfused */

/* NULL, and a reason in `error`; one that says mailfused is gone ends the drill. */
json_t *
drill_ask(struct drill *d, const char *path, struct buf *error)
{
	json_t *answer = NULL;
	int result = client_get(d->client, path, &answer, error);

	d->lost = d->lost || result == CLIENT_NOT_REACHED;
	return result == CLIENT_DONE ? answer : NULL;
}

/* Takes `body`. */
json_t *
drill_tell(struct drill *d, const char *path, json_t *body, struct buf *error)
{
	json_t *answer = NULL;
	int result = client_post(d->client, path, body, &answer, error);

	json_decref(body);
	d->lost = d->lost || result == CLIENT_NOT_REACHED;
	return result == CLIENT_DONE ? answer : NULL;
}

/* The rest of a release in rings never comes: long before that hour is over it is discarded. */
json_t *
drill_decide(struct drill *d, const char *what, const char *batch, int ring, struct buf *error)
{
	char path[40], reason[80];
	json_t *body = json_object();

	snprintf(path, sizeof(path), "/v1/%s", what);
	snprintf(reason, sizeof(reason), "mailfuse drill %s", d->id);
	json_object_set_new(body, "ids", json_pack("[s]", batch));
	json_object_set_new(body, "reason", json_string(reason));
	if (ring > 0) {
		json_object_set_new(body, "rings", json_pack("[i, s]", ring, "all"));
		json_object_set_new(body, "wait", json_string("1h"));
	}
	return drill_tell(d, path, body, error);
}

/* How many deliveries of all drills are in that state; -1 if nobody says. */
int64_t
drill_count(struct drill *d, const char *state)
{
	struct buf ignored = {0};
	json_t *status = drill_ask(d, "/v1/status", &ignored), *row;
	int64_t count = status != NULL ? 0 : -1;
	size_t i;

	json_array_foreach(json_object_get(status, "counts"), i,
			   row) if (strcmp(field_text(row, "environment"), DRILL_ENVIRONMENT) ==
					0 &&
				    strcmp(field_text(row, "state"), state) == 0) count +=
	    field_count(row, "count");
	json_decref(status);
	buf_free(&ignored);
	return count;
}

/* The same of the batch. */
int64_t
drill_count_batch(struct drill *d, const char *field)
{
	struct buf path = {0}, ignored = {0};
	json_t *batch;
	int64_t count;

	buf_printf(&path, "/v1/batches/%s", d->batch);
	batch = drill_ask(d, buf_text(&path), &ignored);
	count = batch != NULL ? field_count(batch, field) : -1;
	json_decref(batch);
	buf_free(&path);
	buf_free(&ignored);
	return count;
}

/* Until `ready`, at most so long; the sink is served meanwhile. */
bool
drill_wait(struct drill *d, bool (*ready)(struct drill *d), int64_t patience)
{
	int64_t end = clock_mono() + patience;

	while (!ready(d)) {
		if (d->stop())
			d->lost = true;
		if (d->lost || clock_mono() > end)
			return false;
		drill_sink_serve(d->sink, WAIT_MS);
	}
	return true;
}

const char *
drill_lost_text(const struct drill *d)
{
	return d->stop() ? "it was interrupted" : "mailfused does not answer any more";
}

/* The batch of the first delivery of a drill that is in that state; "" if there is none. */
static void
find_leftover(struct drill *d, const char *state, char batch[24])
{
	struct buf path = {0}, ignored = {0};
	json_t *list;

	batch[0] = '\0';
	buf_printf(&path, "/v1/deliveries?environment=%s&state=%s&limit=1", DRILL_ENVIRONMENT,
		   state);
	list = drill_ask(d, buf_text(&path), &ignored);
	snprintf(batch, 24, "%s",
		 field_text(json_array_get(json_object_get(list, "items"), 0), "batch"));
	json_decref(list);
	buf_free(&path);
	buf_free(&ignored);
}

/* Discards and purges what drills have left behind; the count of what is purged, -1 and a reason if
 * that fails. */
int64_t
drill_clear_away(struct drill *d, struct buf *error)
{
	static const struct {
		const char *state, *what;
	} rows[] = {{"held", "discard"}, {"discarded", "purge"}};
	int64_t purged = 0;
	char batch[24];
	json_t *answer;

	for (size_t i = 0; i < 2; i++) {
		for (int round = 0; round < ROUNDS_MAX; round++) {
			find_leftover(d, rows[i].state, batch);
			if (batch[0] == '\0')
				break;
			answer = drill_decide(d, rows[i].what, batch, 0, error);
			if (answer == NULL)
				return -1;
			purged += i == 1 ? field_count(answer, "recipients") : 0;
			json_decref(answer);
		}
	}
	return purged;
}
