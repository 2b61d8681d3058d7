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
#include "cli/drill_batch.h"
#include "cli/drill_blast.h"
#include "cli/drill_call.h"
#include "cli/drill_sink.h"
#include "cli/field.h"
#include "cli/screen.h"

/* BEYOND: after the trip more of the blast comes, which the batch has to take too. */
enum { BEYOND = 25, CONNECTIONS = 4, ONE_EACH_MAX = 2000, EACH_MAX = 50 };

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
	bool answered = drill_wait(d, upstream_has_answered, d->timeout), up = false, known;
	struct buf text = {0};
	int64_t connections = 0;

	known = read_upstream(d, &up, &connections, &text);
	if (d->lost)
		drill_fail(d, "release path", "%s", drill_lost_text(d));
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

/* What is held and what left, with the bound that this was held against. */
static void
held_tell(struct drill *d, const char *rule, int64_t trip_after)
{
	char settle[UNITS_BYTES];
	struct buf why = {0};

	units_format_duration(d->rule.settle, settle);
	if (d->rule.head == 0)
		buf_printf(&why, "the limit, for there is no head");
	else if (trip_after < d->rule.settle)
		buf_printf(&why,
			   "the head, for it tripped after %.1f s, within the settle time of %s",
			   (double)trip_after / 1e6, settle);
	else
		buf_printf(
		    &why,
		    "the limit, for the blast took %.1f s to trip it, longer than the settle "
		    "time of %s",
		    (double)trip_after / 1e6, settle);
	if (d->leaked > d->bound)
		drill_fail(d, "held",
			   "%s as %s by %s, but %s left before, and at most %s should (%s); "
			   "mailfuse show %s tells when",
			   screen_count(d->held), d->batch, screen_text(rule),
			   screen_count(d->leaked), screen_count(d->bound), buf_text(&why),
			   d->batch);
	else
		drill_pass(d, "held", "%s as %s by %s; %s left before, of at most %s (%s)",
			   screen_count(d->held), d->batch, screen_text(rule),
			   screen_count(d->leaked), screen_count(d->bound), buf_text(&why));
	buf_free(&why);
}

static bool
step_held(struct drill *d)
{
	bool rest = drill_wait(d, blast_is_at_rest, d->timeout + d->rule.settle);
	char opened_at[40], rule[80];
	int64_t opened = d->blast_at;

	find_batch(d, opened_at, rule);
	d->leaked = (int64_t)drill_sink_counts(d->sink)->taken;
	if (d->lost)
		return drill_fail(d, "held", "%s", drill_lost_text(d));
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
	if (!clock_parse_iso(opened_at, &opened) || opened < d->blast_at)
		opened = d->blast_at;
	d->bound = drill_bound(&d->rule, opened - d->blast_at);
	held_tell(d, rule, opened - d->blast_at);
	return true; /* there is a batch: the rest can be shown whatever leaked */
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
				drill_go_on(d);
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
