/*
 * The verb: which environments are drilled, one after the other, and what is told in the end. Exit
 * code 0 only if every step of every drill passed. One thread.
 */
#include "cli/drill.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/command.h"
#include "cli/drill_steps.h"
#include "cli/field.h"
#include "cli/screen.h"

#define TIMEOUT_DEFAULT CLOCK_MINUTE

static volatile sig_atomic_t interrupted;

static void
interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static bool
is_interrupted(void)
{
	return interrupted != 0;
}

static bool
can_leave(const json_t *environment)
{
	const char *upstream = field_text(environment, "upstream");

	return *upstream != '\0' && strcmp(upstream, "none") != 0;
}

/* --environment; else those of production that have an upstream, else the first that has one. */
static json_t *
choose_environments(const struct command *c, const json_t *status)
{
	const char *wanted = options_text(c->options, "environment");
	json_t *names = json_array(), *row;
	const char *first = NULL;
	size_t i;

	if (wanted != NULL) {
		json_array_append_new(names, json_string(wanted));
		return names;
	}
	json_array_foreach(json_object_get(status, "environments"), i, row)
	{
		const char *name = field_text(row, "name");

		if (!can_leave(row) || strcmp(name, "drill") == 0)
			continue;
		if (first == NULL)
			first = name;
		if (field_is_true(row, "production"))
			json_array_append_new(names, json_string(name));
	}
	if (json_array_size(names) == 0 && first != NULL)
		json_array_append_new(names, json_string(first));
	return names;
}

static void
print_report(const struct drill *d)
{
	json_t *o = json_object();

	json_object_set_new(o, "environment", json_string(d->environment));
	json_object_set_new(o, "drill", json_string(d->id));
	json_object_set_new(o, "passed", json_boolean(d->wrong == 0));
	json_object_set_new(o, "rule",
			    d->rule.name != NULL ? json_string(d->rule.name) : json_null());
	json_object_set_new(o, "batch", d->batch[0] != '\0' ? json_string(d->batch) : json_null());
	json_object_set_new(o, "recipients", json_integer(d->recipients));
	json_object_set_new(o, "held", json_integer(d->held));
	json_object_set_new(o, "leaked", json_integer(d->leaked));
	json_object_set_new(o, "bound", json_integer(d->bound));
	json_object_set_new(o, "released", json_integer(d->released));
	json_object_set_new(o, "seconds",
			    json_real((double)((clock_mono() - d->started_at) / 1000) / 1000));
	json_object_set(o, "steps", d->steps);
	command_print_json(o);
	json_decref(o);
}

static void
print_result(const struct drill *d)
{
	double seconds = (double)(clock_mono() - d->started_at) / 1e6;
	const json_t *step;
	const char *between = "";
	size_t i;

	if (d->wrong == 0) {
		printf("The drill of %s %spassed%s: %zu steps in %.1f s.",
		       screen_text(d->environment), screen_on(SCREEN_GREEN),
		       screen_off(SCREEN_GREEN), json_array_size(d->steps), seconds);
		if (d->keep)
			printf(" %s stays for looking at it: mailfuse show %s; the next drill "
			       "purges it.",
			       d->batch, d->batch);
		putchar('\n');
		return;
	}
	printf("%sThe drill of %s FAILED%s at ", screen_on(SCREEN_RED), screen_text(d->environment),
	       screen_off(SCREEN_RED));
	json_array_foreach(d->steps, i, step)
	{
		if (field_is_true(step, "passed"))
			continue;
		printf("%s%s", between, field_text(step, "step"));
		between = ", ";
	}
	printf(": until this is put right, do not count on the gate.\n");
}

static int
drill_one(const struct command *c, const char *environment)
{
	struct drill d = {.client = c->client,
			  .environment = environment,
			  .listener = options_text(c->options, "listener"),
			  .timeout = TIMEOUT_DEFAULT,
			  .keep = options_has(c->options, "keep"),
			  .quiet = c->json,
			  .stop = is_interrupted};
	int result;

	if (options_has(c->options, "timeout"))
		units_parse_duration(options_text(c->options, "timeout"), &d.timeout);
	if (!c->json)
		printf("Drilling environment %s.\n", screen_text(environment));
	fflush(stdout);
	drill_go(&d);
	if (c->json)
		print_report(&d);
	else
		print_result(&d);
	result = d.wrong == 0 ? CLIENT_DONE : CLIENT_REFUSED;
	drill_clear(&d);
	return result;
}

static int
drill_all(const struct command *c, const json_t *names)
{
	const json_t *name;
	int result = CLIENT_DONE, one;
	size_t i;

	json_array_foreach(names, i, name)
	{
		if (is_interrupted())
			return CLIENT_REFUSED;
		one = drill_one(c, json_string_value(name));
		if (one != CLIENT_DONE)
			result = one;
	}
	return result;
}

int
drill_run(struct command *c)
{
	/* Ctrl-C ends the drill as a failed one: the gate goes back to what it was. */
	const struct sigaction action = {.sa_handler = interrupt};
	json_t *status, *names;
	int result = command_get(c, "/v1/status", &status);

	if (result != CLIENT_DONE)
		return result;
	names = choose_environments(c, status);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (json_array_size(names) == 0)
		result = command_refused(c, "no environment has an upstream: nothing leaves, and "
					    "there is nothing to drill.");
	else if (!command_confirm(c,
				  "Send a synthetic blast through the listener? It reaches nobody, "
				  "but the alerts are real.",
				  ""))
		result = CLIENT_REFUSED;
	else
		result = drill_all(c, names);
	json_decref(names);
	json_decref(status);
	return result;
}
