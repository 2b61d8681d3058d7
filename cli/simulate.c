/*
 * simulate [--config FILE] [--trace FILE | --history TIME]: runs a configuration over a trace, or
 * over what the daemon recorded, through the gate's own code (simulate/). Everything that is wrong
 * with the configuration or the trace is told before the result would be.
 */
#include "cli/simulate.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/screen.h"
#include "cli/simulate_history.h"
#include "cli/simulate_show.h"
#include "simulate/trace.h"

#define DEFAULT_CONFIG SYSCONFDIR "/mailfuse/mailfuse.conf"
#define DEFAULT_HISTORY (30 * CLOCK_DAY)

enum { ERRORS_MAX = 50 }; /* of a trace; whoever has more has the wrong file */

/* Each line of `errors` behind `where`; how many there were. */
static size_t
print_errors(const char *where, const struct buf *errors)
{
	const char *line = buf_text(errors);
	size_t count = 0;
	char text[1024];

	fflush(stdout);
	for (; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n', count++) {
		snprintf(text, sizeof(text), "%.*s", (int)strcspn(line, "\n"), line);
		fprintf(stderr, "%s%s\n", where, screen_text(text));
	}
	return count;
}

/* "FILE: line 7: sender: ..."; a row that the gate cannot take has no line in its error yet. */
static size_t
print_row_errors(const char *path, const struct trace *t, const struct buf *errors)
{
	struct buf where = {0};
	size_t count;

	buf_printf(&where, "%s: ", screen_text(path));
	if (t != NULL)
		buf_printf(&where, "line %llu: ", (unsigned long long)trace_line(t));
	count = print_errors(buf_text(&where), errors);
	buf_free(&where);
	return count;
}

/* All rows; how many of them were wrong. */
static size_t
feed_trace(struct simulation *s, const char *path, struct trace *t)
{
	struct trace_row row;
	struct buf errors = {0};
	size_t wrong = 0;
	int result;

	while (wrong < ERRORS_MAX && (result = trace_read(t, &row, &errors)) != 0) {
		if (result < 0)
			wrong += print_row_errors(path, NULL, &errors);
		else if (!simulation_feed(s, &row, &errors))
			wrong += print_row_errors(path, t, &errors);
		buf_clear(&errors);
	}
	buf_free(&errors);
	return wrong;
}

static int
run_trace(const struct command *c, struct simulation *s, const char *path)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	struct buf errors = {0};
	struct trace *t;
	size_t wrong;

	if (file == NULL)
		return command_refused(c, "cannot read %s: %s", screen_text(path), strerror(errno));
	t = trace_open(file, &errors);
	wrong = t == NULL ? print_row_errors(path, NULL, &errors) : feed_trace(s, path, t);
	trace_close(t);
	buf_free(&errors);
	if (file != stdin)
		fclose(file);
	if (wrong >= ERRORS_MAX)
		return command_refused(c, "%d lines are wrong; the rest was not looked at",
				       ERRORS_MAX);
	return wrong == 0 ? CLIENT_DONE
			  : command_refused(c, "the trace %s is wrong; correct it and try again",
					    screen_text(path));
}

static int
run_history(const struct command *c, struct simulation *s, int64_t length, int64_t *start)
{
	struct buf errors = {0};
	int result = history_feed(c, s, length, start, &errors);

	if (errors.len > 0) {
		print_errors("history: ", &errors);
		result = command_refused(c, "the daemon's history cannot be used");
	}
	buf_free(&errors);
	return result;
}

static void
find_unknown(void *context, const struct simulation_rule *r)
{
	uint64_t *held = context;

	if (strcmp(r->rule, "unknown") == 0)
		*held += r->held;
}

static void
note_result(const struct simulation *s, const char *config, bool is_trace)
{
	struct simulation_total total;
	uint64_t unknown = 0;

	simulation_total(s, &total);
	if (total.recipients == 0 && is_trace)
		command_note("The trace has no mail: nothing was judged.");
	simulation_rules(s, find_unknown, &unknown);
	if (unknown > 0 && unknown == total.recipients)
		command_note("No environment of %s matches any of this mail: all of it is held as "
			     "unknown. Look at its match sections.",
			     screen_text(config));
	else if (unknown > 0)
		command_note("%s in no environment of %s: held as unknown.",
			     screen_counted((int64_t)unknown, "recipient is", "recipients are"),
			     screen_text(config));
}

/* The simulation of that configuration, with what must be said before it; NULL and all errors. */
static struct simulation *
open_simulation(const struct command *c, const char *path, struct simulate_show *show)
{
	struct simulation_options options = {.context = show,
					     .suggest = options_has(c->options, "suggest")};
	struct buf errors = {0}, left_out = {0};
	bool history = !options_has(c->options, "trace");
	struct simulation *s;

	if (options_has(c->options, "verdicts"))
		options.verdict = simulate_show_verdict;
	s = simulation_open(path, &options, history ? &left_out : NULL, &errors);
	/* GMime starts GPGME, which has it ignored; `... | head` ends quietly, as in main(). */
	signal(SIGPIPE, SIG_DFL);
	if (s == NULL) {
		print_errors("", &errors);
		command_refused(c, "the configuration %s is wrong; correct it and try again",
				screen_text(path));
	}
	if (s != NULL && history)
		command_note("The history knows no recipients: made-up ones, all different, stand "
			     "for them.");
	if (s != NULL && left_out.len > 0)
		command_note("So these rules are not judged: %s. A trace judges them.",
			     screen_text(buf_text(&left_out)));
	buf_free(&left_out);
	buf_free(&errors);
	return s;
}

int
simulate_run(struct command *c)
{
	const struct options *o = c->options;
	const char *path = options_text(o, "config"), *history = options_text(o, "history");
	const char *trace = options_text(o, "trace");
	struct simulate_show show = {.json = c->json, .start = -1};
	int64_t length = DEFAULT_HISTORY;
	struct simulation *s;
	int result;

	if (history != NULL && trace != NULL)
		return command_usage(c, "--trace or --history, not both.");
	if (history != NULL && (!units_parse_duration(history, &length) || length == 0))
		return command_usage(c, "--history takes a time such as 30d, not \"%s\".",
				     screen_text(history));
	if (path == NULL && access(DEFAULT_CONFIG, F_OK) != 0)
		return command_usage(c,
				     "which configuration? Add --config FILE; there is no "
				     "%s.",
				     DEFAULT_CONFIG);
	if (path == NULL)
		path = DEFAULT_CONFIG;
	s = open_simulation(c, path, &show);
	if (s == NULL)
		return CLIENT_REFUSED;
	result = trace != NULL ? run_trace(c, s, trace) : run_history(c, s, length, &show.start);
	if (result == CLIENT_DONE) {
		simulation_end(s);
		simulate_show_result(&show, s);
		if (options_has(o, "suggest"))
			simulate_show_suggestions(&show, s);
		note_result(s, path, trace != NULL);
	}
	simulation_free(s);
	return result;
}
