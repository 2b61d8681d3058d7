/*
 * Watches a plan: asks for its batch once a second and shows what has changed (cli/progress.c
 * draws). Called by the verbs that begin a release and by show. Ctrl-C ends the watching, never the
 * release; a daemon that restarts meanwhile is asked again.
 */
#include "cli/follow.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/field.h"
#include "cli/progress.h"
#include "cli/screen.h"

enum { POLL_SECONDS = 1 };

static volatile sig_atomic_t interrupted;

struct follow {
	struct command *command;
	const char *batch;
	struct progress progress;
	struct buf last; /* what was printed last, where it is not drawn over */
	size_t drawn;    /* lines that can be drawn over */
	bool lost;       /* the daemon did not answer */
};

static void
catch_signal(int number)
{
	(void)number;
	interrupted = 1;
}

/* A second, or less if Ctrl-C comes; before or while it waits. */
static void
wait_for_change(void)
{
	const struct timespec second = {.tv_sec = POLL_SECONDS};
	sigset_t blocked, open;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &open);
	if (!interrupted)
		ppoll(NULL, 0, &second, &open);
	sigprocmask(SIG_SETMASK, &open, NULL);
}

/* Over the lines that were drawn before. */
static void
draw(struct follow *f)
{
	struct buf out = {0};
	size_t lines =
	    progress_draw(&f->progress, (int64_t)time(NULL), screen_columns(), screen_rows(), &out);
	const char *line = buf_text(&out), *end;

	if (f->drawn > 0)
		printf("\033[%zuA\r", f->drawn);
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1)
		printf("%.*s\033[K\n", (int)(end - line), line);
	/* A window that shrank left lines below. */
	fputs("\033[J", stdout);
	f->drawn = lines;
	buf_free(&out);
}

/* One object or line, if it is not the one of before. */
static void
print_change(struct follow *f, const json_t *batch)
{
	struct buf text = {0};
	const json_t *plan = json_object_get(batch, "plan");
	char *json = NULL;

	if (f->command->json) {
		json = json_dumps(plan, JSON_COMPACT);
		buf_add_text(&text, json != NULL ? json : "");
	} else {
		progress_describe(&f->progress, &text);
	}
	if (strcmp(buf_text(&text), buf_text(&f->last)) != 0) {
		if (f->command->json)
			command_print_json(plan);
		else
			printf("%s  %s\n", f->progress.batch, buf_text(&text));
		buf_clear(&f->last);
		buf_add_text(&f->last, buf_text(&text));
	}
	buf_free(&text);
	free(json);
}

/* Asks once; CLIENT_NOT_REACHED is told once and tried again. */
static int
look(struct follow *f, json_t **batch)
{
	struct buf path = {0}, error = {0};
	int result;

	buf_printf(&path, "/v1/batches/%s", f->batch);
	result = client_get(f->command->client, buf_text(&path), batch, &error);
	if (result == CLIENT_DONE && f->lost) {
		command_note("mailfused answers again.");
		f->lost = false;
		f->drawn = 0;
	} else if (result == CLIENT_NOT_REACHED && !f->lost) {
		command_note("mailfuse: %s Asking again each second.", buf_text(&error));
		f->lost = true;
	} else if (result == CLIENT_REFUSED) {
		command_refused(f->command, "%s", buf_text(&error));
	}
	buf_free(&path);
	buf_free(&error);
	return result;
}

/* Why, and what to type. */
static int
finish(const struct follow *f, const json_t *batch)
{
	json_t *refusals = json_object_get(json_object_get(batch, "plan"), "refusals"), *item;
	bool done = strcmp(f->progress.state, "done") == 0;
	size_t i;

	/* The line under the bars is cut to the terminal's width. */
	if (!done && f->drawn > 0 && *f->progress.why != '\0')
		command_note("It is %s: %s", f->progress.state, f->progress.why);
	json_array_foreach(refusals, i, item) command_note(
	    "Refused %s: %s", screen_counted(field_count(item, "count"), "time", "times"),
	    field_show(item, "reply"));
	if (strcmp(f->progress.state, "paused") == 0)
		command_note("Go on with it: mailfuse resume %s --reason TEXT. More of it: "
			     "mailfuse show %s",
			     f->progress.batch, f->progress.batch);
	return done ? CLIENT_DONE : CLIENT_REFUSED;
}

static int
follow(struct follow *f)
{
	bool bars = !f->command->json && screen_can_redraw();
	json_t *batch;
	int result;

	for (; !interrupted && !ferror(stdout); wait_for_change()) {
		result = look(f, &batch);
		if (result == CLIENT_REFUSED)
			return result;
		if (result != CLIENT_DONE)
			continue;
		if (!progress_update(&f->progress, batch)) {
			command_note("Nothing of %s is being released.", f->batch);
			json_decref(batch);
			return CLIENT_REFUSED;
		}
		if (bars)
			draw(f);
		else
			print_change(f, batch);
		fflush(stdout);
		if (!progress_is_live(&f->progress)) {
			result = finish(f, batch);
			json_decref(batch);
			return result;
		}
		json_decref(batch);
	}
	if (interrupted && strcmp(f->progress.state, "asked") == 0)
		command_note("\nNo longer watched; it still waits for a second person. Watch it "
			     "again: mailfuse show %s --follow",
			     f->batch);
	else if (interrupted)
		command_note("\nNo longer watched; the release goes on. Watch it again: mailfuse "
			     "show %s --follow. Stop it: mailfuse pause %s",
			     f->batch, f->batch);
	return CLIENT_DONE;
}

int
follow_batch(struct command *c, const char *batch)
{
	/* A second Ctrl-C ends the program whatever it waits for. */
	const struct sigaction take = {.sa_handler = catch_signal, .sa_flags = (int)SA_RESETHAND};
	struct follow f = {.command = c, .batch = batch};
	struct sigaction old;
	int result;

	interrupted = 0;
	sigaction(SIGINT, &take, &old);
	result = follow(&f);
	sigaction(SIGINT, &old, NULL);
	buf_free(&f.last);
	return result;
}
