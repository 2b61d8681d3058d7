/*
 * The burst filter: exact against a list of time stamps, then trips, cooldown, decisions, head and
 * settle, several rules, keys, alert mode.
 */
#include "tests/unit/burst_fixture.h"

/* ---- exactness */

struct exact_row {
	const char *name;
	uint32_t limit;
	int64_t window;
	int64_t gap; /* the longest between two messages */
	int64_t start;
};

static const struct exact_row exact_rows[] = {
    {"one", 1, SECOND, 4 * SECOND, 0},
    {"a few", 5, SECOND, 800000, 0},
    {"the largest exact one", 32, 10 * SECOND, 1250000, 12345},
    {"the smallest with slices", 33, 10 * SECOND, 1200000, 12345},
    {"slices", 200, 600 * SECOND, 12 * SECOND, 0},
    {"before the clock began", 200, 600 * SECOND, 12 * SECOND, -30000 * SECOND},
    {"slices that do not divide the window", 100, 7 * SECOND + 1, 280000, -7},
    {"a window shorter than its slices", 40, 37, 4, 0},
};

struct reference {
	int64_t at[4000];
	uint32_t n[4000];
	size_t count;
};

/* What arrived after `since`. */
static uint64_t
reference_sum(const struct reference *r, int64_t since)
{
	uint64_t sum = 0;
	size_t i = r->count;

	while (i > 0 && r->at[i - 1] > since)
		sum += r->n[--i];
	return sum;
}

/*
 * Against the list of all arrivals: over the limit within the window is held, always; within the
 * limit of a window a 60th longer passes. In between either may be. The cooldown is as short as it
 * can be.
 */
static void
exactness(void **state)
{
	static struct reference all, passed;
	size_t i, step;

	(void)state;
	for (i = 0; i < COUNT_OF(exact_rows); i++) {
		const struct exact_row *row = &exact_rows[i];
		struct world *w = world_new(BURSTS({.name = TEXT("volume"),
						    .limit = row->limit,
						    .window = row->window,
						    .per = SOURCE_SUBJECT,
						    .cooldown = 1}));
		/* And the one microsecond of cooldown. */
		int64_t slack = 1 + (row->limit <= 32 ? 0 : row->window / 60 + 1);
		uint64_t seed = 0x9e3779b97f4a7c15u + i;
		int64_t mono = row->start;
		size_t held = 0;

		all.count = passed.count = 0;
		for (step = 0; step < COUNT_OF(all.at); step++) {
			uint32_t n = 1 + (uint32_t)(random_next(&seed) % 3);
			bool hold, must, may;

			mono += (int64_t)(random_next(&seed) % (uint64_t)(row->gap + 1));
			all.at[all.count] = mono;
			all.n[all.count++] = n;
			must = reference_sum(&all, mono - row->window) > row->limit;
			may = reference_sum(&all, mono - row->window - slack) > row->limit;
			hold = world_last(w, n, mono, NULL) == VERDICT_HOLD;
			if ((must && !hold) || (hold && !may))
				fail_msg("%s: step %zu: %s", row->name, step,
					 hold ? "held" : "passed");
			held += hold;
			if (hold)
				continue;
			passed.at[passed.count] = mono;
			passed.n[passed.count++] = n;
			assert_true(reference_sum(&passed, mono - row->window) <= row->limit);
		}
		/* Both must have been seen, or nothing was tested. */
		if (held < 100 || passed.count < 100)
			fail_msg("%s: %zu held, %zu passed", row->name, held, passed.count);
		world_free(w);
	}
}

/* ---- one rule */

static void
trips(void **state)
{
	struct world *w = world_new(BURSTS({.name = TEXT("volume"),
					    .limit = 5,
					    .window = 60 * SECOND,
					    .per = SOURCE_SUBJECT,
					    .cooldown = 600 * SECOND}));
	struct verdict_stream first, next;
	struct message *m;
	int i;

	(void)state;
	for (i = 0; i < 5; i++)
		assert_int_equal(world_last(w, 1, i, NULL), VERDICT_PASS);
	assert_int_equal(world_last(w, 1, 5, &first), VERDICT_HOLD);
	assert_int_equal(first.counted, 5);
	assert_int_equal(first.limit, 5);
	assert_int_equal(first.window, 60 * SECOND);
	assert_int_equal(first.tripped_at, 1000);
	w->wall = 2000;
	assert_int_equal(world_last(w, 1, 30 * SECOND, &next), VERDICT_HOLD);
	assert_int_equal(next.hash, first.hash);
	assert_int_equal(next.tripped_at, 1000);
	assert_int_equal(next.counted, 5);

	m = world_send(w, "shop", 1, 30 * SECOND, GATE_COUNT);
	assert_string_equal(m->recipients[0].verdict.rule, "burst volume");
	assert_string_equal(m->recipients[0].verdict.reason, "over the limit of 5 in 60 s");
	assert_string_equal(m->recipients[0].verdict.stream->key, "source=shop subject=\"hello\"");
	message_free(m);
	/* Another source is another key. */
	m = world_send(w, "crm", 5, 30 * SECOND, GATE_COUNT);
	assert_int_equal(m->recipients[4].verdict.action, VERDICT_PASS);
	message_free(m);
	world_free(w);
}

/* None of a message's recipients has left when it crosses the limit: all are held, in one stream.
 */
static void
whole_message(void **state)
{
	struct world *w = world_new(BURSTS(
	    {.name = TEXT("volume"), .limit = 5, .window = 60 * SECOND, .per = SOURCE_SUBJECT}));
	struct message *m;
	int i;

	(void)state;
	assert_int_equal(world_last(w, 3, 0, NULL), VERDICT_PASS);
	m = world_send(w, "shop", 3, 1, GATE_COUNT);
	for (i = 0; i < 3; i++) {
		assert_int_equal(m->recipients[i].verdict.action, VERDICT_HOLD);
		assert_ptr_equal(m->recipients[i].verdict.stream, m->recipients[0].verdict.stream);
	}
	assert_int_equal(m->recipients[0].verdict.stream->counted, 3);
	message_free(m);
	world_free(w);
}

/* Over the limit until 60 s after the first arrival, then 100 s of cooldown. */
static void
cooldown(void **state)
{
	struct world *w = world_new(BURSTS({.name = TEXT("volume"),
					    .limit = 2,
					    .window = 60 * SECOND,
					    .per = SOURCE_SUBJECT,
					    .cooldown = 100 * SECOND}));
	struct verdict_stream first, second;
	uint64_t hash;

	(void)state;
	assert_int_equal(world_last(w, 3, 0, &first), VERDICT_HOLD);
	assert_int_equal(world_cool(w, 160 * SECOND - 1, NULL), 0);
	assert_int_equal(world_last(w, 1, 159 * SECOND, NULL), VERDICT_HOLD);
	assert_int_equal(world_cool(w, 160 * SECOND, &hash), 1);
	assert_int_equal(hash, first.hash);
	assert_int_equal(world_cool(w, 161 * SECOND, NULL), 0);
	assert_int_equal(world_last(w, 1, 161 * SECOND, NULL), VERDICT_PASS);
	/* The next trip differs, even if the wall clock was set back. */
	w->wall = 10;
	assert_int_equal(world_last(w, 1, 162 * SECOND, &second), VERDICT_HOLD);
	assert_int_equal(second.hash, first.hash);
	assert_int_not_equal(second.tripped_at, first.tripped_at);
	/* Counted: what passed at 161 s, not what was held at 159 s. */
	assert_int_equal(second.counted, 1);
	/* An arrival sees the cooldown pass before counters_cool() does, which still tells of it.
	 */
	assert_int_equal(world_last(w, 1, 1000 * SECOND, NULL), VERDICT_PASS);
	assert_int_equal(world_cool(w, 1000 * SECOND, &hash), 1);
	world_free(w);
}

static void
no_cooldown(void **state)
{
	struct world *w = world_new(BURSTS(
	    {.name = TEXT("volume"), .limit = 2, .window = 60 * SECOND, .per = SOURCE_SUBJECT}));
	struct verdict_stream first, second;
	int64_t year = 365 * 86400 * SECOND;

	(void)state;
	assert_int_equal(world_last(w, 3, 0, &first), VERDICT_HOLD);
	assert_int_equal(world_cool(w, year, NULL), 0);
	assert_int_equal(world_last(w, 1, year, NULL), VERDICT_HOLD);
	counters_forget(w->counters, first.hash);
	assert_int_equal(world_cool(w, year, NULL), 0);
	assert_int_equal(world_last(w, 2, year, NULL), VERDICT_PASS);
	assert_int_equal(world_last(w, 1, year, &second), VERDICT_HOLD);
	assert_int_not_equal(second.tripped_at, first.tripped_at);
	counters_forget(w->counters, 4711); /* a stream that no rule counts */
	world_free(w);
}

static void
head_and_settle(void **state)
{
	struct world *w = world_new(BURSTS({.name = TEXT("volume"),
					    .limit = 8,
					    .window = 600 * SECOND,
					    .per = SOURCE_SUBJECT,
					    .head = 2,
					    .head_window = 10 * SECOND,
					    .settle = 5 * SECOND}));
	static const enum verdict_action wanted[] = {VERDICT_PASS, VERDICT_PASS, VERDICT_WAIT,
						     VERDICT_WAIT};
	struct verdict_stream stream;
	struct message *m = world_send(w, "shop", 4, 0, GATE_COUNT);
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(wanted); i++)
		assert_int_equal(m->recipients[i].verdict.action, wanted[i]);
	assert_int_equal(m->recipients[2].verdict.settle, 5 * SECOND);
	assert_string_equal(m->recipients[2].verdict.rule, "burst volume");
	assert_int_equal(m->recipients[2].verdict.stream->tripped_at, 0);
	stream = *m->recipients[2].verdict.stream;
	message_free(m);
	assert_int_equal(world_last(w, 1, 9 * SECOND, NULL), VERDICT_WAIT);
	assert_int_equal(world_last(w, 1, 19 * SECOND, NULL), VERDICT_PASS);
	/* All that passed or waits is counted; the waiting ones are pulled in by their hash. */
	m = world_send(w, "shop", 3, 20 * SECOND, GATE_COUNT);
	assert_int_equal(m->recipients[0].verdict.action, VERDICT_HOLD);
	assert_int_equal(m->recipients[0].verdict.settle, 0);
	assert_int_equal(m->recipients[0].verdict.stream->hash, stream.hash);
	assert_int_equal(m->recipients[0].verdict.stream->counted, 6);
	message_free(m);
	world_free(w);
}

/* ---- several rules */

struct several_row {
	const char *name;
	struct config_burst first, second;
	uint32_t recipients;
	enum verdict_action action; /* of the last one */
	const char *rule;
	int64_t settle;
};

static const struct several_row several_rows[] = {
    {"both pass", {RULE("a", 9)}, {RULE("b", 9)}, 3, VERDICT_PASS, NULL, 0},
    {"the first holds", {RULE("a", 2)}, {RULE("b", 9)}, 3, VERDICT_HOLD, "burst a", 0},
    {"the second holds", {RULE("a", 9)}, {RULE("b", 2)}, 3, VERDICT_HOLD, "burst b", 0},
    {"both hold: the first", {RULE("a", 2)}, {RULE("b", 1)}, 3, VERDICT_HOLD, "burst a", 0},
    {"one waits",
     {RULE("a", 9), HEAD(1, 5)},
     {RULE("b", 9)},
     3,
     VERDICT_WAIT,
     "burst a",
     5 * SECOND},
    {"both wait: the longer one",
     {RULE("a", 9), HEAD(1, 5)},
     {RULE("b", 9), HEAD(1, 7)},
     3,
     VERDICT_WAIT,
     "burst b",
     7 * SECOND},
    {"both wait: the longer one is the first",
     {RULE("a", 9), HEAD(1, 7)},
     {RULE("b", 9), HEAD(1, 5)},
     3,
     VERDICT_WAIT,
     "burst a",
     7 * SECOND},
    {"hold beats an earlier wait",
     {RULE("a", 9), HEAD(1, 5)},
     {RULE("b", 2)},
     3,
     VERDICT_HOLD,
     "burst b",
     0},
    {"hold beats a later wait",
     {RULE("a", 2)},
     {RULE("b", 9), HEAD(1, 5)},
     3,
     VERDICT_HOLD,
     "burst a",
     0},
    {"a hold per recipient does not touch the others",
     {RULE("a", 9)},
     {RULE("b", 1), .per = CONFIG_PER_RECIPIENT},
     3,
     VERDICT_PASS,
     NULL,
     0},
    {"alert never holds",
     {RULE("a", 2), .action = CONFIG_BURST_ALERT},
     {RULE("b", 9)},
     3,
     VERDICT_PASS,
     NULL,
     0},
    {"alert never waits",
     {RULE("a", 9), HEAD(1, 5), .action = CONFIG_BURST_ALERT},
     {RULE("b", 9)},
     3,
     VERDICT_PASS,
     NULL,
     0},
};

static void
several_rules(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(several_rows); i++) {
		const struct several_row *row = &several_rows[i];
		struct world *w = world_new(BURSTS(row->first, row->second));
		struct message *m = world_send(w, "shop", row->recipients, 0, GATE_COUNT);
		const struct verdict *v = &m->recipients[row->recipients - 1].verdict;

		if (v->action != row->action || (v->rule == NULL) != (row->rule == NULL) ||
		    (row->rule != NULL && strcmp(v->rule, row->rule) != 0) ||
		    v->settle != row->settle)
			fail_msg("%s: action %d, rule %s", row->name, v->action, v->rule);
		message_free(m);
		world_free(w);
	}
}

/* What the first rule holds is an arrival of the second, but not a leak of it. */
static void
held_is_no_leak(void **state)
{
	struct world *w = world_new(BURSTS({RULE("volume", 3), .per = SOURCE_SUBJECT},
					   {RULE("all", 10), .per = CONFIG_PER_ENVIRONMENT}));
	struct message *m;
	int i;

	(void)state;
	for (i = 0; i < 8; i++)
		assert_int_equal(world_last(w, 1, i, NULL), i < 3 ? VERDICT_PASS : VERDICT_HOLD);
	m = world_send(w, "crm", 3, 9, GATE_COUNT);
	assert_string_equal(m->recipients[0].verdict.rule, "burst all");
	assert_int_equal(m->recipients[0].verdict.stream->counted, 3);
	assert_string_equal(m->recipients[0].verdict.stream->key, "environment=production");
	message_free(m);
	world_free(w);
}

static void
alert_observes(void **state)
{
	struct world *w = world_new(BURSTS({RULE("volume", 2), .action = CONFIG_BURST_ALERT}));
	const struct verdict *v;
	struct message *m;
	int64_t tripped_at = 0;
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		w->wall++;
		m = world_send(w, "shop", 1, i, GATE_COUNT);
		v = &m->recipients[0].verdict;
		assert_int_equal(v->action, VERDICT_PASS);
		assert_true((v->observed != NULL) == (i >= 2));
		if (i >= 2) {
			assert_string_equal(v->observed, "burst volume");
			assert_int_equal(v->observed_stream->counted, 2);
			assert_true(tripped_at == 0 ||
				    tripped_at == v->observed_stream->tripped_at);
			tripped_at = v->observed_stream->tripped_at;
		}
		message_free(m);
	}
	assert_int_equal(tripped_at, 1003);
	world_free(w);
}

/* Without a cooldown nobody could end an alert's trip: it ends when the count has fallen. */
static void
alert_ends(void **state)
{
	struct world *w = world_new(BURSTS({RULE("volume", 2), .action = CONFIG_BURST_ALERT}));
	struct message *m = world_send(w, "shop", 3, 0, GATE_COUNT);

	(void)state;
	assert_non_null(m->recipients[0].verdict.observed);
	message_free(m);
	m = world_send(w, "shop", 1, 61 * SECOND, GATE_COUNT);
	assert_null(m->recipients[0].verdict.observed);
	message_free(m);
	world_free(w);
}

/* What the recipients filter keeps from leaving is not counted; the limit of 2 is for the others.
 */
static void
kept_away_is_not_counted(void **state)
{
	static const enum config_others others[] = {CONFIG_OTHERS_DROP, CONFIG_OTHERS_REJECT,
						    CONFIG_OTHERS_HOLD};
	static char *example[] = {TEXT("@example.com"), NULL};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(others); i++) {
		struct world *w = world_new(BURSTS({RULE("volume", 2), .per = SOURCE_SUBJECT}));
		struct message *m = fixture_message("production", "shop", "hello");

		w->environments[0].allow = example;
		w->environments[0].others = others[i];
		world_reload(w);
		fixture_add(m, "a@customer.test");
		fixture_add(m, "a@example.com");
		fixture_add(m, "b@customer.test");
		fixture_add(m, "b@example.com");
		gate_judge(w->policy, w->counters, m, 0, 1, GATE_COUNT);
		assert_int_not_equal(m->recipients[0].verdict.action, VERDICT_PASS);
		assert_int_equal(m->recipients[1].verdict.action, VERDICT_PASS);
		assert_int_equal(m->recipients[3].verdict.action, VERDICT_PASS);
		message_free(m);
		m = fixture_message("production", "shop", "hello");
		fixture_add(m, "c@example.com");
		gate_judge(w->policy, w->counters, m, 0, 1, GATE_COUNT);
		assert_int_equal(m->recipients[0].verdict.action, VERDICT_HOLD);
		message_free(m);
		world_free(w);
	}
}

/* Another thread took its time before it came to the lock: its arrivals count as the newest. */
static void
late_arrivals(void **state)
{
	static const uint32_t limits[] = {4, 40};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(limits); i++) {
		struct world *w = world_new(BURSTS({RULE("volume", limits[i])}));

		assert_int_equal(world_last(w, 1, 100 * SECOND, NULL), VERDICT_PASS);
		assert_int_equal(world_last(w, limits[i] - 1, 30 * SECOND, NULL), VERDICT_PASS);
		assert_int_equal(world_last(w, 1, 159 * SECOND, NULL), VERDICT_HOLD);
		world_free(w);
	}
}

/* ---- keys */

static struct message *
varied_message(const char *const parts[5])
{
	struct message *m = fixture_message("production", parts[0], parts[2]);
	struct address sender;

	assert_null(address_parse(parts[1], &m->arena, &sender));
	message_set_sender(m, &sender);
	fixture_add(m, parts[3]);
	m->campaign = parts[4];
	return m;
}

/* Every set of `per`, against every part in which a second message may differ. */
static void
keys(void **state)
{
	static const unsigned bits[5] = {CONFIG_PER_SOURCE, CONFIG_PER_SENDER, CONFIG_PER_SUBJECT,
					 CONFIG_PER_RECIPIENT, CONFIG_PER_CAMPAIGN};
	static const char *const base[5] = {"shop", "a@shop.test", "one", "x@customer.test", "may"};
	static const char *const other[5] = {"crm", "b@shop.test", "two", "y@customer.test",
					     "june"};
	unsigned per, part, i;

	(void)state;
	for (per = 1; per < 64; per++) {
		for (part = 0; part < 5; part++) {
			struct world *w = world_new(BURSTS({RULE("r", 1), .per = per}));
			const char *parts[5];
			struct message *a = varied_message(base), *b;

			for (i = 0; i < 5; i++)
				parts[i] = i == part ? other[i] : base[i];
			/* The sender in another case is the same sender. */
			if (part != 1)
				parts[1] = "A@shop.test";
			b = varied_message(parts);
			gate_judge(w->policy, w->counters, a, 0, 1, GATE_COUNT);
			gate_judge(w->policy, w->counters, b, 0, 1, GATE_COUNT);
			assert_int_equal(a->recipients[0].verdict.action, VERDICT_PASS);
			if ((b->recipients[0].verdict.action == VERDICT_PASS) !=
			    ((per & bits[part]) != 0))
				fail_msg("per %u, part %u", per, part);
			message_free(a);
			message_free(b);
			world_free(w);
		}
	}
}

/* Recipients count as what they were rewritten to, in any case. */
static void
rewritten(void **state)
{
	struct world *w = world_new(BURSTS({RULE("repeat", 2), .per = CONFIG_PER_RECIPIENT}));
	struct message *m;
	int i;

	(void)state;
	w->environments[0].allow = nobody;
	w->environments[0].others = CONFIG_OTHERS_REWRITE;
	w->environments[0].rewrite_to = TEXT("sink@example.com");
	world_reload(w);
	m = world_send(w, "shop", 3, 0, GATE_COUNT);
	for (i = 0; i < 3; i++)
		assert_int_equal(m->recipients[i].verdict.action, VERDICT_HOLD);
	assert_string_equal(m->recipients[0].verdict.stream->key, "recipient=sink@example.com");
	message_free(m);
	world_free(w);
}

/* The same people twice in one message, in the middle of others. */
static void
duplicates(void **state)
{
	static const char *const to[] = {"a@x.test", "b@x.test", "A@x.test", "c@x.test",
					 "a@x.test"};
	struct world *w = world_new(BURSTS({RULE("repeat", 2), .per = CONFIG_PER_RECIPIENT}));
	struct message *m = fixture_message("production", "shop", "hello");
	size_t i;

	(void)state;
	for (i = 0; i < COUNT_OF(to); i++)
		fixture_add(m, to[i]);
	gate_judge(w->policy, w->counters, m, 0, 1, GATE_COUNT);
	for (i = 0; i < COUNT_OF(to); i++)
		assert_int_equal(m->recipients[i].verdict.action,
				 to[i][0] == 'a' || to[i][0] == 'A' ? VERDICT_HOLD : VERDICT_PASS);
	message_free(m);
	world_free(w);
}

/* ---- peek, restart, reload, cap */

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(exactness),
	    cmocka_unit_test(trips),
	    cmocka_unit_test(whole_message),
	    cmocka_unit_test(cooldown),
	    cmocka_unit_test(no_cooldown),
	    cmocka_unit_test(head_and_settle),
	    cmocka_unit_test(several_rules),
	    cmocka_unit_test(held_is_no_leak),
	    cmocka_unit_test(alert_observes),
	    cmocka_unit_test(alert_ends),
	    cmocka_unit_test(kept_away_is_not_counted),
	    cmocka_unit_test(late_arrivals),
	    cmocka_unit_test(keys),
	    cmocka_unit_test(rewritten),
	    cmocka_unit_test(duplicates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
