/*
 * Draws the progress of a release. Called by cli/follow.c, cli/plan.c and cli/show.c with what the
 * daemon says of a plan; an older or hostile one may say anything, so numbers are bounded and texts
 * harmless before they are drawn.
 */
#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/units.h"
#include "cli/field.h"
#include "cli/screen.h"

enum { BAR_MAX = 30, BAR_MIN = 4 };
/* Far beyond any batch, and sums of it are numbers still. */
#define COUNT_MAX INT64_C(1000000000000000)

static int64_t
bounded(int64_t n, int64_t most)
{
	return n < 0 ? 0 : n < most ? n : most;
}

size_t
progress_plan(const json_t *rings, int64_t total, struct progress_ring out[PROGRESS_RINGS_MAX])
{
	int64_t left = bounded(total, COUNT_MAX);
	size_t count = json_array_size(rings), i;

	/* A plain release is one ring. */
	if (count == 0) {
		out[0] = (struct progress_ring){.size = left, .rest = true};
		return 1;
	}
	for (i = 0; i < count && i < PROGRESS_RINGS_MAX && (i == 0 || left > 0); i++) {
		const json_t *ring = json_array_get(rings, i);
		bool rest = !json_is_integer(ring);

		out[i] = (struct progress_ring){
		    .rest = rest,
		    .size = rest ? left : bounded(json_integer_value(ring), left),
		};
		left -= out[i].size;
	}
	return i;
}

/* What was seen of rings that are over stays. */
static void
update_rings(struct progress *p, const json_t *plan)
{
	struct progress_ring rings[PROGRESS_RINGS_MAX];
	size_t count = progress_plan(json_object_get(plan, "rings"), p->total, rings), i;

	p->ring = (size_t)bounded(field_count(plan, "ring"), PROGRESS_RINGS_MAX);
	/* As many as have begun there were, whatever the sizes say. */
	for (; count < p->ring; count++)
		rings[count] = (struct progress_ring){0};
	for (i = 0; i < count; i++) {
		if (i + 1 < p->ring && i < p->count) {
			int64_t size = p->rings[i].size;

			rings[i] = p->rings[i];
			rings[i].size = size;
		}
	}
	if (p->ring > 0) {
		struct progress_ring *now = &rings[p->ring - 1];

		if (field_count(plan, "ring_size") > 0)
			now->size = bounded(field_count(plan, "ring_size"), COUNT_MAX);
		now->sent = bounded(field_count(plan, "sent"), COUNT_MAX);
		now->deferred = bounded(field_count(plan, "deferred"), COUNT_MAX);
		now->failed = bounded(field_count(plan, "failed"), COUNT_MAX);
	}
	memcpy(p->rings, rings, count * sizeof(*rings));
	p->count = count;
}

/* Harmless text in a field of a struct; what is cut off is not half of a character. */
static void
copy_text(char *out, size_t size, const char *text)
{
	size_t len = strlen(text);

	if (len >= size)
		for (len = size - 1; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	memcpy(out, text, len);
	out[len] = '\0';
}

bool
progress_update(struct progress *p, const json_t *batch)
{
	const json_t *plan = json_object_get(batch, "plan");

	if (!json_is_object(plan))
		return false;
	if (field_count(plan, "id") != p->id)
		memset(p, 0, sizeof(*p));
	p->id = field_count(plan, "id");
	copy_text(p->batch, sizeof(p->batch), screen_text(field_text(batch, "id")));
	copy_text(p->state, sizeof(p->state), screen_text(field_text(plan, "state")));
	copy_text(p->why, sizeof(p->why), screen_text(field_text(plan, "why")));
	p->total = bounded(field_count(plan, "total"), COUNT_MAX);
	p->released = bounded(field_count(plan, "released"), COUNT_MAX);
	p->next_at = bounded(screen_time_parse(field_text(plan, "next_ring_at")), COUNT_MAX);
	update_rings(p, plan);
	return true;
}

bool
progress_is_live(const struct progress *p)
{
	return strcmp(p->state, "running") == 0 || strcmp(p->state, "asked") == 0;
}

/* "45 of 100 sent, refused 1 (4xx), 2 (5xx)". */
static void
describe_ring(const struct progress *p, size_t i, struct buf *out)
{
	const struct progress_ring *r = &p->rings[i];
	bool over = i + 1 < p->ring;

	if (i >= p->ring) {
		buf_printf(out, "%s to come%s", screen_count(r->size),
			   r->rest && i > 0 ? ", all that is left" : "");
		return;
	}
	if (over && r->sent + r->failed < r->size)
		buf_printf(out, "%s delivered", screen_count(r->size)); /* its end was not seen */
	else
		buf_printf(out, "%s of %s sent", screen_count(r->sent), screen_count(r->size));
	if (r->deferred > 0 || r->failed > 0)
		buf_printf(out, ", refused %s (4xx), %s (5xx)", screen_count(r->deferred),
			   screen_count(r->failed));
}

/* The line under the bars. `now` 0 = not in terms of the present moment. */
static void
describe_state(const struct progress *p, int64_t now, struct buf *out)
{
	char left[UNITS_BYTES];

	if (strcmp(p->state, "asked") == 0) {
		buf_printf(out, "waits for a second person: mailfuse approve %s", p->batch);
	} else if (strcmp(p->state, "done") == 0) {
		buf_printf(out, "done: %s released",
			   screen_counted(p->released, "recipient", "recipients"));
	} else if (strcmp(p->state, "running") != 0) {
		buf_printf(out, "%s%s%s", p->state, *p->why != '\0' ? ": " : "", p->why);
	} else if (p->ring >= p->count) {
		buf_add_text(out, "running");
	} else if (p->next_at == 0) {
		buf_printf(out, "running, ring %zu begins when this one is delivered", p->ring + 1);
	} else if (now == 0) {
		char iso[40];
		time_t at = (time_t)p->next_at;
		struct tm tm;

		if (gmtime_r(&at, &tm) == NULL ||
		    strftime(iso, sizeof(iso), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
			iso[0] = '\0';
		buf_printf(out, "running, ring %zu begins at %s", p->ring + 1, screen_time(iso));
	} else if (p->next_at <= now) {
		buf_printf(out, "running, ring %zu begins now", p->ring + 1);
	} else {
		buf_printf(out, "running, ring %zu begins in %s", p->ring + 1,
			   units_format_duration(
			       bounded(p->next_at - now, INT32_MAX) * CLOCK_SECOND, left));
	}
}

/* One line, cut to less than `columns`: the last one must not make the terminal wrap. */
static void
add_line(const char *line, size_t columns, struct buf *out)
{
	size_t width;

	buf_add(out, line, screen_fit(line, columns > 1 ? columns - 1 : 1, &width));
	buf_add_char(out, '\n');
}

static void
add_bar(const struct progress *p, size_t i, size_t width, struct buf *out)
{
	static const char *const full[] = {"#", "\xe2\x96\x88"}, *const rest[] = {"-",
										  "\xe2\x96\x91"};
	const struct progress_ring *r = &p->rings[i];
	double share = r->size > 0 ? (double)(r->sent + r->failed) / (double)r->size : 0;
	size_t filled, at;

	share = i + 1 < p->ring || share > 1 ? 1 : i >= p->ring ? 0 : share;
	filled = (size_t)(share * (double)width);
	/* That something has left is seen. */
	if (filled == 0 && share > 0)
		filled = 1;
	for (at = 0; at < width; at++)
		buf_add_text(out, at < filled ? full[screen_is_utf8()] : rest[screen_is_utf8()]);
	buf_add_char(out, ' ');
}

/* The widest bar that leaves room for what stands beside the rings from `first` on. */
static size_t
find_bar_width(const struct progress *p, size_t first, size_t rings, size_t label, size_t columns)
{
	struct buf text = {0};
	size_t longest = 0, i;

	for (i = first; i < first + rings; i++) {
		buf_clear(&text);
		describe_ring(p, i, &text);
		longest = text.len > longest ? text.len : longest;
	}
	buf_free(&text);
	if (label + longest + 2 + BAR_MIN > columns)
		return 0;
	columns -= label + longest + 2;
	return columns < BAR_MAX ? columns : BAR_MAX;
}

size_t
progress_draw(const struct progress *p, int64_t now, size_t columns, size_t rows, struct buf *out)
{
	size_t rings = rows > 1 ? rows - 1 : 0, first, i, bar;
	struct buf line = {0};
	int digits = p->count > 9 ? 2 : 1;

	rings = rings < p->count ? rings : p->count;
	/* One that is over stays in sight. */
	first = p->ring > 2 ? p->ring - 2 : 0;
	first = first + rings > p->count ? p->count - rings : first;
	bar = find_bar_width(p, first, rings, strlen("Ring 1 ") + (size_t)digits - 1, columns);
	for (i = first; i < first + rings; i++) {
		buf_clear(&line);
		buf_printf(&line, "Ring %*zu ", digits, i + 1);
		if (bar > 0)
			add_bar(p, i, bar, &line);
		describe_ring(p, i, &line);
		add_line(buf_text(&line), columns, out);
	}
	buf_clear(&line);
	buf_printf(&line, "%s ", p->batch);
	describe_state(p, now, &line);
	add_line(buf_text(&line), columns, out);
	buf_free(&line);
	return rings + 1;
}

void
progress_describe(const struct progress *p, struct buf *out)
{
	if (p->ring > 0) {
		buf_printf(out, "ring %zu of %zu: ", p->ring, p->count);
		describe_ring(p, p->ring - 1, out);
		buf_add_text(out, "; ");
	}
	describe_state(p, 0, out);
}
