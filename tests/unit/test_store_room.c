/*
 * When people are told how full the store is, over a clock of the table's own, and what a store
 * without room still takes: what tells of it.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/fact.h"
#include "store/room_watch.h"
#include "tests/unit/store_faults.h"

#define GB (UINT64_C(1) << 30)

enum { STEPS = 12 };

struct step {
	int second;
	enum store_lack now;
	unsigned times;
	unsigned used, free; /* tenths of a GB; the limit is 20 GB, the least 1 GB */
	enum room_news news;
};

static const struct row {
	const char *name;
	int64_t kept;
	struct step steps[STEPS];
	int64_t kept_after; /* 1, 0, -1: its sign */
} rows[] = {
    {"room", 0, {{1, STORE_LACKS_NOTHING, 0, 179, 30, ROOM_NO_NEWS}}, 0},
    {"nine tenths, told once",
     0,
     {{1, STORE_LACKS_NOTHING, 0, 180, 30, ROOM_NEWS_FILLING},
      {2, STORE_LACKS_NOTHING, 0, 190, 30, ROOM_NO_NEWS},
      {90, STORE_LACKS_NOTHING, 0, 179, 30, ROOM_NO_NEWS},
      {900, STORE_LACKS_NOTHING, 0, 185, 30, ROOM_NO_NEWS}},
     -1},
    {"twice the least of the disk",
     0,
     {{1, STORE_LACKS_NOTHING, 0, 10, 20, ROOM_NO_NEWS},
      {2, STORE_LACKS_NOTHING, 0, 10, 19, ROOM_NEWS_FILLING},
      {3, STORE_LACKS_NOTHING, 0, 10, 24, ROOM_NO_NEWS},
      {99, STORE_LACKS_NOTHING, 0, 10, 19, ROOM_NO_NEWS}},
     -1},
    {"filling again after a minute well below",
     0,
     {{1, STORE_LACKS_NOTHING, 0, 180, 30, ROOM_NEWS_FILLING},
      {10, STORE_LACKS_NOTHING, 0, 160, 30, ROOM_NO_NEWS},
      {69, STORE_LACKS_NOTHING, 0, 160, 30, ROOM_NO_NEWS},
      {70, STORE_LACKS_NOTHING, 0, 160, 30, ROOM_NO_NEWS},
      {71, STORE_LACKS_NOTHING, 0, 180, 30, ROOM_NEWS_FILLING}},
     -1},
    {"not after less",
     0,
     {{1, STORE_LACKS_NOTHING, 0, 180, 30, ROOM_NEWS_FILLING},
      {10, STORE_LACKS_NOTHING, 0, 160, 30, ROOM_NO_NEWS},
      {69, STORE_LACKS_NOTHING, 0, 160, 30, ROOM_NO_NEWS},
      {70, STORE_LACKS_NOTHING, 0, 180, 30, ROOM_NO_NEWS},
      {71, STORE_LACKS_NOTHING, 0, 160, 30, ROOM_NO_NEWS},
      {130, STORE_LACKS_NOTHING, 0, 160, 30, ROOM_NO_NEWS}},
     -1},
    {"full and room again",
     0,
     {{1, STORE_OVER_LIMIT, 1, 200, 30, ROOM_NEWS_FULL},
      {2, STORE_OVER_LIMIT, 1, 200, 30, ROOM_NO_NEWS},
      {10, STORE_LACKS_NOTHING, 1, 100, 30, ROOM_NO_NEWS},
      {69, STORE_LACKS_NOTHING, 1, 100, 30, ROOM_NO_NEWS},
      {70, STORE_LACKS_NOTHING, 1, 100, 30, ROOM_NEWS_RECOVERED},
      {71, STORE_LACKS_NOTHING, 1, 100, 30, ROOM_NO_NEWS}},
     0},
    {"at the edge it does not flap",
     0,
     {{1, STORE_DISK_LOW, 1, 10, 9, ROOM_NEWS_FULL},
      {2, STORE_LACKS_NOTHING, 1, 10, 11, ROOM_NO_NEWS},
      {30, STORE_DISK_LOW, 2, 10, 9, ROOM_NO_NEWS},
      {31, STORE_LACKS_NOTHING, 2, 10, 11, ROOM_NO_NEWS},
      {90, STORE_DISK_LOW, 3, 10, 9, ROOM_NO_NEWS},
      {91, STORE_LACKS_NOTHING, 3, 10, 11, ROOM_NO_NEWS},
      {151, STORE_LACKS_NOTHING, 3, 10, 11, ROOM_NEWS_RECOVERED},
      {152, STORE_LACKS_NOTHING, 3, 10, 11, ROOM_NO_NEWS},
      {153, STORE_DISK_LOW, 4, 10, 9, ROOM_NEWS_FULL}},
     1},
    {"between two looks",
     0,
     {{1, STORE_LACKS_NOTHING, 0, 10, 30, ROOM_NO_NEWS},
      {2, STORE_LACKS_NOTHING, 1, 10, 30, ROOM_NEWS_FULL},
      {3, STORE_LACKS_NOTHING, 1, 10, 30, ROOM_NO_NEWS},
      {40, STORE_LACKS_NOTHING, 2, 10, 30, ROOM_NO_NEWS},
      {41, STORE_LACKS_NOTHING, 2, 10, 30, ROOM_NO_NEWS},
      {100, STORE_LACKS_NOTHING, 2, 10, 30, ROOM_NO_NEWS},
      {101, STORE_LACKS_NOTHING, 2, 10, 30, ROOM_NEWS_RECOVERED}},
     0},
    {"filling, full, and filling still",
     0,
     {{1, STORE_LACKS_NOTHING, 0, 185, 30, ROOM_NEWS_FILLING},
      {2, STORE_OVER_LIMIT, 1, 200, 30, ROOM_NEWS_FULL},
      {3, STORE_LACKS_NOTHING, 1, 190, 30, ROOM_NO_NEWS},
      {63, STORE_LACKS_NOTHING, 1, 190, 30, ROOM_NEWS_RECOVERED},
      {64, STORE_LACKS_NOTHING, 1, 190, 30, ROOM_NO_NEWS}},
     -1},
    {"a broken store has not recovered",
     0,
     {{1, STORE_DISK_FULL, 1, 10, 0, ROOM_NEWS_FULL},
      {2, STORE_LACKS_NOTHING, 1, 10, 30, ROOM_NO_NEWS},
      {50, STORE_CANNOT_WRITE, 1, 10, 30, ROOM_NO_NEWS},
      {63, STORE_LACKS_NOTHING, 1, 10, 30, ROOM_NO_NEWS},
      {123, STORE_LACKS_NOTHING, 1, 10, 30, ROOM_NEWS_RECOVERED}},
     0},
    {"told before a restart", 7, {{1, STORE_OVER_LIMIT, 1, 200, 30, ROOM_NO_NEWS}}, 1},
    {"room came with the restart",
     7,
     {{1, STORE_LACKS_NOTHING, 0, 100, 30, ROOM_NO_NEWS},
      {61, STORE_LACKS_NOTHING, 0, 100, 30, ROOM_NEWS_RECOVERED}},
     0},
    {"filling before a restart", -7, {{1, STORE_LACKS_NOTHING, 0, 190, 30, ROOM_NO_NEWS}}, -1},
};

static int
sign(int64_t n)
{
	return (n > 0) - (n < 0);
}

static void
tells_once_a_change(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct room_watch w;

		room_watch_init(&w, rows[i].kept);
		for (size_t k = 0; k < STEPS && rows[i].steps[k].second != 0; k++) {
			const struct step *s = &rows[i].steps[k];
			struct store_room room = {.now = s->now,
						  .last = STORE_DISK_FULL,
						  .times = s->times,
						  .used = s->used * GB / 10,
						  .limit = 20 * GB,
						  .free = s->free * GB / 10,
						  .least = GB};
			struct buf text = {0};
			enum room_news news =
			    room_watch_look(&w, &room, s->second * CLOCK_SECOND,
					    TEST_NOW + s->second * CLOCK_SECOND, &text);

			if (news != s->news || (text.len > 0) != (news != ROOM_NO_NEWS))
				fail_msg("%s: at %d news %d, not %d: %s", rows[i].name, s->second,
					 news, s->news, buf_text(&text));
			assert_null(strchr(buf_text(&text), '\n'));
			buf_free(&text);
		}
		if (sign(room_watch_kept(&w)) != rows[i].kept_after)
			fail_msg("%s: keeps %d", rows[i].name, sign(room_watch_kept(&w)));
	}
}

/* No limits, no disk: nothing can be near. */
static void
nothing_is_near_without_limits(void **state)
{
	struct store_room room = {.used = UINT64_MAX, .free = 0};
	struct room_watch w;
	struct buf text = {0};

	(void)state;
	room_watch_init(&w, 0);
	assert_int_equal(room_watch_look(&w, &room, 1, 1, &text), ROOM_NO_NEWS);
	room = (struct store_room){.limit = UINT64_MAX, .free = STORE_UNMEASURED, .least = GB};
	assert_int_equal(room_watch_look(&w, &room, 1, 1, &text), ROOM_NO_NEWS);
	buf_free(&text);
}

/* Which limit, how much, what clients get, what to do. */
static void
says_what_to_do(void **state)
{
	static const struct {
		enum store_lack now, last;
		const char *has[5], *not ;
	} texts[] = {
	    {STORE_OVER_LIMIT,
	     STORE_OVER_LIMIT,
	     {"by quarantine_limit", "uses 20.0 GB of quarantine_limit 20.0 GB", "3.0 GB free",
	      "452 4.3.1", "or raise quarantine_limit and reload"},
	     "make room"},
	    {STORE_DISK_LOW,
	     STORE_DISK_LOW,
	     {"by min_free_space", "3.0 GB free", "keeps 1.0 GB", "452 4.3.1", "make room on"},
	     "raise quarantine_limit"},
	    {STORE_DISK_FULL,
	     STORE_DISK_FULL,
	     {"found no space", "3.0 GB free", "purge BATCH", "452 4.3.1", "make room on"},
	     "raise quarantine_limit"},
	    /* over already: by what it was */
	    {STORE_LACKS_NOTHING,
	     STORE_DISK_LOW,
	     {"by min_free_space", "3.0 GB free", "keeps 1.0 GB", "452 4.3.1", "make room on"},
	     "raise quarantine_limit"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct store_room room = {.now = texts[i].now,
					  .last = texts[i].last,
					  .times = 1,
					  .used = 20 * GB,
					  .limit = 20 * GB,
					  .free = 3 * GB,
					  .least = GB};
		struct room_watch w;
		struct buf text = {0};

		room_watch_init(&w, 0);
		assert_int_equal(room_watch_look(&w, &room, CLOCK_SECOND, TEST_NOW, &text),
				 ROOM_NEWS_FULL);
		for (size_t k = 0; k < 5; k++)
			if (strstr(buf_text(&text), texts[i].has[k]) == NULL)
				fail_msg("no \"%s\" in: %s", texts[i].has[k], buf_text(&text));
		assert_null(strstr(buf_text(&text), texts[i].not ));
		buf_free(&text);
	}
}

static const char *
wait_for_lack(struct fixture *f, enum store_lack lack)
{
	struct store_room room;

	for (int i = 0; i < 500; i++) {
		store_read_room(f->s, &room);
		if (room.now == lack)
			return "";
		usleep(10000);
	}
	return "it never lacked that";
}

static enum store_result
tell(struct fixture *f)
{
	struct store_job job = {.op = STORE_FACT,
				.u.fact = {.event = "store.full",
					   .environment = "",
					   .object = "",
					   .who = "gate",
					   .reason = "",
					   .text = "the store is full",
					   .alert = true,
					   .keep = ROOM_WATCH_KEEP,
					   .number = TEST_NOW,
					   .now = TEST_NOW}};

	return run_job(f, &job);
}

static enum store_result
add(struct fixture *f, const char *environment)
{
	struct store_job job = {.op = STORE_ADD};
	enum store_result r;

	job.u.add.message = make_message(environment, "x", 1, VERDICT_PASS, NULL, NULL);
	r = run_job(f, &job);
	message_free(job.u.add.message);
	return r;
}

/* Over either limit new mail is refused; what tells people, by a row or by mail, is not. */
static void
without_room_it_still_tells(void **state)
{
	struct fixture *f = *state;
	struct store_room room;
	unsigned times;

	store_set_limits(f->s, 1000, 0);
	assert_string_equal(wait_for_lack(f, STORE_OVER_LIMIT), "");
	assert_int_equal(add(f, "staging"), STORE_FULL);
	assert_int_equal(tell(f), STORE_OK);
	assert_int_equal(add(f, STORE_ALERTS_PREFIX "ops"), STORE_OK);
	store_read_room(f->s, &room);
	times = room.times;
	assert_true(times >= 1 && room.limit == 1000 && room.used >= 1000);
	store_set_limits(f->s, 0, 0);
	wait_for_room(f);
	store_set_limits(f->s, 0, UINT64_MAX);
	assert_string_equal(wait_for_lack(f, STORE_DISK_LOW), "");
	assert_int_equal(add(f, "staging"), STORE_FULL);
	assert_int_equal(tell(f), STORE_OK);
	assert_int_equal(add(f, STORE_ALERTS_PREFIX "ops"), STORE_OK);
	store_read_room(f->s, &room);
	assert_int_equal(room.times, times + 1);
	assert_int_equal(room.last, STORE_DISK_LOW);
	assert_true(room.free != STORE_UNMEASURED && room.free > 0);
}

/* No space for a row: the caller hears of it, and tells past the store. That it was so is seen
 * however soon a write works again. */
static void
a_full_disk_takes_not_even_that(void **state)
{
	struct fixture *f = *state;
	struct store_room room;

	faults.commit = STORE_FULL;
	faults.commits_to_fail = 1;
	assert_int_equal(tell(f), STORE_FULL);
	store_read_room(f->s, &room);
	assert_int_equal(room.times, 1);
	assert_int_equal(room.last, STORE_DISK_FULL);
	wait_for_room(f);
	store_read_room(f->s, &room);
	assert_int_equal(room.now, STORE_LACKS_NOTHING);
	assert_int_equal(room.times, 1);
	assert_int_equal(tell(f), STORE_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(tells_once_a_change),
	    cmocka_unit_test(nothing_is_near_without_limits),
	    cmocka_unit_test(says_what_to_do),
	    cmocka_unit_test_setup_teardown(without_room_it_still_tells, setup_faulty, teardown),
	    cmocka_unit_test_setup_teardown(a_full_disk_takes_not_even_that, setup_faulty,
					    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
