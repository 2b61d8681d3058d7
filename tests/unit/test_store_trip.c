/*
 * A trip is one step, wherever the disk fails within it; and the form in which a delivery keeps its
 * keys, which databases out there have.
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
		assert_int_equal(job.u.add.recalled_count, 0);
		assert_null(job.u.add.recalled);
		assert_int_equal(count_deliveries(f, 0, -1), OPEN);
		assert_int_equal(count_deliveries(f, 0, STORE_HELD), 0);
		assert_false(get_batch(f, 1, &b));
		check_counts(f);
		if (failed % 3 == 0)
			fixture_reopen(f); /* as after a crash at this point */
	} while (++failed < 100);
	/* a row and two keys each, the batch, its event, the commit */
	assert_int_equal(failed, 3 * OPEN + 3);
	assert_int_equal(job.u.add.recalled_count, 2 * OPEN);
	free(job.u.add.recalled);
	assert_int_equal(count_deliveries(f, 1, STORE_HELD), OPEN + 1);
	get_batch(f, 1, &b);
	assert_int_equal(b.leaked, 10 - OPEN);
	assert_int_equal(take_alerts(f, "batch.opened"), 1);
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
	    cmocka_unit_test_setup_teardown(a_trip_is_one_step, setup_faulty, teardown),
	    cmocka_unit_test(keys_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
