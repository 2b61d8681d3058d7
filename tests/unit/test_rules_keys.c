/*
 * What verdicts remember of the counters, and what becomes of a count when the table is full, after
 * a restart, or under many rules at once.
 */
#include "tests/unit/burst_fixture.h"

#include "filters/counters.h"

/* ---- exactly the limit */

struct limit_row {
	const char *name;
	uint32_t limit;
	int64_t window;
};

static const struct limit_row limit_rows[] = {
    {"one", 1, 10 * SECOND},
    {"twenty", 20, 600 * SECOND},
    {"the largest exact one", 32, 3600 * SECOND},
    {"the smallest with slices", 33, 600 * SECOND},
    {"two hundred", 200, 600 * SECOND},
    {"a month", 1000, 30 * DAY},
};

/* Single messages at random times within one window: the limit passes, the next one does not. */
static void
never_one_more(void **state)
{
	uint64_t seed = 0x2545f4914f6cdd1d;
	size_t i;
	int round;

	(void)state;
	for (i = 0; i < COUNT_OF(limit_rows); i++) {
		const struct limit_row *row = &limit_rows[i];

		for (round = 0; round < 10; round++) {
			struct world *w = world_new(BURSTS({.name = TEXT("volume"),
							    .limit = row->limit,
							    .window = row->window,
							    .per = CONFIG_PER_SOURCE}));
			int64_t gap = row->window / (row->limit + 1);
			int64_t mono = (int64_t)(random_next(&seed) % (uint64_t)DAY);
			uint32_t n;

			for (n = 0; n < row->limit; n++) {
				if (world_last(w, 1, mono, NULL) != VERDICT_PASS)
					fail_msg("%s: number %u is held", row->name, n + 1);
				mono += (int64_t)(random_next(&seed) % (uint64_t)(gap + 1));
			}
			if (world_last(w, 1, mono, NULL) != VERDICT_HOLD)
				fail_msg("%s: one more passes", row->name);
			world_free(w);
		}
	}
}

/* ---- keys */

/* Rules in the order of the file; which of them a verdict names, and whether they settle. */
static void
keys(void **state)
{
	struct world *w = world_new(
	    BURSTS({RULE("volume", 50), HEAD(9, 5), .per = CONFIG_PER_SOURCE},
		   {RULE("watch", 50), .action = CONFIG_BURST_ALERT},
		   {RULE("repeat", 50), .per = CONFIG_PER_RECIPIENT, .declared = 60,
		    .declared_window = DAY},
		   {RULE("apart", 50), HEAD(9, 5), .declared = 60, .declared_window = DAY}));
	static const bool settles[] = {false, false, true, false, false};
	const struct verdict *first, *second;
	struct message *m;
	size_t i;

	(void)state;
	world_add_content(w, "marker", "hello", 40);
	m = world_message("shop", "hello", 2);
	m->campaign = "may";
	m->audience = 60;
	world_judge(w, m, 0);
	first = &m->recipients[0].verdict;
	second = &m->recipients[1].verdict;
	assert_int_equal(first->key_count, COUNT_OF(settles));
	assert_int_equal(second->key_count, COUNT_OF(settles));
	for (i = 0; i < COUNT_OF(settles); i++) {
		assert_int_not_equal(first->keys[i].hash, 0);
		assert_int_equal(first->keys[i].settles, settles[i]);
		/* Only one rule is per recipient. */
		assert_true((first->keys[i].hash == second->keys[i].hash) == (i != 3));
	}
	message_free(m);

	/* A content rule that does not match and an audience that is not declared count nobody; a
	 * rule that declared mail does not concern has its head. */
	m = world_judge(w, world_message("shop", "bye", 1), 0);
	assert_int_equal(m->recipients[0].verdict.key_count, 3);
	assert_true(m->recipients[0].verdict.keys[2].settles);
	message_free(m);

	/* Who peeks is counted nowhere. */
	m = world_send(w, "shop", 1, 0, GATE_PEEK);
	assert_int_equal(m->recipients[0].verdict.key_count, 0);
	message_free(m);
	world_free(w);
}

/* What is held has its keys too, and its stream is one of them. */
static void
keys_of_held(void **state)
{
	struct world *w = world_new(BURSTS({RULE("all", 50), .per = CONFIG_PER_ENVIRONMENT},
					   {RULE("volume", 2), .per = CONFIG_PER_SOURCE}));
	struct message *m = world_send(w, "shop", 3, 0, GATE_COUNT);
	const struct verdict *v = &m->recipients[1].verdict;

	(void)state;
	assert_int_equal(v->key_count, 2);
	assert_int_equal(v->keys[1].hash, v->stream->hash);
	assert_int_not_equal(v->keys[0].hash, v->stream->hash);
	message_free(m);
	world_free(w);
}

/* However a rule sorts them, each recipient has its own key. */
static void
keys_of_each(void **state)
{
	struct world *w = world_new(BURSTS({RULE("person", 50), .per = CONFIG_PER_RECIPIENT}));
	struct message *m = world_send(w, "shop", 20, 0, GATE_COUNT);
	uint32_t i;

	(void)state;
	for (i = 0; i < 20; i++) {
		struct message *alone = fixture_message("production", "crm", "bye");

		fixture_add(alone, m->recipients[i].address.text);
		world_judge(w, alone, 0);
		assert_int_equal(alone->recipients[0].verdict.keys[0].hash,
				 m->recipients[i].verdict.keys[0].hash);
		message_free(alone);
	}
	message_free(m);
	world_free(w);
}

static void
nobody_counted(void **state)
{
	const struct gate_hold hold = {.scope = GATE_SCOPE_EVERYTHING, .name = TEXT("")};
	struct world *w = world_new(BURSTS({RULE("all", 50)}));
	struct message *m;

	(void)state;
	counters_set_holds(w->counters, &hold, 1);
	m = world_send(w, "shop", 3, 0, GATE_COUNT);
	assert_int_equal(m->recipients[0].verdict.action, VERDICT_HOLD);
	assert_int_equal(m->recipients[0].verdict.key_count, 0);
	message_free(m);
	assert_int_equal(counters_key_count(w->counters), 0);
	world_free(w);
}

/* What waits of two streams is found under both, whichever trips. */
static void
waits_under_all(void **state)
{
	struct world *w =
	    world_new(BURSTS({RULE("slow", 9), HEAD(1, 60), .per = CONFIG_PER_SOURCE},
			     {RULE("quick", 4), HEAD(1, 5), .per = CONFIG_PER_SUBJECT}));
	struct message *waiting = world_send(w, "shop", 4, 0, GATE_COUNT), *m;
	const struct verdict *v = &waiting->recipients[3].verdict;
	const struct verdict_key *found;
	int64_t tripped_at = 0;

	(void)state;
	assert_string_equal(v->rule, "burst slow");
	assert_null(counters_find_trip(w->counters, v->keys, v->key_count, true, &tripped_at));
	w->wall = 5000;
	m = world_send(w, "crm", 1, SECOND, GATE_COUNT);
	assert_string_equal(m->recipients[0].verdict.rule, "burst quick");
	assert_true(m->recipients[0].verdict.stream->trips_now);
	found = counters_find_trip(w->counters, v->keys, v->key_count, true, &tripped_at);
	assert_ptr_equal(found, &v->keys[1]);
	assert_int_equal(found->hash, m->recipients[0].verdict.stream->hash);
	assert_int_equal(tripped_at, 5000);
	message_free(m);
	message_free(waiting);
	world_free(w);
}

/* ---- the table is full */

enum { FLOOD = 2000, PEOPLE = 5 };

/*
 * One source, hundreds of subjects, a few people. The rule by subject sees each of them once and
 * the table has no place for them; the others hold nonetheless, and other sources notice nothing.
 */
static void
flood(void **state)
{
	struct world *w =
	    world_new(BURSTS({RULE("volume", 200), .per = SOURCE_SUBJECT},
			     {RULE("repeat", 5), .per = CONFIG_PER_RECIPIENT | CONFIG_PER_SUBJECT},
			     {RULE("person", 20), .per = CONFIG_PER_RECIPIENT},
			     {RULE("source", 400), .per = CONFIG_PER_SOURCE}));
	unsigned reached[PEOPLE] = {0}, held = 0, i;
	struct message *m;
	char subject[32];

	(void)state;
	counters_set_cap(w->counters, 400);
	for (i = 0; i < FLOOD; i++) {
		snprintf(subject, sizeof(subject), "commit %c%c%c", 'a' + i / 676 % 26,
			 'a' + i / 26 % 26, 'a' + i % 26);
		m = fixture_message("production", "git", subject);
		snprintf(subject, sizeof(subject), "r%u@customer.test", i % PEOPLE);
		fixture_add(m, subject);
		world_judge(w, m, i * 1000);
		if (m->recipients[0].verdict.action == VERDICT_PASS)
			reached[i % PEOPLE]++;
		else
			held++;
		message_free(m);
		/* In the middle of it, another source's mail to somebody else. */
		if (i % 400 != 0)
			continue;
		m = fixture_message("production", "shop", "your order #");
		fixture_add(m, "customer@customer.test");
		world_judge(w, m, i * 1000);
		assert_int_equal(m->recipients[0].verdict.action, VERDICT_PASS);
		message_free(m);
	}
	for (i = 0; i < PEOPLE; i++)
		if (reached[i] > 20)
			fail_msg("person %u got %u", i, reached[i]);
	assert_true(held >= FLOOD - PEOPLE * 20);
	world_free(w);
}

/* The shared key says whose it is, and trips at the rule's limit; each source has its own. */
static void
overflow(void **state)
{
	static const char *const sources[] = {"git", "crm"};
	struct world *w = world_new(BURSTS({RULE("volume", 3), .per = SOURCE_SUBJECT}));
	const struct verdict *v;
	struct message *m;
	unsigned i, k, passed;
	char text[64];

	(void)state;
	counters_set_cap(w->counters, 8); /* two keys for each source */
	for (k = 0; k < COUNT_OF(sources); k++) {
		for (i = passed = 0; i < 6; i++) {
			snprintf(text, sizeof(text), "subject %c", 'a' + i);
			m = world_judge(w, world_message(sources[k], text, 1), i);
			v = &m->recipients[0].verdict;
			passed += v->action == VERDICT_PASS;
			if (v->action == VERDICT_HOLD) {
				snprintf(text, sizeof(text),
					 "source=%s and more than can be told apart", sources[k]);
				assert_string_equal(v->stream->key, text);
				assert_string_equal(v->stream->source, sources[k]);
				assert_int_equal(v->stream->counted, 3);
			}
			message_free(m);
		}
		/* Two of their own, three that share one. */
		assert_int_equal(passed, 5);
	}
	m = world_judge(w, world_message("shop", "subject a", 3), 6);
	assert_int_equal(m->recipients[0].verdict.action, VERDICT_PASS);
	message_free(m);
	world_free(w);
}

/* ---- restart */

static struct world *
every_kind(void)
{
	struct world *w = world_new(BURSTS(
	    {RULE("volume", 40), HEAD(3, 5), .per = SOURCE_SUBJECT, .declared = 12,
	     .declared_window = 600 * SECOND},
	    {RULE("person", 9), .per = CONFIG_PER_RECIPIENT},
	    {.name = TEXT("long"), .limit = 300, .window = 7 * DAY, .per = CONFIG_PER_SOURCE}));

	world_add_content(w, "marker", "test", 6);
	return w;
}

static struct message *
random_message(uint64_t *seed)
{
	static const char *const sources[] = {"shop", "crm"};
	static const char *const subjects[] = {"hello", "a test", "news"};
	static const char *const campaigns[] = {"", "may", "june"};
	static const uint32_t audiences[] = {12, 15, 30};
	struct message *m = fixture_message("production", sources[random_next(seed) % 2],
					    subjects[random_next(seed) % 3]);
	uint64_t n = 1 + random_next(seed) % 3;
	char to[64];

	m->campaign = campaigns[random_next(seed) % 3];
	if (*m->campaign != '\0')
		m->audience = audiences[random_next(seed) % 3];
	for (; n > 0; n--) {
		snprintf(to, sizeof(to), "r%u@customer.test", (unsigned)(random_next(seed) % 20));
		fixture_add(m, to);
	}
	return m;
}

/* As the store would: the batch of what is held collects again. */
static void
restore_trips(struct world *w, const struct message *m, int64_t mono)
{
	size_t i;

	for (i = 0; i < m->recipient_count; i++) {
		const struct verdict *v = &m->recipients[i].verdict;

		if (v->action == VERDICT_HOLD)
			counters_restore_trip(w->counters, w->policy, "production", v->rule,
					      v->stream->hash, v->stream->tripped_at, mono);
	}
}

static void
compare(const struct message *a, const struct message *b, int step)
{
	size_t i;

	for (i = 0; i < a->recipient_count; i++) {
		const struct verdict *x = &a->recipients[i].verdict, *y = &b->recipients[i].verdict;

		if (x->action != y->action || x->rule != y->rule)
			if (x->rule == NULL || y->rule == NULL || strcmp(x->rule, y->rule) != 0)
				fail_msg("step %d: %d %s, restarted %d %s", step, x->action,
					 x->rule, y->action, y->rule);
		if (x->stream != NULL) {
			assert_int_equal(x->stream->hash, y->stream->hash);
			assert_int_equal(x->stream->tripped_at, y->stream->tripped_at);
			/* A trip of before the restart has its count in its batch. */
			if (x->stream->trips_now)
				assert_int_equal(x->stream->counted, y->stream->counted);
		}
	}
}

/* Counted again out of what the verdicts remember, all rules say the same as if nothing had been.
 */
static void
restart(void **state)
{
	enum { BEFORE = 60, AFTER = 60 };
	static struct message *past[BEFORE];
	static int64_t times[BEFORE];
	uint64_t seed = 0x9e3779b97f4a7c15;
	int round, i;

	(void)state;
	for (round = 0; round < 20; round++) {
		struct world *live = every_kind(), *restarted = every_kind();
		int64_t mono = 0;

		for (i = 0; i < BEFORE; i++) {
			mono += (int64_t)(random_next(&seed) % (uint64_t)(3 * SECOND));
			times[i] = mono;
			live->wall++;
			past[i] = world_judge(live, random_message(&seed), mono);
		}
		for (i = 0; i < BEFORE; i++)
			counters_replay(restarted->counters, restarted->policy, past[i], times[i]);
		for (i = 0; i < BEFORE; i++) {
			restore_trips(restarted, past[i], times[i]);
			message_free(past[i]);
		}
		restarted->wall = live->wall;
		for (i = 0; i < AFTER; i++) {
			uint64_t same = seed;
			struct message *a, *b;

			mono += SECOND;
			live->wall = ++restarted->wall;
			a = world_judge(live, random_message(&seed), mono);
			b = world_judge(restarted, random_message(&same), mono);
			compare(a, b, i);
			message_free(a);
			message_free(b);
		}
		world_free(live);
		world_free(restarted);
	}
}

/* What shared a key for want of place is counted under it again, though there is place now. */
static void
restart_of_overflow(void **state)
{
	struct world *live = world_new(BURSTS({RULE("volume", 3), .per = SOURCE_SUBJECT}));
	struct world *restarted = world_new(BURSTS({RULE("volume", 3), .per = SOURCE_SUBJECT}));
	struct message *m;
	char subject[32];
	unsigned i;

	(void)state;
	counters_set_cap(live->counters, 8);
	counters_set_cap(restarted->counters, 9); /* two for the source; others' keys are gone */
	for (i = 0; i < 5; i++) {
		snprintf(subject, sizeof(subject), "subject %c", 'a' + i);
		m = world_judge(live, world_message("git", subject, 1), i);
		assert_int_equal(m->recipients[0].verdict.action, VERDICT_PASS);
		if (i >= 2)
			counters_replay(restarted->counters, restarted->policy, m, i);
		message_free(m);
	}
	assert_int_equal(counters_key_count(restarted->counters), 1);
	/* Two find place, the third meets the three that share a key. */
	for (i = 5; i < 8; i++) {
		snprintf(subject, sizeof(subject), "subject %c", 'a' + i);
		m = world_judge(restarted, world_message("git", subject, 1), i);
		assert_int_equal(m->recipients[0].verdict.action,
				 i < 7 ? VERDICT_PASS : VERDICT_HOLD);
		message_free(m);
	}
	world_free(live);
	world_free(restarted);
}

struct saved {
	struct {
		uint64_t hash;
		char data[2048];
		size_t len;
	} list[8];
	size_t count;
};

static void
save_row(void *context, uint64_t hash, int64_t idle_at, const char *data, size_t len)
{
	struct saved *saved = context;

	(void)idle_at;
	assert_true(saved->count < COUNT_OF(saved->list) && len <= sizeof(saved->list[0].data));
	saved->list[saved->count].hash = hash;
	saved->list[saved->count].len = len;
	memcpy(saved->list[saved->count++].data, data, len);
}

/* A long window comes back out of its save and of what the stamps say came later: once each. */
static void
restart_after_save(void **state)
{
	const struct config_burst rule = {
	    .name = TEXT("long"), .limit = 10, .window = 7 * DAY, .per = CONFIG_PER_SOURCE};
	struct world *live = world_new(&rule, 1), *restarted = world_new(&rule, 1);
	struct message *past[7];
	struct saved saved = {0};
	unsigned i;

	(void)state;
	for (i = 0; i < 7; i++) {
		past[i] = world_send(live, "shop", 1, i, GATE_COUNT);
		for (unsigned shard = 0; i == 3 && shard < COUNTERS_SHARDS; shard++)
			counters_load_stamp(
			    restarted->counters, shard,
			    counters_save(live->counters, shard, i, save_row, &saved));
	}
	assert_int_equal(saved.count, 1);
	assert_true(counters_load(restarted->counters, saved.list[0].hash, saved.list[0].data,
				  saved.list[0].len, 0));
	for (i = 0; i < 7; i++) {
		counters_replay(restarted->counters, restarted->policy, past[i], i);
		message_free(past[i]);
	}
	for (i = 7; i < 11; i++)
		assert_int_equal(world_last(restarted, 1, i, NULL),
				 i < 10 ? VERDICT_PASS : VERDICT_HOLD);
	world_free(live);
	world_free(restarted);
}

/* A rule that is new since is counted if its window is short, for all of it is known. */
static void
restart_under_another_policy(void **state)
{
	struct world *old = world_new(BURSTS({RULE("volume", 50)}));
	struct world *w = world_new(
	    BURSTS({RULE("short", 3)}, {.name = TEXT("long"), .limit = 3, .window = DAY}));
	struct message *m = world_send(old, "shop", 3, 0, GATE_COUNT);

	(void)state;
	world_add_content(w, "marker", "hello", 1);
	counters_replay(w->counters, w->policy, m, 0);
	message_free(m);
	assert_int_equal(counters_key_count(w->counters), 1);
	m = world_judge(w, world_message("shop", "bye", 1), 1);
	assert_string_equal(m->recipients[0].verdict.rule, "burst short");
	message_free(m);
	world_free(old);
	world_free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(never_one_more),
	    cmocka_unit_test(keys),
	    cmocka_unit_test(keys_of_held),
	    cmocka_unit_test(keys_of_each),
	    cmocka_unit_test(nobody_counted),
	    cmocka_unit_test(waits_under_all),
	    cmocka_unit_test(flood),
	    cmocka_unit_test(overflow),
	    cmocka_unit_test(restart),
	    cmocka_unit_test(restart_of_overflow),
	    cmocka_unit_test(restart_after_save),
	    cmocka_unit_test(restart_under_another_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
