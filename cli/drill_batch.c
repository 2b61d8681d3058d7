/*
 * The second half of a drill: what can be done with the batch that holds its blast. Called by
 * drill_steps.c; one thread.
 */
#include "cli/drill_batch.h"

#include <string.h>

#include "base/units.h"
#include "cli/drill_call.h"
#include "cli/drill_sink.h"
#include "cli/field.h"
#include "cli/screen.h"

enum { RING = 5 };

/* What became of the alert, of all channels; true once one has it, or none ever will. */
struct alert_fate {
	bool delivered, pending, seen;
	struct buf good, bad;
};

static void
read_fates(struct drill *d, struct alert_fate *fate)
{
	struct buf path = {0}, ignored = {0};
	json_t *list, *row;
	size_t i;

	*fate = (struct alert_fate){0};
	buf_printf(&path, "/v1/batches/%s/alerts", d->batch);
	list = drill_ask(d, buf_text(&path), &ignored);
	json_array_foreach(json_object_get(list, "items"), i, row)
	{
		const char *what = field_text(row, "fate"), *error = field_text(row, "error");
		const char *channel = screen_text(field_text(row, "channel"));

		if (strcmp(field_text(row, "event"), "batch.opened") != 0)
			continue;
		fate->seen = true;
		if (strcmp(what, "delivered") == 0) {
			fate->delivered = true;
			buf_printf(&fate->good, "%s%s", fate->good.len > 0 ? ", " : "", channel);
		} else if (strcmp(what, "unwanted") != 0) {
			fate->pending = fate->pending || strcmp(what, "pending") == 0;
			buf_printf(&fate->bad, "%s%s: %s%s%s", fate->bad.len > 0 ? "; " : "",
				   *field_text(row, "channel") != '\0' ? channel : "no channel yet",
				   strcmp(what, "pending") == 0 ? "not delivered yet" : "given up",
				   *error != '\0' ? ", " : "",
				   *error != '\0' ? screen_text(error) : "");
		}
	}
	json_decref(list);
	buf_free(&path);
	buf_free(&ignored);
}

static bool
alert_is_told(struct drill *d)
{
	struct alert_fate fate;
	bool over;

	read_fates(d, &fate);
	over = fate.delivered || (fate.seen && !fate.pending);
	buf_free(&fate.good);
	buf_free(&fate.bad);
	return over;
}

static void
step_alert(struct drill *d)
{
	struct alert_fate fate;
	char patience[UNITS_BYTES];

	drill_wait(d, alert_is_told, d->timeout);
	read_fates(d, &fate);
	units_format_duration(d->timeout, patience);
	if (d->lost)
		drill_fail(d, "alert", "%s", drill_lost_text(d));
	else if (fate.delivered)
		drill_pass(d, "alert", "that %s was opened was delivered to %s%s%s%s", d->batch,
			   buf_text(&fate.good), fate.bad.len > 0 ? " (but " : "",
			   buf_text(&fate.bad), fate.bad.len > 0 ? ")" : "");
	else if (fate.bad.len > 0)
		drill_fail(d, "alert",
			   "that %s was opened reached nobody within %s: %s; correct the channel, "
			   "mailfuse log and the log of mailfused say more",
			   d->batch, patience, buf_text(&fate.bad));
	else
		drill_fail(d, "alert",
			   "no alert channel wants batch.opened, so nobody is told; add one to the "
			   "configuration: alert \"ops\" { type = webhook url = \"...\" events = "
			   "{\"batch.*\"} }");
	buf_free(&fate.good);
	buf_free(&fate.bad);
}

static bool
ring_has_arrived(struct drill *d)
{
	return (int64_t)drill_sink_counts(d->sink)->taken >= d->leaked + d->released;
}

static bool
step_ring(struct drill *d)
{
	struct buf error = {0};
	json_t *answer = drill_decide(d, "release", d->batch, RING, &error);
	int64_t came;

	if (answer == NULL) {
		drill_fail(d, "first ring", "the release was refused: %s", buf_text(&error));
		buf_free(&error);
		return false;
	}
	d->released = field_count(answer, "released");
	json_decref(answer);
	drill_wait(d, ring_has_arrived, d->timeout);
	came = (int64_t)drill_sink_counts(d->sink)->taken - d->leaked;
	if (d->lost)
		return drill_fail(d, "first ring", "%s", drill_lost_text(d));
	if (d->released != RING || came != RING)
		return drill_fail(d, "first ring",
				  "%d were to be released, %s were, and %s arrived; mailfuse queue "
				  "says what waits",
				  RING, screen_count(d->released), screen_count(came));
	drill_pass(d, "first ring",
		   "of a release in rings: its %d recipients arrived at the sink, and nothing else",
		   RING);
	return true;
}

/* Discards or restores all of it; true if that touched as many as there are. */
static bool
step_decide(struct drill *d, const char *what, const char *name, int64_t wanted, int64_t held)
{
	struct buf error = {0};
	json_t *answer = drill_decide(d, what, d->batch, 0, &error);
	int64_t touched = answer != NULL ? field_count(answer, "recipients") : -1, left;

	json_decref(answer);
	if (touched < 0)
		drill_fail(d, name, "it was refused: %s", buf_text(&error));
	buf_free(&error);
	if (touched < 0)
		return false;
	left = drill_count_batch(d, "held");
	if (touched != wanted || left != held)
		return drill_fail(d, name,
				  "%s recipients of %s, and %s are held then; it should have been "
				  "%s and %s: mailfuse show %s",
				  screen_count(touched), d->batch, screen_count(left),
				  screen_count(wanted), screen_count(held), d->batch);
	drill_pass(d, name, "%s of %s; %s are held then",
		   screen_counted(touched, "recipient", "recipients"), d->batch,
		   screen_count(left));
	return true;
}

/* Other batches of the same blast go too: a rule with about the same limit may have one. */
static void
step_purge(struct drill *d)
{
	struct buf error = {0};
	int64_t purged = drill_clear_away(d, &error), held = drill_count(d, "held"),
		discarded = drill_count(d, "discarded");

	if (d->lost)
		drill_fail(d, "purged", "%s", drill_lost_text(d));
	else if (purged < 0)
		drill_fail(d, "purged", "it was refused: %s", buf_text(&error));
	else if (held != 0 || discarded != 0)
		drill_fail(d, "purged", "%s recipients are still held and %s discarded",
			   screen_count(held), screen_count(discarded));
	else
		drill_pass(d, "purged", "discarded once more and purged for good: %s, none is left",
			   screen_counted(purged, "recipient", "recipients"));
	buf_free(&error);
}

/* What the gate says was sent is here, all of it. */
static bool
all_is_here(struct drill *d)
{
	const struct drill_sink_counts *c = drill_sink_counts(d->sink);

	return drill_count(d, "sent") - d->sent_before ==
		   (int64_t)(c->taken + c->repeated + c->strange) &&
	       drill_count(d, "queued") == 0 && drill_count(d, "waiting") == 0;
}

static void
step_nowhere(struct drill *d)
{
	bool same = drill_wait(d, all_is_here, d->timeout);
	const struct drill_sink_counts *c = drill_sink_counts(d->sink);

	if (d->lost)
		drill_fail(d, "nowhere else", "%s", drill_lost_text(d));
	else if (!same || (int64_t)c->taken != d->leaked + d->released)
		drill_fail(d, "nowhere else",
			   "the gate sent %s recipients, and %s arrived at the sink, where %s "
			   "should; mailfuse messages --environment drill",
			   screen_count(drill_count(d, "sent") - d->sent_before),
			   screen_count((int64_t)c->taken), screen_count(d->leaked + d->released));
	else if (c->repeated > 0)
		drill_fail(d, "nowhere else", "%s arrived more than once",
			   screen_counted((int64_t)c->repeated, "recipient", "recipients"));
	else
		drill_pass(
		    d, "nowhere else",
		    "%s left the gate, %s before the trip and %s in the ring, and all of them "
		    "came to the sink",
		    screen_counted((int64_t)c->taken, "recipient", "recipients"),
		    screen_count(d->leaked), screen_count(d->released));
}

/* All that needs the batch. What failed does not keep the next from being shown. */
void
drill_go_on(struct drill *d)
{
	int64_t left;

	step_alert(d);
	if (!d->lost)
		step_ring(d);
	left = d->lost ? 0 : drill_count_batch(d, "held");
	if (!d->lost && step_decide(d, "discard", "discarded", left, 0) && !d->lost)
		step_decide(d, "restore", "restored", left, left);
	if (!d->lost && !d->keep)
		step_purge(d);
	if (!d->lost)
		step_nowhere(d);
}
