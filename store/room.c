/*
 * Measuring the room for mail, and answering what others ask of it without a job. The writer's
 * thread writes, any thread reads. The state changes in set_measured() and set_trouble().
 */
#include "store/room.h"

#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/writer.h"

enum { CHECK_BYTES = 1 << 20 };

/* ---- measuring */

static bool
disk_is_low(struct store *s)
{
	const char *directory = s->b->directory(s->work.db);
	uint64_t least = atomic_load(&s->room.min_free_space), have;
	struct statvfs fs;

	if (directory == NULL || statvfs(directory, &fs) != 0) {
		atomic_store(&s->room.free, STORE_UNMEASURED);
		return false;
	}
	have = (uint64_t)fs.f_bavail * fs.f_frsize;
	atomic_store(&s->room.free, have);
	return have < least;
}

static bool
is_over_limit(struct store *s)
{
	uint64_t limit = atomic_load(&s->room.size_limit), used = 0;

	if (s->b->used_bytes(s->work.db, &used) != STORE_OK)
		return false;
	metric_set(METRIC_STORE_BYTES_NOW, (int64_t)used);
	atomic_store(&s->room.used, used);
	return limit > 0 && used >= limit;
}

/* However short: room_watch.c is asked once a second and must not miss it. */
static void
count_lack(struct store *s, enum room_state why)
{
	atomic_store(&s->room.lack, why);
	atomic_fetch_add(&s->room.lacks, 1);
}

static void
set_measured(struct store *s, enum room_state now)
{
	if (atomic_exchange(&s->room.measured, now) == (int)now)
		return;
	if (now == ROOM_OK) {
		log_info("- store.room now=yes");
		return;
	}
	log_warn("- store.room now=no why=%s",
		 now == ROOM_OVER_LIMIT ? "quarantine_limit" : "min_free_space");
	count_lack(s, now);
}

static enum room_state
look(struct store *s)
{
	bool over = is_over_limit(s), low = disk_is_low(s);

	return over ? ROOM_OVER_LIMIT : low ? ROOM_DISK_LOW : ROOM_OK;
}

void
room_measure(struct store *s)
{
	s->checked_at = clock_mono();
	s->room.unchecked = 0;
	set_measured(s, look(s));
}

/* A blast writes hundreds of megabytes in a second: its size is looked at as it grows. Room again
 * is seen once a second. */
void
room_note_size(struct store *s, size_t more)
{
	enum room_state now;

	s->room.unchecked += more;
	if (s->room.unchecked < CHECK_BYTES || !room_is_measured(s))
		return;
	s->room.unchecked = 0;
	now = look(s);
	if (now != ROOM_OK)
		set_measured(s, now);
}

bool
room_is_measured(const struct store *s)
{
	return atomic_load(&s->room.measured) == ROOM_OK;
}

/* ---- what a write said */

/* True if that is new. */
static bool
set_trouble(struct store *s, enum room_state now)
{
	if (atomic_exchange(&s->room.trouble, now) == (int)now)
		return false;
	if (now == ROOM_DISK_FULL)
		count_lack(s, now);
	return true;
}

void
room_note_failure(struct store *s, enum store_result r)
{
	if ((r != STORE_FULL && r != STORE_BROKEN) || s->work.db->lost)
		return;
	if (set_trouble(s, r == STORE_FULL ? ROOM_DISK_FULL : ROOM_BROKEN))
		log_warn("- store.write_failed error=%s", log_safe(s->work.db->error));
}

void
room_note_success(struct store *s)
{
	if (!s->work.db->lost && set_trouble(s, ROOM_OK))
		log_info("- store.write_works");
}

bool
room_note_lost(struct store *s)
{
	if (s->work.db->lost && set_trouble(s, ROOM_LOST))
		log_warn("- store.sync_failed error=%s nothing is written any more: look at the "
			 "disk, then restart mailfused",
			 log_safe(s->work.db->error));
	return s->work.db->lost;
}

static enum room_state
read_trouble(const struct store *s)
{
	return atomic_load_explicit(&s->room.trouble, memory_order_relaxed);
}

bool
room_has_trouble(const struct store *s)
{
	return read_trouble(s) != ROOM_OK;
}

/* ---- store.h */

static enum room_state
read_state(const struct store *s)
{
	enum room_state trouble = read_trouble(s);

	return trouble != ROOM_OK
		   ? trouble
		   : (enum room_state)atomic_load_explicit(&s->room.measured, memory_order_relaxed);
}

bool
store_has_room(const struct store *s, const char **why)
{
	static const char *const reasons[] = {
	    [ROOM_OK] = "",
	    [ROOM_OVER_LIMIT] = "the store is full: discard and purge, or raise quarantine_limit",
	    [ROOM_DISK_LOW] = "the disk has less than min_free_space left: make room on it",
	    [ROOM_DISK_FULL] = "the disk is full: make room on it",
	    [ROOM_BROKEN] = "the store cannot be written: see the log and the disk",
	    [ROOM_LOST] =
		("a sync of the store failed, so nothing is written any more: look at its "
		 "disk, then restart mailfused"),
	};
	enum room_state state = read_state(s);

	if (why != NULL)
		*why = reasons[state];
	return state == ROOM_OK;
}

bool
store_is_broken(const struct store *s)
{
	return read_trouble(s) >= ROOM_BROKEN;
}

bool
store_is_lost(const struct store *s)
{
	return read_trouble(s) == ROOM_LOST;
}

void
store_set_limits(struct store *s, uint64_t size_limit, uint64_t min_free_space)
{
	atomic_store(&s->room.size_limit, size_limit);
	atomic_store(&s->room.min_free_space, min_free_space);
}

void
store_read_room(const struct store *s, struct store_room *out)
{
	static const enum store_lack lacks[] = {
	    [ROOM_OK] = STORE_LACKS_NOTHING,    [ROOM_OVER_LIMIT] = STORE_OVER_LIMIT,
	    [ROOM_DISK_LOW] = STORE_DISK_LOW,   [ROOM_DISK_FULL] = STORE_DISK_FULL,
	    [ROOM_BROKEN] = STORE_CANNOT_WRITE, [ROOM_LOST] = STORE_CANNOT_WRITE};

	*out = (struct store_room){.now = lacks[read_state(s)],
				   .last = lacks[atomic_load(&s->room.lack)],
				   .times = atomic_load(&s->room.lacks),
				   .used = atomic_load(&s->room.used),
				   .limit = atomic_load(&s->room.size_limit),
				   .free = atomic_load(&s->room.free),
				   .least = atomic_load(&s->room.min_free_space)};
}
