/*
 * chunks.h: sizes, the order of bytes, counted references, the gauge of memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/metrics.h"
#include "mail/chunks.h"

static void
test_small_body(void **state)
{
	struct chunks c;
	struct chunk *first;

	(void)state;
	chunks_init(&c);
	assert_null(chunks_take(&c));
	chunks_add(&c, "hello", 5);
	chunks_add(&c, "", 0);
	chunks_add(&c, " you", 4);
	assert_int_equal(c.bytes, 9);
	first = STAILQ_FIRST(&c.list);
	assert_null(STAILQ_NEXT(first, next));
	assert_int_equal(first->len, 9);
	assert_memory_equal(first->data, "hello you", 9);
	/* One small message costs little: thousands of sessions have one at a time. */
	assert_in_range(sizeof(*first) + first->cap, 8192, 16384);
	assert_int_equal(metric_get(METRIC_BODY_BYTES_NOW), first->cap);
	chunks_clear(&c);
	assert_int_equal(c.bytes, 0);
	assert_true(STAILQ_EMPTY(&c.list));
	assert_int_equal(metric_get(METRIC_BODY_BYTES_NOW), 0);
	chunks_clear(&c);
}

/* Adds `total` bytes in pieces of `piece`, and looks at each chunk that comes out. */
static void
check_large(size_t total, size_t piece, bool take_early)
{
	struct chunks c;
	struct chunk *chunk;
	char bytes[5000];
	size_t sent = 0, got = 0, count = 0, i;

	chunks_init(&c);
	while (sent < total || !STAILQ_EMPTY(&c.list)) {
		size_t n = total - sent < piece ? total - sent : piece;

		for (i = 0; i < n; i++)
			bytes[i] = (char)((sent + i) % 251);
		chunks_add(&c, bytes, n);
		sent += n;
		assert_int_equal(c.bytes, sent - got);
		if (!take_early && sent < total)
			continue;
		chunk = chunks_take(&c);
		assert_in_range(chunk->len, 1, CHUNK_BYTES);
		for (i = 0; i < chunk->len; i++)
			assert_true(chunk->data[i] == (char)((got + i) % 251));
		got += chunk->len;
		count++;
		chunk_unref(chunk);
	}
	assert_int_equal(got, total);
	if (!take_early)
		assert_in_range(count, 1, 3 + total / CHUNK_BYTES);
	assert_int_equal(c.bytes, 0);
	chunks_clear(&c);
	assert_int_equal(metric_get(METRIC_BODY_BYTES_NOW), 0);
}

static void
test_large_body(void **state)
{
	(void)state;
	check_large(1, 1, false);
	check_large(16384, 16384 / 4, false);
	check_large(1000000, 4999, false);
	check_large(3000000, 5000, false);
	check_large(300000, 997, true);
}

/* Somebody reads a chunk: the list must not write behind the bytes it has seen. */
static void
test_shared_chunk_is_closed(void **state)
{
	struct chunks c;
	struct chunk *held;

	(void)state;
	chunks_init(&c);
	chunks_add(&c, "one", 3);
	held = chunk_ref(STAILQ_FIRST(&c.list));
	chunks_add(&c, "two", 3);
	assert_int_equal(held->len, 3);
	assert_ptr_not_equal(STAILQ_NEXT(held, next), NULL);
	assert_int_equal(c.bytes, 6);
	chunks_clear(&c);
	assert_memory_equal(held->data, "one", 3);
	assert_int_equal(metric_get(METRIC_BODY_BYTES_NOW), held->cap);
	chunk_unref(held);
	assert_int_equal(metric_get(METRIC_BODY_BYTES_NOW), 0);
}

static void *
read_and_release(void *argument)
{
	struct chunk *chunk = argument;
	size_t i, sum = 0;

	for (i = 0; i < chunk->len; i++)
		sum += chunk->data[i] == 'x';
	chunk_unref(chunk);
	return (void *)sum;
}

/* Several threads give up their references at once: the thread sanitizer has something to see. */
static void
test_threads(void **state)
{
	enum { THREADS = 4, BYTES = 10000 };
	pthread_t threads[THREADS];
	struct chunks c;
	struct chunk *chunk;
	int i;

	(void)state;
	chunks_init(&c);
	for (i = 0; i < BYTES; i++)
		chunks_add(&c, "x", 1);
	chunk = STAILQ_FIRST(&c.list);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, read_and_release, chunk_ref(chunk)), 0);
	chunks_clear(&c);
	for (i = 0; i < THREADS; i++) {
		void *sum;

		assert_int_equal(pthread_join(threads[i], &sum), 0);
		assert_int_equal((size_t)sum, BYTES);
	}
	assert_int_equal(metric_get(METRIC_BODY_BYTES_NOW), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_small_body),
	    cmocka_unit_test(test_large_body),
	    cmocka_unit_test(test_shared_chunk_is_closed),
	    cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("chunks", tests, NULL, NULL);
}
