/*
 * Sliding windows: against a plain list of arrivals, and what becomes of them in another width.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "filters/window.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t
random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state >> 8;
}

/* ---- what was added, for comparison */

enum { ARRIVALS = 600 };

struct model {
	int64_t at[ARRIVALS];
	uint32_t n[ARRIVALS];
	size_t count;
};

static uint64_t
model_count(const struct model *m, int64_t length, int64_t mono)
{
	uint64_t sum = 0;
	size_t i;

	for (i = 0; i < m->count; i++)
		sum += m->at[i] + length > mono ? m->n[i] : 0;
	return sum;
}

/* Up to its limit an exact window is exact, and slices are never too low and a slice too long. */
static void
counts(void **state)
{
	static const struct {
		uint32_t limit;
		int64_t length;
	} rows[] = {{1, 1000}, {5, 1000}, {32, 60}, {33, 60}, {33, 61}, {100, 6000}, {1000, 123}};
	uint64_t seed = 42;
	size_t i, k;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		int64_t length = rows[i].length, mono = -3 * length;
		int64_t width = window_width(rows[i].limit, length);
		struct model model = {.count = 0};
		struct window w = {.width = width};

		for (k = 0; k < ARRIVALS; k++) {
			uint64_t count, left, least, most;

			mono += (int64_t)(random_next(&seed) % (uint64_t)(length / 8));
			window_read(&w, length, mono, &count, &left);
			least = model_count(&model, length, mono);
			most = model_count(&model, length + width, mono);
			if (width == 0 && least > rows[i].limit)
				assert_true(count > rows[i].limit);
			else
				assert_true(count >= least && count <= most);
			assert_true(left <= count);
			model.at[model.count] = mono;
			model.n[model.count++] = 1 + (uint32_t)random_next(&seed) % 3;
			window_add(&w, rows[i].limit, length, mono, model.n[k], 1);
			assert_true(w.used <= WINDOW_CELLS_MAX);
			assert_true(window_empty_at(&w, length) >= mono + length);
		}
		window_free(&w);
	}
}

/* In another width, be it of a longer or a shorter window: never too low, a slice of each too long.
 */
static void
fits(void **state)
{
	static const struct {
		uint32_t limit, next_limit;
		int64_t length, next_length;
	} rows[] = {
	    {32, 33, 6000, 6000},  {33, 32, 6000, 6000},   {100, 100, 6000, 600},
	    {100, 100, 600, 6000}, {100, 100, 6000, 6060}, {30, 100, 6000, 60000},
	    {100, 30, 6000, 600},
	};
	uint64_t seed = 4711;
	size_t i, k, round;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		for (round = 0; round < 50; round++) {
			int64_t width = window_width(rows[i].limit, rows[i].length);
			int64_t next = window_width(rows[i].next_limit, rows[i].next_length), mono;
			int64_t shorter = rows[i].length < rows[i].next_length
					      ? rows[i].length
					      : rows[i].next_length;
			struct model model = {.count = 0};
			struct window w = {.width = width};
			uint64_t count, left;

			for (k = 0, mono = 0; k < 28; k++) {
				mono += (int64_t)(random_next(&seed) % 500);
				model.at[model.count] = mono;
				model.n[model.count++] = 1;
				window_add(&w, rows[i].limit, rows[i].length, mono, 1, 1);
			}
			mono += (int64_t)(random_next(&seed) % 500);
			window_fit(&w, next, mono);
			assert_true(w.width == next);
			for (k = 0; k < 40; k++) {
				window_read(&w, rows[i].next_length, mono, &count, &left);
				assert_true(count >= model_count(&model, shorter, mono));
				assert_true(count <= model_count(&model,
								 rows[i].next_length + width + next,
								 mono));
				assert_true(left == count);
				mono += (int64_t)(random_next(&seed) % 500);
			}
			window_free(&w);
		}
	}
}

static void
unleaves(void **state)
{
	struct window w = {.width = 0};
	uint64_t count, left;
	uint32_t i;

	(void)state;
	window_unleave(&w, 3);
	for (i = 0; i < 5; i++)
		window_add(&w, 30, 1000, i, 2, 2);
	window_unleave(&w, 3);
	window_read(&w, 1000, 5, &count, &left);
	assert_true(count == 10 && left == 7);
	window_read(&w, 1000, 1002, &count, &left); /* the newest were taken */
	assert_true(count == 4 && left == 1);
	window_unleave(&w, 100);
	window_read(&w, 1000, 5, &count, &left);
	assert_true(count == 10 && left == 0);
	window_releave(&w, 3);
	window_read(&w, 1000, 5, &count, &left);
	assert_true(count == 10 && left == 3);
	window_read(&w, 1000, 1002, &count, &left); /* the newest got them back */
	assert_true(count == 4 && left == 3);
	window_releave(&w, 100);
	window_read(&w, 1000, 5, &count, &left);
	assert_true(count == 10 && left == 10);
	window_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(counts),
	    cmocka_unit_test(fits),
	    cmocka_unit_test(unleaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
