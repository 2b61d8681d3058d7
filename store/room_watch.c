/*
 * The levels of room_watch.h. Main thread; no clock and no store of its own. What it says is one
 * line, because it is a headline too, and comes with the next step.
 */
#include "store/room_watch.h"

#include <stdlib.h>

#include "base/units.h"

void
room_watch_init(struct room_watch *w, int64_t kept)
{
	*w = (struct room_watch){.level = kept > 0   ? ROOM_FULL
					  : kept < 0 ? ROOM_FILLING
						     : ROOM_ROOMY,
				 .since = llabs(kept)};
}

int64_t
room_watch_kept(const struct room_watch *w)
{
	return w->level == ROOM_FULL ? w->since : w->level == ROOM_FILLING ? -w->since : 0;
}

const char *
room_news_event(enum room_news news)
{
	static const char *const events[] = {[ROOM_NEWS_FILLING] = "store.filling",
					     [ROOM_NEWS_FULL] = "store.full",
					     [ROOM_NEWS_RECOVERED] = "store.recovered"};

	return events[news];
}

/* ---- levels */

static bool
limit_is_near(const struct store_room *r)
{
	return r->limit > 0 && r->used >= r->limit - r->limit / 10;
}

static bool
is_filling(const struct store_room *r)
{
	return limit_is_near(r) || (r->least > 0 && r->free / 2 < r->least);
}

static bool
is_roomy(const struct store_room *r)
{
	return (r->limit == 0 || r->used < r->limit - r->limit / 20 * 3) &&
	       (r->least == 0 || r->free / 5 * 2 >= r->least);
}

/* What is between filling and roomy is what it was. */
static enum room_level
level_of(const struct room_watch *w, const struct store_room *r)
{
	if (r->now != STORE_LACKS_NOTHING || r->times != w->times)
		return ROOM_FULL;
	if (is_filling(r) || (w->level != ROOM_ROOMY && !is_roomy(r)))
		return ROOM_FILLING;
	return ROOM_ROOMY;
}

/* ---- words */

static void
add_used(struct buf *text, const struct store_room *r)
{
	char used[UNITS_BYTES], limit[UNITS_BYTES];

	buf_printf(text, "it uses %s", units_format_size(r->used, used));
	if (r->limit > 0)
		buf_printf(text, " of quarantine_limit %s", units_format_size(r->limit, limit));
}

static void
add_free(struct buf *text, const struct store_room *r)
{
	char have[UNITS_BYTES], least[UNITS_BYTES];

	if (r->free == STORE_UNMEASURED)
		return;
	buf_printf(text, ", and its disk has %s free", units_format_size(r->free, have));
	if (r->least > 0)
		buf_printf(text, ", of which min_free_space keeps %s",
			   units_format_size(r->least, least));
}

static void
add_numbers(struct buf *text, const struct store_room *r)
{
	add_used(text, r);
	add_free(text, r);
	buf_add_text(text, ". ");
}

/* The disk's lack is not mended by a larger limit. */
static void
add_next_step(struct buf *text, bool limit)
{
	buf_printf(text,
		   "`mailfuse batches --all` shows what it keeps, `mailfuse purge BATCH` frees "
		   "what was discarded; %s",
		   limit ? "or raise quarantine_limit and reload" : "or make room on that disk");
}

static void
tell_filling(struct buf *text, const struct store_room *r)
{
	bool limit = limit_is_near(r);

	buf_printf(text, "the store is nearly full, by %s: ",
		   limit ? "quarantine_limit" : "min_free_space");
	add_numbers(text, r);
	buf_add_text(text, "Once it is full new mail is answered 452 4.3.1. ");
	add_next_step(text, limit);
}

static void
tell_full(struct buf *text, const struct store_room *r)
{
	enum store_lack lack = r->now != STORE_LACKS_NOTHING ? r->now : r->last;

	buf_add_text(text, lack == STORE_OVER_LIMIT ? "the store is full, by quarantine_limit: "
			   : lack == STORE_DISK_LOW ? "the store is full, by min_free_space: "
						    : "the store is full, since a write found no "
						      "space on its disk: ");
	add_numbers(text, r);
	buf_add_text(text, "New mail is answered 452 4.3.1 and its clients try again by "
			   "themselves; nothing that was accepted is lost. ");
	add_next_step(text, lack == STORE_OVER_LIMIT);
}

static void
tell_recovered(struct buf *text, const struct store_room *r, int64_t lasted)
{
	char span[UNITS_BYTES];

	if (lasted < ROOM_WATCH_CALM)
		lasted = ROOM_WATCH_CALM; /* the wall clock was set back */
	buf_printf(text, "the store takes mail again, after %s with no or hardly any room: ",
		   units_format_duration(lasted / CLOCK_SECOND * CLOCK_SECOND, span));
	add_numbers(text, r);
	buf_add_text(text, "What was answered 452 comes by itself when its clients try again");
}

/* ---- looking */

/* For the worse it changes at once, for the better after a minute. */
static bool
is_due(struct room_watch *w, enum room_level next, int64_t mono)
{
	if (next >= w->level) {
		w->calm = 0;
		return next > w->level;
	}
	if (w->calm == 0)
		w->calm = mono > 0 ? mono : 1;
	return mono - w->calm >= ROOM_WATCH_CALM;
}

enum room_news
room_watch_look(struct room_watch *w, const struct store_room *room, int64_t mono, int64_t wall,
		struct buf *text)
{
	enum room_level old = w->level, next = level_of(w, room);
	int64_t lasted = wall - w->since;

	/* Another alert tells of that, and there is nothing to count as better. */
	if (room->now == STORE_CANNOT_WRITE) {
		w->calm = 0;
		return ROOM_NO_NEWS;
	}
	w->times = room->times;
	if (!is_due(w, next, mono))
		return ROOM_NO_NEWS;
	w->level = next;
	w->since = wall;
	w->calm = 0;
	if (next == ROOM_FULL) {
		tell_full(text, room);
		return ROOM_NEWS_FULL;
	}
	if (old == ROOM_FULL) {
		tell_recovered(text, room, lasted);
		return ROOM_NEWS_RECOVERED;
	}
	if (next == ROOM_FILLING) {
		tell_filling(text, room);
		return ROOM_NEWS_FILLING;
	}
	return ROOM_NO_NEWS;
}
