/*
 * The burst counters behind the gate: peeking, restarts, reloads, and eight threads. The counters
 * by themselves are in test_counters_keys.c and test_counters_save.c.
 */
#include <pthread.h>

#include "tests/unit/burst_fixture.h"

#include "filters/counters.h"

static void
peek(void **state)
{
	struct world *w = world_new(
	    BURSTS({RULE("volume", 2), HEAD(1, 5), .per = SOURCE_SUBJECT, .cooldown = SECOND}));
	struct verdict_stream stream;
	struct message *m;
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		m = world_send(w, "shop", 3, 0, GATE_PEEK);
		assert_int_equal(m->recipients[2].verdict.action, VERDICT_HOLD);
		message_free(m);
	}
	assert_int_equal(counters_key_count(w->counters), 0);
	assert_int_equal(world_last(w, 1, 0, NULL), VERDICT_PASS);
	for (i = 0; i < 5; i++) {
		m = world_send(w, "shop", 1, 0, GATE_PEEK);
		assert_int_equal(m->recipients[0].verdict.action, VERDICT_WAIT);
		message_free(m);
	}
	assert_int_equal(world_last(w, 1, 0, NULL), VERDICT_WAIT);
	assert_int_equal(world_last(w, 1, 0, &stream), VERDICT_HOLD);
	/* Far ahead it would pass; now it is still tripped. */
	m = world_send(w, "shop", 1, 900 * SECOND, GATE_PEEK);
	assert_int_equal(m->recipients[0].verdict.action, VERDICT_PASS);
	message_free(m);
	assert_int_equal(world_last(w, 1, 1, NULL), VERDICT_HOLD);
	world_free(w);
}

static void
replay(struct world *w, uint32_t n, int64_t mono)
{
	struct message *m = fixture_message("production", "shop", "hello");
	char to[64];
	uint32_t i;

	for (i = 0; i < n; i++) {
		snprintf(to, sizeof(to), "r%u@customer.test", i);
		fixture_add(m, to);
	}
	counters_replay(w->counters, w->policy, m, mono);
	message_free(m);
}

/* A daemon that saw the arrivals itself and one that counts them again say the same from then on.
 */
static void
replay_equals_live(void **state)
{
	static const uint32_t limits[] = {7, 32, 33, 60};
	uint64_t seed = 4711;
	size_t i;
	int step;

	(void)state;
	for (i = 0; i < COUNT_OF(limits); i++) {
		struct config_burst rules[] = {
		    {RULE("volume", limits[i]), HEAD(3, 5), .per = SOURCE_SUBJECT,
		     .cooldown = 30 * SECOND},
		    {RULE("repeat", 40), .per = CONFIG_PER_RECIPIENT, .cooldown = 30 * SECOND}};
		struct world *live = world_new(rules, 2), *restarted = world_new(rules, 2);
		int64_t mono = -100 * SECOND;

		for (step = 0; step < 25; step++) {
			mono += (int64_t)(random_next(&seed) % (20 * SECOND));
			if (world_last(live, 1, mono, NULL) == VERDICT_HOLD)
				break;
			replay(restarted, 1, mono);
		}
		for (step = 0; step < 100; step++) {
			struct verdict_stream a, b;
			enum verdict_action wanted;

			mono += (int64_t)(random_next(&seed) % (2 * SECOND));
			wanted = world_last(live, 1, mono, &a);
			assert_int_equal(world_last(restarted, 1, mono, &b), wanted);
			assert_int_equal(a.counted, b.counted);
			assert_int_equal(a.hash, b.hash);
		}
		world_free(live);
		world_free(restarted);
	}
}

static void
restores_trips(void **state)
{
	struct world *w =
	    world_new(BURSTS({RULE("volume", 5), .per = SOURCE_SUBJECT, .cooldown = 100 * SECOND}));
	struct verdict_stream stream;
	struct message *m = world_send(w, "shop", 6, 0, GATE_PEEK);
	uint64_t hash = m->recipients[0].verdict.stream->hash;

	(void)state;
	message_free(m);
	counters_restore_trip(w->counters, w->policy, "production", "recipients", 4711, 77, 0);
	counters_restore_trip(w->counters, w->policy, "gone", "burst volume", 4712, 77, 0);
	assert_int_equal(counters_key_count(w->counters), 0);
	counters_restore_trip(w->counters, w->policy, "production", "burst volume", hash, 77,
			      -20 * SECOND);
	replay(w, 1, -20 * SECOND);
	assert_int_equal(world_last(w, 1, 0, &stream), VERDICT_HOLD);
	assert_int_equal(stream.tripped_at, 77);
	assert_int_equal(world_cool(w, 80 * SECOND - 1, NULL), 0);
	assert_int_equal(world_cool(w, 80 * SECOND, NULL), 1);
	assert_int_equal(world_last(w, 1, 80 * SECOND, NULL), VERDICT_PASS);
	world_free(w);
}

static void
reload(void **state)
{
	struct world *w = world_new(BURSTS({RULE("volume", 5), .per = SOURCE_SUBJECT}));
	struct verdict_stream stream;

	(void)state;
	assert_int_equal(world_last(w, 5, 0, NULL), VERDICT_PASS);
	w->bursts[0].limit = 7; /* as precise as before: goes on counting */
	world_reload(w);
	assert_int_equal(world_last(w, 2, 1, NULL), VERDICT_PASS);
	w->bursts[0].limit = 100; /* slices: what was counted goes into them */
	world_reload(w);
	assert_int_equal(world_last(w, 93, 2, NULL), VERDICT_PASS);
	assert_int_equal(world_last(w, 1, 3, &stream), VERDICT_HOLD);
	w->bursts[0].window = 6000 * SECOND; /* other slices, but still tripped */
	world_reload(w);
	assert_int_equal(world_last(w, 1, 4, &stream), VERDICT_HOLD);
	assert_int_equal(stream.tripped_at, 1000);
	world_free(w);

	/* A head that is kept otherwise goes on, too. */
	w = world_new(BURSTS({RULE("volume", 500), HEAD(1, 5), .per = SOURCE_SUBJECT}));
	assert_int_equal(world_last(w, 2, 0, NULL), VERDICT_WAIT);
	w->bursts[0].head = 40;
	world_reload(w);
	assert_int_equal(world_last(w, 38, 1, NULL), VERDICT_PASS);
	assert_int_equal(world_last(w, 1, 2, NULL), VERDICT_WAIT);
	w->bursts[0].head = 2;
	world_reload(w);
	assert_int_equal(world_last(w, 1, 3, NULL), VERDICT_WAIT);
	assert_int_equal(world_last(w, 2, 64 * SECOND, NULL), VERDICT_PASS);
	world_free(w);
}

/* ---- threads */

enum { THREADS = 8, ROUNDS = 400 };

struct thread {
	pthread_t id;
	struct world *world;
	unsigned number;
	unsigned passed, held; /* of the shared key */
};

static void *
hammer(void *context)
{
	struct thread *t = context;
	char own[16];
	int i;

	snprintf(own, sizeof(own), "own%u", t->number);
	for (i = 0; i < ROUNDS; i++) {
		struct message *m = world_send(t->world, "shop", 1, i, GATE_COUNT);

		if (m->recipients[0].verdict.action == VERDICT_PASS)
			t->passed++;
		else
			t->held++;
		message_free(m);
		m = world_send(t->world, own, 2, i, i % 2 == 0 ? GATE_COUNT : GATE_PEEK);
		if (i % 16 == 0 && m->recipients[0].verdict.stream != NULL)
			counters_forget(t->world->counters, m->recipients[0].verdict.stream->hash);
		message_free(m);
		counters_is_held(t->world->counters, "staging", own);
	}
	return NULL;
}

/* However they race, exactly the limit passes. */
static void
threads(void **state)
{
	struct world *w = world_new(BURSTS({.name = TEXT("volume"),
					    .limit = 500,
					    .window = 600 * SECOND,
					    .per = SOURCE_SUBJECT,
					    .cooldown = 3600 * SECOND}));
	const struct gate_hold hold = {
	    .scope = GATE_SCOPE_ENVIRONMENT, .name = TEXT("staging"), .reason = TEXT("")};
	struct thread all[THREADS];
	unsigned passed = 0, held = 0;
	int i;

	(void)state;
	for (i = 0; i < THREADS; i++) {
		all[i] = (struct thread){.world = w, .number = (unsigned)i};
		assert_int_equal(pthread_create(&all[i].id, NULL, hammer, &all[i]), 0);
	}
	for (i = 0; i < 50; i++) {
		counters_set_holds(w->counters, &hold, (size_t)i % 2);
		world_cool(w, i, NULL);
	}
	for (i = 0; i < THREADS; i++) {
		pthread_join(all[i].id, NULL);
		passed += all[i].passed;
		held += all[i].held;
	}
	assert_int_equal(passed, 500);
	assert_int_equal(held, THREADS * ROUNDS - 500);
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(peek),           cmocka_unit_test(replay_equals_live),
	    cmocka_unit_test(restores_trips), cmocka_unit_test(reload),
	    cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
