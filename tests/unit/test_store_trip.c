/*
 * A trip is one step, wherever the disk fails within it; what two trips at once make of each
 * other's leak; and the form in which a delivery keeps its keys, which databases out there have.
 */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "store/keys.h"
#include "tests/unit/store_help.h"

static const struct verdict_key both_keys[] = {{0x1234, 5, true}, {0x777, 6, false}};

/* ---- faults ---- */

static struct backend faulty;
static int calls_left; /* of those that write; -1 = none fails */

static enum store_result
count_down(void)
{
	if (calls_left == 0)
		return STORE_BROKEN;
	calls_left -= calls_left > 0;
	return STORE_OK;
}

static enum store_result
faulty_delivery_set(struct db *db, const struct delivery_row *d)
{
	TRY(count_down());
	return backend_sqlite.delivery_set(db, d);
}

static enum store_result
faulty_member_delete(struct db *db, uint64_t stream, uint64_t id, uint32_t number)
{
	TRY(count_down());
	return backend_sqlite.member_delete(db, stream, id, number);
}

static enum store_result
faulty_batch_set(struct db *db, const struct batch_row *b)
{
	TRY(count_down());
	return backend_sqlite.batch_set(db, b);
}

static enum store_result
faulty_event_add(struct db *db, const struct event_row *e)
{
	TRY(count_down());
	return backend_sqlite.event_add(db, e);
}

static enum store_result
faulty_commit(struct db *db)
{
	TRY(count_down());
	return backend_sqlite.commit(db);
}

static int
setup_faulty(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	faulty = backend_sqlite;
	faulty.delivery_set = faulty_delivery_set;
	faulty.member_delete = faulty_member_delete;
	faulty.batch_set = faulty_batch_set;
	faulty.event_add = faulty_event_add;
	faulty.commit = faulty_commit;
	calls_left = -1;
	fixture_open(f, &faulty);
	*state = f;
	return 0;
}

/* Wherever the disk fails within a trip: all of the stream is in the batch, or nothing happened. */
static void
a_trip_is_one_step(void **state)
{
	enum { OPEN = 4 };
	struct verdict_stream s = test_stream;
	struct fixture *f = *state;
	struct batch_numbers b;
	struct store_job job;
	struct message *m;
	int i, failed = 0;

	s.tripped_at = TEST_NOW;
	s.counted = 10;
	for (i = 0; i < OPEN; i++)
		add_counted(f, both_keys, 2, TEST_NOW - 1, i % 2 == 0 ? CLOCK_MINUTE : 0);
	do {
		m = make_message("staging", "hello", 1, VERDICT_HOLD, "burst volume", &s);
		job = (struct store_job){.op = STORE_ADD, .u.add.message = m};
		calls_left = failed;
		run_job(f, &job);
		calls_left = -1;
		message_free(m);
		if (job.result == STORE_OK)
			break;
		assert_int_equal(f->told_count, 0); /* or taken back */
		assert_int_equal(count_deliveries(f, 0, -1), OPEN);
		assert_int_equal(count_deliveries(f, 0, STORE_HELD), 0);
		assert_false(get_batch(f, 1, &b));
		check_counts(f);
		if (failed % 3 == 0)
			fixture_reopen(f); /* as after a crash at this point */
	} while (++failed < 100);
	/* a row and two keys each, the batch, its event, the commit */
	assert_int_equal(failed, 3 * OPEN + 3);
	assert_int_equal(f->told_count, 2 * OPEN);
	assert_int_equal(count_deliveries(f, 1, STORE_HELD), OPEN + 1);
	get_batch(f, 1, &b);
	assert_int_equal(b.leaked, 10 - OPEN);
	assert_int_equal(take_alerts(f, "batch.opened"), 1);
	check_counts(f);
}

/* ---- two trips at once ---- */

/* Of both streams, and in a loop's hands. */
static uint64_t
add_taken(struct fixture *f, int64_t accepted_at)
{
	struct message *m = make_counted(both_keys, 2, accepted_at, 0);
	struct store_job job = {.op = STORE_ADD, .u.add = {.message = m, .taken = true}};
	uint64_t id = m->id;

	assert_int_equal(run_job(f, &job), STORE_OK);
	message_free(m);
	return id;
}

static enum store_result
give_back(struct fixture *f, uint64_t id, const struct verdict_stream *stream)
{
	struct store_delivery_result result = {.id = id,
					       .number = 1,
					       .state = STORE_HELD,
					       .stream = stream->hash,
					       .tripped_at = stream->tripped_at};
	struct store_job job = {.op = STORE_RESULTS, .u.results = {.results = &result, .count = 1}};

	return run_job(f, &job);
}

/* Counted by A and B as leaving; both trip on a loop before the store hears of it, then A's batch
 * pulls it in, then B's opens, whose count is from before that. */
static void
a_recall_before_the_batch_of_a_trip(void **state)
{
	struct verdict_stream a = stream_of(both_keys[0].hash, TEST_NOW, 3);
	struct verdict_stream b = stream_of(both_keys[1].hash, TEST_NOW + 5, 7);
	struct fixture *f = *state;
	struct batch_numbers numbers;

	add_counted(f, both_keys, 2, TEST_NOW - 1, 0);
	note_trip(f, &a);
	note_trip(f, &b);
	trip(f, &a, "burst volume");
	get_batch(f, 1, &numbers);
	assert_int_equal(numbers.leaked, 2); /* once: it was pulled in after its batch opened */
	trip(f, &b, "burst volume");
	get_batch(f, 2, &numbers);
	assert_int_equal(numbers.leaked, 6);
	check_counts(f);
}

/* The other way round: what was taken back before the trip is not in its count, and what is taken
 * back once its batch is there counts that down, and no later trip's. */
static void
a_recall_before_the_trip_and_after_its_batch(void **state)
{
	struct verdict_stream a = stream_of(both_keys[0].hash, TEST_NOW, 3);
	struct verdict_stream b = stream_of(both_keys[1].hash, TEST_NOW + 5, 7), b2;
	struct fixture *f = *state;
	struct batch_numbers numbers;
	uint64_t taken = add_taken(f, TEST_NOW - 2);

	add_counted(f, both_keys, 2, TEST_NOW - 1, 0);
	trip(f, &a, "burst volume");
	note_trip(f, &b); /* after the first was pulled in */
	trip(f, &b, "burst volume");
	get_batch(f, 2, &numbers);
	assert_int_equal(numbers.leaked, 7);
	assert_int_equal(give_back(f, taken, &a), STORE_OK);
	get_batch(f, 2, &numbers);
	assert_int_equal(numbers.leaked, 6);
	/* more of the same trip joins, and nothing is counted again */
	trip(f, &b, "burst volume");
	get_batch(f, 2, &numbers);
	assert_int_equal(numbers.leaked, 6);
	b2 = stream_of(both_keys[1].hash, TEST_NOW + CLOCK_MINUTE, 5);
	note_trip(f, &b2);
	trip(f, &b2, "burst volume");
	get_batch(f, 3, &numbers);
	assert_int_equal(numbers.leaked, 5);
	check_counts(f);
}

/* Of an audience what was declared is no leak; more taken back than counted is none either. */
static void
a_recall_before_the_batch_of_an_audience(void **state)
{
	static const struct {
		uint32_t counted, limit;
		uint64_t leaked;
	} rows[] = {{7, 5, 1}, {6, 5, 0}, {5, 5, 0}, {1, 0, 0}, {0, 0, 0}};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct verdict_stream a = stream_of(both_keys[0].hash, TEST_NOW, 3);
		struct verdict_stream b =
		    stream_of(both_keys[1].hash, TEST_NOW + 5, rows[i].counted);
		struct batch_numbers numbers;

		a.tripped_at += (int64_t)i * CLOCK_HOUR;
		b.tripped_at += (int64_t)i * CLOCK_HOUR;
		b.limit = rows[i].limit;
		f->trip_count = 0;
		add_counted(f, both_keys, 2, a.tripped_at - 1, 0);
		note_trip(f, &b);
		trip(f, &a, "burst volume");
		trip(f, &b, "audience");
		assert_true(get_batch(f, (int64_t)(2 * i) + 2, &numbers));
		assert_int_equal(numbers.leaked, rows[i].leaked);
	}
	check_counts(f);
}

/* ---- the form of keys ---- */

static void
keys_read_back(void **state)
{
	static const struct verdict_key all[] = {{1, 0, false},
						 {UINT64_MAX, UINT32_MAX, true},
						 {UINT64_C(0x8000000000000000), 63, true},
						 {UINT64_C(0x0102030405060708), 64, false},
						 {2, UINT32_MAX / 2, false}};
	enum { COUNT = sizeof(all) / sizeof(all[0]) };
	struct arena arena = {0};
	struct verdict_key out[16];
	size_t i, len, cut;
	const char *data = keys_pack(&arena, all, COUNT, 0, &len);

	(void)state;
	assert_int_equal(keys_unpack(data, len, out), COUNT);
	assert_int_equal(keys_time(data, len, 5), 5);
	data = keys_pack(&arena, all, COUNT, INT64_MIN + 7, &len);
	assert_int_equal(keys_unpack(data, len, out), COUNT);
	assert_true(keys_time(data, len, 5) == INT64_MIN + 7);
	for (i = 0; i < COUNT; i++) {
		assert_true(out[i].hash == all[i].hash);
		assert_int_equal(out[i].stamp, all[i].stamp);
		assert_int_equal(out[i].settles, all[i].settles);
	}
	/* cut short: whole keys only, and never more than there is room for */
	for (cut = 0; cut < len - 8; cut++)
		assert_true(keys_unpack(data, cut, out) < COUNT);
	assert_null(keys_pack(&arena, NULL, 0, 7, &len));
	assert_int_equal(len, 0);
	assert_int_equal(keys_time(NULL, 0, 5), 5);
	arena_free(&arena);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(a_recall_before_the_batch_of_a_trip),
	    BOTH(a_recall_before_the_trip_and_after_its_batch),
	    BOTH(a_recall_before_the_batch_of_an_audience),
	    cmocka_unit_test_setup_teardown(a_trip_is_one_step, setup_faulty, teardown),
	    cmocka_unit_test(keys_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
