/*
 * The store's contract, run over both twins: what a trip calls back, wherever it is, and that the
 * batch's leak is what really left. Every test opens a fresh store of each kind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/mem.h"
#include "tests/unit/store_help.h"

enum { STREAM_A = 0x1234, STREAM_B = 0x777 };

static const struct verdict_key key_a = {STREAM_A, 5, true}, key_b = {STREAM_B, 6, false};
static const struct verdict_key both_keys[] = {{STREAM_A, 5, true}, {STREAM_B, 6, false}};

static uint64_t
add_taken(struct fixture *f, const struct verdict_key *keys, size_t count, int64_t accepted_at)
{
	struct message *m = make_counted(keys, count, accepted_at, 0);
	struct store_job job = {.op = STORE_ADD, .u.add = {.message = m, .taken = true}};
	uint64_t id = m->id;
	size_t told = f->told_count;

	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(f->told_count, told);
	message_free(m);
	return id;
}

struct seen {
	enum store_state state;
	int64_t batch, due_at;
	char rule[40], reason[80];
};

static bool
see(void *context, const struct store_delivery *d)
{
	struct seen *s = context;

	s->state = d->state;
	s->batch = d->batch;
	s->due_at = d->due_at;
	snprintf(s->rule, sizeof(s->rule), "%s", d->rule);
	snprintf(s->reason, sizeof(s->reason), "%s", d->reason);
	return false;
}

static struct seen
look(struct fixture *f, uint64_t id)
{
	struct store_filter filter = {.message = id, .state = -1};
	struct seen s = {.batch = -1};

	assert_int_equal(store_view_deliveries(f->v, &filter, see, &s), STORE_OK);
	assert_int_not_equal(s.batch, -1);
	return s;
}

static void
trip_quietly(struct fixture *f, const struct verdict_stream *stream)
{
	trip(f, stream, "burst volume");
}

static enum store_result
give_back(struct fixture *f, uint64_t id, const struct verdict_stream *stream,
	  struct store_job *job)
{
	struct store_delivery_result result = {.id = id,
					       .number = 1,
					       .state = STORE_HELD,
					       .stream = stream->hash,
					       .tripped_at = stream->tripped_at};

	*job =
	    (struct store_job){.op = STORE_RESULTS, .u.results = {.results = &result, .count = 1}};
	run_job(f, job);
	job->u.results.results = NULL;
	return job->result;
}

/* ---- a trip ---- */

static void
a_trip_calls_back_what_has_not_left(void **state)
{
	static const struct {
		const char *name;
		bool of_stream;
		int64_t age; /* before the trip */
		int64_t settle;
		bool claimed, retried, taken;
		bool joins;
	} rows[] = {
	    {"waits", true, CLOCK_SECOND, 10 * CLOCK_SECOND, false, false, false, true},
	    {"is due", true, CLOCK_SECOND, 0, false, false, false, true},
	    {"another stream's", false, CLOCK_SECOND, 10 * CLOCK_SECOND, false, false, false,
	     false},
	    {"taken", true, CLOCK_SECOND, 0, false, false, true, false},
	    {"claimed", true, CLOCK_SECOND, 0, true, false, false, false},
	    {"settled and claimed", true, 20 * CLOCK_SECOND, 10 * CLOCK_SECOND, true, false, false,
	     false},
	    {"retried later", true, CLOCK_SECOND, 0, true, true, false, true},
	    {"at the window's edge", true, 10 * CLOCK_MINUTE, 0, false, false, false, true},
	    {"before the window", true, 10 * CLOCK_MINUTE + 1, 0, false, false, false, false},
	};
	enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
	struct verdict_stream s = stream_of(STREAM_A, TEST_NOW, 50);
	struct fixture *f = *state;
	struct batch_numbers b;
	uint64_t ids[ROWS];
	size_t i, joined = 0;

	for (i = 0; i < ROWS; i++) {
		const struct verdict_key *key = rows[i].of_stream ? &key_a : &key_b;
		int64_t at = TEST_NOW - rows[i].age;

		ids[i] = rows[i].taken ? add_taken(f, key, 1, at)
				       : add_counted(f, key, 1, at, rows[i].settle);
		if (rows[i].claimed) {
			/* what lies there meanwhile is not due before it */
			struct store_job take = {.op = STORE_CLAIM};
			const char *environment = "staging";
			size_t k;

			take.u.claim.environments = &environment;
			take.u.claim.environment_count = 1;
			take.u.claim.now = TEST_NOW;
			take.u.claim.limit = 100;
			assert_int_equal(run_job(f, &take), STORE_OK);
			for (k = 0; k < take.u.claim.due_count; k++)
				if (take.u.claim.due[k].id != ids[i])
					report(f, take.u.claim.due[k].id, 1, STORE_QUEUED,
					       TEST_NOW);
			store_due_free(take.u.claim.due, take.u.claim.due_count);
		}
		if (rows[i].retried)
			report(f, ids[i], 1, STORE_QUEUED, TEST_NOW + CLOCK_HOUR);
		joined += rows[i].joins;
	}
	trip_quietly(f, &s);
	for (i = 0; i < ROWS; i++) {
		struct seen d = look(f, ids[i]);

		if ((d.state == STORE_HELD) != rows[i].joins || (d.batch == 1) != rows[i].joins)
			fail_msg("%s: state %d in B%d", rows[i].name, (int)d.state, (int)d.batch);
		if (rows[i].joins)
			assert_string_equal(d.rule, "burst volume");
	}
	assert_int_equal(f->told_count, joined);
	assert_int_equal(count_told(f, STREAM_A), joined);
	get_batch(f, 1, &b);
	assert_int_equal(b.leaked, 50 - joined);
	assert_int_equal(b.held, joined + 1);
	check_counts(f);
}

static void
all_keys_are_called_back(void **state)
{
	struct verdict_stream a = stream_of(STREAM_A, TEST_NOW, 3);
	struct verdict_stream b = stream_of(STREAM_B, TEST_NOW + 5, 7);
	struct fixture *f = *state;
	struct batch_numbers numbers;
	struct store_job job;
	uint64_t id = add_taken(f, both_keys, 2, TEST_NOW - 1);

	trip_quietly(f, &a); /* a loop has it: a leak of A */
	get_batch(f, 1, &numbers);
	assert_int_equal(numbers.leaked, 3);
	trip_quietly(f, &b);
	get_batch(f, 2, &numbers);
	assert_int_equal(numbers.leaked, 7);
	/* but then B's rule gets it: a leak of neither */
	assert_int_equal(give_back(f, id, &b, &job), STORE_OK);
	assert_int_equal(f->told_count, 2);
	assert_int_equal(count_told(f, STREAM_A), 1);
	assert_int_equal(count_told(f, STREAM_B), 1);
	assert_int_equal(look(f, id).batch, 2);
	get_batch(f, 1, &numbers);
	assert_int_equal(numbers.leaked, 2);
	get_batch(f, 2, &numbers);
	assert_int_equal(numbers.leaked, 6);
	check_counts(f);
}

/* ---- late ---- */

static void
what_comes_late_joins(void **state)
{
	struct verdict_stream s = stream_of(STREAM_A, TEST_NOW, 50);
	struct fixture *f = *state;
	struct batch_numbers b;
	struct store_job job;
	uint64_t taken, due, waits, again, long_after;

	again = add_taken(f, &key_a, 1, TEST_NOW - 5);
	trip_quietly(f, &s);
	/* judged before the trip, stored after it */
	taken = add_taken(f, &key_a, 1, TEST_NOW - 1);
	assert_int_equal(look(f, taken).state, STORE_QUEUED);
	job = (struct store_job){.op = STORE_ADD};
	job.u.add.message = make_counted(both_keys, 2, TEST_NOW - 1, 0);
	due = job.u.add.message->id;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(f->told_count, 2);
	message_free(job.u.add.message);
	waits = add_counted(f, &key_a, 1, TEST_NOW - 1, CLOCK_SECOND);
	assert_int_equal(look(f, due).batch, 1);
	assert_int_equal(look(f, waits).batch, 1);
	/* calmed down, and the batch is closed a moment later */
	long_after = add_counted(f, &key_a, 1, TEST_NOW + CLOCK_HOUR, 0);
	assert_int_equal(look(f, long_after).state, STORE_QUEUED);
	/* the upstream says: later */
	assert_int_equal(report(f, again, 1, STORE_QUEUED, TEST_NOW + CLOCK_HOUR), STORE_OK);
	assert_int_equal(look(f, again).batch, 1);
	get_batch(f, 1, &b);
	assert_int_equal(b.leaked, 50 - 3);
	/* a loop found out */
	assert_int_equal(give_back(f, taken, &s, &job), STORE_OK);
	assert_int_equal(f->told_count, 5); /* that had two */
	assert_int_equal(look(f, taken).batch, 1);
	get_batch(f, 1, &b);
	assert_int_equal(b.leaked, 50 - 4);
	assert_int_equal(b.held, 5);
	check_counts(f);
}

/* The loop is faster than the message that made it trip. */
static void
a_batch_that_is_not_there_yet(void **state)
{
	struct verdict_stream s = stream_of(STREAM_A, TEST_NOW, 50);
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;
	struct seen d;
	int64_t now = clock_steady();
	uint64_t id = add_taken(f, &key_a, 1, TEST_NOW - 1);

	assert_int_equal(give_back(f, id, &s, &job), STORE_OK);
	assert_int_equal(f->told_count, 0);
	d = look(f, id);
	assert_int_equal(d.state, STORE_QUEUED);
	assert_in_range(d.due_at, now + CLOCK_SECOND, clock_steady() + CLOCK_SECOND);
	trip_quietly(f, &s);
	assert_int_equal(look(f, id).batch, 1);
	get_batch(f, 1, &b);
	assert_int_equal(b.leaked, 49);
	check_counts(f);
}

/* Decided while a loop had it: of the same trip, so of the same batch. */
static void
a_batch_that_was_decided_takes_it(void **state)
{
	struct verdict_stream s = stream_of(STREAM_A, TEST_NOW, 50);
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;
	uint64_t id = add_taken(f, &key_a, 1, TEST_NOW - 1);

	trip_quietly(f, &s);
	decide(f, STORE_DISCARD, 1);
	assert_int_equal(give_back(f, id, &s, &job), STORE_OK);
	get_batch(f, 1, &b);
	assert_int_equal(b.state, STORE_BATCH_HELD);
	assert_int_equal(b.held, 1);
	assert_int_equal(b.leaked, 49);
	assert_int_equal(take_alerts(f, "batch.grown"), 1);
	check_counts(f);
}

/* ---- released ---- */

static size_t
claim_keys(struct fixture *f, uint64_t id, struct verdict_key *out)
{
	struct store_job job = {.op = STORE_CLAIM};
	const char *environment = "staging";
	size_t i, n = 99;

	job.u.claim.environments = &environment;
	job.u.claim.environment_count = 1;
	job.u.claim.now = TEST_NOW + CLOCK_DAY;
	job.u.claim.limit = 100;
	assert_int_equal(run_job(f, &job), STORE_OK);
	for (i = 0; i < job.u.claim.due_count; i++) {
		const struct store_due_delivery *d = &job.u.claim.due[i].deliveries[0];

		if (job.u.claim.due[i].id != id)
			continue;
		n = d->key_count;
		if (n > 0)
			memcpy(out, d->keys, n * sizeof(*out));
	}
	store_due_free(job.u.claim.due, job.u.claim.due_count);
	return n;
}

static void
close_stream(struct fixture *f, uint64_t hash)
{
	struct store_job job = {.op = STORE_CLOSE};

	job.u.close.stream_hash = hash;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

/* The ruling was on an older batch of the stream, the counters forgot all of it: what was counted
 * before then is in no later trip's leak. */
static void
a_ruling_of_an_older_batch_ends(void **state)
{
	struct fixture *f = *state;
	struct verdict_stream first = test_stream, second, third;
	const struct verdict_key key = {test_stream.hash, 5, true};
	struct store_job job, tick = {.op = STORE_TICK};
	struct batch_numbers b;

	second = third = first;
	second.tripped_at += CLOCK_MINUTE;
	third.tripped_at += 4 * CLOCK_MINUTE;
	third.counted = 1;
	add_held(f, &first, 1);
	close_stream(f, first.hash);
	add_held(f, &second, 1);
	close_stream(f, first.hash);
	add_counted(f, &key, 1, second.tripped_at + 10 * CLOCK_SECOND, CLOCK_HOUR);

	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.now = second.tripped_at + 20 * CLOCK_SECOND;
	job.u.decide.stream_for = CLOCK_MINUTE;
	assert_int_equal(run_job(f, &job), STORE_OK);
	tick.u.tick.now = second.tripped_at + 2 * CLOCK_MINUTE;
	assert_int_equal(run_job(f, &tick), STORE_OK);
	assert_int_equal(tick.u.tick.forget_count, 1);
	free(tick.u.tick.forget);

	add_held(f, &third, 1);
	assert_true(get_batch(f, 3, &b));
	assert_int_equal(b.recipients, 2); /* what waited is held, */
	assert_int_equal(b.leaked, 1);     /* and was none of those that had left */
}

static void
claims_hand_out_keys(void **state)
{
	struct fixture *f = *state;
	struct verdict_key keys[2];
	uint64_t id = add_counted(f, both_keys, 2, TEST_NOW, 0);

	assert_int_equal(claim_keys(f, id, keys), 2);
	assert_int_equal(keys[0].hash, STREAM_A);
	assert_int_equal(keys[0].stamp, 5);
	assert_true(keys[0].settles);
	assert_int_equal(keys[1].hash, STREAM_B);
	assert_int_equal(keys[1].stamp, 6);
	assert_false(keys[1].settles);
	id = add_passing(f, "staging", 1);
	assert_int_equal(claim_keys(f, id, keys), 0);
}

static void
released_mail_is_called_back_by_no_rule(void **state)
{
	struct verdict_stream a = stream_of(STREAM_A, TEST_NOW, 1);
	struct verdict_stream b = stream_of(STREAM_B, TEST_NOW + 2 * CLOCK_MINUTE, 4);
	struct fixture *f = *state;
	struct verdict_key keys[2];
	struct batch_numbers numbers;
	struct store_job job;
	struct seen d;
	uint64_t id = add_counted(f, both_keys, 2, TEST_NOW - 1, 0);

	trip_quietly(f, &a);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.due_now = TEST_NOW + CLOCK_HOUR; /* another clock than `now` */
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(look(f, id).due_at, TEST_NOW + CLOCK_HOUR);
	/* due, then taken: another rule trips */
	trip_quietly(f, &b);
	assert_int_equal(look(f, id).state, STORE_QUEUED);
	assert_int_equal(claim_keys(f, id, keys), 0);
	assert_int_equal(f->told_count, 2); /* by A */
	assert_int_equal(give_back(f, id, &b, &job), STORE_OK);
	assert_int_equal(f->told_count, 2);
	d = look(f, id);
	assert_int_equal(d.state, STORE_QUEUED);
	assert_int_equal(d.batch, 1);
	assert_string_equal(d.rule, "burst volume"); /* by what it was held */
	get_batch(f, 2, &numbers);
	assert_int_equal(numbers.leaked, 4);
	/* the panic button is no rule */
	assert_int_equal(press(f, true, 0, "", TEST_NOW), STORE_OK);
	assert_int_equal(look(f, id).state, STORE_HELD);
	get_batch(f, 2, &numbers);
	assert_int_equal(numbers.leaked, 4);
	check_counts(f);
}

static void
the_panic_button_stops_leaks_too(void **state)
{
	struct verdict_stream s = stream_of(STREAM_A, TEST_NOW, 2);
	struct fixture *f = *state;
	struct batch_numbers b;
	uint64_t id = add_taken(f, &key_a, 1, TEST_NOW - 1);

	trip_quietly(f, &s);
	assert_int_equal(press(f, true, 0, "", TEST_NOW), STORE_OK);
	/* its stream has tripped: that batch tells more than the hold's */
	assert_int_equal(report(f, id, 1, STORE_QUEUED, TEST_NOW), STORE_OK);
	assert_int_equal(look(f, id).batch, 1);
	get_batch(f, 1, &b);
	assert_int_equal(b.leaked, 1);
	check_counts(f);
}

/* ---- other rules ---- */

static void
read_alert(struct fixture *f, const char *event, char *text, size_t size)
{
	static char everything[] = "*";
	static char *globs[] = {everything, NULL};
	static const struct store_channel channel = {"ops", globs};
	struct store_job job = {.op = STORE_ALERTS};
	size_t i;

	job.u.alerts.step = STORE_ALERT_FAN_OUT;
	job.u.alerts.channels = &channel;
	job.u.alerts.channel_count = 1;
	job.u.alerts.now = clock_wall();
	assert_int_equal(run_job(f, &job), STORE_OK);
	job.u.alerts.step = STORE_ALERT_TAKE;
	job.u.alerts.limit = 1000;
	assert_int_equal(run_job(f, &job), STORE_OK);
	text[0] = '\0';
	for (i = 0; i < job.u.alerts.alert_count; i++)
		if (strcmp(job.u.alerts.alerts[i].event, event) == 0)
			snprintf(text, size, "%s", job.u.alerts.alerts[i].text);
	store_alerts_free(job.u.alerts.alerts, job.u.alerts.alert_count);
}

static void
an_audience_holds_its_surplus_only(void **state)
{
	struct verdict_stream s = stream_of(STREAM_A, TEST_NOW, 300);
	struct fixture *f = *state;
	struct batch_numbers b;
	char text[400];
	uint64_t id = add_counted(f, &key_a, 1, TEST_NOW - 1, 0), late;

	s.limit = 300;
	s.key = "campaign=spring-sale";
	s.window = 30 * CLOCK_DAY;
	trip(f, &s, "audience");
	assert_int_equal(f->told_count, 0);
	late = add_counted(f, &key_a, 1, TEST_NOW - 1, CLOCK_SECOND);
	assert_int_equal(look(f, id).state, STORE_QUEUED);
	assert_int_equal(look(f, late).state, STORE_WAITING);
	get_batch(f, 1, &b);
	assert_int_equal(b.leaked, 0); /* the declared 300 are none */
	read_alert(f, "batch.opened", text, sizeof(text));
	assert_string_equal(text, "staging: declared 300, seen 301 and rising "
				  "(campaign=spring-sale): 1 recipient held as B1");
	add_message(f, make_message("staging", "a", 20, VERDICT_HOLD, "audience", &s));
	read_alert(f, "batch.grown", text, sizeof(text));
	assert_non_null(strstr(text, "declared 300, seen 321 and rising"));
	check_counts(f);
}

static void
a_burst_says_how_much_left(void **state)
{
	struct verdict_stream s = stream_of(STREAM_A, TEST_NOW, 49);
	struct fixture *f = *state;
	char text[400];

	s.source = "10.2.0.7";
	s.subject = "Hello";
	s.limit = 50;
	s.window = CLOCK_HOUR;
	trip_quietly(f, &s);
	read_alert(f, "batch.opened", text, sizeof(text));
	assert_string_equal(text, "staging: 50 recipients in 60 min from 10.2.0.7, \"Hello\" "
				  "(limit 50): held as B1, up to 49 left before");
}

static void
content_says_why(void **state)
{
	struct verdict_stream s = stream_of(STREAM_A, TEST_NOW, 0);
	struct fixture *f = *state;
	struct message *m =
	    make_message("production", "[TEST] x", 2, VERDICT_HOLD, "content markers", &s);
	char text[400];

	s.limit = 0;
	m->recipients[0].verdict.reason = m->recipients[1].verdict.reason =
	    "Subject matches \\[TEST\\]";
	add_message(f, m);
	read_alert(f, "batch.opened", text, sizeof(text));
	assert_string_equal(text, "production: 2 recipients from 10.2.0.7 by rule content markers: "
				  "Subject matches \\[TEST\\]: held as B1");
}

/* ---- times ---- */

static void
what_waits_is_due_by_the_steady_clock(void **state)
{
	struct fixture *f = *state;
	struct message *m = make_counted(&key_a, 1, TEST_NOW, 5 * CLOCK_SECOND);
	struct store_job job = {.op = STORE_ADD, .u.add.message = m};

	job.u.add.due_now = TEST_NOW - CLOCK_HOUR; /* the wall clock has jumped */
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(look(f, m->id).due_at, TEST_NOW - CLOCK_HOUR + 5 * CLOCK_SECOND);
	message_free(m);
}

/* What waits was accepted a moment ago, whatever the wall clock has done since. */
static void
a_jump_of_the_clock_lets_nothing_out(void **state)
{
	static const int64_t jumps[] = {-CLOCK_HOUR, CLOCK_HOUR};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < 2; i++) {
		struct verdict_stream s = stream_of(STREAM_A, TEST_NOW + jumps[i], 50);
		uint64_t id = add_counted(f, &key_a, 1, TEST_NOW, 5 * CLOCK_SECOND);

		trip_quietly(f, &s);
		assert_int_equal(look(f, id).state, STORE_HELD);
		decide(f, STORE_DISCARD, (int64_t)i + 1);
	}
	check_counts(f);
}

/* ---- restarts ---- */

/* What is due was written by a clock that was right: a machine that starts without one would wait
 * for years. */
static void
a_start_of_the_machine_sets_nothing_back(void **state)
{
	struct fixture *f = *state;
	int64_t offset = clock_steady_offset(), ahead = clock_wall() + CLOCK_DAY;
	struct buf error = {0};
	struct db *db;

	store_view_close(f->v);
	store_close(f->s);
	f->v = NULL;
	f->s = NULL;
	db = f->b->open(f->path, &error);
	assert_non_null(db);
	assert_int_equal(f->b->begin(db, true), STORE_OK);
	assert_int_equal(f->b->meta_set(db, "boot", 1), STORE_OK);
	assert_int_equal(f->b->meta_set(db, "last_id", ahead / 1000 << 16), STORE_OK);
	assert_int_equal(f->b->commit(db), STORE_OK);
	f->b->close(db);
	fixture_reopen(f);
	assert_true(clock_steady() >= ahead - CLOCK_SECOND);
	clock_set_steady_offset(offset);
	fixture_reopen(f); /* of the same start */
	assert_true(clock_steady() >= ahead - CLOCK_SECOND);
	clock_set_steady_offset(offset);
}

static void
what_was_taken_is_called_back_after_a_restart(void **state)
{
	struct verdict_stream s = stream_of(STREAM_A, TEST_NOW, 50);
	struct fixture *f = *state;
	struct batch_numbers b;
	uint64_t taken = add_taken(f, both_keys, 2, TEST_NOW - 1);
	uint64_t waits = add_counted(f, &key_a, 1, TEST_NOW - 1, CLOCK_MINUTE);

	fixture_reopen(f);
	fixture_reopen(f); /* indexed twice is indexed once */
	trip_quietly(f, &s);
	assert_int_equal(look(f, taken).batch, 1);
	assert_int_equal(look(f, waits).batch, 1);
	get_batch(f, 1, &b);
	assert_int_equal(b.leaked, 48);
	check_counts(f);
}

#define ON_DISK(test)                                                                              \
	{                                                                                          \
#test, test, setup, teardown, (void *)&backend_sqlite                              \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(a_trip_calls_back_what_has_not_left),
	    BOTH(all_keys_are_called_back),
	    BOTH(what_comes_late_joins),
	    BOTH(a_batch_that_is_not_there_yet),
	    BOTH(a_batch_that_was_decided_takes_it),
	    BOTH(a_ruling_of_an_older_batch_ends),
	    BOTH(claims_hand_out_keys),
	    BOTH(released_mail_is_called_back_by_no_rule),
	    BOTH(the_panic_button_stops_leaks_too),
	    BOTH(an_audience_holds_its_surplus_only),
	    BOTH(a_burst_says_how_much_left),
	    BOTH(content_says_why),
	    BOTH(what_waits_is_due_by_the_steady_clock),
	    BOTH(a_jump_of_the_clock_lets_nothing_out),
	    ON_DISK(a_start_of_the_machine_sets_nothing_back),
	    ON_DISK(what_was_taken_is_called_back_after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
