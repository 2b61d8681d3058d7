/*
 * Lays out `mailfuse top`: what needs a person, then environments, releases, batches and upstreams,
 * each with its share of the lines. Called by cli/top.c. All text of the daemon goes through
 * cli/table.c or screen_text(), so that nothing of it moves the cursor.
 */
#include "cli/top_draw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/field.h"
#include "cli/screen.h"
#include "cli/top_rows.h"
#include "cli/top_trouble.h"

/* A section takes a line of titles too, and an empty one before it where there is room. */
enum { TIGHT_ROWS = 20, TROUBLE_SHARE = 4 };

struct frame {
	struct buf *out;
	size_t columns, rows; /* 0: no bound */
	size_t used;
};

/* ---- lines */

/* Bytes of the escape sequence at `text`, which is one of screen_on(); 0 if there is none. */
static size_t
style_length(const char *text)
{
	return *text == '\033' ? strcspn(text, "m") + 1 : 0;
}

/* Cut to the screen's width; colours are ended. */
static void
frame_add(struct frame *f, const char *line, size_t len)
{
	size_t left = f->columns, i = 0, width;
	bool styled = false;

	if (f->rows > 0 && f->used >= f->rows)
		return;
	f->used++;
	while (i < len) {
		size_t n = style_length(line + i);

		if (n == 0) {
			const char *escape = memchr(line + i, '\033', len - i);
			char *run = strndup(line + i,
					    escape != NULL ? (size_t)(escape - line) - i : len - i);

			n = run == NULL ? 0 : strlen(run);
			if (f->columns > 0 && run != NULL) {
				size_t fits = screen_fit(run, left, &width);

				left = fits < n ? 0 : left - width;
				buf_add(f->out, run, fits);
			} else {
				buf_add(f->out, line + i, n);
			}
			free(run);
		} else {
			styled = true;
			buf_add(f->out, line + i, n);
		}
		i += n;
	}
	if (styled)
		buf_add_text(f->out, screen_off(SCREEN_BOLD));
	buf_add_char(f->out, '\n');
}

static void
frame_add_lines(struct frame *f, const char *text)
{
	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		frame_add(f, text, len);
		text += len + (text[len] == '\n');
	}
}

static void
frame_add_text(struct frame *f, const char *text)
{
	frame_add(f, text, strlen(text));
}

/* ---- above the sections */

static const char *
show_clock(int64_t at, char out[16])
{
	time_t seconds = (time_t)at;
	struct tm tm;

	if (localtime_r(&seconds, &tm) == NULL || strftime(out, 16, "%H:%M:%S", &tm) == 0)
		out[0] = '\0';
	return out;
}

/* "gate.example  12:04:11  held 4,990 recipients in 2 batches". */
static void
add_title(struct frame *f, const struct top_data *d, const struct top_view *v)
{
	const json_t *status = d->answers.status;
	const char *host = field_text(status, "hostname");
	struct buf line = {0};
	char at[16];

	buf_printf(&line, "%s%s%s  %s", screen_on(SCREEN_BOLD),
		   *host != '\0' ? screen_text(host) : "mailfuse top", screen_off(SCREEN_BOLD),
		   show_clock(v->now, at));
	if (v->stopped)
		buf_printf(&line, "  %sstopped: space goes on%s", screen_on(SCREEN_YELLOW),
			   screen_off(SCREEN_YELLOW));
	if (status != NULL)
		buf_printf(&line, "  mailfused %s, since %s", field_show(status, "version"),
			   screen_time(field_text(status, "started_at")));
	frame_add_text(f, buf_text(&line));
	buf_free(&line);
}

static void
add_sums(struct frame *f, const struct top_data *d)
{
	const json_t *status = d->answers.status, *held = json_object_get(status, "held");
	int64_t recipients = field_count(held, "recipients");
	enum screen_style style = recipients > 0 ? SCREEN_YELLOW : SCREEN_GREEN;
	struct buf line = {0};
	char in[TOP_RATE_BYTES], out[TOP_RATE_BYTES];

	if (status == NULL)
		return;
	buf_printf(&line, "%sHeld %s in %s%s  In %s/s  Out %s/s", screen_on(style),
		   screen_counted(recipients, "recipient", "recipients"),
		   screen_counted(field_count(held, "batches"), "batch", "batches"),
		   screen_off(style), top_rows_rate(top_data_rate(d, TOP_ACCEPTED, NULL), in),
		   top_rows_rate(top_data_rate(d, TOP_SENT, NULL), out));
	frame_add_text(f, buf_text(&line));
	buf_free(&line);
}

/* An older one may be filling without being seen here. */
static void
add_bound(struct frame *f, const struct top_data *d)
{
	const struct top_answers *a = &d->answers;
	struct buf line = {0};

	if (!a->more)
		return;
	buf_printf(&line, "Only %s are below, the newest and those released: mailfuse batches",
		   screen_counted((int64_t)json_array_size(a->batches), "batch", "batches"));
	frame_add_text(f, buf_text(&line));
	buf_free(&line);
}

/* What stands there is old, and why. */
static void
add_silence(struct frame *f, const struct top_view *v)
{
	struct buf line = {0};
	char at[16];

	if (v->trouble == NULL)
		return;
	if (v->answered_at > 0)
		buf_printf(&line, "%sNo answer since %s. %s%s", screen_on(SCREEN_RED),
			   show_clock(v->answered_at, at), screen_text(v->trouble),
			   screen_off(SCREEN_RED));
	else
		buf_printf(&line, "%s%s%s", screen_on(SCREEN_RED), screen_text(v->trouble),
			   screen_off(SCREEN_RED));
	frame_add_text(f, buf_text(&line));
	frame_add_text(f, "Asking again until it answers.");
	buf_free(&line);
}

/* The first lines of what needs a person; how many more there are. */
static void
add_trouble(struct frame *f, const struct top_data *d)
{
	struct buf text = {0}, more = {0};
	size_t most = f->rows > 0 ? f->rows / TROUBLE_SHARE : SIZE_MAX, count;
	const char *at;

	count = top_trouble(d->answers.status, &text);
	at = buf_text(&text);
	for (size_t i = 0; i < count && i < most; i++) {
		size_t len = strcspn(at, "\n");

		if (i + 1 == most && i + 1 < count) {
			buf_printf(&more, "%zu more: mailfuse status", count - i);
			frame_add_text(f, buf_text(&more));
			break;
		}
		frame_add(f, at, len);
		at += len + 1;
	}
	buf_free(&text);
	buf_free(&more);
}

/* ---- the sections */

struct share {
	size_t wanted, given; /* rows below the titles */
	bool started;
};

/* One row after the other to each that wants more; the first of each costs its titles too. */
static void
give_rows(struct share shares[TOP_SECTIONS], size_t room, size_t titles)
{
	/* What is most urgent gets its first row first. */
	static const enum top_section order[] = {TOP_BATCHES, TOP_RELEASES, TOP_ENVIRONMENTS,
						 TOP_UPSTREAMS};
	bool gave = true;

	while (gave) {
		gave = false;
		for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
			struct share *s = &shares[order[i]];
			size_t cost = s->started ? 1 : 1 + titles;

			if (s->given >= s->wanted || cost > room)
				continue;
			s->started = true;
			s->given++;
			room -= cost;
			gave = true;
		}
	}
}

static void
add_section(struct frame *f, const struct top_data *d, enum top_section which, size_t offset,
	    size_t rows, size_t wanted, int64_t now)
{
	struct buf text = {0};
	/* Of a few rows none is spent on saying that there are more. */
	bool cut = offset + rows < wanted && rows > 2;
	size_t shown = cut ? rows - 1 : rows;
	struct top_span span = {offset, shown, now};

	top_rows_print(d, which, &span, f->columns, &text);
	frame_add_lines(f, buf_text(&text));
	buf_clear(&text);
	if (cut) {
		buf_printf(&text, "%s more: key %c",
			   screen_count((int64_t)(wanted - offset - shown)), "?erbu"[which]);
		frame_add_text(f, buf_text(&text));
	}
	buf_free(&text);
}

static void
add_all(struct frame *f, const struct top_data *d, size_t room, int64_t now)
{
	struct share shares[TOP_SECTIONS] = {{0}};
	bool tight = f->rows > 0 && f->rows < TIGHT_ROWS;

	for (int i = TOP_ENVIRONMENTS; i < TOP_SECTIONS; i++)
		shares[i].wanted = top_rows_count(d, (enum top_section)i);
	give_rows(shares, room, tight ? 1 : 2);
	for (int i = TOP_ENVIRONMENTS; i < TOP_SECTIONS; i++) {
		if (shares[i].given == 0)
			continue;
		if (!tight)
			frame_add_text(f, "");
		add_section(f, d, (enum top_section)i, 0, shares[i].given, shares[i].wanted, now);
	}
}

static size_t
add_one(struct frame *f, const struct top_data *d, const struct top_view *v, size_t room)
{
	size_t wanted = top_rows_count(d, v->section);
	size_t rows = room > 1 ? room - 1 : 0;

	if (wanted == 0)
		frame_add_text(f, top_rows_nothing(v->section));
	else
		add_section(f, d, v->section, v->offset < wanted ? v->offset : wanted - 1, rows,
			    wanted, v->now);
	return wanted;
}

static void
add_help(struct frame *f)
{
	static const char *const lines[] = {
	    "q            quit; so does Ctrl-C",
	    "e r b u      only environments, releases, batches or upstreams; again: all",
	    "j k, arrows  scroll such a list; the page keys by a screen",
	    "space        stop asking, and go on",
	    "?            this, and back",
	    "",
	    "In and Out are recipients a second over the last ten seconds. A batch that is",
	    "filling takes in more right now.",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		frame_add_text(f, lines[i]);
}

size_t
top_draw(const struct top_data *d, const struct top_view *v, struct buf *out)
{
	struct frame f = {.out = out, .columns = v->columns, .rows = v->rows};
	size_t room, wanted = 0;

	add_title(&f, d, v);
	add_sums(&f, d);
	add_bound(&f, d);
	add_silence(&f, v);
	/* The line of keys is the last one. */
	f.rows = v->rows > 3 ? v->rows - 1 : v->rows;
	if (v->section == TOP_ALL)
		add_trouble(&f, d);
	room = v->rows == 0 ? SIZE_MAX : f.used < f.rows ? f.rows - f.used : 0;
	if (v->section == TOP_HELP)
		add_help(&f);
	else if (d->answers.status != NULL && v->section == TOP_ALL)
		add_all(&f, d, room, v->now);
	else if (d->answers.status != NULL)
		wanted = add_one(&f, d, v, room);
	if (v->rows > 3) {
		while (f.used < f.rows)
			frame_add_text(&f, "");
		f.rows++;
		frame_add_text(&f, v->section == TOP_ALL
				       ? "q quit  e r b u one list  space stop  ? keys"
				       : "q quit  j k scroll  Esc all lists  ? keys");
	}
	return wanted;
}
