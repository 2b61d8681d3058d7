/*
 * How many different people a batch is for: exact while they are few, near the truth when they are
 * many, and told by the batch's row alone. Over both backends.
 */
#include <stdio.h>

#include "store/sqlite.h"
#include "tests/unit/store_help.h"

static bool
see_distinct(void *context, const struct store_batch *b)
{
	*(uint64_t *)context = b->distinct;
	return true;
}

static uint64_t
people(struct fixture *f, int64_t batch)
{
	uint64_t n = 0;

	assert_int_equal(store_view_batch(f->v, batch, see_distinct, &n), STORE_OK);
	return n;
}

/* Held for FORMAT with each of the numbers from `first` on. */
__attribute__((format(printf, 5, 0))) static void
add_people_at(struct fixture *f, int64_t at, unsigned first, unsigned count, const char *format)
{
	struct message *m =
	    make_message("staging", "hello", count, VERDICT_HOLD, "burst volume", &test_stream);
	unsigned i;

	m->accepted_at = at;
	for (i = 0; i < count; i++) {
		struct recipient *r = &m->recipients[i];

		r->address.text = arena_printf(&m->arena, format, first + i);
		r->final = r->address.text;
	}
	add_message(f, m);
}

#define add_people(f, first, count, format) add_people_at(f, TEST_NOW, first, count, format)

static void
few_are_counted_exactly(void **state)
{
	struct fixture *f = *state;

	add_people(f, 0, 300, "r%u@example.net");
	assert_int_equal(people(f, 1), 300);
	add_people(f, 0, 300, "R%u@Example.NET"); /* the same ones */
	assert_int_equal(people(f, 1), 300);
	add_people(f, 299, 2, "r%u@example.net");
	assert_int_equal(people(f, 1), 301);
	if (f->b == &backend_sqlite)
		fixture_reopen(f);
	add_people(f, 300, 2, "r%u@example.net");
	assert_int_equal(people(f, 1), 302);
	check_counts(f);
}

/* Whoever comes again never counts again, also of those that are not kept any more. */
static void
many_are_estimated(void **state)
{
	enum { EACH = 500, PEOPLE = 8 * STORE_EXACT_MAX };
	struct fixture *f = *state;
	uint64_t n;
	unsigned i;

	for (i = 0; i < STORE_EXACT_MAX; i += EACH)
		add_people(f, i, EACH, "r%u@example.net");
	assert_int_equal(people(f, 1), STORE_EXACT_MAX);
	for (; i < PEOPLE; i += EACH)
		add_people(f, i, EACH, "r%u@example.net");
	n = people(f, 1);
	/* 2 % is what is expected of it */
	assert_in_range(n, PEOPLE - PEOPLE / 10, PEOPLE + PEOPLE / 10);
	for (i = 0; i < PEOPLE; i += 4 * EACH)
		add_people(f, i, EACH, "r%u@example.net");
	assert_int_equal(people(f, 1), n);
}

static void
what_is_purged_was_for_them_still(void **state)
{
	struct fixture *f = *state;

	add_people(f, 0, 7, "r%u@example.net");
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	assert_int_equal(decide(f, STORE_PURGE_NOW, 1), STORE_OK);
	assert_int_equal(people(f, 1), 7);
}

static void
purge(struct fixture *f)
{
	struct store_job job = {.op = STORE_PURGE};

	job.u.purge.limit = 1000;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

static int64_t
kept(struct fixture *f)
{
	return ask_file(f->path, "SELECT count(*) FROM person");
}

/* Their hashes are forgotten a day after the last has come into a batch that is decided. */
static void
the_hashes_go_the_number_stays(void **state)
{
	const int64_t now = clock_wall();
	struct fixture *f = *state;

	add_people_at(f, now - CLOCK_DAY - CLOCK_HOUR, 0, 7, "r%u@example.net");
	purge(f);
	assert_int_equal(kept(f), 7); /* it still collects */
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	purge(f);
	assert_int_equal(kept(f), 0);
	assert_int_equal(people(f, 1), 7);
	add_people_at(f, now - CLOCK_HOUR, 7, 8, "r%u@example.net"); /* under way meanwhile */
	assert_int_equal(people(f, 1), 15);
	purge(f);
	assert_int_equal(kept(f), 8); /* somebody has come in within the day */
	assert_int_equal(ask_file(f->path, "SELECT people_kept FROM batch WHERE id = 1"), 8);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(few_are_counted_exactly),
	    BOTH(many_are_estimated),
	    BOTH(what_is_purged_was_for_them_still),
	    {"sqlite: the_hashes_go_the_number_stays", the_hashes_go_the_number_stays, setup,
	     teardown, (void *)&backend_sqlite},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
