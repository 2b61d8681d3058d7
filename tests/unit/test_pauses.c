/*
 * What was claimed before a pause goes back, what was claimed after it leaves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "relay/pauses.h"

static void
a_pause_covers_what_was_claimed_before(void **state)
{
	struct pauses *p = pauses_new();
	uint64_t before = pauses_turn(p), after;

	(void)state;
	assert_false(pauses_cover(p, 7, before));
	pauses_add(p, 7);
	after = pauses_turn(p);
	assert_true(pauses_cover(p, 7, before));
	assert_false(pauses_cover(p, 7, after));
	assert_false(pauses_cover(p, 8, before));
	assert_false(pauses_cover(p, 0, before)); /* of no batch */

	pauses_add(p, 7); /* a second time: what was claimed in between goes back too */
	assert_true(pauses_cover(p, 7, after));
	pauses_free(p);
}

/* The room is bounded, and what is forgotten are the oldest. */
static void
the_newest_pauses_are_known(void **state)
{
	struct pauses *p = pauses_new();
	uint64_t before = pauses_turn(p);
	int64_t batch;

	(void)state;
	for (batch = 1; batch <= 1000; batch++)
		pauses_add(p, batch);
	for (batch = 1000; batch > 1000 - 256; batch--)
		assert_true(pauses_cover(p, batch, before));
	assert_false(pauses_cover(p, 1, before));
	pauses_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_pause_covers_what_was_claimed_before),
	    cmocka_unit_test(the_newest_pauses_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
