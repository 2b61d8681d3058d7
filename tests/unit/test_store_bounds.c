/*
 * What a list or a page costs does not grow with what is not on it: counted in steps of SQLite's
 * machine, not in time. Each call is made in a small store, and again with sixteen times the
 * batches, environments and deliveries beside what it shows.
 */
#include <stdio.h>

#include "store/sqlite.h"
#include "store/view.h"
#include "tests/unit/store_help.h"

enum { PAGE = 5, EACH = 40 };

static bool
see_batch(void *context, const struct store_batch *b)
{
	(void)b;
	return ++*(unsigned *)context < PAGE;
}

static bool
see_delivery(void *context, const struct store_delivery *d)
{
	(void)d;
	++*(unsigned *)context;
	return true;
}

static bool
see_value(void *context, const char *value, uint64_t count)
{
	(void)value;
	(void)count;
	++*(unsigned *)context;
	return true;
}

static bool
see_arrival(void *context, int64_t at, uint64_t count)
{
	(void)at;
	(void)count;
	++*(unsigned *)context;
	return true;
}

enum call { BATCHES, BATCH, DELIVERIES, TOP, ARRIVALS };

static const struct row {
	const char *name;
	enum call call;
	int state; /* of batches, or of deliveries; -1 = the open ones, or all */
	bool all, newest;
	struct store_filter filter;
} rows[] = {
    {"open batches", BATCHES, -1, false, false, {0}},
    {"all batches", BATCHES, -1, true, false, {0}},
    {"held batches", BATCHES, STORE_BATCH_HELD, false, false, {0}},
    {"discarded batches", BATCHES, STORE_BATCH_DISCARDED, false, false, {0}},
    {"released batches", BATCHES, STORE_BATCH_RELEASED, false, false, {0}},
    {"one batch", BATCH, -1, false, false, {0}},
    {"deliveries of a batch", DELIVERIES, -1, false, false, {.batch = 1}},
    {"the newest of a batch", DELIVERIES, -1, false, true, {.batch = 1}},
    {"held ones of a batch", DELIVERIES, STORE_HELD, false, false, {.batch = 1}},
    {"deliveries of an environment", DELIVERIES, -1, false, false, {.environment = "staging"}},
    {"the newest of it", DELIVERIES, -1, false, true, {.environment = "staging"}},
    {"held ones of it", DELIVERIES, STORE_HELD, false, false, {.environment = "staging"}},
    {"queued ones of it", DELIVERIES, STORE_QUEUED, false, false, {.environment = "staging"}},
    {"all deliveries", DELIVERIES, -1, false, false, {0}},
    {"all held ones", DELIVERIES, STORE_HELD, false, false, {0}},
    {"the newest held", DELIVERIES, STORE_HELD, false, true, {0}},
    {"all discarded ones", DELIVERIES, STORE_DISCARDED, false, false, {0}},
    {"top values", TOP, -1, false, false, {0}},
    {"arrivals", ARRIVALS, -1, false, false, {0}},
};

static int
count_step(void *context)
{
	++*(uint64_t *)context;
	return 0;
}

static void
run_call(struct fixture *f, const struct row *row, unsigned *given)
{
	struct store_filter filter = row->filter;
	enum store_result r = STORE_OK;

	filter.state = row->state;
	filter.newest = row->newest;
	filter.limit = PAGE;
	*given = 0;
	switch (row->call) {
	case BATCHES:
		r = store_view_batches(f->v, row->state, row->all, see_batch, given);
		break;
	case BATCH:
		r = store_view_batch(f->v, 1, see_batch, given);
		break;
	case DELIVERIES:
		r = store_view_deliveries(f->v, &filter, see_delivery, given);
		break;
	case TOP:
		r = store_view_top(f->v, 1, "domain", PAGE, see_value, given);
		break;
	case ARRIVALS:
		r = store_view_arrivals(f->v, 1, CLOCK_SECOND, see_arrival, given);
		break;
	}
	assert_int_equal(r, STORE_OK);
	assert_true(*given <= PAGE);
}

/* A fresh view: nothing is kept from the call before. */
static uint64_t
steps_of(struct fixture *f, const struct row *row, unsigned *given)
{
	struct buf error = {0};
	uint64_t steps = 0;
	sqlite3 *sql;

	store_view_close(f->v);
	f->v = store_view_open(f->s, &error);
	assert_non_null(f->v);
	sql = ((struct sqlite_db *)f->v->db)->sql;
	sqlite3_progress_handler(sql, 1, count_step, &steps);
	run_call(f, row, given);
	sqlite3_progress_handler(sql, 0, NULL, NULL);
	return steps;
}

/* Of one environment: what passes, and two batches, one of which is discarded. */
static void
fill(struct fixture *f, int number)
{
	struct verdict_stream held = stream_of(100 + 2 * (uint64_t)number, 0, 0);
	struct verdict_stream gone = stream_of(101 + 2 * (uint64_t)number, 0, 0);
	char name[24];

	snprintf(name, sizeof(name), number == 0 ? "staging" : "other-%d", number);
	add_message(f, make_message(name, "a", EACH, VERDICT_HOLD, "burst volume", &held));
	add_message(f, make_message(name, "b", EACH, VERDICT_HOLD, "burst volume", &gone));
	add_message(f, make_message(name, "c", EACH, VERDICT_PASS, NULL, NULL));
	assert_int_equal(decide(f, STORE_DISCARD, 2 * number + 2), STORE_OK);
}

/* What is held or discarded, in whatever batch. */
static bool
reads_each(const struct row *row)
{
	return row->call == DELIVERIES && row->filter.batch == 0 &&
	       (row->state == STORE_HELD || row->state == STORE_DISCARDED);
}

static void
a_page_costs_a_page(void **state)
{
	enum { ROWS = sizeof(rows) / sizeof(rows[0]), SMALL = 8, LARGE = 128 };
	struct fixture *f = *state;
	uint64_t small[ROWS], large;
	unsigned given[ROWS], then;
	int n = 0;
	size_t i;

	while (n < SMALL)
		fill(f, n++);
	for (i = 0; i < ROWS; i++)
		small[i] = steps_of(f, &rows[i], &given[i]);
	while (n < LARGE)
		fill(f, n++);
	for (i = 0; i < ROWS; i++) {
		large = steps_of(f, &rows[i], &then);
		print_message("  %s: %u rows, %u steps, %u then\n", rows[i].name, given[i],
			      (unsigned)small[i], (unsigned)large);
		assert_int_equal(then, given[i]);
		/* Trees grow by a level at most; what grows with the number of batches of others
		 * is a look at the row of each, which is cheap. */
		assert_true(large <= 2 * small[i] + 40 * LARGE);
		if (rows[i].filter.environment == NULL && !reads_each(&rows[i]))
			assert_true(large <= 2 * small[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    {"a_page_costs_a_page", a_page_costs_a_page, setup, teardown, (void *)&backend_sqlite},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
