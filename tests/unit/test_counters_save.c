/*
 * Saved burst counters: what a daemon that was stopped and killed at any moment says, one that
 * never stopped says too; bad records; and saves beside arrivals of other threads.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/counters_fixture.h"

/* ---- the twin */

#define M CLOCK_MINUTE
#define S CLOCK_SECOND

static const struct counters_rule rules[] = {
    {.limit = 20, .window = 10 * M, .cooldown = 2 * CLOCK_HOUR, .holds = true},
    {.limit = 50,
     .window = 30 * M,
     .head = 3,
     .head_window = 10 * S,
     .cooldown = 10 * M,
     .holds = true},
    {.limit = 10, .window = CLOCK_DAY, .cooldown = CLOCK_HOUR, .holds = true},
    {.limit = 100,
     .window = 7 * CLOCK_DAY,
     .head = 2,
     .head_window = 2 * CLOCK_HOUR,
     .holds = true},
    {.limit = 40,
     .window = 2 * CLOCK_HOUR,
     .head = 2,
     .head_window = 10 * S,
     .cooldown = 20 * M,
     .holds = true},
    {.limit = 60, .window = 30 * CLOCK_DAY, .holds = true, .audience = true},
    {.limit = 5,
     .window = CLOCK_HOUR,
     .head = 40,
     .head_window = CLOCK_DAY,
     .cooldown = 90 * M,
     .holds = true},
};

/* A multiple of every slice of these rules: other clocks lay the slices' edges elsewhere. */
#define CLOCK_STEP (INT64_C(302400) * S)

enum { STREAMS = 3, KEYS = COUNT_OF(rules) * STREAMS, STEPS = 1500 };

/* What a store keeps of an arrival, or of a decision (n 0). */
struct event {
	unsigned key;
	uint32_t n, left, limit, stamp;
	uint64_t hash;
	int64_t at;
};

struct batch {
	bool open;
	int64_t tripped_at, last_at;
};

struct twins {
	struct counters *steady, *restarted;
	struct saved saved;
	struct event events[STEPS];
	size_t event_count;
	struct batch batches[KEYS];
	int64_t now, saved_at[COUNTERS_SHARDS];
	uint64_t seed;
	unsigned saves, failures, starts, trips, cooled, forgotten;
};

static struct counters_rule
rule_of(unsigned key, uint32_t limit)
{
	struct counters_rule rule = rules[key / STREAMS];

	rule.limit = limit != 0 ? limit : rule.limit;
	return rule;
}

static void
twins_save(struct twins *t, unsigned shard, bool commit)
{
	t->now += 1;
	saved_shard(&t->saved, t->restarted, shard, t->now + t->saved.clock, commit);
	if (commit)
		t->saved_at[shard] = t->now;
	t->saves += commit;
	t->failures += !commit;
}

/* Every shard within a minute, as the daemon does it, unless saves fail for some time. */
static void
twins_save_some(struct twins *t)
{
	bool fail = random_below(&t->seed, 8) == 0;
	unsigned key;

	for (key = 0; key < KEYS; key++) {
		unsigned shard = (unsigned)(hash_of(key) >> 58);

		if (t->now - t->saved_at[shard] > 10 * M || random_below(&t->seed, 3) == 0)
			twins_save(t, shard, !fail || t->now - t->saved_at[shard] > 10 * M);
	}
}

static void
twins_replay(struct twins *t, int64_t since)
{
	size_t i;

	for (i = 0; i < t->event_count; i++) {
		const struct event *e = &t->events[i];
		struct counters_rule rule = rule_of(e->key, e->limit);
		struct counters_seen seen;

		if (e->at < since)
			continue;
		if (e->n == 0)
			counters_replay_forget(t->restarted, e->hash, e->at + t->saved.clock);
		else
			counters_arrive(t->restarted, &rule,
					(struct counters_key){.hash = e->hash, .stamp = e->stamp},
					e->n, e->left, e->at + t->saved.clock, 0, COUNTERS_REPLAY,
					&seen);
	}
}

/* Killed, and started again: perhaps in another clock, perhaps in the middle of a save. */
static void
twins_restart(struct twins *t)
{
	int64_t oldest = t->now;
	unsigned key;

	if (random_below(&t->seed, 3) == 0) {
		struct saved lost = {.clock = t->saved.clock};

		for (key = 0; key < KEYS; key++)
			counters_save(t->restarted, (unsigned)(hash_of(key) >> 58),
				      t->now + t->saved.clock, saved_note, &lost);
		while (lost.given_count > 0)
			free(lost.given[--lost.given_count].data);
		free(lost.given);
	}
	counters_free(t->restarted);
	if (random_below(&t->seed, 2) == 0)
		t->saved.clock = ((int64_t)random_below(&t->seed, 9) - 4) * CLOCK_STEP;
	t->restarted = saved_load(&t->saved);
	for (key = 0; key < KEYS; key++)
		if (t->saved_at[hash_of(key) >> 58] < oldest)
			oldest = t->saved_at[hash_of(key) >> 58];
	if (random_below(&t->seed, 4) == 0)
		t->now += (int64_t)random_below(&t->seed, (uint64_t)(3 * CLOCK_HOUR));
	twins_replay(t, oldest - COUNTERS_REPLAY_MAX);
	for (key = 0; key < KEYS; key++) {
		struct counters_rule rule = rule_of(key, 0);

		if (t->batches[key].open)
			counters_restore(t->restarted, &rule, hash_of(key),
					 t->batches[key].tripped_at,
					 t->batches[key].last_at + t->saved.clock);
	}
	t->starts++;
}

static void
twins_arrive(struct twins *t)
{
	/* Every second one is of a blast. */
	unsigned key = (unsigned)(random_below(&t->seed, 2) == 0 ? random_below(&t->seed, KEYS)
								 : t->event_count / 60 % KEYS);
	struct counters_rule rule = rule_of(key, 0);
	uint32_t n = 1 + (uint32_t)random_below(&t->seed, 5), left = n, room, back;
	struct counters_seen a, b;
	struct event *e = &t->events[t->event_count++];

	if (rule.audience)
		rule.limit += (uint32_t)random_below(&t->seed, 20);
	counters_arrive(t->steady, &rule, (struct counters_key){.hash = hash_of(key)}, n, 0, t->now,
			t->now, COUNTERS_COUNT, &a);
	counters_arrive(t->restarted, &rule, (struct counters_key){.hash = hash_of(key)}, n, 0,
			t->now + t->saved.clock, t->now, COUNTERS_COUNT, &b);
	if (a.before != b.before || a.head_before != b.head_before || a.limit != b.limit ||
	    a.trips != b.trips || a.trips_now != b.trips_now || a.tripped_at != b.tripped_at ||
	    ((!a.trips || a.trips_now) && a.counted != b.counted))
		fail_msg("event %zu start %u rule %u: before %u %u, head %u %u, limit %u %u, trips "
			 "%d%d %d%d, counted %u %u",
			 t->event_count, t->starts, key / STREAMS, a.before, b.before,
			 a.head_before, b.head_before, a.limit, b.limit, a.trips, a.trips_now,
			 b.trips, b.trips_now, a.counted, b.counted);
	room = a.limit > a.before ? a.limit - a.before : 0;
	if (a.trips)
		left = !rule.audience ? 0 : n < room ? n : room;
	back = (uint32_t)random_below(&t->seed, left + 1);
	counters_unleave(t->steady, hash_of(key), back);
	counters_unleave(t->restarted, hash_of(key), back);
	*e = (struct event){.key = key,
			    .n = n,
			    .left = left - back,
			    .limit = rule.limit,
			    .stamp = b.stamp,
			    .hash = hash_of(key),
			    .at = t->now};
	if (a.trips_now)
		t->batches[key] = (struct batch){.open = true, .tripped_at = a.tripped_at};
	if (a.trips)
		t->batches[key].last_at = t->now;
	t->trips += a.trips_now;
}

static void
twins_decide(struct twins *t)
{
	unsigned key = (unsigned)random_below(&t->seed, KEYS);

	if (!t->batches[key].open)
		return;
	counters_forget(t->steady, hash_of(key));
	counters_forget(t->restarted, hash_of(key));
	t->batches[key].open = false;
	t->events[t->event_count++] =
	    (struct event){.key = key, .hash = hash_of(key), .at = t->now};
	t->forgotten++;
}

struct cooled {
	uint64_t sum;
	unsigned count;
	struct twins *twins;
};

static void
note_cooled(void *context, uint64_t hash)
{
	struct cooled *cooled = context;
	unsigned key;

	cooled->sum += hash;
	cooled->count++;
	for (key = 0; key < KEYS; key++)
		if (hash_of(key) == hash)
			cooled->twins->batches[key].open = false;
}

static void
twins_cool(struct twins *t)
{
	struct cooled a = {.twins = t}, b = {.twins = t};

	counters_cool(t->steady, t->now, note_cooled, &a);
	counters_cool(t->restarted, t->now + t->saved.clock, note_cooled, &b);
	if (a.count != b.count || a.sum != b.sum)
		fail_msg("event %zu start %u: %u %u cooled", t->event_count, t->starts, a.count,
			 b.count);
	t->cooled += a.count;
}

static void
twins_step(struct twins *t)
{
	uint64_t dice = random_below(&t->seed, 100);

	t->now += 1 + (int64_t)random_below(&t->seed, dice < 2    ? (uint64_t)(12 * CLOCK_HOUR)
						      : dice < 20 ? (uint64_t)(4 * M)
								  : (uint64_t)(8 * S));
	dice = random_below(&t->seed, 100);
	if (dice < 3)
		twins_restart(t);
	else if (dice < 6)
		twins_decide(t);
	else if (dice < 20)
		twins_save_some(t);
	else if (dice < 30)
		twins_cool(t);
	else
		twins_arrive(t);
	t->now += 1;
}

/* However often it is killed, in whatever clock it starts again: the same verdicts. */
static void
equals_steady(void **state)
{
	struct twins *t = mem_zalloc(sizeof(*t));
	unsigned round, step, restored = 0, cooled = 0, trips = 0, forgotten = 0, failures = 0;

	(void)state;
	for (round = 0; round < 40; round++) {
		*t = (struct twins){.steady = counters_new(),
				    .restarted = counters_new(),
				    .seed = 4711 + round,
				    .now = 100 * CLOCK_DAY};
		for (step = 0; step < STEPS; step++)
			twins_step(t);
		restored += t->starts;
		cooled += t->cooled;
		trips += t->trips;
		forgotten += t->forgotten;
		failures += t->failures;
		counters_free(t->steady);
		counters_free(t->restarted);
		saved_free(&t->saved);
	}
	free(t);
	/* It has seen something of everything. */
	assert_true(restored > 100 && cooled > 100 && trips > 100 && forgotten > 100 &&
		    failures > 100);
}

/* ---- saving by itself */

static const struct counters_rule day = {.limit = 1000, .window = CLOCK_DAY, .holds = true};
static const struct counters_rule hour = {.limit = 1000, .window = CLOCK_HOUR, .holds = true};

static void
what_is_given(void **state)
{
	struct counters *c = counters_new();
	struct saved saved = {0};
	const uint64_t hash = hash_of(1);
	unsigned shard = (unsigned)(hash >> 58);
	struct counters_seen before = arrive(c, &day, hash, 1, 0), after;

	(void)state;
	assert_int_equal(saved_shard(&saved, c, shard, 1, true), 1);
	after = arrive(c, &hour, hash ^ 4, 1, 1);
	assert_int_equal(after.stamp, before.stamp + 1);
	assert_int_equal(after.stamp, saved.stamps[shard]);
	assert_int_equal(saved_shard(&saved, c, shard, 2, true), 0); /* nothing has changed */
	arrive(c, &day, hash, 1, 3);
	assert_int_equal(saved_shard(&saved, c, shard, 4, false), 1);
	assert_int_equal(saved_shard(&saved, c, shard, 5, true), 1);
	counters_unleave(c, hash, 1);
	assert_int_equal(saved_shard(&saved, c, shard, 6, true), 1);
	counters_forget(c, hash);
	assert_int_equal(saved_shard(&saved, c, shard, 7, true), 1);
	assert_int_equal(saved.count, 1);
	assert_int_equal(saved_shard(&saved, c, shard, 8, true), 0);
	/* The day is over: it goes from the store, and then from the table. */
	for (int i = 0; i < COUNTERS_SHARDS; i++)
		counters_cool(c, 2 * CLOCK_DAY, note_cooled, NULL);
	assert_int_equal(counters_key_count(c), 1);
	assert_int_equal(saved_shard(&saved, c, shard, 2 * CLOCK_DAY, false), 1);
	assert_int_equal(saved_shard(&saved, c, shard, 2 * CLOCK_DAY, true), 1);
	assert_int_equal(saved.count, 0);
	saved_shard(&saved, c, shard, 2 * CLOCK_DAY, true);
	for (int i = 0; i < COUNTERS_SHARDS; i++)
		counters_cool(c, 2 * CLOCK_DAY, note_cooled, NULL);
	assert_int_equal(counters_key_count(c), 0);
	counters_free(c);
	saved_free(&saved);
}

/* In another clock everything is given again, so that all that is saved is of one. */
static void
given_again(void **state)
{
	struct counters *c = counters_new();
	struct saved saved = {0};
	uint64_t i;

	(void)state;
	for (i = 0; i < 100; i++)
		arrive(c, &day, hash_of(i), 7, 0);
	saved_all(&saved, c, 1);
	counters_free(c);
	saved.clock = 5 * CLOCK_STEP;
	c = saved_load(&saved);
	saved_all(&saved, c, saved.clock + 1);
	counters_free(c);
	c = saved_load(&saved);
	for (i = 0; i < 100; i++)
		assert_int_equal(peek(c, &day, hash_of(i), saved.clock + 2).before, 7);
	for (i = 0; i < COUNTERS_SHARDS; i++)
		assert_int_equal(saved_shard(&saved, c, (unsigned)i, saved.clock + 3, true), 0);
	counters_free(c);
	saved_free(&saved);
}

/* A clock in which the slices' edges lie elsewhere: they stay where they were while any counts. */
static void
odd_clock(void **state)
{
	struct counters *steady = counters_new(), *c = counters_new();
	struct saved saved = {0};
	uint64_t seed = 3;
	int64_t now = 0;
	int i;

	(void)state;
	for (i = 0; i < 600; i++) {
		uint32_t n = 1 + (uint32_t)random_below(&seed, 3);

		now += (int64_t)random_below(&seed, (uint64_t)CLOCK_HOUR);
		assert_int_equal(arrive(steady, &day, hash_of(1), n, now).before,
				 arrive(c, &day, hash_of(1), n, now + saved.clock).before);
		if (i % 50 != 49)
			continue;
		saved_all(&saved, c, now + saved.clock);
		counters_free(c);
		saved.clock = (int64_t)random_below(&seed, UINT64_C(1) << 40) - (INT64_C(1) << 39);
		c = saved_load(&saved);
	}
	counters_free(steady);
	counters_free(c);
	saved_free(&saved);
}

/* Another rule after the restart: what was replayed alone, and what was saved alone, still counts.
 */
static void
other_rule(void **state)
{
	static const struct {
		const struct counters_rule *before, *after;
	} rows[] = {{&day, &hour}, {&hour, &day}, {&day, &day}, {&hour, &hour}};
	size_t i, k;

	(void)state;
	for (i = 0; i < COUNT_OF(rows); i++) {
		struct counters *c = counters_new();
		struct saved saved = {0};
		struct counters_seen seen[3];

		for (k = 0; k < COUNT_OF(seen); k++) {
			seen[k] = arrive(c, rows[i].before, hash_of(1), 1, (int64_t)k * M);
			if (k == 1)
				saved_all(&saved, c, M + 1);
		}
		counters_free(c);
		c = saved_load(&saved);
		for (k = 0; k < COUNT_OF(seen); k++) {
			struct counters_key key = {.hash = hash_of(1), .stamp = seen[k].stamp};

			counters_arrive(c, rows[i].after, key, 1, 1, (int64_t)k * M, 0,
					COUNTERS_REPLAY, &seen[k]);
		}
		assert_int_equal(peek(c, rows[i].after, hash_of(1), 3 * M).before, 3);
		counters_free(c);
		saved_free(&saved);
	}
}

/* A record that is cut, longer, or says what cannot be, is refused whole. */
static void
bad_records(void **state)
{
	static const struct {
		size_t at;
		unsigned char value;
	} rows[] = {
	    {0, 0},     {0, 2},                                      /* version */
	    {1, 0},     {1, 4},     {1, 16},                         /* flags */
	    {29, 0x7f},                                              /* idle at */
	    {37, 0x80}, {37, 0x7f},                                  /* width */
	    {38, 0},    {38, 2},    {38, 63}, {38, 255}, {46, 0x7f}, /* a cell in the future */
	    {51, 2},                                                 /* more left than came */
	};
	struct counters *c = counters_new(), *other = counters_new();
	struct saved saved = {0};
	char bytes[200];
	size_t i, len;

	(void)state;
	arrive(c, &day, hash_of(1), 1, 5 * CLOCK_DAY);
	saved_all(&saved, c, 5 * CLOCK_DAY);
	len = saved.rows[0].len;
	assert_int_equal(len, 30 + 9 + 16);
	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes, saved.rows[0].data, len);
	for (i = 0; i <= sizeof(bytes); i++) {
		/* Of its own length, for the sanitizer. */
		char *exact = mem_alloc(i + 1);

		memcpy(exact, bytes, i);
		assert_int_equal(counters_load(other, 7, exact, i, 0), i == len);
		free(exact);
	}
	assert_false(counters_load(other, 7, bytes, len, INT64_MAX));
	assert_false(counters_load(other, 7, bytes, len, INT64_MIN));
	for (i = 0; i < COUNT_OF(rows); i++) {
		char was = bytes[rows[i].at];

		bytes[rows[i].at] = (char)rows[i].value;
		if (counters_load(other, 7, bytes, len, 0))
			fail_msg("row %zu", i);
		bytes[rows[i].at] = was;
	}
	assert_int_equal(counters_key_count(other), 1);
	counters_free(c);
	counters_free(other);
	saved_free(&saved);
}

/* ---- threads */

enum { THREADS = 4, ROUNDS = 4000, SHARED = 40 };

struct thread {
	pthread_t id;
	struct counters *counters;
	uint64_t seed;
	struct {
		uint64_t hash;
		uint32_t stamp;
	} log[ROUNDS];
};

static atomic_uint running;

static void *
hammer(void *context)
{
	struct thread *t = context;
	size_t i;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t hash = hash_of(random_below(&t->seed, SHARED));

		t->log[i].hash = hash;
		t->log[i].stamp = arrive(t->counters, &day, hash, 1, CLOCK_DAY).stamp;
	}
	atomic_fetch_sub(&running, 1);
	return NULL;
}

/* Every arrival is either in the last save or has a stamp that is not below it, never both. */
static void
threads(void **state)
{
	struct counters *c = counters_new(), *again;
	struct thread *all = mem_zalloc(THREADS * sizeof(*all));
	struct saved saved = {0};
	uint64_t seed = 99, i, k;

	(void)state;
	atomic_store(&running, THREADS);
	for (i = 0; i < THREADS; i++) {
		all[i].counters = c;
		all[i].seed = 17 + i;
		assert_int_equal(pthread_create(&all[i].id, NULL, hammer, &all[i]), 0);
	}
	for (i = 0; atomic_load(&running) > 0; i++)
		saved_shard(&saved, c, (unsigned)(i % COUNTERS_SHARDS), CLOCK_DAY,
			    random_below(&seed, 3) > 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(all[i].id, NULL);
	again = saved_load(&saved);
	for (i = 0; i < THREADS; i++) {
		for (k = 0; k < ROUNDS; k++) {
			struct counters_key key = {.hash = all[i].log[k].hash,
						   .stamp = all[i].log[k].stamp};
			struct counters_seen seen;

			counters_arrive(again, &day, key, 1, 1, CLOCK_DAY, 0, COUNTERS_REPLAY,
					&seen);
		}
	}
	for (i = 0; i < SHARED; i++)
		assert_int_equal(peek(again, &day, hash_of(i), CLOCK_DAY).before,
				 peek(c, &day, hash_of(i), CLOCK_DAY).before);
	counters_free(c);
	counters_free(again);
	saved_free(&saved);
	free(all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_given), cmocka_unit_test(given_again),
	    cmocka_unit_test(odd_clock),     cmocka_unit_test(other_rule),
	    cmocka_unit_test(bad_records),   cmocka_unit_test(equals_steady),
	    cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
