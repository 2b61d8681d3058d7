/*
 * Two rules that trip within milliseconds, the real counters and the store together: whatever order
 * the jobs come in, and also where a commit fails, each batch's leak is what really left.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "filters/counters.h"
#include "relay/recall.h"
#include "tests/unit/store_help.h"

enum { REPEAT, VOLUME, RULES };

static const struct counters_rule rules[RULES] = {
    [REPEAT] = {.limit = 2, .window = CLOCK_DAY, .cooldown = CLOCK_HOUR, .holds = true},
    [VOLUME] = {.limit = 3, .window = 10 * CLOCK_MINUTE, .cooldown = CLOCK_HOUR, .holds = true},
};
static const struct verdict_key keys[RULES] = {{0x1234, 0, false}, {0x777, 0, false}};

struct rig {
	struct fixture f;
	struct counters *counters;
	/* Where VOLUME trips while the writer commits: the commit fails then. */
	struct verdict_stream *trips_in_commit;
};

static struct rig *now_failing;
static struct backend faulty;

/* `n` recipients are judged that long ago; the stream as their message has it. */
static struct verdict_stream
judge_before(struct rig *rig, int rule, uint32_t n, int64_t ago)
{
	struct verdict_stream s = test_stream;
	struct counters_seen seen;

	counters_arrive(rig->counters, &rules[rule], (struct counters_key){.hash = keys[rule].hash},
			n, 0, CLOCK_DAY - ago, TEST_NOW - ago, COUNTERS_COUNT, &seen);
	s.hash = keys[rule].hash;
	s.tripped_at = seen.tripped_at;
	s.counted = seen.counted;
	s.limit = seen.limit;
	s.window = rules[rule].window;
	return s;
}

static struct verdict_stream
judge(struct rig *rig, int rule, uint32_t n)
{
	return judge_before(rig, rule, n, 0);
}

static enum store_result
faulty_commit(struct db *db)
{
	struct rig *rig = now_failing;

	if (rig == NULL)
		return backend_sqlite.commit(db);
	if (rig->trips_in_commit->tripped_at == 0)
		*rig->trips_in_commit = judge(rig, VOLUME, 3);
	return STORE_BROKEN;
}

static void
rig_open(struct rig *rig, const struct backend *b)
{
	struct store_counters hooks;

	memset(rig, 0, sizeof(*rig));
	rig->counters = counters_new();
	hooks = recall_counters(rig->counters);
	fixture_open(&rig->f, b);
	fixture_count(&rig->f, &hooks);
}

static void
rig_close(struct rig *rig)
{
	check_counts(&rig->f);
	fixture_close(&rig->f);
	counters_free(rig->counters);
}

/* Both rules let it leave; it lies in the store, or a loop has it. */
static uint64_t
add_leaving(struct rig *rig, bool taken, int64_t ago)
{
	struct message *m = make_counted(keys, RULES, TEST_NOW - ago, 0);
	struct store_job job = {.op = STORE_ADD, .u.add = {.message = m, .taken = taken}};
	uint64_t id = m->id;
	int i;

	for (i = 0; i < RULES; i++)
		assert_int_equal(judge_before(rig, i, 1, ago).tripped_at, 0);
	assert_int_equal(run_job(&rig->f, &job), STORE_OK);
	message_free(m);
	return id;
}

static enum store_result
add_tripped(struct rig *rig, const struct verdict_stream *stream)
{
	struct message *m = make_message("staging", "x", 1, VERDICT_HOLD, "burst volume", stream);
	struct store_job job = {.op = STORE_ADD, .u.add.message = m};

	run_job(&rig->f, &job);
	message_free(m);
	return job.result;
}

static uint64_t
leak_of(struct rig *rig, int64_t batch)
{
	struct batch_numbers b;

	assert_true(get_batch(&rig->f, batch, &b));
	return b.leaked;
}

/* Judged: the delivery, VOLUME's trip and REPEAT's, in both orders. */
static void
the_leak_is_the_same_in_every_order(void **state)
{
	int volume_first, stored_first;

	for (volume_first = 0; volume_first < 2; volume_first++)
		for (stored_first = 0; stored_first < 2; stored_first++) {
			struct verdict_stream tripped[RULES];
			struct rig rig;
			int i, rule;

			rig_open(&rig, *state);
			add_leaving(&rig, true, 2); /* is gone: a leak of both */
			add_leaving(&rig, false, 1);
			for (i = 0; i < RULES; i++) {
				rule = i == volume_first ? REPEAT : VOLUME;
				tripped[rule] = judge(&rig, rule, 3);
				assert_int_equal(tripped[rule].counted, 2);
			}
			for (i = 0; i < RULES; i++) {
				rule = i == stored_first ? REPEAT : VOLUME;
				assert_int_equal(add_tripped(&rig, &tripped[rule]), STORE_OK);
			}
			assert_int_equal(leak_of(&rig, 1), 1);
			assert_int_equal(leak_of(&rig, 2), 1);
			rig_close(&rig);
		}
}

/* The recall is in the counters already when the other rule trips. */
static void
a_trip_after_the_recall(void **state)
{
	struct verdict_stream repeat, volume;
	struct rig rig;

	rig_open(&rig, *state);
	add_leaving(&rig, true, 2);
	add_leaving(&rig, false, 1);
	repeat = judge(&rig, REPEAT, 3);
	assert_int_equal(add_tripped(&rig, &repeat), STORE_OK);
	volume = judge(&rig, VOLUME, 3);
	assert_int_equal(volume.counted, 1);
	assert_int_equal(add_tripped(&rig, &volume), STORE_OK);
	assert_int_equal(leak_of(&rig, 2), 1);
	rig_close(&rig);
}

/* What REPEAT calls back is too old to be in VOLUME's count: that stays as it is. */
static void
a_recall_of_what_is_older_than_the_window(void **state)
{
	struct verdict_stream repeat, volume;
	struct rig rig;

	rig_open(&rig, *state);
	add_leaving(&rig, false, 20 * CLOCK_MINUTE);
	add_leaving(&rig, true, 1);
	repeat = judge(&rig, REPEAT, 3);
	volume = judge(&rig, VOLUME, 3);
	assert_int_equal(repeat.counted, 2);
	assert_int_equal(volume.counted, 1);
	assert_int_equal(add_tripped(&rig, &repeat), STORE_OK);
	assert_int_equal(add_tripped(&rig, &volume), STORE_OK);
	assert_int_equal(leak_of(&rig, 1), 1);
	assert_int_equal(leak_of(&rig, 2), 1);
	rig_close(&rig);
}

/* VOLUME trips after REPEAT's recall was told, which is rolled back then; its batch comes before
 * REPEAT's is tried again, or after it. */
static void
a_recall_that_is_rolled_back(void **state)
{
	int again_first;

	(void)state;
	faulty = backend_sqlite;
	faulty.commit = faulty_commit;
	for (again_first = 0; again_first < 2; again_first++) {
		struct verdict_stream repeat, volume = {.tripped_at = 0};
		struct rig rig;

		rig_open(&rig, &faulty);
		rig.trips_in_commit = &volume;
		add_leaving(&rig, true, 2);
		add_leaving(&rig, false, 1);
		repeat = judge(&rig, REPEAT, 3);
		now_failing = &rig;
		assert_int_equal(add_tripped(&rig, &repeat), STORE_BROKEN);
		now_failing = NULL;
		assert_int_equal(volume.counted, 1);
		assert_int_equal(counters_unleft(rig.counters, volume.hash, volume.tripped_at), -1);
		assert_int_equal(counters_unleft(rig.counters, repeat.hash, repeat.tripped_at), 0);
		if (again_first)
			assert_int_equal(add_tripped(&rig, &repeat), STORE_OK);
		assert_int_equal(add_tripped(&rig, &volume), STORE_OK);
		if (!again_first)
			assert_int_equal(add_tripped(&rig, &repeat), STORE_OK);
		assert_int_equal(leak_of(&rig, 1), 1);
		assert_int_equal(leak_of(&rig, 2), 1);
		rig_close(&rig);
	}
}

#define ON_BOTH(test)                                                                              \
	cmocka_unit_test_prestate(test, (void *)&backend_sqlite),                                  \
	    cmocka_unit_test_prestate(test, (void *)&backend_memory)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    ON_BOTH(the_leak_is_the_same_in_every_order),
	    ON_BOTH(a_trip_after_the_recall),
	    ON_BOTH(a_recall_of_what_is_older_than_the_window),
	    cmocka_unit_test(a_recall_that_is_rolled_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
