/*
 * Labelled counters and histograms: one object for each pair of names, at most so many, and what a
 * leak is told as.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/histogram.h"
#include "base/tally.h"

static struct tally_reading
reading_of(const char *environment, const char *rule, int64_t now)
{
	struct tally_reading r;
	size_t i;

	for (i = 0; i < tally_count(); i++) {
		tally_read(i, now, &r);
		if (strcmp(r.environment, environment) == 0 &&
		    (rule == NULL ? r.rule == NULL : r.rule != NULL && strcmp(r.rule, rule) == 0))
			return r;
	}
	fail_msg("no tally of %s, %s", environment, rule != NULL ? rule : "(channel)");
	return r;
}

static void
test_names(void **state)
{
	struct tally *a = tally_get("production", "burst volume");
	char name[] = "production";

	(void)state;
	assert_ptr_equal(tally_get(name, "burst volume"), a);
	name[0] = 'x'; /* they are copied */
	assert_ptr_equal(tally_get("production", "burst volume"), a);
	assert_ptr_not_equal(tally_get("production", ""), a);
	assert_ptr_not_equal(tally_get("productionburst", " volume"), a);
	assert_ptr_not_equal(tally_get_channel("production"), tally_get("production", ""));
	assert_ptr_equal(tally_get_channel("production"), tally_get_channel("production"));
	assert_true(tally_is(a, "production", "burst volume"));
	assert_false(tally_is(a, "production", NULL));
	assert_false(tally_is(tally_get_channel("production"), "production", ""));
	tally_add(a, TALLY_HELD, 40);
	tally_add(a, TALLY_HELD, 2);
	tally_expect(a, TALLY_BIT(TALLY_WAITED));
	tally_expect(a, TALLY_BIT(TALLY_HELD));
	assert_int_equal(reading_of("production", "burst volume", 0).values[TALLY_HELD], 42);
	assert_int_equal(reading_of("production", "burst volume", 0).values[TALLY_WAITED], 0);
	assert_int_equal(reading_of("production", "burst volume", 0).expected,
			 TALLY_BIT(TALLY_WAITED) | TALLY_BIT(TALLY_HELD));
	assert_null(reading_of("production", NULL, 0).rule);
}

/* What is told at each time, after what came. */
static void
test_leaks(void **state)
{
	static const struct {
		const char *name;
		struct {
			int64_t at, n;
		} came[6]; /* seconds */
		struct {
			int64_t at, told;
		} asked[4];
	} rows[] = {
	    {"lasts", {{1, 50}}, {{1, 0}, {5, 0}, {6, 50}, {60, 50}}},
	    {"called back at once", {{1, 50}, {1, -30}, {2, -20}}, {{6, 0}, {60, 0}}},
	    {"called back in part", {{1, 50}, {3, -20}}, {{5, 0}, {6, 30}, {60, 30}}},
	    {"called back late", {{1, 50}, {10, -20}}, {{10, 50}, {60, 50}}},
	    {"and taken off the next", {{1, 50}, {10, -20}, {20, 30}}, {{24, 50}, {25, 60}}},
	    {"also where that is less", {{1, 50}, {10, -20}, {20, 5}}, {{25, 50}, {60, 50}}},
	    {"drips", {{1, 1}, {3, 1}, {5, 1}, {7, 1}}, {{4, 0}, {7, 3}, {12, 4}}},
	};
	char name[40];
	size_t i, k, a;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct tally *t;

		snprintf(name, sizeof(name), "leak %zu", i);
		t = tally_get(name, "burst");
		for (k = a = 0; k < 6 || a < 4;) {
			int64_t told;

			if (k < 6 && rows[i].came[k].n == 0)
				k = 6;
			if (k < 6 && (a == 4 || rows[i].asked[a].at == 0 ||
				      rows[i].came[k].at <= rows[i].asked[a].at)) {
				tally_leak(t, rows[i].came[k].n, rows[i].came[k].at * CLOCK_SECOND);
				k++;
				continue;
			}
			if (a == 4 || rows[i].asked[a].at == 0)
				break;
			told = reading_of(name, "burst", rows[i].asked[a].at * CLOCK_SECOND)
				   .values[TALLY_LEAKED];
			if (told != rows[i].asked[a].told)
				fail_msg("%s: %d told at %d", rows[i].name, (int)told,
					 (int)rows[i].asked[a].at);
			a++;
		}
	}
}

enum { THREADS = 4, EACH = 20000 };

static void *
count(void *context)
{
	struct tally *t = context;
	int i;

	for (i = 0; i < EACH; i++) {
		tally_add(t, TALLY_ACCEPTED, 1);
		tally_leak(t, i % 2 == 0 ? 2 : -1, 0);
		histogram_observe(HISTOGRAM_COMMIT_JOBS, i % 300);
	}
	return NULL;
}

static void
test_threads(void **state)
{
	struct tally *t = tally_get("threads", "");
	struct histogram_reading h;
	pthread_t threads[THREADS];
	struct tally_reading r;
	int i;

	(void)state;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count, t), 0);
	for (i = 0; i < 100; i++)
		reading_of("threads", "", 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	r = reading_of("threads", "", TALLY_LEAK_SETTLES);
	assert_int_equal(r.values[TALLY_ACCEPTED], THREADS * EACH);
	assert_int_equal(r.values[TALLY_LEAKED], THREADS * EACH / 2);
	histogram_read(HISTOGRAM_COMMIT_JOBS, &h);
	assert_int_equal(h.counts[h.bound_count], THREADS * EACH);
}

static void
test_buckets(void **state)
{
	struct histogram_reading before, after;
	unsigned i;

	(void)state;
	histogram_read(HISTOGRAM_ACCEPT, &before);
	assert_int_equal(before.bound_count, HISTOGRAM_BOUNDS);
	for (i = 0; i < before.bound_count; i++) {
		assert_true(i == 0 || before.bounds[i] > before.bounds[i - 1]);
		histogram_observe(HISTOGRAM_ACCEPT, before.bounds[i]); /* "le": it is in */
		histogram_observe(HISTOGRAM_ACCEPT, before.bounds[i] + 1);
	}
	histogram_observe(HISTOGRAM_ACCEPT, 0);
	histogram_observe(HISTOGRAM_ACCEPT, -5); /* no clock should, and nothing breaks */
	histogram_read(HISTOGRAM_ACCEPT, &after);
	for (i = 0; i < after.bound_count; i++)
		assert_int_equal(after.counts[i], before.counts[i] + 3 + 2 * i);
	assert_int_equal(after.counts[after.bound_count], 2 * after.bound_count + 2);
}

/* The last test: the table is full then. */
static void
test_too_many(void **state)
{
	struct tally *kept = tally_get("kept", "r"), *named = tally_get("other", ""), *other,
		     *channel;
	char name[40];
	int i;

	(void)state;
	for (i = 0; i < TALLY_MAX + 100; i++) {
		snprintf(name, sizeof(name), "e%d", i);
		tally_add(tally_get(name, "r"), TALLY_HELD, 1);
	}
	assert_int_equal(tally_count(), TALLY_MAX + 1);
	other = tally_get("one", "more");
	assert_true(tally_is(other, TALLY_OTHER, TALLY_OTHER));
	assert_ptr_equal(tally_get("kept", "r"), kept);
	assert_true(reading_of(TALLY_OTHER, TALLY_OTHER, 0).values[TALLY_HELD] >= 100);
	/* An environment may have that name: its series must be no other's. */
	assert_ptr_equal(tally_get("other", ""), named);
	assert_false(tally_is(other, "other", "other"));
	/* What an alert channel did is no mail. */
	channel = tally_get_channel("more");
	assert_true(tally_is(channel, TALLY_OTHER, NULL));
	assert_ptr_equal(tally_get_channel("still more"), channel);
	assert_int_equal(tally_count(), TALLY_MAX + 2);
	tally_add(channel, TALLY_DELIVERED, 3);
	assert_int_equal(reading_of(TALLY_OTHER, TALLY_OTHER, 0).values[TALLY_DELIVERED], 0);
	assert_int_equal(reading_of("e0", "r", 0).values[TALLY_HELD], 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_names),    cmocka_unit_test(test_leaks),
	    cmocka_unit_test(test_threads),  cmocka_unit_test(test_buckets),
	    cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
