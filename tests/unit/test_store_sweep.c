/*
 * Decisions on whole batches: one row is written, and every list, count and later decision reads
 * the batch's deliveries through it. A simple model, an array of states, says what each delivery
 * must be after random whole decisions, parts, arrivals, restarts, purges and releases that are fed
 * a few at a time; both backends must agree with it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/unit/store_plan_help.h"

enum { MODEL = 600, STEPS = 700, FEED = 7 };

/* ---- the model ---- */

struct modelled {
	uint64_t id;
	uint32_t number;
	enum store_state state;
	bool gone, taken;
};

struct model {
	struct fixture *f;
	struct modelled rows[MODEL];
	size_t count;
	uint32_t seed;
	int64_t now;
	size_t fed, refused, purged, drained;
	bool pressed;
};

/* xorshift32: the same everywhere. */
static uint32_t
pick(struct model *m, uint32_t below)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 17;
	m->seed ^= m->seed << 5;
	return m->seed % below;
}

static struct modelled *
find(struct model *m, uint64_t id, uint32_t number)
{
	size_t i;

	for (i = 0; i < m->count; i++)
		if (m->rows[i].id == id && m->rows[i].number == number)
			return &m->rows[i];
	fail_msg("a delivery that nobody has added");
	return NULL;
}

static size_t
count_state(const struct model *m, enum store_state state)
{
	size_t i, n = 0;

	for (i = 0; i < m->count; i++)
		n += !m->rows[i].gone && m->rows[i].state == state;
	return n;
}

/* The oldest `first` (0 = all) that are in one state move to another. */
static void
move_all(struct model *m, enum store_state from, enum store_state to, size_t first)
{
	size_t i, n = 0;

	for (i = 0; i < m->count && (first == 0 || n < first); i++) {
		if (m->rows[i].gone || m->rows[i].state != from)
			continue;
		n++;
		m->rows[i].state = to;
	}
}

/* ---- against the store ---- */

struct seeing {
	struct model *m;
	size_t n;
	int state;
	struct store_delivery_id last;
};

static bool
see_row(void *context, const struct store_delivery *d)
{
	struct seeing *s = context;
	const struct modelled *r = find(s->m, d->id, d->number);

	assert_false(r->gone);
	assert_int_equal(r->state, d->state);
	if (s->state >= 0)
		assert_int_equal(d->state, s->state);
	assert_true(d->id > s->last.id || (d->id == s->last.id && d->number > s->last.number));
	s->last = (struct store_delivery_id){d->id, d->number};
	s->n++;
	return true;
}

/* Every state, page by page, of the batch and of the environment; and all, one by one. */
static void
compare_lists(struct model *m)
{
	struct store_filter f = {.batch = 1};
	int state;

	for (state = 0; state < STORE_STATE_COUNT; state++) {
		struct seeing s = {.m = m, .state = state};
		size_t before;

		f = (struct store_filter){.batch = 1, .state = state, .limit = 7};
		do {
			before = s.n;
			f.after = s.last;
			assert_int_equal(store_view_deliveries(m->f->v, &f, see_row, &s), STORE_OK);
		} while (s.n > before);
		assert_int_equal(s.n, count_state(m, (enum store_state)state));
		f = (struct store_filter){.environment = "staging", .state = state};
		s = (struct seeing){.m = m, .state = state};
		assert_int_equal(store_view_deliveries(m->f->v, &f, see_row, &s), STORE_OK);
		assert_int_equal(s.n, count_state(m, (enum store_state)state));
	}
}

static bool
see_count(void *context, const char *environment, enum store_state state, uint64_t count,
	  int64_t oldest_at, int64_t next_due_at)
{
	struct seeing *s = context;

	(void)next_due_at;
	assert_string_equal(environment, "staging");
	assert_int_equal(count, count_state(s->m, state));
	assert_int_equal(oldest_at > 0, state == STORE_QUEUED || state == STORE_WAITING);
	s->n += count;
	return true;
}

static void
compare(struct model *m)
{
	struct seeing counted = {.m = m};
	struct batch_numbers b;
	struct seeing all = {.m = m, .state = -1}, of = all;
	struct store_filter any = {.state = -1}, batch = {.batch = 1, .state = -1};
	size_t i, visible = 0;

	compare_lists(m);
	for (i = 0; i < m->count; i++)
		visible += !m->rows[i].gone;
	assert_int_equal(store_view_deliveries(m->f->v, &any, see_row, &all), STORE_OK);
	assert_int_equal(store_view_deliveries(m->f->v, &batch, see_row, &of), STORE_OK);
	assert_int_equal(all.n, visible);
	assert_int_equal(store_view_counts(m->f->v, see_count, &counted), STORE_OK);
	assert_int_equal(counted.n, visible);
	assert_int_equal(of.n, visible);
	assert_true(get_batch(m->f, 1, &b));
	assert_int_equal(b.held, count_state(m, STORE_HELD));
	assert_int_equal(b.recipients, m->count);
}

/* ---- what happens ---- */

static void
arrive(struct model *m)
{
	unsigned n = 1 + pick(m, 3), i;
	uint64_t id;

	if (m->count + n > MODEL)
		return;
	id = add_held(m->f, &test_stream, n);
	for (i = 1; i <= n; i++)
		m->rows[m->count++] = (struct modelled){.id = id, .number = i, .state = STORE_HELD};
}

static void
decide_whole(struct model *m)
{
	static const enum store_decision decisions[] = {STORE_DISCARD, STORE_RESTORE,
							STORE_PURGE_NOW};
	const enum store_decision d = decisions[pick(m, 3)];
	const enum store_state from = d == STORE_DISCARD ? STORE_HELD : STORE_DISCARDED;
	const size_t n = count_state(m, from), first = pick(m, 3) == 0 ? 1 + pick(m, 5) : 0;
	struct store_job job;
	size_t i;

	if (d == STORE_PURGE_NOW && pick(m, 3) != 0)
		return;
	decide_job(&job, d, 1);
	job.u.decide.now = m->now;
	job.u.decide.selector.first = d != STORE_PURGE_NOW ? first : 0;
	if (run_job(m->f, &job) != STORE_OK) {
		assert_int_equal(n, 0);
		m->refused++;
		return;
	}
	assert_int_equal(job.u.decide.recipients,
			 job.u.decide.selector.first > 0 && first < n ? first : n);
	if (d == STORE_DISCARD)
		move_all(m, STORE_HELD, STORE_DISCARDED, first);
	else if (d == STORE_RESTORE)
		move_all(m, STORE_DISCARDED, STORE_HELD, first);
	for (i = 0; i < m->count && d == STORE_PURGE_NOW; i++)
		if (m->rows[i].state == STORE_DISCARDED)
			m->rows[i].gone = true;
}

/* What was fed, or taken back, is read from the store; that it was of what was held, and the
 * oldest, is looked at by release(). */
static bool
follow_row(void *context, const struct store_delivery *d)
{
	struct model *m = context;
	struct modelled *r = find(m, d->id, d->number);

	assert_false(r->gone);
	if (r->state == d->state)
		return true;
	if (r->state == STORE_HELD && d->state == STORE_QUEUED)
		m->fed++;
	else if (r->state != STORE_QUEUED || d->state != STORE_HELD)
		fail_msg("%s must not become %s", store_state_name(r->state),
			 store_state_name(d->state));
	r->state = d->state;
	return true;
}

static void
follow(struct model *m)
{
	struct store_filter f = {.batch = 1, .state = -1};

	assert_int_equal(store_view_deliveries(m->f->v, &f, follow_row, m), STORE_OK);
}

struct plan_seen {
	struct store_plan p;
};

static bool
see_plan(void *context, const struct store_plan *p)
{
	((struct plan_seen *)context)->p = *p;
	return true;
}

/* It never has more on its way than is fed ahead, nor releases more than it was decided on. */
static void
check_plan(struct model *m)
{
	struct plan_seen s = {0};

	if (store_view_plan(m->f->v, 1, see_plan, &s) != STORE_OK)
		return;
	assert_true(s.p.released <= s.p.total);
	assert_true(s.p.ring_released <= s.p.ring_size);
	assert_true(s.p.ring_sent + s.p.ring_failed <= s.p.ring_released);
	assert_true(s.p.ring_size - s.p.ring_released <= s.p.total - s.p.released);
	if (s.p.state == STORE_PLAN_RUNNING)
		assert_true(count_state(m, STORE_HELD) >= s.p.total - s.p.released);
}

static void
release(struct model *m)
{
	struct store_job job;

	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.now = m->now;
	if (pick(m, 2) == 0) {
		job.u.decide.rings.count = 2;
		job.u.decide.rings.sizes[0] = 1 + pick(m, 40);
	}
	if (pick(m, 3) == 0) {
		job.u.decide.rate_count = 5;
		job.u.decide.rate_window = CLOCK_SECOND;
	}
	if (pick(m, 4) == 0) {
		job.u.decide.approve_above = 1;
		job.u.decide.approvers = 2;
	}
	if (pick(m, 3) == 0)
		job.u.decide.selector.first = 1 + pick(m, 20);
	else if (pick(m, 4) == 0)
		job.u.decide.selector.percent = 30;
	(void)run_job(m->f, &job);
	follow(m);
}

static void
go_on(struct model *m)
{
	static const char *const people[] = {"uid:1000(kim)", "uid:1001(lee)"};
	struct store_job job = {.op = STORE_PLAN};

	job.u.plan.step = (enum store_plan_step)pick(m, 3);
	job.u.plan.batch = 1;
	job.u.plan.who = people[pick(m, 2)];
	job.u.plan.reason = "random";
	job.u.plan.now = m->now;
	(void)run_job(m->f, &job);
	follow(m);
}

static void
tick_model(struct model *m)
{
	struct store_job job = {.op = STORE_TICK, .u.tick = {.now = m->now}};

	assert_int_equal(run_job(m->f, &job), STORE_OK);
	free(job.u.tick.forget);
	follow(m);
}

/* The panic button, or its end. */
static void
panic_or_not(struct model *m)
{
	m->pressed = !m->pressed;
	assert_int_equal(press(m->f, m->pressed, 1, "staging", m->now), STORE_OK);
	follow(m);
}

/* All that is queued leaves until the release is through: that is what it was decided on, to the
 * last one. */
static void
drain(struct model *m)
{
	struct store_job job = {.op = STORE_PLAN};
	struct plan_seen s = {0};
	uint64_t total, held;
	size_t i, k;

	if (m->pressed)
		panic_or_not(m);
	job.u.plan.step = STORE_RESUME;
	job.u.plan.batch = 1;
	job.u.plan.who = job.u.plan.reason = "kim";
	job.u.plan.now = m->now;
	(void)run_job(m->f, &job);
	follow(m);
	if (store_view_plan(m->f->v, 1, see_plan, &s) != STORE_OK ||
	    s.p.state != STORE_PLAN_RUNNING)
		return;
	total = s.p.total;
	held = count_state(m, STORE_HELD) - (s.p.total - s.p.released);
	for (k = 0; k < 1000 && s.p.state == STORE_PLAN_RUNNING; k++) {
		m->now += CLOCK_MINUTE;
		claim(m->f, "staging", m->now);
		for (i = 0; i < m->count; i++) {
			struct modelled *r = &m->rows[i];

			if (r->gone || r->state != STORE_QUEUED)
				continue;
			r->state = STORE_SENT;
			assert_int_equal(report(m->f, r->id, r->number, STORE_SENT, 0), STORE_OK);
		}
		tick_model(m);
		assert_int_equal(store_view_plan(m->f->v, 1, see_plan, &s), STORE_OK);
	}
	assert_int_equal(s.p.state, STORE_PLAN_DONE);
	assert_int_equal(s.p.total, total);
	assert_int_equal(s.p.released, total);
	assert_int_equal(count_state(m, STORE_HELD), held);
	m->drained++;
}

/* Some of what is queued is claimed and answered. */
static void
answer(struct model *m)
{
	size_t i;

	claim(m->f, "staging", m->now);
	for (i = 0; i < m->count; i++) {
		struct modelled *r = &m->rows[i];

		if (r->gone || r->state != STORE_QUEUED || pick(m, 3) == 0)
			continue;
		if (pick(m, 5) == 0) { /* held again, where it is paused or under a panic */
			assert_int_equal(
			    report(m->f, r->id, r->number, STORE_QUEUED, m->now + CLOCK_SECOND),
			    STORE_OK);
			follow(m);
			continue;
		}
		r->state = pick(m, 5) == 0 ? STORE_FAILED : STORE_SENT;
		assert_int_equal(report(m->f, r->id, r->number, r->state, 0), STORE_OK);
	}
}

static void
decide_ids(struct model *m)
{
	const enum store_decision d = (enum store_decision)pick(m, 3);
	struct modelled *r;
	struct store_delivery_id id;
	struct store_job job;

	if (m->count == 0)
		return;
	r = &m->rows[pick(m, (uint32_t)m->count)];
	id = (struct store_delivery_id){r->id, r->number};
	decide_job(&job, d, 0);
	job.u.decide.now = m->now;
	job.u.decide.selector.ids = &id;
	job.u.decide.selector.id_count = 1;
	if (run_job(m->f, &job) != STORE_OK)
		return;
	assert_false(r->gone);
	assert_int_equal(r->state, d == STORE_RESTORE ? STORE_DISCARDED : STORE_HELD);
	r->state = d == STORE_RELEASE   ? STORE_QUEUED
		   : d == STORE_DISCARD ? STORE_DISCARDED
					: STORE_HELD;
}

/* A step of retention: rows that are gone are deleted, of what is discarded all of it if it is old
 * enough; nothing that is held. */
static void
purge(struct model *m)
{
	const bool old = pick(m, 12) == 0;
	struct store_job job = {.op = STORE_PURGE};
	size_t i;

	job.u.purge.discarded_before = old ? m->now + CLOCK_DAY : 1;
	job.u.purge.limit = old ? 10000 : 1 + pick(m, 9);
	assert_int_equal(run_job(m->f, &job), STORE_OK);
	m->purged += job.u.purge.purged;
	for (i = 0; i < m->count && old; i++)
		m->rows[i].gone |= m->rows[i].state == STORE_DISCARDED;
}

/* A start: what was taken is due again. */
static void
restart(struct model *m)
{
	if (m->f->b != &backend_sqlite)
		return;
	fixture_reopen(m->f);
	follow(m);
}

static void
step_model(struct model *m)
{
	static const struct {
		uint32_t share;
		void (*run)(struct model *m);
	} steps[] = {{8, arrive},     {6, decide_whole}, {4, release},    {4, go_on},
		     {8, tick_model}, {5, answer},       {3, decide_ids}, {2, panic_or_not},
		     {1, drain},      {3, purge},        {1, restart}};
	uint32_t at = pick(m, 45);
	size_t i;

	m->now += (int64_t)pick(m, 20) * CLOCK_SECOND;
	for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (at < steps[i].share) {
			steps[i].run(m);
			return;
		}
		at -= steps[i].share;
	}
}

static void
run_model(struct fixture *f, uint32_t seed)
{
	struct model *m = mem_zalloc(sizeof(*m));
	int i;

	m->f = f;
	m->seed = seed;
	m->now = TEST_NOW;
	f->feed_ahead = FEED;
	fixture_reopen(f);
	arrive(m);
	for (i = 0; i < STEPS; i++) {
		step_model(m);
		if (i % 5 == 0) {
			compare(m);
			check_plan(m);
		}
	}
	assert_true(m->refused > 0);
	assert_true(m->purged > 0);
	assert_true(m->fed > 0);
	assert_true(m->drained > 0);
	free(m);
}

static void
a_model_agrees(void **state)
{
	static const uint32_t seeds[] = {1, 4711, 20261122};
	const char *from = getenv("SWEEP_SEED");
	struct fixture *f = *state;
	size_t i;

	if (from != NULL) {
		run_model(f, (uint32_t)strtoul(from, NULL, 10));
		return;
	}
	for (i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++) {
		const struct backend *b = f->b;

		if (i > 0) {
			fixture_close(f);
			*f = (struct fixture){0};
			fixture_open(f, b);
		}
		run_model(f, seeds[i]);
	}
}

/* ---- one at a time ---- */

/* A part of what a decision on the whole has brought back: its later rings find it. */
static void
a_part_of_what_was_restored(void **state)
{
	static const uint64_t sizes[] = {2, 0};
	struct fixture *f = *state;
	struct batch_numbers b;
	struct store_job job;
	int k, asked;

	for (asked = 0; asked < 2; asked++) {
		fixture_close(f);
		fixture_open(f, f->b);
		add_held(f, &test_stream, 10);
		assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
		assert_int_equal(decide(f, STORE_RESTORE, 1), STORE_OK);
		release_job(&job, sizes, 2);
		job.u.decide.selector.first = 6;
		job.u.decide.approve_above = (uint64_t)asked;
		job.u.decide.approvers = 2;
		assert_int_equal(run_job(f, &job), STORE_OK);
		assert_int_equal(job.u.decide.asked, asked);
		check_counts(f);
		if (asked) {
			step_job(&job, STORE_APPROVE, "uid:1001(lee)");
			assert_int_equal(run_job(f, &job), STORE_OK);
		}
		for (k = 0; k < 3; k++) {
			deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok");
			tick(f, TEST_NOW + CLOCK_HOUR);
		}
		assert_plan(f, STORE_PLAN_DONE, 2, 6);
		get_batch(f, 1, &b);
		assert_int_equal(b.sent, 6);
		assert_int_equal(b.held, 4);
		check_counts(f);
	}
}

/* How much of a release by a rate is due when it goes on: as if it had just begun. */
static void
a_resumed_rate_starts_now(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	int64_t now;

	f->feed_ahead = FEED;
	fixture_reopen(f);
	add_held(f, &test_stream, 20);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.rate_count = 1;
	job.u.decide.rate_window = CLOCK_HOUR;
	assert_int_equal(run_job(f, &job), STORE_OK);
	step_job(&job, STORE_PAUSE, "uid:1000(kim)");
	assert_int_equal(run_job(f, &job), STORE_OK);
	step_job(&job, STORE_RESUME, "uid:1000(kim)");
	assert_int_equal(run_job(f, &job), STORE_OK);
	now = job.u.plan.due_now;
	assert_int_equal(claim(f, "staging", now), 1);
	assert_int_equal(claim(f, "staging", now + CLOCK_HOUR), 1);
	assert_int_equal(claim(f, "staging", now + 4 * CLOCK_HOUR), 3);
}

/* What came while a release was fed stays held, and people hear of it. */
static void
what_came_meanwhile_is_told(void **state)
{
	struct fixture *f = *state;
	struct batch_numbers b;
	int k;

	f->feed_ahead = FEED;
	fixture_reopen(f);
	add_held(f, &test_stream, 20);
	assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_OK);
	add_held(f, &test_stream, 3);
	take_alerts(f, "batch.grown");
	for (k = 0; k < 8; k++) {
		deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok");
		tick(f, TEST_NOW + CLOCK_HOUR);
	}
	get_batch(f, 1, &b);
	assert_int_equal(b.state, STORE_BATCH_HELD);
	assert_int_equal(b.sent, 20);
	assert_int_equal(b.held, 3);
	assert_int_equal(take_alerts(f, "batch.grown"), 1);
	tick(f, TEST_NOW + 3 * CLOCK_HOUR);
	assert_int_equal(take_alerts(f, "batch.waiting"), 1);
	check_counts(f);
}

static bool
tick_finds_gone(struct fixture *f)
{
	struct store_job job = {.op = STORE_TICK, .u.tick = {.now = TEST_NOW + CLOCK_HOUR}};

	assert_int_equal(run_job(f, &job), STORE_OK);
	return job.u.tick.gone;
}

/* What is purged is gone for who asks; who deletes its rows is told that there are some. */
static void
what_is_gone_is_hidden(void **state)
{
	struct fixture *f = *state;
	const uint64_t id = add_held(f, &test_stream, 5);
	struct store_job purge = {.op = STORE_PURGE, .u.purge = {.limit = 3}};
	struct buf raw = {0};
	bool cut;

	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	assert_false(tick_finds_gone(f));
	assert_int_equal(store_view_raw(f->v, id, SIZE_MAX, &raw, &cut), STORE_OK);
	buf_clear(&raw);
	assert_int_equal(decide(f, STORE_PURGE_NOW, 1), STORE_OK);
	assert_int_equal(store_view_raw(f->v, id, SIZE_MAX, &raw, &cut), STORE_MISSING);
	assert_int_equal(raw.len, 0);
	assert_true(tick_finds_gone(f));
	assert_int_equal(run_job(f, &purge), STORE_OK);
	assert_int_equal(purge.u.purge.purged, 3);
	assert_true(tick_finds_gone(f));
	assert_int_equal(run_job(f, &purge), STORE_OK);
	assert_false(tick_finds_gone(f));
	buf_free(&raw);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(what_is_gone_is_hidden),
	    BOTH(a_part_of_what_was_restored),
	    BOTH(a_resumed_rate_starts_now),
	    BOTH(what_came_meanwhile_is_told),
	    BOTH(a_model_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
