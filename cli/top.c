/*
 * top: asks mailfused each second and draws what it says. One thread: while an answer is waited for
 * the terminal is looked after all the same (client_set_watch()), so that a gate that hangs never
 * takes the keyboard along. A gate that is gone is asked again.
 */
#include "cli/top.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/screen.h"
#include "cli/terminal.h"
#include "cli/top_draw.h"

/* Batches of one look: the newest, and beyond them those that are being released. */
enum { NEWEST = 200, RELEASING = 50, ESCAPE = 27, ESCAPE_ROWS = 6 };

/* A no is asked about less often: ten wrong tokens in a minute lock the port. */
#define AFTER_NO (10 * CLOCK_SECOND)
/* What the configuration says changes seldom. */
#define ENVIRONMENTS_EVERY (10 * CLOCK_SECOND)

struct top {
	struct command *command;
	struct terminal *terminal; /* NULL: a snapshot */
	struct top_data data;
	struct top_view view;
	char *trouble;
	int64_t interval, environments_at, drawn_at;
	size_t total; /* rows of the section that is shown alone */
	bool no_environments, done;
	bool ask_now; /* whoever goes on wants to see what there is */
	int result;
};

/* ---- asking */

static int
get(struct top *t, const char *path, json_t **answer)
{
	struct buf error = {0};
	int result = client_get(t->command->client, path, answer, &error);

	if (result != CLIENT_DONE) {
		free(t->trouble);
		t->trouble = mem_strdup(buf_text(&error));
		*answer = NULL;
	}
	buf_free(&error);
	return result;
}

/* Adds what is not there yet. */
static void
add_items(json_t *list, json_t *seen, const json_t *answer, const char *key)
{
	json_t *items = json_object_get(answer, "items"), *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		const char *id = json_string_value(json_object_get(item, key));

		if (id == NULL || json_object_get(seen, id) != NULL)
			continue;
		json_object_set_new(seen, id, json_true());
		json_array_append(list, item);
	}
}

/* The first page of each of these, together; the first without others is all there is. *more tells
 * whether it was not. */
static int
get_lists(struct top *t, const char *const *paths, size_t count, const char *key, json_t **list,
	  bool *more)
{
	json_t *seen = json_object(), *answer;
	int result = CLIENT_DONE;

	*list = json_array();
	*more = true;
	for (size_t i = 0; i < count && *more && result == CLIENT_DONE; i++) {
		result = get(t, paths[i], &answer);
		if (result != CLIENT_DONE)
			break;
		add_items(*list, seen, answer, key);
		*more = i > 0 || json_is_string(json_object_get(answer, "next"));
		json_decref(answer);
	}
	json_decref(seen);
	if (result != CLIENT_DONE) {
		json_decref(*list);
		*list = NULL;
	}
	return result;
}

static int
get_batches(struct top *t, json_t **batches, bool *more)
{
	char newest[64], releasing[64], paused[64];
	const char *const paths[] = {newest, releasing, paused};

	snprintf(newest, sizeof(newest), "/v1/batches?limit=%d", NEWEST);
	snprintf(releasing, sizeof(releasing), "/v1/batches?state=releasing&limit=%d", RELEASING);
	snprintf(paused, sizeof(paused), "/v1/batches?state=paused&limit=%d", RELEASING);
	return get_lists(t, paths, sizeof(paths) / sizeof(paths[0]), "id", batches, more);
}

/* Where mailfused has no such call it is not asked again. */
static int
get_environments(struct top *t, int64_t now, json_t **environments)
{
	static const char *const path = "/v1/environments?limit=1000";
	bool more;
	int result;

	*environments = json_incref(t->data.answers.environments);
	if (t->no_environments || (t->environments_at > 0 && now < t->environments_at))
		return CLIENT_DONE;
	json_decref(*environments);
	result = get_lists(t, &path, 1, "name", environments, &more);
	t->no_environments = result == CLIENT_REFUSED;
	t->environments_at = now + ENVIRONMENTS_EVERY;
	return result == CLIENT_NOT_REACHED ? result : CLIENT_DONE;
}

/* One look. What was known stays where one of the answers does not come. */
static int
ask(struct top *t)
{
	struct top_answers a = {0};
	int64_t now = clock_mono();
	int result = get(t, "/v1/status", &a.status);

	if (result == CLIENT_DONE)
		result = get_batches(t, &a.batches, &a.more);
	if (result == CLIENT_DONE)
		result = get(t, "/v1/queue", &a.queue);
	if (result == CLIENT_DONE)
		result = get_environments(t, now, &a.environments);
	if (result != CLIENT_DONE) {
		json_decref(a.status);
		json_decref(a.batches);
		json_decref(a.queue);
		json_decref(a.environments);
		t->view.trouble = t->trouble;
		return result;
	}
	top_data_take(&t->data, &a, now);
	t->view.answered_at = (int64_t)time(NULL);
	t->view.trouble = NULL;
	return result;
}

/* ---- the screen */

static void
draw(struct top *t)
{
	struct buf lines = {0};

	t->view.rows = screen_rows();
	t->view.columns = screen_columns();
	t->view.now = (int64_t)time(NULL);
	t->total = top_draw(&t->data, &t->view, &lines);
	terminal_draw(t->terminal, &lines);
	t->drawn_at = clock_mono();
	buf_free(&lines);
}

static void
show(struct top *t, enum top_section section)
{
	t->view.section = t->view.section == section ? TOP_ALL : section;
	t->view.offset = 0;
}

/* Down, or up where it is negative; the last row stays to be seen. */
static void
scroll(struct top *t, int rows)
{
	size_t step = (size_t)abs(rows);

	if (rows < 0)
		t->view.offset -= step < t->view.offset ? step : t->view.offset;
	else if (t->view.offset + step < t->total)
		t->view.offset += step;
	else
		t->view.offset = t->total > 0 ? t->total - 1 : 0;
}

static void
take_key(struct top *t, int key)
{
	int page = t->view.rows > ESCAPE_ROWS ? (int)t->view.rows - ESCAPE_ROWS : 1;

	switch (key) {
	case 'q':
	case 'Q':
		t->done = true;
		break;
	case 'e':
		show(t, TOP_ENVIRONMENTS);
		break;
	case 'r':
		show(t, TOP_RELEASES);
		break;
	case 'b':
		show(t, TOP_BATCHES);
		break;
	case 'u':
		show(t, TOP_UPSTREAMS);
		break;
	case '?':
	case 'h':
		show(t, TOP_HELP);
		break;
	case ESCAPE:
		show(t, t->view.section);
		break;
	case ' ':
		t->ask_now = t->view.stopped;
		t->view.stopped = !t->view.stopped;
		break;
	case 'j':
	case TERMINAL_KEY_DOWN:
		scroll(t, 1);
		break;
	case 'k':
	case TERMINAL_KEY_UP:
		scroll(t, -1);
		break;
	case TERMINAL_KEY_PAGE_DOWN:
		scroll(t, page);
		break;
	case TERMINAL_KEY_PAGE_UP:
		scroll(t, -page);
		break;
	default:
		break;
	}
}

static size_t
watch_fds(void *context, struct pollfd fds[CLIENT_WATCH_FDS])
{
	const struct top *t = context;

	return terminal_fds(t->terminal, fds);
}

/* True: go on. */
static bool
watch_look(void *context)
{
	struct top *t = context;
	enum terminal_event event;
	bool happened = false;
	int key;

	while (!t->done && (event = terminal_look(t->terminal)) != TERMINAL_NOTHING) {
		happened = true;
		if (event == TERMINAL_ENDED) {
			t->done = true;
			t->result = CLIENT_REFUSED;
			return false;
		}
		while (!t->done && (key = terminal_key(t->terminal)) != 0)
			take_key(t, key);
	}
	/* The clock and the ages go on; an answer of many pieces is no reason to draw. */
	if (!t->done && (happened || clock_mono() - t->drawn_at >= CLOCK_SECOND))
		draw(t);
	return !t->done;
}

/* Until then, or until somebody wants to go on or to end. */
static void
wait_until(struct top *t, int64_t due)
{
	t->ask_now = false;
	while (!t->done && !t->ask_now && (t->view.stopped || clock_mono() < due)) {
		struct pollfd fds[CLIENT_WATCH_FDS];
		size_t count = terminal_fds(t->terminal, fds);
		int64_t left = (due - clock_mono()) / 1000 + 1;

		if (t->view.stopped || left > 1000)
			left = 1000;
		poll(fds, count, left > 0 ? (int)left : 0);
		watch_look(t);
	}
}

static int
follow(struct top *t)
{
	const struct client_watch watch = {watch_fds, watch_look, t};
	bool answered = false, refused = false;

	t->result = CLIENT_DONE;
	client_set_watch(t->command->client, &watch);
	while (!t->done) {
		int64_t start = clock_mono();
		int result = ask(t);

		answered |= result == CLIENT_DONE;
		/* A wrong token or the like: nothing to follow. */
		refused = result == CLIENT_REFUSED;
		if (refused && !answered && t->view.answered_at == 0)
			break;
		if (!t->done)
			draw(t);
		wait_until(t, start + (refused && t->interval < AFTER_NO ? AFTER_NO : t->interval));
	}
	client_set_watch(t->command->client, NULL);
	terminal_close(t->terminal);
	if (!t->done && refused)
		return command_refused(t->command, "%s", t->trouble);
	return t->result;
}

/* ---- the snapshot */

static void
print_json(const struct top *t)
{
	const struct top_answers *a = &t->data.answers;
	json_t *o = json_object();

	json_object_set(o, "status", a->status);
	json_object_set(o, "batches", a->batches);
	json_object_set(o, "queue", a->queue);
	json_object_set_new(o, "environments",
			    a->environments != NULL ? json_incref(a->environments) : json_null());
	json_object_set_new(o, "more", json_boolean(a->more));
	command_print_json(o);
	json_decref(o);
}

static int
print_once(struct top *t)
{
	struct buf lines = {0};
	int result = ask(t);

	if (result == CLIENT_NOT_REACHED)
		fprintf(stderr, "mailfuse: %s\n", t->trouble);
	else if (result != CLIENT_DONE)
		command_refused(t->command, "%s", t->trouble);
	if (result != CLIENT_DONE)
		return result;
	if (t->command->json) {
		print_json(t);
		return result;
	}
	t->view.columns = screen_columns();
	t->view.now = (int64_t)time(NULL);
	top_draw(&t->data, &t->view, &lines);
	fwrite(buf_text(&lines), 1, lines.len, stdout);
	buf_free(&lines);
	return result;
}

int
top_run(struct command *c)
{
	struct top t = {.command = c, .interval = CLOCK_SECOND};
	const char *interval = options_text(c->options, "interval");
	int result;

	if (interval != NULL)
		units_parse_duration(interval, &t.interval);
	if (!c->json && !options_has(c->options, "once"))
		t.terminal = terminal_open();
	result = t.terminal != NULL ? follow(&t) : print_once(&t);
	top_data_free(&t.data);
	free(t.trouble);
	return result;
}
