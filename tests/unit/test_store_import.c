/*
 * STORE_IMPORT: what comes back into a batch, once and no more often, whatever was done to it
 * meanwhile; and what is refused.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "base/mem.h"
#include "tests/unit/store_help.h"

enum { OTHER_STORE = 77 };

static const struct store_batch from_elsewhere = {.environment = "staging",
						  .rule = "import",
						  .key = "export of B9",
						  .source = "10.2.0.7",
						  .sender = "",
						  .subject = "hello",
						  .limit = 50};

/* An import of `m`, all its recipients held. */
static struct store_job
import_job(struct message *m, int64_t batch, uint64_t store, uint64_t id)
{
	static const enum store_state held[] = {STORE_HELD, STORE_HELD, STORE_HELD, STORE_HELD};
	struct store_job job = {.op = STORE_IMPORT};

	job.u.import.batch = batch;
	job.u.import.open = &from_elsewhere;
	job.u.import.message = m;
	job.u.import.states = held;
	job.u.import.origin_store = store;
	job.u.import.origin_id = id;
	job.u.import.who = "uid:1000(kim)";
	job.u.import.reason = "the disk broke";
	job.u.import.now = TEST_NOW + CLOCK_HOUR;
	return job;
}

static struct message *
foreign_message(unsigned recipients)
{
	struct message *m =
	    make_message("staging", "hello", recipients, VERDICT_HOLD, "burst volume", NULL);

	m->id = 0;
	return m;
}

/* Imports a new message of that origin; checks what the job answers. */
static int64_t
import(struct fixture *f, int64_t batch, uint64_t store, uint64_t id, unsigned recipients,
       uint64_t added, uint64_t skipped)
{
	struct message *m = foreign_message(recipients);
	struct store_job job = import_job(m, batch, store, id);

	if (run_job(f, &job) != STORE_OK)
		fail_msg("%s", job.error);
	assert_int_equal(job.u.import.added, added);
	assert_int_equal(job.u.import.skipped, skipped);
	message_free(m);
	return job.u.import.batch;
}

static void
it_comes_once(void **state)
{
	struct fixture *f = *state;
	struct batch_numbers b;
	int64_t batch = import(f, 0, OTHER_STORE, 501, 2, 2, 0);

	assert_int_equal(batch, 1);
	assert_int_equal(import(f, batch, OTHER_STORE, 502, 3, 3, 0), batch);
	assert_int_equal(import(f, batch, OTHER_STORE, 502, 3, 0, 3), batch);
	/* The same once more, from its beginning: it finds the batch that it had opened. */
	assert_int_equal(import(f, 0, OTHER_STORE, 501, 2, 0, 2), batch);
	assert_int_equal(import(f, 0, OTHER_STORE + 1, 501, 1, 1, 0), 2); /* another store's */
	assert_true(get_batch(f, batch, &b));
	assert_int_equal(b.state, STORE_BATCH_HELD);
	assert_false(b.collecting);
	assert_int_equal(b.messages, 2);
	assert_int_equal(b.recipients, 5);
	assert_int_equal(b.held, 5);
	assert_int_equal(claim(f, "staging", INT64_MAX / 2), 0); /* nothing may leave */
	assert_int_equal(count_audit(f, "batch.imported"), 2);
	assert_int_equal(take_alerts(f, "batch.imported"), 2);
	check_counts(f);
	fixture_reopen(f);
	if (f->b == &backend_sqlite)
		assert_int_equal(import(f, 0, OTHER_STORE, 502, 3, 0, 3), batch);
}

/* What a decision on a whole batch has purged comes back before its rows are deleted: a message
 * that is gone, and a part of one of which the rest was sent. */
static void
what_is_gone_comes_back(void **state)
{
	struct fixture *f = *state;
	struct store_delivery_id second = {0, 2};
	struct store_job job, purge = {.op = STORE_PURGE};
	struct batch_numbers b;
	int64_t batch = import(f, 0, OTHER_STORE, 501, 2, 2, 0), again;

	assert_int_equal(decide(f, STORE_DISCARD, batch), STORE_OK);
	assert_int_equal(decide(f, STORE_PURGE_NOW, batch), STORE_OK);
	again = import(f, 0, OTHER_STORE, 501, 2, 2, 0);
	assert_int_not_equal(again, batch);
	assert_int_equal(count_deliveries(f, 0, STORE_HELD), 2);
	second.id = id_highest();
	decide_job(&job, STORE_RELEASE, 0);
	job.u.decide.selector.ids = &second;
	job.u.decide.selector.id_count = 1;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(claim(f, "staging", INT64_MAX / 2), 1);
	assert_int_equal(report(f, second.id, 2, STORE_SENT, 0), STORE_OK);
	assert_int_equal(decide(f, STORE_DISCARD, again), STORE_OK);
	assert_int_equal(decide(f, STORE_PURGE_NOW, again), STORE_OK);
	again = import(f, again, OTHER_STORE, 501, 2, 1, 1);
	purge.u.purge.limit = 100;
	assert_int_equal(run_job(f, &purge), STORE_OK);
	assert_true(get_batch(f, again, &b));
	assert_int_equal(b.held, 1);
	assert_int_equal(b.sent, 1);
	assert_int_equal(count_deliveries(f, again, STORE_HELD), 1);
}

/* What was sent, is discarded or is on its way is not brought back by an import. */
static void
what_was_decided_stays(void **state)
{
	static const struct {
		enum store_decision decision;
		bool sent;
		enum store_state wanted;
	} rows[] = {{STORE_RELEASE, false, STORE_QUEUED},
		    {STORE_RELEASE, true, STORE_SENT},
		    {STORE_DISCARD, false, STORE_DISCARDED}};
	struct fixture *f = *state;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message *m = foreign_message(1);
		struct store_job job = import_job(m, 0, OTHER_STORE, 600 + i);
		int64_t batch;

		assert_int_equal(run_job(f, &job), STORE_OK);
		batch = job.u.import.batch;
		assert_int_equal(batch, i + 1);
		assert_int_equal(decide(f, rows[i].decision, batch), STORE_OK);
		if (rows[i].sent) {
			assert_true(claim(f, "staging", INT64_MAX / 2) >= 1);
			assert_int_equal(report(f, m->id, 1, STORE_SENT, 0), STORE_OK);
		}
		message_free(m);
		import(f, 0, OTHER_STORE, 600 + i, 1, 0, 1);
		assert_int_equal(count_deliveries(f, batch, (int)rows[i].wanted), 1);
		assert_int_equal(count_deliveries(f, batch, -1), 1);
	}
	check_counts(f);
}

static void
purge_discarded(struct fixture *f)
{
	struct store_job job = {.op = STORE_PURGE};

	job.u.purge.discarded_before = clock_wall() + CLOCK_DAY;
	job.u.purge.limit = 1000;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

/* A copy brings back what was purged, under its own id, and leaves the rest of the message alone.
 */
static void
what_was_purged_comes_back(void **state)
{
	struct fixture *f = *state;
	struct message *m =
	    make_message("staging", "hello", 2, VERDICT_HOLD, "burst volume", &test_stream);
	struct store_job add = {.op = STORE_ADD, .u.add.message = m}, job;
	struct store_delivery_id second = {m->id, 2};
	uint64_t id = m->id;
	char text[ID_TEXT_BYTES], again[ID_TEXT_BYTES];
	struct batch_numbers b;

	assert_int_equal(run_job(f, &add), STORE_OK);
	decide_job(&job, STORE_DISCARD, 0);
	job.u.decide.selector.ids = &second;
	job.u.decide.selector.id_count = 1;
	assert_int_equal(run_job(f, &job), STORE_OK);
	purge_discarded(f);
	job = import_job(m, 1, 0, 0);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.import.added, 1);
	assert_int_equal(job.u.import.skipped, 1);
	assert_int_equal(count_deliveries(f, 1, STORE_HELD), 2);
	/* All of it gone, as another store's file would name it. */
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	purge_discarded(f);
	assert_int_equal(count_deliveries(f, 1, -1), 0);
	job = import_job(m, 0, 0, 0);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.import.added, 2);
	assert_int_equal(job.u.import.batch, 2);
	assert_string_equal(id_format(m->id, text), id_format(id, again));
	assert_true(id_next() > id);
	assert_true(get_batch(f, 2, &b));
	assert_int_equal(b.messages, 1);
	assert_int_equal(b.held, 2);
	message_free(m);
}

static void
states_and_gaps_are_kept(void **state)
{
	static const enum store_state states[] = {STORE_HELD, STORE_SENT, STORE_DISCARDED};
	struct fixture *f = *state;
	struct message *m = foreign_message(3);
	struct store_job job = import_job(m, 0, OTHER_STORE, 9), load = {.op = STORE_LOAD};
	struct batch_numbers b;
	static char nobody[] = "";

	m->recipients[1].address.text = nobody; /* not in that batch there */
	job.u.import.states = states;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.import.added, 2);
	assert_true(get_batch(f, 1, &b));
	assert_int_equal(b.held, 1);
	assert_int_equal(b.discarded, 1);
	assert_int_equal(report(f, m->id, 2, STORE_SENT, 0), STORE_OK); /* there is none */
	load.u.load.id = m->id;
	assert_int_equal(run_job(f, &load), STORE_OK);
	assert_int_equal(load.u.load.message->body_bytes, m->body_bytes);
	assert_memory_equal(load.u.load.message->header.data, m->header.data, m->header.len);
	assert_int_equal(load.u.load.message->accepted_at, TEST_NOW);
	message_free(load.u.load.message);
	message_free(m);
	check_counts(f);
}

/* ---- refused ---- */

enum wrong {
	NO_SUCH_BATCH,
	OTHER_ENVIRONMENT,
	BEING_RELEASED,
	NO_RECIPIENT,
	QUEUED,
	FUTURE_ID,
	HALF_A_BODY,
	OTHER_RECIPIENT,
	OTHER_SIZE,
	COMING_IN
};

static void
spoil(struct fixture *f, struct store_job *job, enum wrong wrong, uint64_t here)
{
	static const enum store_state queued[] = {STORE_QUEUED, STORE_QUEUED};
	static char nobody[] = "", other[] = "other@example.net";
	struct message *m = job->u.import.message;
	struct store_job begin = {.op = STORE_BEGIN};

	switch (wrong) {
	case NO_SUCH_BATCH:
		job->u.import.batch = 4711;
		break;
	case OTHER_ENVIRONMENT:
		job->u.import.batch = 1;
		m->environment = "production";
		break;
	case BEING_RELEASED:
		job->u.import.batch = 2;
		break;
	case NO_RECIPIENT:
		m->recipients[0].address.text = nobody;
		break;
	case QUEUED:
		job->u.import.states = queued;
		break;
	case FUTURE_ID:
		m->id = id_highest() + (1 << 20);
		break;
	case HALF_A_BODY:
		m->body_bytes++;
		break;
	case OTHER_RECIPIENT:
		m->id = here;
		m->recipients[0].address.text = other;
		break;
	case OTHER_SIZE:
		m->id = here;
		buf_add_text(&m->header, "X: y\r\n");
		break;
	case COMING_IN:
		m->id = begin.u.body.id = id_next();
		assert_int_equal(run_job(f, &begin), STORE_OK);
		break;
	}
}

static void
wrong_imports_are_refused(void **state)
{
	static const struct {
		enum wrong wrong;
		const char *says;
	} rows[] = {
	    {NO_SUCH_BATCH, "there is no batch B4711"},
	    {OTHER_ENVIRONMENT, "is of the environment staging"},
	    {BEING_RELEASED, "is being released"},
	    {NO_RECIPIENT, "no recipients"},
	    {QUEUED, "not queued"},
	    {FUTURE_ID, "never given that id"},
	    {HALF_A_BODY, "not complete"},
	    {OTHER_RECIPIENT, "another message is here"},
	    {OTHER_SIZE, "another message is here"},
	    {COMING_IN, "just coming in"},
	};
	struct fixture *f = *state;
	struct verdict_stream second = test_stream;
	uint64_t here = add_held(f, &test_stream, 1);
	size_t i;

	second.hash++;
	add_held(f, &second, 1);
	assert_int_equal(decide(f, STORE_RELEASE, 2), STORE_OK);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct message *m = foreign_message(1);
		struct store_job job = import_job(m, 0, 0, 0);

		spoil(f, &job, rows[i].wrong, here);
		assert_int_not_equal(run_job(f, &job), STORE_OK);
		if (strstr(job.error, rows[i].says) == NULL)
			fail_msg("row %zu: %s", i, job.error);
		message_free(m);
	}
	assert_int_equal(count_deliveries(f, 0, -1), 2);
	assert_int_equal(count_audit(f, "batch.imported"), 0);
	check_counts(f);
}

/* ---- out of a copy ---- */

struct bringing {
	struct fixture *f;
	int64_t batch;
	uint64_t added, skipped;
};

static bool
bring(void *context, const struct message *m, const struct store_delivery *deliveries, size_t count)
{
	struct bringing *b = context;
	enum store_state states[8];
	struct store_job job;
	size_t i;

	assert_true(count <= 8);
	for (i = 0; i < count; i++)
		states[i] = deliveries[i].state;
	job = import_job((struct message *)m, b->batch, 0, 0);
	job.u.import.states = states;
	if (run_job(b->f, &job) != STORE_OK)
		fail_msg("%s", job.error);
	b->batch = job.u.import.batch;
	b->added += job.u.import.added;
	b->skipped += job.u.import.skipped;
	return true;
}

static void
copied(struct store_copy *copy)
{
	atomic_store((atomic_bool *)copy->context, true);
}

static void
a_batch_comes_back_out_of_a_copy(void **state)
{
	struct fixture *f = *state;
	struct bringing b = {.f = f};
	struct batch_numbers numbers;
	struct backup_report report;
	struct buf error = {0};
	struct backup *backup;
	char path[128];
	atomic_bool done = false;
	struct store_copy copy = {.path = path, .done = copied, .context = &done};
	int i;

	snprintf(path, sizeof(path), "%s/copy.db", f->dir);
	for (i = 0; i < 20; i++)
		add_held(f, &test_stream, 3);
	store_copy_start(f->s, &copy);
	while (!atomic_load(&done))
		sched_yield();
	assert_int_equal(copy.result, STORE_OK);
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	purge_discarded(f);
	assert_int_equal(count_deliveries(f, 0, -1), 0);
	backup = backup_open(path, &report, &error);
	assert_non_null(backup);
	for (i = 0; i < 2; i++) { /* twice */
		b.batch = 0;
		assert_true(backup_messages(backup, 1, bring, &b, &error));
		assert_int_equal(b.batch, 2);
	}
	assert_int_equal(b.added, 60);
	assert_int_equal(b.skipped, 60);
	assert_int_equal(count_deliveries(f, 2, STORE_HELD), 60);
	assert_true(get_batch(f, 2, &numbers));
	assert_int_equal(numbers.messages, 20);
	backup_close(backup);
	unlink(path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(it_comes_once),
	    BOTH(what_is_gone_comes_back),
	    BOTH(what_was_decided_stays),
	    BOTH(what_was_purged_comes_back),
	    BOTH(states_and_gaps_are_kept),
	    BOTH(wrong_imports_are_refused),
	    {"a_batch_comes_back_out_of_a_copy", a_batch_comes_back_out_of_a_copy, setup, teardown,
	     (void *)&backend_sqlite},
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
