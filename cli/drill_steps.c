/*
 * The steps of a drill, in order. Each says on its own whether the gate did what it is there for;
 * what can still be shown after one that failed is shown. Called by drill.c; one thread, which
 * serves the sink whenever it waits.
 */
#include "cli/drill_steps.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/drill_blast.h"
#include "cli/drill_call.h"
#include "cli/drill_sink.h"
#include "cli/field.h"
#include "cli/screen.h"

/* BEYOND: after the trip more of the blast comes, which the batch has to take too. */
enum { RING = 5, BEYOND = 25, CONNECTIONS = 4, ONE_EACH_MAX = 2000, EACH_MAX = 50 };
enum { WAIT_MS = 50 };

/* Until `ready`, at most so long; the sink is served meanwhile. */
static bool
wait_until(struct drill *d, bool (*ready)(struct drill *d), int64_t patience)
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

static const char *
lost_text(const struct drill *d)
{
	return d->stop() ? "it was interrupted" : "mailfused does not answer any more";
}

/* ---- the steps */

/* Under a panic hold everything is held anyway, and nothing can be shown. */
static bool
step_holds(struct drill *d)
{
	struct buf error = {0};
	json_t *status = drill_ask(d, "/v1/status", &error), *hold;
	bool fine = status != NULL;
	size_t i;

	if (!fine)
		drill_fail(d, "release path", "%s", buf_text(&error));
	json_array_foreach(json_object_get(status, "holds"), i, hold)
	{
		const char *scope = field_text(hold, "scope"), *name = field_text(hold, "name");

		if (strcmp(scope, "everything") != 0 && strcmp(name, d->environment) != 0 &&
		    strcmp(name, DRILL_ENVIRONMENT) != 0)
			continue;
		fine = drill_fail(d, "release path",
				  "the panic button holds %s%s%s since %s by %s (%s), so nothing "
				  "can be released; mailfuse unhold ends it, then drill again",
				  scope, *name != '\0' ? " " : "", screen_text(name),
				  screen_time(field_text(hold, "since")), field_show(hold, "who"),
				  field_show(hold, "reason"));
		break;
	}
	json_decref(status);
	buf_free(&error);
	return fine;
}

static bool
step_leftovers(struct drill *d)
{
	struct buf error = {0};
	int64_t purged = drill_clear_away(d, &error);
	bool fine = purged >= 0;

	if (purged > 0)
		drill_pass(d, "leftovers", "%s of earlier drills purged",
			   screen_counted(purged, "recipient", "recipients"));
	if (!fine)
		drill_fail(d, "leftovers", "what earlier drills left cannot be cleared away: %s",
			   buf_text(&error));
	buf_free(&error);
	return fine;
}

static bool
step_begin(struct drill *d)
{
	struct buf error = {0};
	json_t *body;

	d->sent_before = drill_count(d, "sent");
	d->sink = drill_sink_new(d->domain, 0, &error);
	if (d->sink != NULL) {
		body = json_object();
		json_object_set_new(body, "environment", json_string(d->environment));
		json_object_set_new(body, "sink_port", json_integer(drill_sink_port(d->sink)));
		if (d->listener != NULL)
			json_object_set_new(body, "listener", json_string(d->listener));
		d->begun = drill_tell(d, "/v1/drill", body, &error);
	}
	if (d->begun == NULL)
		drill_fail(d, "begun", "%s", buf_text(&error));
	buf_free(&error);
	return d->begun != NULL;
}

/* What status says of the upstream; false if it says nothing. */
static bool
read_upstream(struct drill *d, bool *up, int64_t *connections, struct buf *text)
{
	const char *wanted = field_text(d->begun, "upstream");
	struct buf ignored = {0};
	json_t *status = drill_ask(d, "/v1/status", &ignored), *row;
	bool known = false;
	size_t i;

	json_array_foreach(json_object_get(status, "upstreams"), i, row)
	{
		if (strcmp(field_text(row, "name"), wanted) != 0)
			continue;
		known = true;
		*up = field_is_true(row, "up");
		*connections = field_count(row, "connections");
		buf_printf(text, "upstream %s (%s)", screen_text(wanted),
			   field_show(row, "address"));
		if (!*up)
			buf_printf(text, " is down since %s: %s",
				   screen_time(field_text(row, "since")), field_show(row, "why"));
	}
	json_decref(status);
	buf_free(&ignored);
	return known;
}

/* It was asked when the drill began: until it has answered, or is known to be down. */
static bool
upstream_has_answered(struct drill *d)
{
	struct buf text = {0};
	int64_t connections = 0;
	bool up = false, known = read_upstream(d, &up, &connections, &text);

	buf_free(&text);
	return !known || !up || connections > 0;
}

static void
step_path(struct drill *d)
{
	bool answered = wait_until(d, upstream_has_answered, d->timeout), up = false, known;
	struct buf text = {0};
	int64_t connections = 0;

	known = read_upstream(d, &up, &connections, &text);
	if (d->lost)
		drill_fail(d, "release path", "%s", lost_text(d));
	else if (!known)
		drill_fail(d, "release path", "upstream %s is not configured any more",
			   field_show(d->begun, "upstream"));
	else if (!up)
		drill_fail(d, "release path", "%s; what is released would wait until it answers",
			   buf_text(&text));
	else if (!answered)
		drill_fail(d, "release path",
			   "%s has not answered since the drill began; what is released would wait",
			   buf_text(&text));
	else
		drill_pass(d, "release path", "%s answers, and no panic hold is in the way",
			   buf_text(&text));
	buf_free(&text);
}

static bool
step_rules(struct drill *d)
{
	char settle[UNITS_BYTES], head[UNITS_BYTES];

	drill_choose_rule(json_object_get(d->begun, "rules"), &d->rule);
	if (d->rule.name == NULL)
		return drill_fail(
		    d, "rules",
		    "no burst rule of environment %s would hold a blast to many "
		    "people (those with action = alert only tell of it, those per "
		    "recipient never see it); give it one, such as burst \"volume\" { "
		    "limit = \"500/10m\" per = {source, subject} }",
		    d->environment);
	if (d->rule.limit > DRILL_RECIPIENTS_MAX - BEYOND)
		return drill_fail(d, "rules",
				  "the smallest limit of environment %s that holds is burst \"%s\" "
				  "with %s: a drill sends at most %s recipients, and a real blast "
				  "would reach as many people as that before it is stopped; lower "
				  "it, or add a rule with a smaller one",
				  d->environment, screen_text(d->rule.name), d->rule.limit_text,
				  screen_count(DRILL_RECIPIENTS_MAX));
	d->recipients = d->rule.limit + BEYOND;
	drill_sink_expect(d->sink, d->recipients);
	if (d->rule.head > 0)
		drill_pass(d, "rules", "burst \"%s\" holds beyond %s; head %s, settle %s",
			   screen_text(d->rule.name), d->rule.limit_text,
			   units_format_rate(d->rule.head, d->rule.head_window, head),
			   units_format_duration(d->rule.settle, settle));
	else
		drill_pass(d, "rules", "burst \"%s\" holds beyond %s, without a head",
			   screen_text(d->rule.name), d->rule.limit_text);
	return true;
}

static bool
step_blast(struct drill *d)
{
	int64_t most = field_count(d->begun, "max_connections");
	int64_t each = field_count(d->begun, "max_recipients");
	struct drill_blast b = {.address = field_text(d->begun, "address"),
				.helo = field_text(d->begun, "helo"),
				.tls = field_text(d->begun, "tls"),
				.id = d->id,
				.domain = d->domain,
				.recipients = d->recipients,
				.each = 1,
				.connections = CONNECTIONS,
				.sink = d->sink,
				.stop = d->stop};
	struct buf error = {0};
	bool done;

	if (most >= 1 && most < CONNECTIONS)
		b.connections = (uint32_t)most;
	if (d->recipients > ONE_EACH_MAX)
		b.each = each >= 1 && each < EACH_MAX ? (uint32_t)each : EACH_MAX;
	done = drill_blast_run(&b, &error);
	d->blast_at = b.first_at;
	if (done)
		drill_pass(d, "blast", "%s to listener %s (%s), all accepted",
			   screen_counted(b.accepted, "recipient", "recipients"),
			   field_show(d->begun, "listener"), b.address);
	else
		drill_fail(d, "blast", "%s, after %s", buf_text(&error),
			   screen_counted(b.accepted, "recipient", "recipients"));
	buf_free(&error);
	return done;
}

/* The largest batch of the drill; how much of all of them is held goes to d->held. */
static void
find_batch(struct drill *d, char opened_at[40], char rule[80])
{
	struct buf ignored = {0};
	json_t *list = drill_ask(d, "/v1/batches?limit=1000", &ignored), *row;
	int64_t largest = 0;
	size_t i;

	d->held = 0;
	d->batch[0] = opened_at[0] = rule[0] = '\0';
	json_array_foreach(json_object_get(list, "items"), i, row)
	{
		int64_t held = field_count(row, "held");

		if (strcmp(field_text(row, "environment"), DRILL_ENVIRONMENT) != 0 || held <= 0)
			continue;
		d->held += held;
		if (held <= largest)
			continue;
		largest = held;
		snprintf(d->batch, sizeof(d->batch), "%s", field_text(row, "id"));
		snprintf(opened_at, 40, "%s", field_text(row, "opened_at"));
		snprintf(rule, 80, "%s", field_text(row, "rule"));
	}
	json_decref(list);
	buf_free(&ignored);
}

/* Each recipient of the blast is held, or has arrived. */
static bool
blast_is_at_rest(struct drill *d)
{
	char opened_at[40], rule[80];

	find_batch(d, opened_at, rule);
	return d->held + (int64_t)drill_sink_counts(d->sink)->taken >= d->recipients;
}

static bool
step_held(struct drill *d)
{
	bool rest = wait_until(d, blast_is_at_rest, d->timeout + d->rule.settle);
	char opened_at[40], rule[80], after[UNITS_BYTES];
	int64_t opened = d->blast_at, trip_after;

	find_batch(d, opened_at, rule);
	d->leaked = (int64_t)drill_sink_counts(d->sink)->taken;
	if (d->lost)
		return drill_fail(d, "held", "%s", lost_text(d));
	if (d->batch[0] == '\0')
		return drill_fail(
		    d, "held",
		    "no batch was opened: of %s recipients %s left; look at the rules "
		    "with mailfuse explain",
		    screen_count(d->recipients), screen_count(d->leaked));
	if (!rest)
		return drill_fail(d, "held",
				  "of %s recipients %s are held and %s left; where the others are "
				  "is not known: mailfuse messages --environment drill",
				  screen_count(d->recipients), screen_count(d->held),
				  screen_count(d->leaked));
	if (clock_parse_iso(opened_at, &opened) && opened < d->blast_at)
		opened = d->blast_at;
	trip_after = opened - d->blast_at;
	d->bound = drill_bound(&d->rule, trip_after);
	units_format_duration(d->rule.settle, after);
	if (d->leaked > d->bound)
		return drill_fail(d, "held",
				  "as %s by %s, but %s left before, and at most %s should; "
				  "mailfuse show %s tells when",
				  d->batch, screen_text(rule), screen_count(d->leaked),
				  screen_count(d->bound), d->batch);
	if (d->rule.head == 0)
		drill_pass(d, "held", "%s as %s by %s; %s left before, at most the limit of %s may",
			   screen_count(d->held), d->batch, screen_text(rule),
			   screen_count(d->leaked), screen_count(d->bound));
	else if (trip_after < d->rule.settle)
		drill_pass(d, "held",
			   "%s as %s by %s; %s left before, at most %s may: it tripped after %.1f "
			   "s, within the settle time of %s, so only the head leaves",
			   screen_count(d->held), d->batch, screen_text(rule),
			   screen_count(d->leaked), screen_count(d->bound),
			   (double)trip_after / 1e6, after);
	else
		drill_pass(d, "held",
			   "%s as %s by %s; %s left before, at most the limit of %s may: the blast "
			   "took %.1f s to trip it, more than the settle time of %s",
			   screen_count(d->held), d->batch, screen_text(rule),
			   screen_count(d->leaked), screen_count(d->bound),
			   (double)trip_after / 1e6, after);
	return true;
}

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

	wait_until(d, alert_is_told, d->timeout);
	read_fates(d, &fate);
	units_format_duration(d->timeout, patience);
	if (d->lost)
		drill_fail(d, "alert", "%s", lost_text(d));
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
	wait_until(d, ring_has_arrived, d->timeout);
	came = (int64_t)drill_sink_counts(d->sink)->taken - d->leaked;
	if (d->lost)
		return drill_fail(d, "first ring", "%s", lost_text(d));
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
		drill_fail(d, "purged", "%s", lost_text(d));
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
	bool same = wait_until(d, all_is_here, d->timeout);
	const struct drill_sink_counts *c = drill_sink_counts(d->sink);

	if (d->lost)
		drill_fail(d, "nowhere else", "%s", lost_text(d));
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
static void
go_with_batch(struct drill *d)
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

/* mailfused writes it down and tells who wants to know. */
static void
report(struct drill *d)
{
	json_t *body = json_object(), *steps = json_array(), *step;
	struct buf error = {0};
	json_t *answer;
	size_t i;

	json_array_foreach(d->steps, i, step)
	{
		json_t *row = json_object();

		json_object_set(row, "step", json_object_get(step, "step"));
		json_object_set(row, "passed", json_object_get(step, "passed"));
		json_object_set(row, "text", json_object_get(step, "text"));
		json_array_append_new(steps, row);
	}
	json_object_set_new(body, "environment", json_string(d->environment));
	json_object_set_new(body, "passed", json_boolean(d->wrong == 0));
	json_object_set_new(body, "steps", steps);
	answer = drill_tell(d, "/v1/drill/end", body, &error);
	if (answer == NULL)
		drill_fail(d, "report", "%s", buf_text(&error));
	json_decref(answer);
	buf_free(&error);
}

static void
make_id(struct drill *d)
{
	/* No digits and no hex letters: those are not told apart in subjects. */
	static const char letters[16] = "ghjkmnpqrstvwxyz";
	unsigned char random[DRILL_ID_BYTES - 1];

	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		memset(random, 0, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		d->id[i] = letters[random[i] & 15];
	d->domain = mem_printf("%s.drill.invalid", d->id);
}

void
drill_go(struct drill *d)
{
	struct buf ignored = {0};

	d->steps = json_array();
	d->started_at = d->step_at = clock_mono();
	make_id(d);
	if (!step_leftovers(d) || !step_begin(d))
		return;
	if (step_holds(d)) {
		step_path(d);
		if (!d->lost && step_rules(d)) {
			if (step_blast(d) && step_held(d))
				go_with_batch(d);
			else if (!d->keep && !d->lost)
				drill_clear_away(d, &ignored);
		}
	}
	report(d);
	buf_free(&ignored);
}

void
drill_clear(struct drill *d)
{
	drill_sink_free(d->sink);
	json_decref(d->begun);
	json_decref(d->steps);
	free(d->domain);
	*d = (struct drill){0};
}
