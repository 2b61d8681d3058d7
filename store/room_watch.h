/*
 * When people are to be told how full the store is, and in which words: store.filling, store.full,
 * store.recovered. Decides only; daemon/space.c asks once a second and tells.
 */
#ifndef STORE_ROOM_WATCH_H
#define STORE_ROOM_WATCH_H

#include "base/buf.h"
#include "base/clock.h"
#include "store/store.h"

/* For so long it has to be better before it counts as better. */
#define ROOM_WATCH_CALM CLOCK_MINUTE

/* Kept in the store under this name, so that a restart does not tell again: room_watch_kept(). */
#define ROOM_WATCH_KEEP "store.level"

/*
 *              90 % of the limit, or under twice min_free_space
 *      ROOMY ---------------------------------------------------> FILLING
 *        ^ <-- under 85 % and over 2.5 times, for a minute -------- |  ^
 *        |                                                          |  | room for a minute
 *        +---- both for a minute -------------- FULL <-- no room ---+  |
 *                                                +---------------------+
 */
enum room_level { ROOM_ROOMY, ROOM_FILLING, ROOM_FULL };

enum room_news { ROOM_NO_NEWS, ROOM_NEWS_FILLING, ROOM_NEWS_FULL, ROOM_NEWS_RECOVERED };

struct room_watch {
	enum room_level level; /* as people know it */
	int64_t since;         /* wall: since when */
	int64_t calm;          /* mono: since when it looks better; 0 = it does not */
	unsigned times;        /* of struct store_room, at the last look */
};

/* `kept`: as room_watch_kept() said, 0 where nothing is kept. */
void room_watch_init(struct room_watch *w, int64_t kept);
int64_t room_watch_kept(const struct room_watch *w);
/* At most one at a time. `text`, which must be empty, gets what people read. */
enum room_news room_watch_look(struct room_watch *w, const struct store_room *room, int64_t mono,
			       int64_t wall, struct buf *text);
/* "store.full"; NULL where there are no news. */
const char *room_news_event(enum room_news news);

#endif
