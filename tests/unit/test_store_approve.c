/*
 * The store's contract, run over both twins: second people, rulings on the rest of a stream,
 * reminders, purges, dropped mail, and what the audit log says of all that.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/unit/store_plan_help.h"

static const uint64_t thirds[] = {2, 5, 0};

/* ---- approvals ---- */

/* A release of the whole by `who`, of which more than ten need so many people. */
static enum store_result
ask(struct fixture *f, struct store_job *job, const char *who, uint32_t approvers)
{
	job->u.decide.approve_above = 10;
	job->u.decide.approvers = approvers;
	job->u.decide.request_for = CLOCK_DAY;
	job->u.decide.who = who;
	return run_job(f, job);
}

static enum store_result
approve(struct fixture *f, const char *who, uint32_t *missing)
{
	struct store_job job;

	step_job(&job, STORE_APPROVE, who);
	run_job(f, &job);
	*missing = job.u.plan.approvals_missing;
	return job.result;
}

static void
two_people_release_together(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	uint32_t missing;

	add_held(f, &test_stream, 11);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.dry_run = true;
	assert_int_equal(ask(f, &job, "uid:1000(kim)", 2), STORE_OK);
	assert_true(job.u.decide.asked);
	assert_int_equal(job.u.decide.approvals_missing, 1);
	job.u.decide.dry_run = false;
	assert_int_equal(ask(f, &job, "uid:1000(kim)", 2), STORE_OK);
	assert_true(job.u.decide.asked);
	assert_int_equal(job.u.decide.released, 0);
	assert_int_equal(job.u.decide.recipients, 11);
	assert_int_equal(job.u.decide.left, 11);
	assert_int_equal(job.u.decide.request_expires_at, job.u.decide.now + CLOCK_DAY);
	assert_plan(f, STORE_PLAN_ASKED, 0, 0);
	assert_int_equal(batch_state(f), STORE_BATCH_HELD);
	assert_int_equal(deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok"), 0);
	assert_int_equal(count_audit(f, "batch.released"), 0);

	/* the same one under another login name; nobody who is not asked about it */
	assert_int_equal(approve(f, "uid:1000(root)", &missing), STORE_REFUSED);
	step_job(&job, STORE_APPROVE, "uid:1001(lee)");
	job.u.plan.plan = plan(f).p.id + 1;
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	job.u.plan.plan--;
	job.u.plan.dry_run = true;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.plan.recipients, 11);
	assert_plan(f, STORE_PLAN_ASKED, 0, 0);
	add_held(f, &test_stream, 2); /* nobody has asked for these */
	job.u.plan.dry_run = false;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.plan.recipients, 11);
	assert_int_equal(job.u.plan.left, 2);
	assert_false(job.u.plan.closed);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 11);
	assert_string_equal(plan(f).approved_by, "uid:1001(lee)\n");
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_int_equal(deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok"), 11);
	assert_plan(f, STORE_PLAN_DONE, 1, 11);
	assert_int_equal(count_audit(f, "batch.approved"), 1);
	assert_int_equal(take_alerts(f, "batch.asked"), 1);
	check_counts(f);
}

static void
three_people_are_three(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	uint32_t missing;

	add_held(f, &test_stream, 11);
	release_job(&job, thirds, 3);
	assert_int_equal(ask(f, &job, "token:kim", 3), STORE_OK);
	assert_int_equal(job.u.decide.approvals_missing, 2);
	assert_int_equal(approve(f, "token:lee", &missing), STORE_OK);
	assert_int_equal(missing, 1);
	assert_plan(f, STORE_PLAN_ASKED, 0, 0);
	assert_int_equal(approve(f, "token:lee", &missing), STORE_REFUSED);
	assert_int_equal(approve(f, "token:leeward", &missing), STORE_OK);
	assert_int_equal(missing, 0);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 2);
	check_counts(f);
}

static void
what_one_person_releases_adds_up(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	uint64_t id = add_held(f, &test_stream, 20);
	struct store_delivery_id ids[] = {{id, 18}, {id, 19}, {id, 20}};

	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.selector.first = 8;
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
	assert_false(job.u.decide.asked);
	/* by ids, three more are too many, and two are not */
	decide_job(&job, STORE_RELEASE, 0);
	job.u.decide.selector.ids = ids;
	job.u.decide.selector.id_count = 3;
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_REFUSED);
	assert_non_null(strstr(job.error, "release the batch itself, so that a second person"));
	job.u.decide.selector.id_count = 2;
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
	/* what was paused and never left does not count against it */
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.selector.first = 10;
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
	assert_false(job.u.decide.asked);
	assert_int_equal(deliver(f, TEST_NOW + CLOCK_HOUR, STORE_SENT, "250 ok"), 10);
	job.u.decide.selector.first = 1;
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
	assert_true(job.u.decide.asked);
	check_counts(f);
}

/* The same mail may have been let go before it came back: that has no number. */
static void
what_was_imported_takes_a_second_person(void **state)
{
	static const enum store_state held[] = {STORE_HELD};
	static const struct store_batch open = {.environment = "staging",
						.rule = "import",
						.key = "export of B9",
						.source = "",
						.sender = "",
						.subject = ""};
	struct fixture *f = *state;
	int64_t batch;

	for (batch = 0; batch < 2; batch++) { /* into one of its own, and into one that is here */
		struct message *m =
		    make_message("staging", "x", 1, VERDICT_HOLD, "burst volume", NULL);
		struct store_job job = {.op = STORE_IMPORT};

		if (batch == 1)
			add_held(f, &test_stream, 1);
		m->id = 0;
		job.u.import.batch = batch == 1 ? 2 : 0;
		job.u.import.open = &open;
		job.u.import.message = m;
		job.u.import.states = held;
		job.u.import.who = "uid:1";
		job.u.import.reason = "back";
		job.u.import.now = TEST_NOW;
		assert_int_equal(run_job(f, &job), STORE_OK);
		assert_int_equal(job.u.import.batch, batch + 1);
		message_free(m);
		decide_job(&job, STORE_RELEASE, batch + 1);
		assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
		assert_true(job.u.decide.asked);
	}
	check_counts(f);
}

static void
nobody_approves_a_drill(void **state)
{
	struct fixture *f = *state;
	struct store_job job;

	add_message(f, make_message("drill", "x", 11, VERDICT_HOLD, "burst volume", &test_stream));
	decide_job(&job, STORE_RELEASE, 1);
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
	assert_false(job.u.decide.asked);
}

static void
requests_lapse(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	uint32_t missing;
	int64_t expires_at;

	add_held(f, &test_stream, 11);
	decide_job(&job, STORE_RELEASE, 1);
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
	expires_at = job.u.decide.request_expires_at;
	tick(f, expires_at - 1);
	assert_plan(f, STORE_PLAN_ASKED, 0, 0);
	/* too late, also before anybody has told so */
	step_job(&job, STORE_APPROVE, "uid:2");
	job.u.plan.now = expires_at;
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	tick(f, expires_at);
	assert_plan(f, STORE_PLAN_ENDED, 0, 0);
	assert_int_equal(take_alerts(f, "batch.lapsed"), 1);
	assert_int_equal(approve(f, "uid:2", &missing), STORE_REFUSED);
	/* another one, discarded meanwhile */
	decide_job(&job, STORE_RELEASE, 1);
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
	assert_true(job.u.decide.asked);
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	assert_plan(f, STORE_PLAN_ENDED, 0, 0);
	check_counts(f);
}

static void
an_approval_under_a_hold_waits(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	uint32_t missing;

	add_held(f, &test_stream, 11);
	decide_job(&job, STORE_RELEASE, 1);
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
	press(f, true, 0, "", TEST_NOW + 5);
	assert_int_equal(approve(f, "uid:2", &missing), STORE_REFUSED);
	press(f, false, 0, "", TEST_NOW + 6);
	assert_int_equal(approve(f, "uid:2", &missing), STORE_OK);
	assert_plan(f, STORE_PLAN_RUNNING, 1, 11);
}

/* ---- rulings ---- */

/* One recipient more, held at that time under that trip; true if it is to be sent. */
static bool
comes(struct fixture *f, int64_t now, int64_t tripped_at)
{
	struct verdict_stream stream = test_stream;
	struct message *m;
	struct store_job job = {.op = STORE_ADD};
	bool released;

	stream.tripped_at = tripped_at;
	m = make_message("staging", "hello", 1, VERDICT_HOLD, "burst volume", &stream);
	m->accepted_at = now;
	job.u.add.message = m;
	job.u.add.due_now = now;
	assert_int_equal(run_job(f, &job), STORE_OK);
	released = job.u.add.released;
	message_free(m);
	return released;
}

static void
the_rest_of_the_stream_passes_for_a_time(void **state)
{
	const int64_t now = TEST_NOW + CLOCK_HOUR, trip = test_stream.tripped_at;
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;

	add_held(f, &test_stream, 3);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.stream_for = CLOCK_HOUR;
	job.u.decide.now = job.u.decide.due_now = now;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_false(job.u.decide.closed);
	assert_true(comes(f, now + 1, trip));
	assert_true(comes(f, now + 2, trip + CLOCK_MINUTE)); /* another trip */
	assert_int_equal(deliver(f, now + 2, STORE_SENT, "250 ok"), 5);
	get_batch(f, 1, &b);
	assert_int_equal(b.recipients, 5);
	assert_int_equal(b.sent, 5);
	assert_true(b.collecting);
	assert_false(get_batch(f, 2, &b));
	/* the panic button is above it */
	press(f, true, 1, "staging", now + 3);
	assert_false(comes(f, now + 4, trip));
	press(f, false, 1, "staging", now + 5);
	get_batch(f, 1, &b);
	assert_int_equal(b.held, 1);
	assert_int_equal(take_alerts(f, "batch.grown"), 1);
	assert_int_equal(tick(f, now + CLOCK_HOUR - 1), 0);
	assert_int_equal(tick(f, now + CLOCK_HOUR), 1);
	assert_int_equal(tick(f, now + CLOCK_HOUR), 0);
	get_batch(f, 1, &b);
	assert_false(b.collecting);
	assert_false(comes(f, now + CLOCK_HOUR + 1, trip + CLOCK_HOUR));
	assert_true(get_batch(f, 2, &b));
	assert_int_equal(b.held, 1);
	check_counts(f);
}

/* However few are held: what is still to come has no number. */
static void
a_stream_does_not_pass_by_one_person(void **state)
{
	const int64_t now = TEST_NOW + CLOCK_HOUR, trip = test_stream.tripped_at;
	struct fixture *f = *state;
	struct store_job job;
	uint32_t missing;

	add_held(f, &test_stream, 3);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.stream_for = 2 * CLOCK_HOUR;
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
	assert_true(job.u.decide.asked);
	assert_false(comes(f, now, trip));
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	add_held(f, &test_stream, 3);
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_OK);
	assert_int_equal(approve(f, "uid:2", &missing), STORE_OK);
	assert_true(comes(f, now, trip));
	/* nobody makes it longer alone, or turns it around */
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_REFUSED);
	assert_non_null(strstr(job.error, "second person"));
	decide_job(&job, STORE_DISCARD, 1);
	job.u.decide.stream_for = CLOCK_HOUR;
	assert_int_equal(run_job(f, &job), STORE_OK);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.stream_for = CLOCK_HOUR;
	job.u.decide.dry_run = true;
	assert_int_equal(ask(f, &job, "uid:1", 2), STORE_REFUSED);
	check_counts(f);
}

static void
the_rest_of_the_stream_is_discarded_for_a_time(void **state)
{
	const int64_t now = TEST_NOW + CLOCK_HOUR, trip = test_stream.tripped_at;
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;

	add_held(f, &test_stream, 3);
	decide_job(&job, STORE_DISCARD, 1);
	job.u.decide.stream_for = CLOCK_HOUR;
	job.u.decide.now = job.u.decide.due_now = now;
	job.u.decide.selector.first = 1;
	assert_int_equal(run_job(f, &job), STORE_REFUSED); /* of a part it says nothing */
	job.u.decide.selector.first = 0;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_false(comes(f, now + 1, trip));
	assert_false(comes(f, now + 2, trip + CLOCK_MINUTE));
	get_batch(f, 1, &b);
	assert_int_equal(b.discarded, 5);
	assert_int_equal(b.state, STORE_BATCH_DISCARDED);
	fixture_reopen(f);
	if (f->b == &backend_memory)
		return; /* it begins empty */
	assert_int_equal(tick(f, now + CLOCK_HOUR), 1);
	assert_false(comes(f, now + CLOCK_HOUR, trip));
	get_batch(f, 1, &b);
	assert_int_equal(b.held, 1);
	check_counts(f);
}

static void
with_rings_the_ruling_begins_with_the_last(void **state)
{
	const int64_t now = TEST_NOW + CLOCK_HOUR, trip = test_stream.tripped_at;
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;

	add_held(f, &test_stream, 4);
	release_job(&job, thirds, 3);
	job.u.decide.stream_for = CLOCK_HOUR;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_false(comes(f, now, trip));
	assert_int_equal(deliver(f, now, STORE_SENT, "250 ok"), 2);
	assert_int_equal(tick(f, now), 0);
	assert_true(comes(f, now + 1, trip));
	/* while it is paused nothing passes */
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_false(comes(f, now + 2, trip));
	assert_int_equal(step(f, STORE_RESUME), STORE_OK);
	assert_true(comes(f, now + 3, trip));
	get_batch(f, 1, &b);
	assert_int_equal(b.held, 2);
	assert_int_equal(deliver(f, now + CLOCK_MINUTE, STORE_SENT, "250 ok"), 4);
	check_counts(f);
}

/* ---- reminders ---- */

static enum store_result
look(struct fixture *f)
{
	struct store_job job = {.op = STORE_SEEN};

	job.u.seen.batch = 1;
	job.u.seen.who = "uid:1000(kim)";
	job.u.seen.now = TEST_NOW + CLOCK_MINUTE;
	return run_job(f, &job);
}

static void
who_waits_is_told_again(void **state)
{
	static const struct {
		int64_t at;
		int wanted; /* reminders so far */
	} rows[] = {
	    {CLOCK_HOUR - 1, 0},
	    {CLOCK_HOUR, 1},
	    {CLOCK_HOUR + CLOCK_SECOND, 1},
	    {4 * CLOCK_HOUR, 2},
	    {23 * CLOCK_HOUR, 2},
	    {24 * CLOCK_HOUR, 3},
	    {47 * CLOCK_HOUR, 3},
	    {48 * CLOCK_HOUR, 4},
	    {240 * CLOCK_HOUR, 5}, /* not eight at once after a long stop */
	    {241 * CLOCK_HOUR, 5},
	};
	struct fixture *f = *state;
	size_t i;

	add_held(f, &test_stream, 3);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		tick(f, TEST_NOW + rows[i].at);
		if (count_audit(f, "batch.waiting") != (uint64_t)rows[i].wanted)
			fail_msg("row %zu: %d reminders", i, (int)count_audit(f, "batch.waiting"));
	}
	assert_int_equal(look(f), STORE_OK);
	tick(f, TEST_NOW + 1000 * CLOCK_HOUR);
	assert_int_equal(count_audit(f, "batch.waiting"), 5);
	assert_int_equal(take_alerts(f, "batch.waiting"), 5);
}

static void
a_decision_and_a_pause_change_who_is_told(void **state)
{
	struct fixture *f = *state;
	struct store_job job;

	add_held(f, &test_stream, 10);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	tick(f, TEST_NOW + 5 * CLOCK_HOUR);
	assert_int_equal(count_audit(f, "batch.waiting"), 0);
	assert_int_equal(look(f), STORE_OK);
	step_job(&job, STORE_PAUSE, "uid:1");
	job.u.plan.now = TEST_NOW + 6 * CLOCK_HOUR;
	assert_int_equal(run_job(f, &job), STORE_OK);
	tick(f, TEST_NOW + 7 * CLOCK_HOUR - 1);
	assert_int_equal(count_audit(f, "batch.waiting"), 0);
	tick(f, TEST_NOW + 7 * CLOCK_HOUR);
	assert_int_equal(count_audit(f, "batch.waiting"), 1);
	/* what came while it was decided waits for a decision too */
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	assert_false(comes(f, TEST_NOW + 8 * CLOCK_HOUR, test_stream.tripped_at));
	tick(f, TEST_NOW + 9 * CLOCK_HOUR);
	assert_int_equal(count_audit(f, "batch.waiting"), 2);
	assert_int_equal(look(f), STORE_OK);
	assert_int_equal(look(f), STORE_OK);
	check_counts(f);
}

/* ---- gone, and dropped ---- */

static void
purged_is_gone(void **state)
{
	struct fixture *f = *state;
	struct store_job job, load = {.op = STORE_LOAD};
	uint64_t id = add_held(f, &test_stream, 3), other = add_held(f, &test_stream, 1);
	struct store_delivery_id ids[] = {{id, 1}, {other, 0}};

	decide_job(&job, STORE_PURGE_NOW, 1);
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_non_null(
	    strstr(job.error, "has no discarded deliveries: there is nothing to purge"));
	decide_job(&job, STORE_DISCARD, 0);
	job.u.decide.selector.ids = ids;
	job.u.decide.selector.id_count = 2;
	assert_int_equal(run_job(f, &job), STORE_OK);
	decide_job(&job, STORE_PURGE_NOW, 1);
	job.u.decide.dry_run = true;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.decide.recipients, 2);
	job.u.decide.dry_run = false;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.decide.recipients, 2);
	assert_int_equal(job.u.decide.left, 2);
	assert_int_equal(count_deliveries(f, 1, -1), 2);
	/* a message goes with its last delivery */
	load.u.load.id = id;
	assert_int_equal(run_job(f, &load), STORE_OK);
	message_free(load.u.load.message);
	load.u.load.id = other;
	assert_int_equal(run_job(f, &load), STORE_MISSING);
	assert_int_equal(decide(f, STORE_RESTORE, 1), STORE_REFUSED);
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_int_equal(count_audit(f, "batch.purged"), 1);
}

static bool
reaches_first(void *context, const char *environment, const char *address)
{
	assert_string_equal(environment, "staging");
	++*(int *)context;
	return strcmp(address, "r1@example.net") == 0;
}

static void
dropped_mail_goes_only_where_it_may(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	int asked = 0;
	uint64_t id =
	    add_message(f, make_message("staging", "x", 2, VERDICT_DROP, "recipients", NULL));
	struct store_delivery_id ids[] = {{id, 2}, {id, 0}};

	decide_job(&job, STORE_RELEASE, 0);
	job.u.decide.selector.ids = ids;
	job.u.decide.selector.id_count = 1;
	assert_int_equal(run_job(f, &job), STORE_REFUSED); /* nobody can say */
	job.u.decide.may_reach = reaches_first;
	job.u.decide.selector.match_context = &asked;
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_non_null(strstr(job.error, "was dropped, and staging does not allow"));
	job.u.decide.selector.ids = &ids[1];
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.decide.recipients, 1);
	assert_int_equal(asked, 3);
	assert_int_equal(count_deliveries(f, 0, STORE_DROPPED), 1);
	assert_int_equal(claim(f, "staging", TEST_NOW + CLOCK_HOUR), 1);
	assert_int_equal(report(f, id, 1, STORE_SENT, 0), STORE_OK);
	assert_int_equal(count_audit(f, "dropped.released"), 1);
	check_counts(f);
}

/* ---- the log ---- */

static bool
see_counts(void *context, const struct store_audit *a)
{
	const char *counts = strstr(a->detail, "held=");

	if (counts != NULL && strncmp(a->action, "batch.", 6) == 0)
		buf_printf(context, "%s %.*s;", a->action,
			   (int)(strstr(counts, "discarded=") + 14 - counts), counts);
	return true;
}

static void
the_log_has_counts_before_and_after(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	struct buf seen = {0};

	add_held(f, &test_stream, 9);
	release_job(&job, thirds, 3);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(step(f, STORE_PAUSE), STORE_OK);
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	assert_int_equal(decide(f, STORE_RESTORE, 1), STORE_OK);
	assert_int_equal(store_view_audit(f->v, 0, 0, 0, "B1", see_counts, &seen), STORE_OK);
	assert_string_equal(buf_text(&seen),
			    "batch.ring held=9->7 released=0->2 discarded=0->0;"
			    "batch.released held=9->7 released=0->2 discarded=0->0;"
			    "batch.paused held=7->9 released=2->0 discarded=0->0;"
			    "batch.discarded held=9->0 released=0->0 discarded=0->9;"
			    "batch.restored held=0->9 released=0->0 discarded=9->0;");
	buf_free(&seen);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(two_people_release_together),
	    BOTH(three_people_are_three),
	    BOTH(what_one_person_releases_adds_up),
	    BOTH(what_was_imported_takes_a_second_person),
	    BOTH(nobody_approves_a_drill),
	    BOTH(requests_lapse),
	    BOTH(an_approval_under_a_hold_waits),
	    BOTH(the_rest_of_the_stream_passes_for_a_time),
	    BOTH(a_stream_does_not_pass_by_one_person),
	    BOTH(the_rest_of_the_stream_is_discarded_for_a_time),
	    BOTH(with_rings_the_ruling_begins_with_the_last),
	    BOTH(who_waits_is_told_again),
	    BOTH(a_decision_and_a_pause_change_who_is_told),
	    BOTH(purged_is_gone),
	    BOTH(dropped_mail_goes_only_where_it_may),
	    BOTH(the_log_has_counts_before_and_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
