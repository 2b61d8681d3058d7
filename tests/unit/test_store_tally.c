/*
 * What the store counts for GET /metrics, over both twins: held and leaked are what the batches
 * say, once, and only what was committed.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/tally.h"
#include "store/fact.h"
#include "tests/unit/store_faults.h"

enum { STREAM = 0x4321 };

static const struct verdict_key key = {STREAM, 5, true};

/* The tallies are the process's, and go on from test to test. */
struct numbers {
	int64_t held, leaked;
};

/* Long after: whatever leaked is told. */
static struct numbers
read_numbers(const char *environment, const char *rule)
{
	struct numbers n = {0, 0};
	struct tally_reading r;
	size_t i;

	for (i = 0; i < tally_count(); i++) {
		tally_read(i, clock_mono() + CLOCK_HOUR, &r);
		if (strcmp(r.environment, environment) == 0 && r.rule != NULL &&
		    strcmp(r.rule, rule) == 0)
			n = (struct numbers){r.values[TALLY_HELD], r.values[TALLY_LEAKED]};
	}
	return n;
}

static void
check_since(struct numbers before, const char *rule, int64_t held, int64_t leaked)
{
	struct numbers now = read_numbers("staging", rule);

	assert_int_equal(now.held - before.held, held);
	assert_int_equal(now.leaked - before.leaked, leaked);
}

static void
as_the_batches_say(void **state)
{
	struct verdict_stream s = stream_of(STREAM, TEST_NOW, 50);
	struct numbers before = read_numbers("staging", "burst volume");
	struct fixture *f = *state;
	struct batch_numbers b;
	int i;

	for (i = 0; i < 7; i++)
		add_counted(f, &key, 1, TEST_NOW - CLOCK_SECOND, 10 * CLOCK_SECOND);
	check_since(before, "burst volume", 0, 0);
	trip(f, &s, "burst volume"); /* calls the seven back */
	assert_true(get_batch(f, 1, &b));
	assert_int_equal(b.recipients, 8);
	assert_int_equal(b.leaked, 43);
	check_since(before, "burst volume", 8, 43);
	trip(f, &s, "burst volume");
	check_since(before, "burst volume", 9, 43);
	/* Decisions are no verdicts. */
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	assert_int_equal(decide(f, STORE_RESTORE, 1), STORE_OK);
	assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_OK);
	check_since(before, "burst volume", 9, 43);
}

static void
panic_holds_what_was_queued(void **state)
{
	struct numbers before = read_numbers("staging", "panic");
	struct fixture *f = *state;

	add_passing(f, "staging", 3);
	assert_int_equal(press(f, true, 0, "", TEST_NOW), STORE_OK);
	check_since(before, "panic", 3, 0);
}

/* A batch from before the start: what is called back of it was told then. */
static void
an_old_leak_is_no_debt(void **state)
{
	struct verdict_stream s = stream_of(STREAM, TEST_NOW, 50),
			      other = stream_of(STREAM + 1, TEST_NOW, 20);
	struct store_delivery_result result = {
	    .number = 1, .state = STORE_HELD, .stream = STREAM, .tripped_at = TEST_NOW};
	struct store_job add = {.op = STORE_ADD, .u.add = {.taken = true}},
			 job = {.op = STORE_RESULTS, .u.results = {.results = &result, .count = 1}};
	struct fixture *f = *state;
	struct batch_numbers b;
	struct numbers before;

	add.u.add.message = make_counted(&key, 1, TEST_NOW - 1, 0);
	result.id = add.u.add.message->id;
	assert_int_equal(run_job(f, &add), STORE_OK);
	message_free(add.u.add.message);
	trip(f, &s, "burst volume");
	if (f->b == &backend_memory)
		return; /* it would be gone */
	fixture_reopen(f);
	before = read_numbers("staging", "burst volume");
	/* What the last process had in hand is due again, and pulled in by the same trip. */
	trip(f, &other, "burst volume");
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_true(get_batch(f, 2, &b));
	assert_int_equal(b.leaked, 20);
	check_since(before, "burst volume", 2, 20);
}

static void
an_import_is_not_held_now(void **state)
{
	static const struct store_batch elsewhere = {
	    .environment = "staging", .rule = "burst volume", .key = "from elsewhere", .leaked = 9};
	static const enum store_state states[] = {STORE_HELD, STORE_HELD};
	struct numbers before = read_numbers("staging", "burst volume");
	struct message *m = make_message("staging", "Sale", 2, VERDICT_PASS, NULL, NULL);
	struct store_job job = {.op = STORE_IMPORT};
	struct fixture *f = *state;
	struct verdict_stream s = stream_of(STREAM, TEST_NOW, 5);

	job.u.import.open = &elsewhere;
	job.u.import.message = m;
	job.u.import.states = states;
	job.u.import.who = "uid:1000(kim)";
	job.u.import.reason = "the disk broke";
	job.u.import.now = TEST_NOW;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.import.added, 2);
	message_free(m);
	check_since(before, "burst volume", 0, 0);
	trip(f, &s, "burst volume");
	check_since(before, "burst volume", 1, 5);
}

static void
what_was_rolled_back_is_not_counted(void **state)
{
	enum { JOBS = 5 };
	struct verdict_stream s = stream_of(STREAM, TEST_NOW, 5);
	struct numbers before = read_numbers("staging", "burst volume");
	struct fixture *f = *state;
	struct store_job jobs[JOBS];
	size_t i;

	for (i = 0; i < JOBS; i++) {
		jobs[i] = (struct store_job){.op = STORE_ADD};
		jobs[i].u.add.message =
		    make_message("staging", "x", 3, VERDICT_HOLD, "burst volume", &s);
	}
	faults.bad_id = jobs[2].u.add.message->id;
	faults.add = STORE_BROKEN;
	run_jobs(f, jobs, JOBS); /* the group is tried, rolled back, and each is tried alone */
	for (i = 0; i < JOBS; i++) {
		assert_int_equal(jobs[i].result, i == 2 ? STORE_BROKEN : STORE_OK);
		message_free(jobs[i].u.add.message);
	}
	check_since(before, "burst volume", (JOBS - 1) * 3, 5);
	wait_for_room(f);
	faults.commit = STORE_BROKEN;
	faults.commits_to_fail = 2;
	jobs[0] = (struct store_job){.op = STORE_ADD};
	s = stream_of(STREAM + 2, TEST_NOW, 70);
	jobs[0].u.add.message = make_message("staging", "x", 3, VERDICT_HOLD, "burst volume", &s);
	assert_int_equal(run_job(f, &jobs[0]), STORE_BROKEN);
	message_free(jobs[0].u.add.message);
	check_since(before, "burst volume", (JOBS - 1) * 3, 5);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(as_the_batches_say),
	    BOTH(panic_holds_what_was_queued),
	    BOTH(an_old_leak_is_no_debt),
	    BOTH(an_import_is_not_held_now),
	    cmocka_unit_test_setup_teardown(what_was_rolled_back_is_not_counted, setup_faulty,
					    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
