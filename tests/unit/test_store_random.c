/*
 * The same random operations on both twins: they must answer alike, and end in the same state,
 * and after each stretch every counter must be the count of its deliveries. Streams trip as the
 * counters would make them, and a batch's leak must be what was counted before the trip and has
 * left or may still leave. Releases go in rings, are paused, ruled on and asked for at random; no
 * plan may release more than it was decided on. Fixed seeds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/unit/store_world.h"

enum { STEPS = 2000, CHECK_EVERY = 50 };

static const char *
pick_environment(struct world *w)
{
	return world_pick(w, 2) == 0 ? "staging" : "production";
}

/* ---- operations: `both` runs the job on each twin and wants one answer ---- */

static enum store_result
both(struct world *w, struct store_job *job, struct store_job *second)
{
	*second = *job;
	run_job(&w->twins[0], job);
	run_job(&w->twins[1], second);
	assert_int_equal(job->result, second->result);
	assert_string_equal(job->error, second->error);
	return job->result;
}

static struct message *
random_message(struct world *w)
{
	const char *environment = pick_environment(w);
	struct message *m =
	    make_message(environment, "random", 1 + world_pick(w, 6), VERDICT_PASS, NULL, NULL);
	size_t i, trips = world_pick(w, 2 * STREAMS);

	m->accepted_at = w->now;
	/* As the gate does: first all is counted, then all that its stream's trip concerns is held.
	 */
	if (trips < STREAMS)
		world_trip(w, trips);
	m->source = world_pick(w, 3) == 0 ? "10.3.0.1" : "10.2.0.7";
	m->report = world_pick(w, 10) == 0;
	if (world_pick(w, 5) == 0)
		m->sender.text = arena_strdup(&m->arena, "");
	for (i = 0; i < m->recipient_count; i++) {
		m->recipients[i].notify = world_pick(w, 2) == 0 ? 0 : 1U << world_pick(w, 4);
		world_judge(w, m, i,
			    trips < STREAMS && i == 0 ? 1U << trips
			    : world_pick(w, 8) == 0   ? 0
						      : world_pick(w, 1U << STREAMS));
	}
	return m;
}

static void
store_message(struct world *w, struct message *m)
{
	struct store_job job = {.op = STORE_ADD}, second;

	w->ids[w->known] = m->id;
	w->recipients[w->known++] = (unsigned)m->recipient_count;
	job.u.add.message = m;
	job.u.add.taken = world_pick(w, 2) == 0;
	assert_int_equal(both(w, &job, &second), STORE_OK);
	message_free(m);
}

/* Some are stored only after the next one, which may make a stream of theirs trip. */
static void
random_add(struct world *w)
{
	struct message *m, *late = w->late;
	size_t trips = w->trip_count;

	if (w->known + 2 > KNOWN)
		return;
	m = random_message(w);
	w->late = NULL;
	if (late == NULL && trips == w->trip_count && world_pick(w, 3) == 0)
		w->late = m;
	else
		store_message(w, m);
	if (late != NULL)
		store_message(w, late);
}

static void
random_claim(struct world *w)
{
	const char *names[] = {"staging", "production"};
	struct store_job job = {.op = STORE_CLAIM}, second;
	size_t i, k;

	job.u.claim.environments = names;
	job.u.claim.environment_count = 2;
	job.u.claim.now = w->now;
	job.u.claim.limit = 1 + world_pick(w, 30);
	assert_int_equal(both(w, &job, &second), STORE_OK);
	assert_int_equal(job.u.claim.due_count, second.u.claim.due_count);
	assert_int_equal(job.u.claim.next_due_at, second.u.claim.next_due_at);
	for (i = 0; i < job.u.claim.due_count; i++) {
		const struct store_due *a = &job.u.claim.due[i], *b = &second.u.claim.due[i];

		assert_int_equal(a->id, b->id);
		assert_int_equal(a->count, b->count);
		for (k = 0; k < a->count; k++) {
			assert_int_equal(a->deliveries[k].number, b->deliveries[k].number);
			assert_int_equal(a->deliveries[k].tries, b->deliveries[k].tries);
			assert_int_equal(a->deliveries[k].key_count, b->deliveries[k].key_count);
			assert_int_equal(a->deliveries[k].batch, b->deliveries[k].batch);
			w->claimed[w->claimed_count++ % CLAIMED] =
			    (struct store_delivery_id){a->id, a->deliveries[k].number};
		}
	}
	store_due_free(job.u.claim.due, job.u.claim.due_count);
	store_due_free(second.u.claim.due, second.u.claim.due_count);
}

static void
random_results(struct world *w)
{
	static const enum store_state states[] = {STORE_SENT, STORE_SENT, STORE_FAILED,
						  STORE_QUEUED, STORE_HELD};
	struct store_delivery_result results[20];
	struct store_job job = {.op = STORE_RESULTS,
				.u.results = {.results = results, .count = 20}},
			 second;
	size_t i, m;

	if (w->known == 0)
		return;
	for (i = 0; i < 20; i++) {
		const struct verdict_stream *s = &w->streams[world_pick(w, STREAMS)];
		struct store_delivery_result *r = &results[i];

		m = world_pick(w, (uint32_t)w->known);
		*r = (struct store_delivery_result){.id = w->ids[m], .reply = "450 random"};
		r->number = 1 + world_pick(w, w->recipients[m]);
		if (w->claimed_count >= CLAIMED && world_pick(w, 4) != 0) {
			r->id = w->claimed[(w->claimed_count + i) % CLAIMED].id;
			r->number = w->claimed[(w->claimed_count + i) % CLAIMED].number;
		}
		r->state = states[world_pick(w, 5)];
		r->stream = s->hash;
		r->tripped_at = s->tripped_at;
		r->due_at = w->now + world_pick(w, 100) * CLOCK_SECOND;
		r->tried = world_pick(w, 2) == 0;
		r->relayed = world_pick(w, 2) == 0;
		r->remote_mta = world_pick(w, 2) == 0 ? "mx" : NULL;
	}
	assert_int_equal(both(w, &job, &second), STORE_OK);
}

/* What is to be told is the same on both; some of the first message's is told, or never will be. */
static void
random_tell(struct world *w)
{
	struct store_job job = {.op = STORE_NOTICES, .u.notices.limit = 1 + world_pick(w, 5)},
			 second;
	struct store_job told = {.op = STORE_TOLD}, told_second;
	uint32_t numbers[8];
	size_t i, k;

	assert_int_equal(both(w, &job, &second), STORE_OK);
	assert_int_equal(job.u.notices.notice_count, second.u.notices.notice_count);
	for (i = 0; i < job.u.notices.notice_count; i++) {
		const struct store_notice *a = &job.u.notices.notices[i];
		const struct store_notice *b = &second.u.notices.notices[i];

		assert_int_equal(a->id, b->id);
		assert_int_equal(a->count, b->count);
		for (k = 0; k < a->count; k++) {
			assert_int_equal(a->deliveries[k].number, b->deliveries[k].number);
			assert_int_equal(a->deliveries[k].failed, b->deliveries[k].failed);
			assert_string_equal(a->deliveries[k].remote_mta,
					    b->deliveries[k].remote_mta);
		}
	}
	if (job.u.notices.notice_count > 0) {
		struct message *m = make_message("staging", "report", 1, VERDICT_PASS, NULL, NULL);
		const struct store_notice *n = &job.u.notices.notices[0];

		for (k = 0; k < n->count && k < 8; k++)
			numbers[k] = n->deliveries[k].number;
		if (world_pick(w, 3) == 0) {
			told.u.told.id = n->id;
			told.u.told.numbers = numbers;
			told.u.told.count = world_pick(w, (uint32_t)k + 1);
			told.u.told.why = "random";
		} else {
			told = (struct store_job){.op = STORE_ADD};
			told.u.add.message = m;
			told.u.add.told_id = n->id;
			told.u.add.told = numbers;
			told.u.add.told_count = 1 + world_pick(w, (uint32_t)k);
			m->report = true;
			w->reports++;
		}
		assert_int_equal(both(w, &told, &told_second), STORE_OK);
		message_free(m);
	}
	store_notices_free(job.u.notices.notices, job.u.notices.notice_count);
	store_notices_free(second.u.notices.notices, second.u.notices.notice_count);
}

static void
same_forgotten(const struct world *w, const struct store_job *a, const struct store_job *b)
{
	(void)w;
	assert_int_equal(a->u.tick.forget_count, b->u.tick.forget_count);
	if (a->u.tick.forget_count > 0)
		assert_memory_equal(a->u.tick.forget, b->u.tick.forget,
				    a->u.tick.forget_count * sizeof(*a->u.tick.forget));
}

static bool
match_some(void *context, const char *recipient, const char *subject)
{
	(void)context;
	(void)subject;
	return recipient[1] != '2';
}

/* Half of the releases go on by themselves; a fifth of the whole ones rule on the rest. */
static void
random_rings(struct world *w, struct store_job *job)
{
	struct store_rings *rings = &job->u.decide.rings;
	uint32_t i;

	if (job->u.decide.decision == STORE_RELEASE && world_pick(w, 2) == 0) {
		rings->count = 1 + world_pick(w, 3);
		for (i = 0; i < rings->count; i++)
			rings->sizes[i] = 1 + world_pick(w, 4);
		if (world_pick(w, 2) == 0)
			rings->sizes[rings->count - 1] = 0;
		rings->wait = world_pick(w, 2) * CLOCK_MINUTE;
		if (world_pick(w, 2) == 0)
			rings->stop_on = world_pick(w, 60);
	}
	if (world_pick(w, 3) == 0) {
		job->u.decide.approve_above = 3;
		job->u.decide.approvers = 2;
		job->u.decide.request_for = 10 * CLOCK_MINUTE;
	}
	if (job->u.decide.decision != STORE_RESTORE && world_pick(w, 5) == 0)
		job->u.decide.stream_for = CLOCK_MINUTE;
}

static void
random_decide(struct world *w)
{
	struct store_delivery_id ids[4];
	struct store_job job, second;
	size_t i, m;

	i = world_pick(w, 3);
	decide_job(&job, (enum store_decision)i, 1 + world_pick(w, (uint32_t)w->trip_count + 4));
	job.u.decide.now = w->now;
	random_rings(w, &job);
	job.u.decide.dry_run = world_pick(w, 5) == 0;
	switch (world_pick(w, 6)) {
	case 0:
		job.u.decide.selector.first = 1 + world_pick(w, 5);
		break;
	case 1:
		job.u.decide.selector.percent = 1 + world_pick(w, 100);
		break;
	case 2:
		job.u.decide.selector.match = match_some;
		break;
	case 3:
		job.u.decide.rate_count = 3;
		job.u.decide.rate_window = CLOCK_MINUTE;
		break;
	case 4:
		job.u.decide.selector.batch = 0;
		for (i = 0; i < 4 && w->known > 0; i++) {
			m = world_pick(w, (uint32_t)w->known);
			ids[i] = (struct store_delivery_id){w->ids[m],
							    world_pick(w, w->recipients[m] + 1)};
		}
		job.u.decide.selector.ids = ids;
		job.u.decide.selector.id_count = w->known > 0 ? 4 : 0;
		break;
	default:
		break;
	}
	both(w, &job, &second);
	assert_int_equal(job.u.decide.recipients, second.u.decide.recipients);
	assert_int_equal(job.u.decide.messages, second.u.decide.messages);
	assert_int_equal(job.u.decide.left, second.u.decide.left);
	assert_int_equal(job.u.decide.closed, second.u.decide.closed);
	assert_int_equal(job.u.decide.asked, second.u.decide.asked);
	assert_int_equal(job.u.decide.released, second.u.decide.released);
	if (job.result == STORE_OK && !job.u.decide.dry_run && job.u.decide.selector.batch != 0)
		w->last[!job.u.decide.asked] = job.u.decide.selector.batch;
	if (job.u.decide.closed)
		world_calm(w, job.u.decide.stream_hash, true);
}

/* Somebody approves, pauses or resumes. */
static void
random_plan(struct world *w)
{
	static const char *const people[] = {"uid:1000(kim)", "uid:1001(lee)", "token:robin"};
	struct store_job job = {.op = STORE_PLAN}, second;

	job.u.plan.step = (enum store_plan_step)world_pick(w, 3);
	job.u.plan.batch = 1 + world_pick(w, (uint32_t)w->trip_count + 4);
	job.u.plan.who = people[world_pick(w, 3)];
	job.u.plan.reason = "random";
	job.u.plan.now = w->now;
	job.u.plan.dry_run = world_pick(w, 5) == 0;
	if ((job.u.plan.step == STORE_APPROVE || world_pick(w, 2) == 0) &&
	    w->last[job.u.plan.step] != 0)
		job.u.plan.batch = w->last[job.u.plan.step];
	if (both(w, &job, &second) == STORE_OK && job.u.plan.state == STORE_PLAN_PAUSED)
		w->last[STORE_RESUME] = job.u.plan.batch;
	assert_int_equal(job.u.plan.state, second.u.plan.state);
	assert_int_equal(job.u.plan.recipients, second.u.plan.recipients);
	assert_int_equal(job.u.plan.left, second.u.plan.left);
	assert_int_equal(job.u.plan.closed, second.u.plan.closed);
	if (job.u.plan.closed)
		world_calm(w, job.u.plan.stream_hash, true);
}

static void
random_tick(struct world *w)
{
	static const int64_t remind_after[] = {CLOCK_MINUTE, CLOCK_HOUR, 0};
	struct store_job job = {.op = STORE_TICK}, second;
	size_t i;

	job.u.tick.now = w->now;
	job.u.tick.remind_after = remind_after;
	assert_int_equal(both(w, &job, &second), STORE_OK);
	assert_int_equal(job.u.tick.released, second.u.tick.released);
	assert_int_equal(job.u.tick.told, second.u.tick.told);
	same_forgotten(w, &job, &second);
	for (i = 0; i < job.u.tick.forget_count; i++)
		world_calm(w, job.u.tick.forget[i], true);
	free(job.u.tick.forget);
	free(second.u.tick.forget);
}

static void
random_hold(struct world *w)
{
	static const char *const names[] = {"", "staging", "10.3.0.1"};
	struct store_job job = {.op = STORE_HOLD}, second;

	job.u.hold.scope = (int)world_pick(w, 3);
	job.u.hold.name = names[job.u.hold.scope];
	job.u.hold.on = world_pick(w, 6) == 0;
	job.u.hold.reason = "random";
	job.u.hold.who = "uid:1";
	job.u.hold.now = w->now;
	assert_int_equal(both(w, &job, &second), STORE_OK);
	assert_int_equal(job.u.hold.moved, second.u.hold.moved);
	assert_int_equal(job.u.hold.changed, second.u.hold.changed);
}

static void
random_rest(struct world *w)
{
	struct store_job job = {.op = STORE_CLOSE}, second;

	if (world_pick(w, 2) == 0) {
		job.u.close.stream_hash = w->streams[world_pick(w, STREAMS)].hash;
		both(w, &job, &second);
		world_calm(w, job.u.close.stream_hash, false);
		return;
	}
	job.op = STORE_EXPIRE;
	job.u.expire.environment = pick_environment(w);
	job.u.expire.now = w->now;
	job.u.expire.queued_before = w->now - CLOCK_HOUR;
	job.u.expire.reason = "4.4.7 gave up";
	both(w, &job, &second);
	assert_int_equal(job.u.expire.expired, second.u.expire.expired);
}

static void
random_step(struct world *w)
{
	uint32_t which = world_pick(w, 30);

	w->now += (int64_t)world_pick(w, 60) * CLOCK_SECOND;
	if (which < 6)
		random_add(w);
	else if (which < 7)
		random_tell(w);
	else if (which < 10)
		random_claim(w);
	else if (which < 14)
		random_results(w);
	else if (which < 18)
		random_decide(w);
	else if (which < 19)
		random_hold(w);
	else if (which < 20)
		random_rest(w);
	else if (which < 26)
		random_plan(w);
	else
		random_tick(w);
}

/* What happens to plans: in all of the sequences together. */
enum { EVENT_COUNT = 9 };
static const char *const events[EVENT_COUNT] = {"batch.ring",    "batch.done",    "batch.paused",
						"batch.resumed", "batch.asked",   "batch.approved",
						"batch.lapsed",  "batch.waiting", "batch.closed"};
static uint64_t met[EVENT_COUNT], leaks;

static void
plans_were_met(void **state)
{
	int i;

	(void)state;
	assert_true(leaks > 0);
	for (i = 0; i < EVENT_COUNT; i++)
		if (met[i] == 0)
			fail_msg("no sequence has met %s", events[i]);
}

static void
twins_agree(void **state)
{
	struct world *w = mem_zalloc(sizeof(*w));
	int i;

	w->seed = (uint32_t)(uintptr_t)*state;
	w->now = TEST_NOW;
	fixture_open(&w->twins[0], &backend_sqlite);
	fixture_open(&w->twins[1], &backend_memory);
	for (i = 0; i < STREAMS; i++) {
		w->streams[i] = test_stream;
		w->streams[i].hash += (uint64_t)i;
	}
	for (i = 1; i <= STEPS; i++) {
		random_step(w);
		if (i % CHECK_EVERY == 0)
			world_check(w);
	}
	/* the sequence did meet what it is to test */
	assert_true(count_audit(&w->twins[0], "batch.released") > 0);
	assert_true(count_audit(&w->twins[0], "batch.discarded") > 0);
	assert_true(count_audit(&w->twins[0], "batch.restored") > 0);
	assert_true(count_audit(&w->twins[0], "hold.set") > 0);
	for (i = 0; i < EVENT_COUNT; i++)
		met[i] += count_audit(&w->twins[0], events[i]);
	assert_true(count_deliveries(&w->twins[0], 0, STORE_SENT) > 0);
	assert_true(w->reports > 0);
	assert_true(w->twins[0].told_count > 0);
	leaks += w->leaks;
	/* a restart loses nothing but what was taken, which is due again */
	fixture_reopen(&w->twins[0]);
	check_counts(&w->twins[0]);
	world_check_leaks(w);
	if (w->late != NULL)
		message_free(w->late);
	fixture_close(&w->twins[0]);
	fixture_close(&w->twins[1]);
	free(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    {"seed 1", twins_agree, NULL, NULL, (void *)1},
	    {"seed 20261121", twins_agree, NULL, NULL, (void *)20261121},
	    {"seed 4711", twins_agree, NULL, NULL, (void *)4711},
	    {"seed 5029", twins_agree, NULL, NULL, (void *)5029},
	    cmocka_unit_test(plans_were_met),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
