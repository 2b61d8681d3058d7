/*
 * The table of burst counters: audiences, trips that are looked for, whose keys there are at the
 * cap, and what becomes of the others.
 */
#include "tests/unit/counters_fixture.h"

#define WINDOW (10 * CLOCK_MINUTE)

static const struct counters_rule small = {
    .limit = 3, .window = WINDOW, .cooldown = CLOCK_HOUR, .holds = true};

/* Row by row one campaign's messages: what they declare, to how many, and what that does. */
static void
audience(void **state)
{
	static const struct {
		uint32_t declared, n;
		uint32_t before, limit;
		bool trips, trips_now;
		uint32_t left; /* of all so far */
	} rows[] = {
	    {300, 250, 0, 300, false, false, 250},
	    {300, 50, 250, 300, false, false, 300},
	    {300, 1, 300, 300, true, true, 300},
	    {400, 50, 301, 300, true, false, 300}, /* the smallest counts */
	    {200, 1, 351, 200, true, false, 300},
	    /* another campaign */
	    {10, 7, 0, 10, false, false, 7},
	    {10, 7, 7, 10, true, true, 10}, /* three of them are not too many */
	    {10, 7, 14, 10, true, false, 10},
	    /* one that grows smaller under what was sent */
	    {100, 60, 0, 100, false, false, 60},
	    {50, 1, 60, 50, true, true, 60},
	    /* one that is too large at once */
	    {5, 8, 0, 5, true, true, 5},
	};
	struct counters_rule rule = {.window = 30 * CLOCK_DAY, .holds = true, .audience = true};
	struct counters *c = counters_new();
	uint64_t campaign = 0;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		struct saved saved = {0};
		struct counters_seen seen;
		struct counters *copy;

		campaign += rows[i].before == 0;
		rule.limit = rows[i].declared;
		seen = arrive(c, &rule, hash_of(campaign), rows[i].n, (int64_t)i * CLOCK_HOUR);
		if (seen.before != rows[i].before || seen.limit != rows[i].limit ||
		    seen.trips != rows[i].trips || seen.trips_now != rows[i].trips_now)
			fail_msg("row %zu: before %u limit %u trips %d now %d", i, seen.before,
				 seen.limit, seen.trips, seen.trips_now);
		/* What is loaded is not tripped, so that it shows what has left. */
		saved_all(&saved, c, (int64_t)i * CLOCK_HOUR);
		copy = saved_load(&saved);
		seen = peek(copy, &rule, hash_of(campaign), (int64_t)i * CLOCK_HOUR);
		if (seen.counted != rows[i].left || seen.limit != rows[i].limit)
			fail_msg("row %zu: left %u limit %u", i, seen.counted, seen.limit);
		counters_free(copy);
		saved_free(&saved);
	}
	/* A decision: counted afresh, against what was declared. */
	counters_forget(c, hash_of(1));
	rule.limit = 1000;
	assert_int_equal(arrive(c, &rule, hash_of(1), 200, CLOCK_DAY).trips, false);
	assert_int_equal(arrive(c, &rule, hash_of(1), 1, CLOCK_DAY).trips, true);
	counters_free(c);
}

static void
find_trip(void **state)
{
	struct counters *c = counters_new();
	const struct verdict_key keys[] = {
	    {.hash = hash_of(1)}, {.hash = hash_of(2)}, {.hash = hash_of(3), .settles = true}};
	struct counters_seen seen;
	int64_t at = 0;

	(void)state;
	assert_null(counters_find_trip(c, keys, 3, false, &at));
	arrive(c, &small, hash_of(1), 3, 0);
	assert_null(counters_find_trip(c, keys, 3, false, &at));
	seen = arrive(c, &small, hash_of(3), 4, 7);
	assert_true(seen.trips_now);
	assert_ptr_equal(counters_find_trip(c, keys, 3, false, &at), &keys[2]);
	assert_int_equal(at, seen.tripped_at);
	assert_ptr_equal(counters_find_trip(c, keys, 3, true, &at), &keys[2]);
	assert_null(counters_find_trip(c, keys, 2, false, &at));
	seen = arrive(c, &small, hash_of(2), 4, 8);
	assert_ptr_equal(counters_find_trip(c, keys, 3, false, &at), &keys[1]);
	assert_int_equal(at, seen.tripped_at);
	assert_ptr_equal(counters_find_trip(c, keys, 3, true, &at), &keys[2]);
	counters_forget(c, hash_of(3));
	assert_null(counters_find_trip(c, keys, 3, true, &at));
	counters_forget(c, hash_of(2));
	assert_null(counters_find_trip(c, keys, 3, false, &at));
	counters_free(c);
}

/* ---- what the store could not take */

/* How many may still arrive before it trips. */
static uint32_t
room(struct counters *c, const struct counters_rule *rule, uint64_t hash, int64_t mono)
{
	struct counters_seen seen = peek(c, rule, hash, mono);

	return seen.before > rule->limit ? 0 : rule->limit - seen.before;
}

static void
uncount(void **state)
{
	static const struct {
		const char *name;
		uint32_t limit;
		enum counters_mode mode;
		/* Arrivals of one each, a second between them; what fails fails by ten. */
		unsigned before, failed;
		uint32_t room;
	} rows[] = {
	    {"as if it had never come", 15, COUNTERS_COUNT, 3, 10, 12},
	    {"again and again", 15, COUNTERS_COUNT, 5, 90, 10},
	    {"in slices", 50, COUNTERS_COUNT, 30, 500, 20},
	    {"what other rules hold", 15, COUNTERS_HELD, 3, 90, 12},
	    /* The window keeps the newest only: what it takes back would be others'. */
	    {"over the limit", 15, COUNTERS_HELD, 20, 90, 0},
	    {"over the limit, in slices", 50, COUNTERS_HELD, 60, 500, 0},
	};
	size_t i;
	unsigned k;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		struct counters_rule rule = small;
		struct counters *c = counters_new();
		struct counters_seen seen;
		uint32_t left = rows[i].mode == COUNTERS_COUNT ? 10 : 0;
		int64_t mono = 0;

		rule.limit = rows[i].limit;
		rule.window = 2 * CLOCK_HOUR;
		for (k = 0; k < rows[i].before + rows[i].failed; k++, mono += CLOCK_SECOND) {
			counters_arrive(c, &rule, (struct counters_key){.hash = hash_of(1)}, 1, 0,
					mono, mono, rows[i].mode, &seen);
			if (k >= rows[i].before && (k - rows[i].before) % 10 == 9)
				counters_uncount(c, hash_of(1), 10, left);
		}
		if (room(c, &rule, hash_of(1), mono) != rows[i].room)
			fail_msg("%s: room for %u", rows[i].name, room(c, &rule, hash_of(1), mono));
		counters_free(c);
	}
}

/* What of a trip's count was taken back since, and put back; the window goes with it. */
static void
a_trip_knows_what_was_taken_back(void **state)
{
	const uint64_t hash = hash_of(1);
	struct counters_rule rule = small;
	struct counters *c = counters_new();
	struct counters_seen seen;
	int64_t first;
	int i;

	(void)state;
	rule.limit = 5;
	assert_int_equal(counters_unleft(c, hash, 1), 0); /* nobody has seen it */
	arrive(c, &rule, hash, 5, 0);
	counters_unleave(c, hash, 1); /* before the trip: not in its count */
	seen = arrive(c, &rule, hash, 1, 1);
	assert_true(seen.trips_now);
	assert_int_equal(seen.counted, 4);
	first = seen.tripped_at;
	assert_int_equal(counters_unleft(c, hash, first), 0);
	counters_unleave(c, hash, 1);
	counters_recall(c, hash, first);
	counters_uncount(c, hash, 1, 1);
	assert_int_equal(counters_unleft(c, hash, first), 3);
	seen =
	    arrive(c, &rule, hash, 1, 2); /* of the same trip, which may come to the store first */
	assert_int_equal(seen.counted, 4);
	counters_unrecall(c, hash, first);
	assert_int_equal(counters_unleft(c, hash, first), 2);
	/* before its window, and after it */
	counters_recall(c, hash, first - rule.window - 1);
	counters_recall(c, hash, first + CLOCK_SECOND + 1);
	assert_int_equal(counters_unleft(c, hash, first), 2);
	counters_recall(c, hash, first - rule.window);
	assert_int_equal(counters_unleft(c, hash, first), 3);
	assert_int_equal(counters_unleft(c, hash, first + 1), 0); /* another trip */
	/* the last one */
	counters_forget(c, hash);
	assert_int_equal(counters_unleft(c, hash, first), 3);
	arrive(c, &rule, hash, 4, 3);
	counters_unleave(c, hash, 3);
	seen = arrive(c, &rule, hash, 4, 4);
	assert_true(seen.trips_now);
	assert_int_equal(seen.counted, 1);
	for (i = 0; i < 3; i++) /* rolled back: they do leave */
		counters_unrecall(c, hash, seen.tripped_at);
	assert_int_equal(counters_unleft(c, hash, seen.tripped_at), -3);
	assert_int_equal(counters_unleft(c, hash, first), 0);
	counters_forget(c, hash);
	arrive(c, &rule, hash, 4, 5);
	counters_unrecall(c, hash, seen.tripped_at); /* never more than arrived */
	seen = arrive(c, &rule, hash, 4, 6);
	assert_int_equal(seen.counted, 4);
	counters_free(c);
}

/* A trip of which nothing is left has no batch: it is none. */
static void
a_trip_without_mail_ends(void **state)
{
	const struct counters_rule rule = {
	    .limit = 3, .window = 2 * CLOCK_HOUR, .cooldown = 0, .holds = true};
	static const struct {
		const char *name;
		unsigned held, failed, failed_before;
		bool trips;
	} rows[] = {
	    {"the one that tripped", 1, 1, 0, false},
	    {"all of it", 5, 5, 0, false},
	    {"one is in the batch", 5, 4, 0, true},
	    {"those before it are none of it", 1, 0, 3, true},
	};
	struct verdict_key key = {.hash = hash_of(1)};
	struct counters_seen seen;
	int64_t at;
	size_t i;
	unsigned k;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		struct counters *c = counters_new();

		for (k = 0; k < rule.limit + rows[i].held; k++)
			counters_arrive(c, &rule, (struct counters_key){.hash = key.hash}, 1, 0, k,
					k, COUNTERS_COUNT, &seen);
		for (k = 0; k < rows[i].failed_before; k++)
			counters_uncount(c, key.hash, 1, 1);
		for (k = 0; k < rows[i].failed; k++)
			counters_uncount(c, key.hash, 1, 0);
		if ((counters_find_trip(c, &key, 1, false, &at) != NULL) != rows[i].trips)
			fail_msg("%s", rows[i].name);
		counters_free(c);
	}
}

/* ---- the cap */

enum { CAP = 400, SHARE = CAP / COUNTERS_SOURCE_PART };

static struct counters_key
key_of(uint64_t number, unsigned source)
{
	return (struct counters_key){.hash = hash_of(number),
				     .overflow = hash_of(1000000000U + source),
				     .overflow_all = hash_of(2000000000U),
				     .owner = hash_of(3000000000U + source)};
}

static struct counters_seen
arrive_of(struct counters *c, uint64_t number, unsigned source, int64_t mono,
	  enum counters_mode mode)
{
	struct counters_seen seen;

	counters_arrive(c, &small, key_of(number, source), 1, 0, mono, 0, mode, &seen);
	return seen;
}

static void
cooled_ignore(void *context, uint64_t hash)
{
	(void)context;
	(void)hash;
}

/* One source's flood of new keys: others' keep their counts and find place, its own share one
 * counter that trips at the same limit. */
static void
flood(void **state)
{
	struct counters *c = counters_new();
	struct counters_seen seen;
	uint64_t i;

	(void)state;
	counters_set_cap(c, CAP);
	assert_int_equal(arrive_of(c, 9000, 2, 0, COUNTERS_COUNT).before, 0);
	for (i = 0; i < SHARE; i++) {
		seen = arrive_of(c, i, 1, 0, COUNTERS_COUNT);
		assert_true(seen.hash == hash_of(i) && !seen.trips);
	}
	for (; i < 1000; i++) {
		struct counters_seen before = arrive_of(c, i, 1, 0, COUNTERS_PEEK);

		seen = arrive_of(c, i, 1, 0, COUNTERS_COUNT);
		assert_true(seen.hash == key_of(i, 1).overflow);
		assert_int_equal(seen.trips, i - SHARE >= small.limit);
		assert_true(before.hash == seen.hash && before.trips == seen.trips);
		assert_int_equal(seen.trips_now, i - SHARE == small.limit);
	}
	assert_int_equal(counters_key_count(c), 1 + SHARE + 1);
	/* What it had a place for goes on apart. */
	assert_int_equal(arrive_of(c, 5, 1, 0, COUNTERS_COUNT).before, 1);
	assert_int_equal(arrive_of(c, 9000, 2, 0, COUNTERS_COUNT).before, 1);
	assert_true(arrive_of(c, 9001, 2, 0, COUNTERS_COUNT).hash == hash_of(9001));
	/* What is idle makes place again. */
	for (i = 0; i < COUNTERS_SHARDS; i++)
		counters_cool(c, 2 * CLOCK_DAY, cooled_ignore, NULL);
	assert_int_equal(counters_key_count(c), 0);
	assert_true(arrive_of(c, 700, 1, 2 * CLOCK_DAY, COUNTERS_COUNT).hash == hash_of(700));
	counters_free(c);
}

/* Many sources fill the table; beyond the cap each has an overflow key, beyond those there is one.
 * Nothing that is counted goes lost. */
static void
full(void **state)
{
	struct counters *c = counters_new();
	struct counters_seen seen;
	uint64_t i;

	(void)state;
	counters_set_cap(c, CAP);
	for (i = 0; i < CAP; i++)
		assert_true(arrive_of(c, i, (unsigned)i, 0, COUNTERS_COUNT).hash == hash_of(i));
	for (; i < CAP + 64; i++) {
		seen = arrive_of(c, i, (unsigned)i, 0, COUNTERS_COUNT);
		assert_true(seen.hash == key_of(i, (unsigned)i).overflow && seen.before == 0);
	}
	for (; i < CAP + 64 + 10; i++) {
		seen = arrive_of(c, i, (unsigned)i, 0, COUNTERS_COUNT);
		assert_true(seen.hash == key_of(i, 0).overflow_all);
		assert_int_equal(seen.trips, i - CAP - 64 >= small.limit);
	}
	assert_int_equal(counters_key_count(c), CAP + 64 + 1);
	/* A reload that allows for more. */
	counters_set_cap(c, 2 * CAP);
	assert_true(arrive_of(c, i, 1, 0, COUNTERS_COUNT).hash == hash_of(i));
	/* And one that allows for less: what is there stays. */
	counters_set_cap(c, 1);
	assert_int_equal(arrive_of(c, i, 1, 0, COUNTERS_COUNT).before, 1);
	counters_free(c);
}

/* A million keys of eight sources, then a flood. */
static void
million(void **state)
{
	struct counters *c = counters_new();
	uint64_t i;

	(void)state;
	for (i = 0; i < COUNTERS_KEYS_MAX; i++)
		if (arrive_of(c, i, (unsigned)(i % 8), 0, COUNTERS_COUNT).hash != hash_of(i))
			fail_msg("key %llu has no place", (unsigned long long)i);
	for (; i < COUNTERS_KEYS_MAX + 100000; i++)
		if (arrive_of(c, i, 9, 0, COUNTERS_COUNT).hash != key_of(i, 9).overflow)
			fail_msg("key %llu has a place", (unsigned long long)i);
	assert_int_equal(counters_key_count(c), COUNTERS_KEYS_MAX + 1);
	for (i = 0; i < COUNTERS_KEYS_MAX; i += 997)
		assert_int_equal(arrive_of(c, i, (unsigned)(i % 8), 0, COUNTERS_COUNT).before, 1);
	counters_free(c);
}

/* "Is the application still sending?" */
static void
rate_tells_of_the_last_arrivals(void **state)
{
	static const struct {
		uint32_t limit;
		int64_t slack; /* times are as exact as the window keeps them */
	} rows[] = {{20, 0}, {1000, 10 * CLOCK_SECOND}};
	struct counters *c = counters_new();
	int64_t window = 0, last = 0;
	uint32_t count = 0;
	size_t i;

	(void)state;
	assert_false(counters_rate(c, hash_of(9), CLOCK_SECOND, &count, &window, &last));
	for (i = 0; i < COUNT_OF(rows); i++) {
		const struct counters_rule rule = {
		    .limit = rows[i].limit, .window = 600 * CLOCK_SECOND, .holds = true};

		arrive(c, &rule, hash_of(i), 3, 60 * CLOCK_SECOND);
		arrive(c, &rule, hash_of(i), 4, 120 * CLOCK_SECOND);
		assert_true(
		    counters_rate(c, hash_of(i), 150 * CLOCK_SECOND, &count, &window, &last));
		assert_int_equal(count, 7);
		assert_in_range(window, 90 * CLOCK_SECOND, 90 * CLOCK_SECOND + rows[i].slack);
		assert_in_range(last, 120 * CLOCK_SECOND, 120 * CLOCK_SECOND + rows[i].slack);
		counters_forget(c, hash_of(i));
		assert_false(
		    counters_rate(c, hash_of(i), 150 * CLOCK_SECOND, &count, &window, &last));
	}
	counters_free(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(audience),
	    cmocka_unit_test(find_trip),
	    cmocka_unit_test(uncount),
	    cmocka_unit_test(a_trip_knows_what_was_taken_back),
	    cmocka_unit_test(a_trip_without_mail_ends),
	    cmocka_unit_test(flood),
	    cmocka_unit_test(full),
	    cmocka_unit_test(million),
	    cmocka_unit_test(rate_tells_of_the_last_arrivals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
