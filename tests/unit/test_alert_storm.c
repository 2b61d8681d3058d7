/*
 * Storms: 10,000 alerts at once with a real store, one by one to a channel for programs, and summed
 * up for people.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/unit/alert_rig.h"

enum { MANY = 10000 };

static char folder[40];

/* In memory where there is such a folder: it is not the disk that is looked at. */
static int
set_up(void **state)
{
	snprintf(folder, sizeof(folder), "/dev/shm/mailfuse-storm.XXXXXX");
	if (mkdtemp(folder) == NULL) {
		snprintf(folder, sizeof(folder), "/tmp/mailfuse-storm.XXXXXX");
		if (mkdtemp(folder) == NULL)
			return -1;
	}
	*state = mem_printf("%s/store", folder);
	return 0;
}

static int
tear_down(void **state)
{
	DIR *all = opendir(folder);
	struct dirent *one;

	while (all != NULL && (one = readdir(all)) != NULL)
		unlinkat(dirfd(all), one->d_name, 0);
	if (all != NULL)
		closedir(all);
	free(*state);
	return rmdir(folder);
}

/* Each arrives once and in order, beside a channel that hangs and one that fails, and with a reload
 * in the middle. */
static void
test_each_arrives(void **state)
{
	struct config *c = make_config("ok hang bad", "1d", NULL);
	long next = 0;

	rig_open_with("ok hang bad", "1d", &(struct rig_options){.path = *state});
	tell_many("batch.opened", MANY);
	alert_poke(rig.alert);
	assert_true(rig_sees("ok", MANY / 2, 10 * PATIENCE));
	alert_set_config(rig.alert, c);
	config_unref(c);
	assert_true(rig_sees("ok", MANY, 10 * PATIENCE));
	for (size_t i = 0; i < rig.count; i++)
		if (strcmp(rig.seen[i].channel, "ok") == 0)
			assert_int_equal(strtol(rig.seen[i].text, NULL, 10), next++);
	assert_int_equal(next, MANY);
	rig_close();
}

/* How many alerts the summaries say they are about, from the `from`th thing seen on. */
static unsigned long
summed_up(size_t from)
{
	unsigned long n = 0;

	for (size_t i = from; i < rig.count; i++)
		if (strcmp(rig.seen[i].event, "alert.summary") == 0)
			n += strtoul(rig.seen[i].text, NULL, 10);
	return n;
}

/* Five by themselves, and no more than a few messages for all the others. */
static void
test_people_are_told_in_few_messages(void **state)
{
	int64_t end;

	rig_open_with("ok", "1d",
		      &(struct rig_options){.keys = "type = slack per_hour = 5",
					    .path = *state,
					    .digest_first = CLOCK_SECOND / 2});
	tell_many("batch.opened", MANY);
	tell("upstream.down", "smarthost is down");
	alert_poke(rig.alert);
	end = clock_mono() + 10 * PATIENCE;
	while (summed_up(0) < MANY - 4 && clock_mono() < end)
		rig_turn();
	assert_int_equal(summed_up(0), MANY - 4);
	assert_true(backlog_becomes(0, 0, 10 * PATIENCE));
	assert_int_equal(told_of("ok", "batch.opened"), 5);
	assert_int_equal(told_of("ok", "upstream.down"), 0);
	assert_true(rig.count <= 5 + 12);
	for (long i = 0; i < 5; i++)
		assert_int_equal(strtol(rig.seen[i].text, NULL, 10), i);
	rig_close();
}

/* A summary that failed: what was in it comes again, together with what happened since. */
static void
test_summary_that_fails(void **state)
{
	int64_t end = clock_mono() + 4 * PATIENCE;

	rig_open_with("late", "1d",
		      &(struct rig_options){.keys = "type = slack per_hour = 1",
					    .path = *state,
					    .digest_first = CLOCK_SECOND / 4});
	tell("batch.opened", "by itself");
	assert_true(rig_sees("late", 1, PATIENCE));
	tell_many("batch.grown", 20);
	assert_true(is_told("late", "alert.summary", 1, PATIENCE));
	tell("batch.grown", "after that");
	while (summed_up(2) < 21 && clock_mono() < end)
		rig_turn();
	assert_int_equal(summed_up(2), 21);
	assert_true(backlog_becomes(0, 0, PATIENCE));
	assert_int_equal(told_of("late", "batch.grown"), 0);
	rig_close();
}

/* A stop with a summary that waits: nothing of it is lost. */
static void
test_stop_before_a_summary(void **state)
{
	struct rig_options with = {
	    .keys = "type = slack per_hour = 1", .path = *state, .digest_first = CLOCK_HOUR};
	uint64_t pending, failed;

	rig_open_with("ok", "1d", &with);
	tell("batch.opened", "by itself");
	assert_true(rig_sees("ok", 1, PATIENCE));
	tell_many("batch.grown", 20);
	rig_pass(2 * CLOCK_SECOND); /* two looks: they are in it */
	assert_int_equal(rig.count, 1);
	backlog(&pending, &failed);
	assert_true(pending >= 20 && failed == 0);
	rig_close();
	with.digest_first = CLOCK_SECOND / 4;
	rig_open_with("ok", "1d", &with);
	assert_true(is_told("ok", "alert.summary", 1, PATIENCE));
	assert_true(backlog_becomes(0, 0, PATIENCE));
	assert_true(told_of("ok", "batch.grown") + summed_up(0) >= 20);
	rig_close();
}

/* A reload that takes the channel away gives up what its summary holds. */
static void
test_summary_of_a_removed_channel(void **state)
{
	struct config *c = make_config("ok2", "1d", NULL);

	rig_open_with("ok", "1d",
		      &(struct rig_options){.keys = "type = slack per_hour = 1",
					    .path = *state,
					    .digest_first = CLOCK_HOUR});
	tell("batch.opened", "by itself");
	assert_true(rig_sees("ok", 1, PATIENCE));
	assert_true(backlog_becomes(0, 0, PATIENCE));
	tell_many("batch.grown", 20);
	rig_pass(2 * CLOCK_SECOND);
	alert_set_config(rig.alert, c);
	config_unref(c);
	assert_true(backlog_becomes(0, 20, PATIENCE));
	assert_int_equal(rig.count, 1);
	rig_close();
}

/* Who answers 429 with a time is left alone for that long, whatever the backoff says. */
static void
test_who_asks_to_be_left_alone(void **state)
{
	uint64_t pending, failed;

	rig_open_with("busy", "1d", &(struct rig_options){.path = *state});
	tell("batch.opened", "one");
	tell("batch.opened", "two");
	alert_poke(rig.alert);
	assert_true(rig_sees("busy", 1, PATIENCE));
	rig_pass(5 * CLOCK_SECOND / 2); /* the first backoff is 1.25 s at most */
	assert_int_equal(seen_by("busy"), 1);
	backlog(&pending, &failed);
	assert_int_equal(pending, 2);
	rig_close();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_each_arrives, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_people_are_told_in_few_messages, set_up,
					    tear_down),
	    cmocka_unit_test_setup_teardown(test_summary_that_fails, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_stop_before_a_summary, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_summary_of_a_removed_channel, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_who_asks_to_be_left_alone, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
