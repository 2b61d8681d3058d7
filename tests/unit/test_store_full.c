/*
 * Decisions on a store that cannot write, at each of their writes: all of it happens or nothing,
 * and the audit log's chain stays whole.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/unit/store_plan_help.h"

static struct backend faulty;
static const struct backend *under;
static atomic_int writes_left; /* below 0: all work */

static bool
is_full(void)
{
	int left = atomic_load(&writes_left);

	if (left > 0)
		atomic_store(&writes_left, left - 1);
	return left == 0;
}

static enum store_result
faulty_delivery_set(struct db *db, const struct delivery_row *d)
{
	return is_full() ? STORE_FULL : under->delivery_set(db, d);
}

static enum store_result
faulty_delivery_mark(struct db *db, uint64_t id, uint32_t number, int64_t ring)
{
	return is_full() ? STORE_FULL : under->delivery_mark(db, id, number, ring);
}

static enum store_result
faulty_delivery_delete(struct db *db, uint64_t id, uint32_t number)
{
	return is_full() ? STORE_FULL : under->delivery_delete(db, id, number);
}

static enum store_result
faulty_batch_set(struct db *db, const struct batch_row *b)
{
	return is_full() ? STORE_FULL : under->batch_set(db, b);
}

static enum store_result
faulty_plan_set(struct db *db, struct plan_row *p)
{
	return is_full() ? STORE_FULL : under->plan_set(db, p);
}

static enum store_result
faulty_event_add(struct db *db, const struct event_row *e)
{
	return is_full() ? STORE_FULL : under->event_add(db, e);
}

static enum store_result
faulty_audit_add(struct db *db, const struct audit_link *link,
		 const unsigned char hash[AUDIT_CHAIN_BYTES])
{
	return is_full() ? STORE_FULL : under->audit_add(db, link, hash);
}

static enum store_result
faulty_commit(struct db *db)
{
	return is_full() ? STORE_FULL : under->commit(db);
}

static int
setup_full(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	under = *state;
	faulty = *under;
	faulty.delivery_set = faulty_delivery_set;
	faulty.delivery_mark = faulty_delivery_mark;
	faulty.delivery_delete = faulty_delivery_delete;
	faulty.batch_set = faulty_batch_set;
	faulty.plan_set = faulty_plan_set;
	faulty.event_add = faulty_event_add;
	faulty.audit_add = faulty_audit_add;
	faulty.commit = faulty_commit;
	atomic_store(&writes_left, -1);
	fixture_open(f, &faulty);
	*state = f;
	return 0;
}

/* ---- what is compared ---- */

struct all {
	struct batch_numbers batch;
	struct store_plan plan;
	char why[200], refusals[1000], approved_by[200];
	uint64_t audit;
};

static bool
keep_plan(void *context, const struct store_plan *p)
{
	struct all *all = context;

	all->plan = *p;
	snprintf(all->why, sizeof(all->why), "%s", p->why);
	snprintf(all->refusals, sizeof(all->refusals), "%s", p->refusals);
	snprintf(all->approved_by, sizeof(all->approved_by), "%s", p->approved_by);
	all->plan.who = all->plan.reason = all->plan.why = all->plan.refusals =
	    all->plan.approved_by = NULL;
	return true;
}

static bool
count_row(void *context, const struct store_audit *a)
{
	assert_string_not_equal(a->action, "audit.broken");
	++*(uint64_t *)context;
	return true;
}

static struct all
look(struct fixture *f)
{
	struct all all;

	memset(&all, 0, sizeof(all));
	assert_true(get_batch(f, 1, &all.batch));
	store_view_plan(f->v, 1, keep_plan, &all);
	assert_int_equal(store_view_audit(f->v, 0, 0, 1000, NULL, count_row, &all.audit), STORE_OK);
	return all;
}

/* ---- the steps ---- */

static const uint64_t thirds[] = {2, 5, 0};
static struct store_delivery_result refused[2];

static void
make_release(struct store_job *job)
{
	release_job(job, thirds, 3);
	job->u.decide.rings.stop_on = 50;
}

static void
make_request(struct store_job *job)
{
	make_release(job);
	job->u.decide.approve_above = 5;
	job->u.decide.approvers = 2;
	job->u.decide.request_for = CLOCK_DAY;
}

static void
make_approval(struct store_job *job)
{
	step_job(job, STORE_APPROVE, "uid:1001(lee)");
}

static void
make_pause(struct store_job *job)
{
	step_job(job, STORE_PAUSE, "uid:1000(kim)");
}

static void
make_resume(struct store_job *job)
{
	step_job(job, STORE_RESUME, "uid:1000(kim)");
}

static void
make_refusals(struct store_job *job)
{
	*job =
	    (struct store_job){.op = STORE_RESULTS, .u.results = {.results = refused, .count = 2}};
}

static void
make_tick(struct store_job *job)
{
	*job = (struct store_job){.op = STORE_TICK};
	job->u.tick.now = job->u.tick.due_now = TEST_NOW + 2 * CLOCK_DAY;
}

static void
make_discard(struct store_job *job)
{
	decide_job(job, STORE_DISCARD, 1);
}

static void
make_purge(struct store_job *job)
{
	decide_job(job, STORE_PURGE_NOW, 1);
}

/* Fails at its first write, its second, ... until all of them work; how many there were. */
static int
at_each_write(struct fixture *f, void (*make)(struct store_job *job))
{
	struct all before = look(f), after;
	struct store_job job;
	int i;

	for (i = 0; i < 1000; i++) {
		enum store_result r;

		make(&job);
		atomic_store(&writes_left, i);
		r = run_job(f, &job);
		atomic_store(&writes_left, -1);
		if (job.op == STORE_TICK)
			free(job.u.tick.forget);
		if (r == STORE_OK)
			break;
		if (r != STORE_FULL)
			fail_msg("at write %d: result %d, %s", i, (int)r, job.error);
		after = look(f);
		if (memcmp(&before, &after, sizeof(before)) != 0)
			fail_msg("half of it is there after write %d failed", i);
		check_counts(f);
	}
	after = look(f);
	assert_memory_not_equal(&before, &after, sizeof(before));
	return i;
}

static void
all_or_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t id = add_held(f, &test_stream, 10);
	int64_t now = TEST_NOW + CLOCK_HOUR;

	assert_in_range(at_each_write(f, make_request), 5, 100);
	assert_in_range(at_each_write(f, make_approval), 5, 100);
	assert_in_range(at_each_write(f, make_pause), 5, 100);
	assert_in_range(at_each_write(f, make_resume), 5, 100);
	assert_int_equal(claim(f, "staging", now), 2);
	refused[0] = (struct store_delivery_result){
	    .id = id, .number = 1, .state = STORE_FAILED, .tried = true, .reply = "550 no"};
	refused[1] = (struct store_delivery_result){
	    .id = id, .number = 2, .state = STORE_FAILED, .tried = true, .reply = "550 no"};
	assert_in_range(at_each_write(f, make_refusals), 5, 100);
	assert_plan(f, STORE_PLAN_PAUSED, 1, 2);
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	assert_in_range(at_each_write(f, make_tick), 5, 100);
	assert_plan(f, STORE_PLAN_RUNNING, 2, 7);
	assert_in_range(at_each_write(f, make_discard), 5, 100);
	assert_in_range(at_each_write(f, make_purge), 3, 100);
	assert_int_equal(deliver(f, now + 3 * CLOCK_DAY, STORE_SENT, "250 ok"), 5);
	assert_int_equal(plan(f).p.state, STORE_PLAN_DONE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    {"sqlite: all_or_nothing", all_or_nothing, setup_full, teardown,
	     (void *)&backend_sqlite},
	    {"memory: all_or_nothing", all_or_nothing, setup_full, teardown,
	     (void *)&backend_memory},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
