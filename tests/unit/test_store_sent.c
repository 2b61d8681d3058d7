/*
 * What is sent is recorded without being read where the result says whose it is. It must come out
 * as when it is read: the same result, with and without its environment, for a delivery in every
 * place that one can be in.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mail/dsn.h"
#include "tests/unit/store_help.h"

/* How the delivery stands when its result comes. */
enum place { TAKEN, DUE, WAITING, RELEASED, HELD, SENT_BEFORE, GONE };

static const struct sent_case {
	const char *name;
	enum place place;
	const char *environment; /* as the result names it */
	unsigned notify;
	bool relayed, tried;
	const char *reply, *remote_mta;
	enum store_state state; /* the result */
	enum store_state then;  /* and what it comes to */
	enum store_notice_state notice;
} cases[] = {
    {"taken", TAKEN, "staging", 0, false, true, "250 ok", "mx.example", STORE_SENT, STORE_SENT,
     STORE_NOTICE_NONE},
    {"no try", TAKEN, "staging", 0, false, false, "250 ok", NULL, STORE_SENT, STORE_SENT,
     STORE_NOTICE_NONE},
    {"no reply", TAKEN, "staging", 0, false, true, "", "mx.example", STORE_SENT, STORE_SENT,
     STORE_NOTICE_NONE},
    {"reply NULL", TAKEN, "staging", 0, false, true, NULL, NULL, STORE_SENT, STORE_SENT,
     STORE_NOTICE_NONE},
    {"another's name", TAKEN, "production", 0, false, true, "250 ok", "mx.example", STORE_SENT,
     STORE_SENT, STORE_NOTICE_NONE},
    {"nobody's name", TAKEN, "nowhere", 0, false, true, "250 ok", "mx.example", STORE_SENT,
     STORE_SENT, STORE_NOTICE_NONE},
    {"due", DUE, "staging", 0, false, true, "250 ok", "mx.example", STORE_SENT, STORE_SENT,
     STORE_NOTICE_NONE},
    {"released", RELEASED, "staging", 0, false, true, "250 ok", "mx.example", STORE_SENT,
     STORE_SENT, STORE_NOTICE_NONE},
    {"held", HELD, "staging", 0, false, true, "250 ok", "mx.example", STORE_SENT, STORE_HELD,
     STORE_NOTICE_NONE},
    {"waits", WAITING, "staging", 0, false, true, "250 ok", "mx.example", STORE_SENT, STORE_WAITING,
     STORE_NOTICE_NONE},
    {"again", SENT_BEFORE, "staging", 0, false, true, "250 twice", "mx.example", STORE_SENT,
     STORE_SENT, STORE_NOTICE_NONE},
    {"gone", GONE, "staging", 0, false, true, "250 ok", "mx.example", STORE_SENT, STORE_STATE_COUNT,
     STORE_NOTICE_NONE},
    {"relayed, asked", TAKEN, "staging", DSN_SUCCESS, true, true, "250 ok", "mx.example",
     STORE_SENT, STORE_SENT, STORE_NOTICE_PENDING},
    {"relayed, not asked", TAKEN, "staging", 0, true, true, "250 ok", "mx.example", STORE_SENT,
     STORE_SENT, STORE_NOTICE_NONE},
    {"sent, asked", TAKEN, "staging", DSN_SUCCESS, false, true, "250 ok", "mx.example", STORE_SENT,
     STORE_SENT, STORE_NOTICE_NONE},
    {"failed", TAKEN, "staging", 0, false, true, "550 no", "mx.example", STORE_FAILED, STORE_FAILED,
     STORE_NOTICE_PENDING},
    {"put off", TAKEN, "staging", 0, false, true, "450 no", "mx.example", STORE_QUEUED,
     STORE_QUEUED, STORE_NOTICE_NONE},
};

static uint64_t
put(struct fixture *f, const struct sent_case *c)
{
	const bool waits = c->place == WAITING, held = c->place == HELD || c->place == RELEASED;
	struct message *m = make_message("staging", "hello", 1,
					 waits  ? VERDICT_WAIT
					 : held ? VERDICT_HOLD
						: VERDICT_PASS,
					 waits || held ? "burst volume" : NULL,
					 waits || held ? &test_stream : NULL);
	struct store_job job = {.op = STORE_ADD, .u.add.message = m};
	uint64_t id = m->id;

	m->recipients[0].notify = c->notify;
	job.u.add.taken = c->place == TAKEN || c->place == SENT_BEFORE;
	assert_int_equal(run_job(f, &job), STORE_OK);
	message_free(m);
	if (c->place == RELEASED) {
		assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_OK);
		claim(f, "staging", TEST_NOW + CLOCK_HOUR);
	}
	if (c->place == SENT_BEFORE)
		assert_int_equal(report(f, id, 1, STORE_SENT, 0), STORE_OK);
	return c->place == GONE ? id + 1 : id;
}

/* What is left of it: as text, so that a difference shows. */
struct seen {
	char text[400];
	enum store_state state;
	enum store_notice_state notice;
};

static bool
see(void *context, const struct store_delivery *d)
{
	struct seen *s = context;

	s->state = d->state;
	s->notice = d->notice;
	snprintf(s->text, sizeof(s->text),
		 "state %d batch %d tries %u reply <%s> rule <%s> due %d notice %d", (int)d->state,
		 (int)d->batch, d->tries, d->reply, d->rule, d->due_at != 0, (int)d->notice);
	return true;
}

/* One store, one delivery, its result; what the views, the counts and the sender's notice say. */
static void
live(const struct backend *b, const struct sent_case *c, const char *environment, struct seen *seen)
{
	struct fixture f;
	struct store_delivery_result result = {.number = 1,
					       .environment = environment,
					       .state = c->state,
					       .tried = c->tried,
					       .relayed = c->relayed,
					       .reply = c->reply,
					       .remote_mta = c->remote_mta};
	struct store_job job = {.op = STORE_RESULTS, .u.results = {.results = &result, .count = 1}};
	struct store_filter filter = {.state = -1, .limit = 10};
	struct store_job notices = {.op = STORE_NOTICES, .u.notices.limit = 10};
	size_t i;

	fixture_open(&f, b);
	/* Known, and not its own. */
	add_passing(&f, "production", 1);
	result.id = filter.message = put(&f, c);
	*seen = (struct seen){.state = STORE_STATE_COUNT};
	assert_int_equal(run_job(&f, &job), STORE_OK);
	assert_int_equal(store_view_deliveries(f.v, &filter, see, seen), STORE_OK);
	check_counts(&f);
	assert_int_equal(run_job(&f, &notices), STORE_OK);
	for (i = 0; i < notices.u.notices.notice_count; i++)
		snprintf(seen->text + strlen(seen->text), sizeof(seen->text) - strlen(seen->text),
			 " mta <%s>", notices.u.notices.notices[i].deliveries[0].remote_mta);
	store_notices_free(notices.u.notices.notices, notices.u.notices.notice_count);
	fixture_close(&f);
}

static void
test_same_result(void **state)
{
	const struct backend *b = ((struct fixture *)*state)->b;
	struct seen read, unread;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		live(b, &cases[i], NULL, &read);
		live(b, &cases[i], cases[i].environment, &unread);
		if (strcmp(read.text, unread.text) != 0)
			fail_msg("%s: read: %s, not read: %s", cases[i].name, read.text,
				 unread.text);
		if (unread.state != cases[i].then || unread.notice != cases[i].notice)
			fail_msg("%s: %s", cases[i].name, unread.text);
	}
}

/* A delivery as delivery_sent() may find it; only the first is what it is for. */
static void
test_only_taken(void **state)
{
	static const struct {
		const char *name;
		int64_t due_at, batch, other_environment;
		enum store_state state;
		uint32_t number;
		enum store_result then;
	} rows[] = {
	    {"taken", 0, 0, 0, STORE_QUEUED, 1, STORE_OK},
	    {"due", 5, 0, 0, STORE_QUEUED, 1, STORE_MISSING},
	    {"in a batch", 0, 1, 0, STORE_QUEUED, 1, STORE_MISSING},
	    {"another's", 0, 0, 1, STORE_QUEUED, 1, STORE_MISSING},
	    {"sent", 0, 0, 0, STORE_SENT, 1, STORE_MISSING},
	    {"dropped", 0, 0, 0, STORE_DROPPED, 1, STORE_MISSING},
	    {"another number", 0, 0, 0, STORE_QUEUED, 2, STORE_MISSING},
	};
	struct fixture *f = *state;
	const struct backend *b = f->b;
	struct buf error = {0};
	char path[sizeof(f->path) + 8];
	struct db *db;
	int64_t environment;
	size_t i;

	snprintf(path, sizeof(path), "%s.rows", b == &backend_memory ? "memory:" : f->path);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message *m = make_message("staging", "hello", 1, VERDICT_PASS, NULL, NULL);
		struct delivery_row d = {.id = m->id, .number = 1, .state = rows[i].state};
		struct delivery_sent s = {.id = m->id, .number = rows[i].number, .tried = 1};
		struct batch_row batch = {.b = {.environment = "staging", .rule = "r", .key = "k"}};

		db = b->open(path, &error);
		assert_non_null(db);
		assert_int_equal(b->begin(db, true), STORE_OK);
		assert_int_equal(b->environment(db, "staging", true, &environment), STORE_OK);
		batch.b.source = batch.b.sender = batch.b.subject = "";
		batch.b.decided_by = batch.b.decided_reason = batch.b.seen_by = "";
		if (rows[i].batch != 0)
			assert_int_equal(b->batch_add(db, &batch), STORE_OK);
		d.environment = environment;
		d.due_at = rows[i].due_at;
		d.batch = rows[i].batch != 0 ? batch.b.id : 0;
		d.recipient = d.final = "r@example.net";
		d.orcpt = d.rule = d.reason = d.reply = "";
		s.environment = environment + rows[i].other_environment;
		assert_int_equal(b->message_add(db, m, environment, false, false), STORE_OK);
		assert_int_equal(b->delivery_add(db, &d), STORE_OK);
		if (b->delivery_sent(db, &s) != rows[i].then)
			fail_msg("%s: not %d", rows[i].name, (int)rows[i].then);
		b->rollback(db);
		b->close(db);
		message_free(m);
	}
}

/* What was sent may wait for company, but never for good: alone, more of it than a group waits for,
 * and when the store closes. */
static void
test_recorded_without_company(void **state)
{
	enum { MANY = 200 };
	static const size_t counts[] = {1, 2, MANY};
	struct store_delivery_result results[MANY];
	struct store_job *jobs = mem_alloc(MANY * sizeof(*jobs));
	struct fixture *f = *state;
	uint64_t sent = 0;
	size_t i, k;

	for (k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		for (i = 0; i < counts[k]; i++) {
			results[i] =
			    (struct store_delivery_result){.id = add_passing(f, "staging", 1),
							   .number = 1,
							   .environment = "staging",
							   .state = STORE_SENT};
			jobs[i] = (struct store_job){
			    .op = STORE_RESULTS, .u.results = {.results = &results[i], .count = 1}};
		}
		claim(f, "staging", TEST_NOW + CLOCK_HOUR);
		run_jobs(f, jobs, counts[k]);
		for (i = 0; i < counts[k]; i++)
			assert_int_equal(jobs[i].result, STORE_OK);
		sent += counts[k];
		assert_int_equal(count_deliveries(f, 0, STORE_SENT), sent);
	}
	free(jobs);
}

static void
note_closed(struct store_job *job)
{
	*(bool *)job->context = true;
}

static void
test_recorded_at_the_close(void **state)
{
	struct fixture *f = *state;
	struct store_delivery_result result = {
	    .id = add_passing(f, "staging", 1), .number = 1, .state = STORE_SENT};
	bool done = false;
	struct store_job job = {.op = STORE_RESULTS,
				.done = note_closed,
				.context = &done,
				.u.results = {.results = &result, .count = 1}};

	writer_submit(f->s, &job);
	fixture_reopen(f);
	assert_true(done);
	assert_int_equal(job.result, STORE_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {BOTH(test_same_result), BOTH(test_only_taken),
					   BOTH(test_recorded_without_company),
					   BOTH(test_recorded_at_the_close)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
