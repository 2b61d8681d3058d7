/*
 * The store's contract, run over both twins: mail comes in, is claimed, sent, expired. Every test
 * opens a fresh store of each kind.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "tests/unit/store_help.h"

/* ---- STORE_ADD ---- */

static bool
keep_one(void *context, const struct store_delivery *d)
{
	struct store_delivery *out = context;

	*out = *d;
	out->recipient = mem_strdup(d->recipient);
	return false;
}

static struct store_delivery
look(struct fixture *f, uint64_t id)
{
	struct store_filter filter = {.message = id, .state = -1};
	struct store_delivery d = {.id = 0};

	assert_int_equal(store_view_deliveries(f->v, &filter, keep_one, &d), STORE_OK);
	free((char *)d.recipient);
	d.recipient = NULL;
	return d;
}

static void
add_gives_states(void **state)
{
	static const struct {
		enum verdict_action action;
		const char *rule;
		bool taken;
		enum store_state wanted;
		bool due;
	} rows[] = {
	    {VERDICT_PASS, NULL, false, STORE_QUEUED, true},
	    {VERDICT_PASS, NULL, true, STORE_QUEUED, false},
	    {VERDICT_WAIT, "burst volume", true, STORE_WAITING, true},
	    {VERDICT_HOLD, "burst volume", true, STORE_HELD, false},
	    {VERDICT_DROP, "recipients", true, STORE_DROPPED, false},
	};
	/* another stream, so that it does not pull the waiting one in */
	struct verdict_stream other = test_stream;
	struct fixture *f = *state;
	size_t i;

	other.hash = 99;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store_job job = {.op = STORE_ADD};
		struct store_delivery d;

		job.u.add.message =
		    make_message("staging", "hello", 1, rows[i].action, rows[i].rule,
				 rows[i].action == VERDICT_HOLD ? &other : &test_stream);
		job.u.add.taken = rows[i].taken;
		assert_int_equal(run_job(f, &job), STORE_OK);
		d = look(f, job.u.add.message->id);
		assert_int_equal(d.state, rows[i].wanted);
		assert_int_equal(d.due_at != 0, rows[i].due);
		message_free(job.u.add.message);
	}
	check_counts(f);
}

static void
add_without_recipients_is_refused(void **state)
{
	struct message *m = make_message("staging", "x", 0, VERDICT_PASS, NULL, NULL);
	struct store_job job = {.op = STORE_ADD, .u.add.message = m};

	assert_int_equal(run_job(*state, &job), STORE_REFUSED);
	assert_non_null(strstr(job.error, "no recipients"));
	message_free(m);
}

static void
waiting_is_pulled_in(void **state)
{
	struct fixture *f = *state;
	struct batch_numbers b;
	uint64_t first = add_message(
	    f, make_message("staging", "a", 3, VERDICT_WAIT, "burst volume", &test_stream));

	assert_int_equal(look(f, first).due_at, TEST_NOW + 5 * CLOCK_SECOND);
	add_held(f, &test_stream, 2);
	assert_int_equal(look(f, first).state, STORE_HELD);
	assert_true(get_batch(f, 1, &b));
	assert_int_equal(b.recipients, 5);
	assert_int_equal(b.messages, 2);
	assert_int_equal(b.leaked, 7 - 3);
	assert_int_equal(b.state, STORE_BATCH_HELD);
	assert_int_equal(count_audit(f, "batch.opened"), 1);
	assert_int_equal(take_alerts(f, "batch.opened"), 1);
	/* judged WAIT before the trip, stored after it: nobody may have to come to bring it in */
	add_message(f, make_message("staging", "a", 1, VERDICT_WAIT, "burst volume", &test_stream));
	assert_int_equal(count_deliveries(f, 0, STORE_WAITING), 0);
	assert_int_equal(count_deliveries(f, 1, STORE_HELD), 6);
	get_batch(f, 1, &b);
	assert_int_equal(b.leaked, 7 - 4);
	check_counts(f);
}

/* The stream has calmed down and mail passes again, the batch is closed a moment later. */
static void
waiting_long_after_a_trip_waits(void **state)
{
	struct fixture *f = *state;
	struct message *m =
	    make_message("staging", "a", 1, VERDICT_WAIT, "burst volume", &test_stream);

	add_held(f, &test_stream, 2);
	m->accepted_at = test_stream.tripped_at + CLOCK_HOUR;
	add_message(f, m);
	assert_int_equal(count_deliveries(f, 0, STORE_WAITING), 1);
}

/* Judged before a decision or a close, stored after it: of the same trip, so of the same batch. */
static void
late_mail_joins_its_trip(void **state)
{
	struct fixture *f = *state;
	struct store_job close = {.op = STORE_CLOSE};
	struct batch_numbers b;

	add_held(f, &test_stream, 3);
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	assert_int_equal(take_alerts(f, "batch.grown"), 0);
	add_held(f, &test_stream, 2);
	assert_int_equal(take_alerts(f, "batch.grown"), 1);
	get_batch(f, 1, &b);
	assert_int_equal(b.state, STORE_BATCH_HELD);
	assert_int_equal(b.held, 2);
	assert_int_equal(b.discarded, 3);
	assert_int_equal(b.leaked, 7);
	close.u.close.stream_hash = test_stream.hash;
	close.u.close.now = TEST_NOW;
	assert_int_equal(run_job(f, &close), STORE_OK);
	add_held(f, &test_stream, 1);
	assert_false(get_batch(f, 2, &b));
	assert_int_equal(take_alerts(f, "batch.grown"), 0);
	check_counts(f);
}

/* A rule that holds by its nature never trips: decided is decided, what comes is another batch. */
static void
what_never_trips_opens_another(void **state)
{
	struct fixture *f = *state;
	struct verdict_stream stream = test_stream;
	struct batch_numbers b;

	stream.tripped_at = 0;
	add_held(f, &stream, 3);
	decide(f, STORE_DISCARD, 1);
	add_held(f, &stream, 2);
	assert_true(get_batch(f, 2, &b));
	assert_int_equal(b.held, 2);
}

static void
join_by_hash_and_trip(void **state)
{
	struct fixture *f = *state;
	struct verdict_stream again = test_stream;
	struct batch_numbers b;

	add_held(f, &test_stream, 1);
	add_held(f, &test_stream, 1);
	assert_false(get_batch(f, 2, &b));
	again.tripped_at += 60;
	add_held(f, &again, 1);
	assert_true(get_batch(f, 2, &b));
	assert_true(b.collecting);
	assert_true(get_batch(f, 1, &b));
	assert_int_equal(b.recipients, 2);
	assert_false(b.collecting);
	check_counts(f);
}

static void
growth_is_told_tenfold(void **state)
{
	struct fixture *f = *state;

	add_held(f, &test_stream, 2);
	add_held(f, &test_stream, 17);
	assert_int_equal(take_alerts(f, "batch.grown"), 0);
	add_held(f, &test_stream, 1);
	assert_int_equal(take_alerts(f, "batch.grown"), 1);
	add_held(f, &test_stream, 100);
	assert_int_equal(take_alerts(f, "batch.grown"), 0);
	add_held(f, &test_stream, 80);
	assert_int_equal(take_alerts(f, "batch.grown"), 1);
}

static void
observing_is_told_once_a_trip(void **state)
{
	struct fixture *f = *state;
	struct verdict_stream stream = test_stream;
	int i, k;

	for (i = 0; i < 4; i++) {
		struct message *m = make_message("production", "x", 3, VERDICT_PASS, NULL, NULL);

		if (i == 3)
			stream.tripped_at++;
		for (k = 0; k < 3; k++) {
			m->recipients[k].verdict.observed = "volume";
			m->recipients[k].verdict.observed_stream = &stream;
		}
		add_message(f, m);
	}
	assert_int_equal(take_alerts(f, "batch.observed"), 2);
	assert_int_equal(count_deliveries(f, 0, STORE_QUEUED), 12);
}

static void
metrics_follow(void **state)
{
	int64_t held = metric_get(METRIC_RECIPIENTS_HELD), commits = metric_get(METRIC_COMMITS);
	int64_t dropped = metric_get(METRIC_RECIPIENTS_DROPPED);
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_ADD, .bytes = 1000};

	add_held(f, &test_stream, 3);
	decide(f, STORE_DISCARD, 1);
	decide(f, STORE_RESTORE, 1); /* held before, not held anew */
	job.u.add.message = make_message("staging", "d", 2, VERDICT_DROP, "recipients", NULL);
	assert_int_equal(run_job(f, &job), STORE_OK);
	message_free(job.u.add.message);
	assert_int_equal(metric_get(METRIC_RECIPIENTS_HELD), held + 3);
	assert_int_equal(metric_get(METRIC_RECIPIENTS_DROPPED), dropped + 2);
	assert_int_equal(metric_get(METRIC_COMMITS), commits + 4);
	assert_int_equal(metric_get(METRIC_WRITER_BYTES_NOW), 0);
}

/* ---- bodies ---- */

static void
bodies_come_back(void **state)
{
	static const size_t sizes[] = {
	    0, 1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7};
	struct fixture *f = *state;
	size_t i, k;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct message *m = make_message("staging", "body", 1, VERDICT_PASS, NULL, NULL);
		char *data = mem_alloc(sizes[i]);
		struct store_job load = {.op = STORE_LOAD};
		struct buf raw = {0}, wanted = {0};
		bool cut = true;
		uint32_t n;

		for (k = 0; k < sizes[i]; k++)
			data[k] = (char)(k * 31 + (k >> 8));
		chunks_clear(&m->body);
		chunks_add(&m->body, data, sizes[i]);
		m->body_bytes = sizes[i];
		load.u.load.id = add_message(f, m);
		buf_add_text(&wanted, "Subject: body\r\n\r\n");
		buf_add(&wanted, data, sizes[i]);
		assert_int_equal(store_view_raw(f->v, load.u.load.id, SIZE_MAX, &raw, &cut),
				 STORE_OK);
		assert_false(cut);
		assert_int_equal(raw.len, wanted.len);
		assert_memory_equal(raw.data, wanted.data, wanted.len);

		assert_int_equal(run_job(f, &load), STORE_OK);
		assert_int_equal(load.u.load.message->body_bytes, sizes[i]);
		assert_string_equal(load.u.load.message->sender.text, "app@example.com");
		buf_clear(&raw);
		for (n = 0; n < load.u.load.chunk_count; n++) {
			struct store_job part = {.op = STORE_LOAD_CHUNK};

			part.u.load.id = load.u.load.id;
			part.u.load.number = n;
			assert_int_equal(run_job(f, &part), STORE_OK);
			buf_add(&raw, part.u.load.chunk->data, part.u.load.chunk->len);
			chunk_unref(part.u.load.chunk);
		}
		assert_int_equal(raw.len, sizes[i]);
		assert_memory_equal(raw.len > 0 ? raw.data : "", data, sizes[i]);
		message_free(load.u.load.message);
		buf_free(&raw);
		buf_free(&wanted);
		free(data);
	}
}

static void
raw_is_cut_at_its_limit(void **state)
{
	struct fixture *f = *state;
	uint64_t id = add_passing(f, "staging", 1);
	struct buf raw = {0};
	bool cut = false;

	assert_int_equal(store_view_raw(f->v, id, 20, &raw, &cut), STORE_OK);
	assert_true(cut);
	assert_int_equal(raw.len, 20);
	assert_int_equal(store_view_raw(f->v, id + 1, 20, &raw, &cut), STORE_MISSING);
	buf_free(&raw);
}

static void
add_piece(struct chunks *c, const char *text, size_t len)
{
	struct chunk *piece = backend_chunk(text, len);

	STAILQ_INSERT_TAIL(&c->list, piece, next);
	c->bytes += len;
}

/* In two pieces: one job is one chunk all the same. */
static enum store_result
send_chunk(struct fixture *f, uint64_t id, uint32_t number, const char *text)
{
	struct store_job job = {.op = STORE_CHUNK};
	enum store_result r;

	job.u.body.id = id;
	job.u.body.number = number;
	chunks_init(&job.u.body.chunks);
	add_piece(&job.u.body.chunks, text, 1);
	add_piece(&job.u.body.chunks, text + 1, strlen(text) - 1);
	r = run_job(f, &job);
	chunks_clear(&job.u.body.chunks);
	return r;
}

static void
large_bodies_come_in_pieces(void **state)
{
	struct fixture *f = *state;
	struct message *m = make_message("staging", "big", 1, VERDICT_PASS, NULL, NULL);
	struct store_job begin = {.op = STORE_BEGIN}, add = {.op = STORE_ADD};
	struct store_job load = {.op = STORE_LOAD}, abandon = {.op = STORE_ABANDON};
	uint64_t id = m->id;
	struct buf raw = {0};
	bool cut;

	begin.u.body.id = load.u.load.id = id;
	assert_int_equal(run_job(f, &begin), STORE_OK);
	assert_int_equal(send_chunk(f, id, 0, "one "), STORE_OK);
	assert_int_equal(run_job(f, &load), STORE_MISSING); /* invisible until complete */
	m->chunks_stored = 2;
	add.u.add.message = m;
	assert_int_equal(run_job(f, &add), STORE_MISSING); /* a chunk is not there */
	assert_int_equal(send_chunk(f, id, 1, "two "), STORE_OK);
	chunks_clear(&m->body);
	chunks_add(&m->body, "three", 5);
	m->body_bytes = 13;
	assert_int_equal(run_job(f, &add), STORE_OK);
	assert_int_equal(send_chunk(f, id, 3, "late"), STORE_MISSING);
	assert_int_equal(store_view_raw(f->v, id, 1000, &raw, &cut), STORE_OK);
	assert_string_equal(buf_text(&raw), "Subject: big\r\n\r\none two three");
	assert_int_equal(run_job(f, &load), STORE_OK);
	assert_int_equal(load.u.load.chunk_count, 3);
	message_free(load.u.load.message);
	message_free(m);
	buf_free(&raw);

	begin.u.body.id = abandon.u.body.id = id_next();
	assert_int_equal(run_job(f, &begin), STORE_OK);
	assert_int_equal(run_job(f, &abandon), STORE_OK);
	assert_int_equal(send_chunk(f, begin.u.body.id, 0, "x"), STORE_MISSING);
	abandon.u.body.id = id; /* a complete one is not touched */
	assert_int_equal(run_job(f, &abandon), STORE_OK);
	assert_int_equal(look(f, id).id, id);
}

/* ---- claims and results ---- */

static void
claims_take_what_is_due(void **state)
{
	struct fixture *f = *state;
	const char *names[] = {"staging", "production", "nobody"};
	struct store_job job = {.op = STORE_CLAIM};
	uint64_t id = add_passing(f, "staging", 5);
	size_t i, n = 0;

	add_passing(f, "production", 5);
	add_message(f, make_message("staging", "w", 1, VERDICT_WAIT, "burst volume", &test_stream));
	job.u.claim.environments = names;
	job.u.claim.environment_count = 3;
	job.u.claim.now = TEST_NOW;
	job.u.claim.limit = 6;
	assert_int_equal(run_job(f, &job), STORE_OK);
	for (i = 0; i < job.u.claim.due_count; i++)
		n += job.u.claim.due[i].count;
	assert_int_equal(n, 6);
	assert_int_equal(job.u.claim.due_count, 2); /* both got a share */
	assert_int_equal(job.u.claim.due[0].id, id);
	assert_string_equal(job.u.claim.due[0].deliveries[0].address, "r1@example.net");
	assert_int_equal(job.u.claim.due[0].deliveries[0].queued_at, TEST_NOW);
	assert_int_equal(job.u.claim.next_due_at, TEST_NOW);
	store_due_free(job.u.claim.due, job.u.claim.due_count);
	assert_int_equal(claim(f, "staging", TEST_NOW) + claim(f, "production", TEST_NOW), 4);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.claim.due_count, 0);
	assert_int_equal(job.u.claim.next_due_at, TEST_NOW + 5 * CLOCK_SECOND);
	assert_int_equal(claim(f, "staging", TEST_NOW + 5 * CLOCK_SECOND), 1);
	assert_int_equal(count_deliveries(f, 0, STORE_QUEUED), 11);
	check_counts(f);
}

static void
results_move_deliveries(void **state)
{
	struct fixture *f = *state;
	uint64_t id = add_passing(f, "staging", 3);

	assert_int_equal(claim(f, "staging", TEST_NOW), 3);
	assert_int_equal(report(f, id, 1, STORE_SENT, 0), STORE_OK);
	assert_int_equal(report(f, id, 2, STORE_FAILED, 0), STORE_OK);
	assert_int_equal(report(f, id, 3, STORE_QUEUED, TEST_NOW + 99), STORE_OK);
	/* said twice, or of nothing: ignored, never an error for its neighbours */
	assert_int_equal(report(f, id, 1, STORE_FAILED, 0), STORE_OK);
	assert_int_equal(report(f, id, 9, STORE_SENT, 0), STORE_OK);
	assert_int_equal(report(f, id, 3, STORE_DISCARDED, 0), STORE_REFUSED);
	assert_int_equal(count_deliveries(f, 0, STORE_SENT), 1);
	assert_int_equal(count_deliveries(f, 0, STORE_FAILED), 1);
	assert_int_equal(claim(f, "staging", TEST_NOW + 98), 0);
	assert_int_equal(claim(f, "staging", TEST_NOW + 99), 1);
	check_counts(f);
}

static void
failures_are_told_once_in_ten_minutes(void **state)
{
	struct fixture *f = *state;
	uint64_t id = add_passing(f, "staging", 5);
	uint32_t i;

	claim(f, "staging", TEST_NOW);
	for (i = 1; i <= 5; i++)
		assert_int_equal(report(f, id, i, STORE_FAILED, 0), STORE_OK);
	assert_int_equal(take_alerts(f, "delivery.failed"), 1);
}

static void
old_mail_expires(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_EXPIRE};

	add_passing(f, "staging", 2);
	claim(f, "staging", TEST_NOW);
	add_passing(f, "staging", 3);
	add_held(f, &test_stream, 2);
	job.u.expire.environment = "staging";
	job.u.expire.now = TEST_NOW + CLOCK_DAY;
	job.u.expire.queued_before = TEST_NOW;
	job.u.expire.reason = "4.4.7 gave up";
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.expire.expired, 0);
	/* released a minute later: its time begins then */
	assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_OK);
	job.u.expire.queued_before = TEST_NOW + 1;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.expire.expired, 3); /* not what is taken */
	job.u.expire.queued_before = TEST_NOW + CLOCK_MINUTE + 1;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.expire.expired, 2);
	check_counts(f);
}

/* ---- threads ---- */

enum { THREADS = 4, EACH = 40 };

struct worker {
	pthread_t thread;
	struct fixture f; /* the same store, a view of its own */
	bool good;
};

static bool
count_delivery(void *context, const struct store_delivery *d)
{
	(void)d;
	++*(int *)context;
	return true;
}

/* No assertions here: cmocka's are for the test's own thread. */
static void *
work(void *arg)
{
	struct worker *w = arg;
	struct store_filter all = {.state = -1};
	int i, seen = 0;

	w->good = true;
	for (i = 0; i < EACH && w->good; i++) {
		struct store_job add = {.op = STORE_ADD}, load = {.op = STORE_LOAD};
		struct message *m =
		    make_message("staging", "x", 2, VERDICT_HOLD, "burst volume", &test_stream);
		int now = 0;

		add.u.add.message = m;
		load.u.load.id = m->id;
		w->good = run_job(&w->f, &add) == STORE_OK && run_job(&w->f, &load) == STORE_OK &&
			  store_view_deliveries(w->f.v, &all, count_delivery, &now) == STORE_OK &&
			  now % 2 == 0 && now >= seen + 2; /* whole messages, its own among them */
		seen = now;
		message_free(m);
		if (load.result == STORE_OK)
			message_free(load.u.load.message);
	}
	return NULL;
}

static void
threads_share_the_store(void **state)
{
	struct fixture *f = *state;
	struct worker workers[THREADS];
	struct buf error = {0};
	struct batch_numbers b;
	int i;

	for (i = 0; i < THREADS; i++) {
		workers[i].f = *f;
		workers[i].f.v = store_view_open(f->s, &error);
		assert_non_null(workers[i].f.v);
	}
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	for (i = 0; i < THREADS; i++) {
		pthread_join(workers[i].thread, NULL);
		store_view_close(workers[i].f.v);
		assert_true(workers[i].good);
	}
	assert_true(get_batch(f, 1, &b));
	assert_int_equal(b.held, THREADS * EACH * 2);
	assert_int_equal(b.messages, THREADS * EACH);
	check_counts(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(add_gives_states),
	    BOTH(add_without_recipients_is_refused),
	    BOTH(waiting_is_pulled_in),
	    BOTH(waiting_long_after_a_trip_waits),
	    BOTH(late_mail_joins_its_trip),
	    BOTH(what_never_trips_opens_another),
	    BOTH(join_by_hash_and_trip),
	    BOTH(growth_is_told_tenfold),
	    BOTH(observing_is_told_once_a_trip),
	    BOTH(metrics_follow),
	    BOTH(bodies_come_back),
	    BOTH(raw_is_cut_at_its_limit),
	    BOTH(large_bodies_come_in_pieces),
	    BOTH(claims_take_what_is_due),
	    BOTH(results_move_deliveries),
	    BOTH(failures_are_told_once_in_ten_minutes),
	    BOTH(old_mail_expires),
	    BOTH(threads_share_the_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
