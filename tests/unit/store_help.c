/*
 * Helpers of the store's tests. Each test is one thread; jobs are answered on the store's threads.
 */
#include "tests/unit/store_help.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"

const struct verdict_stream test_stream = {.hash = 0x1234,
					   .key = "environment=staging",
					   .source = "10.2.0.7",
					   .sender = "",
					   .subject = "",
					   .tripped_at = TEST_NOW - CLOCK_SECOND,
					   .counted = 7,
					   .limit = 50,
					   .window = 10 * CLOCK_MINUTE};

/* ---- the store ---- */

size_t
count_told(const struct fixture *f, uint64_t stream)
{
	size_t i, n = 0;

	for (i = 0; i < f->told_count; i++)
		n += stream == 0 || f->told[i] == stream;
	return n;
}

void
note_trip(struct fixture *f, const struct verdict_stream *stream)
{
	assert_true(f->trip_count < sizeof(f->trips) / sizeof(f->trips[0]));
	f->trips[f->trip_count].stream = stream->hash;
	f->trips[f->trip_count].tripped_at = stream->tripped_at;
	f->trips[f->trip_count++].told = count_told(f, stream->hash);
}

static void
hear_unleave(void *context, uint64_t stream, int64_t counted_at)
{
	struct fixture *f = context;

	(void)counted_at;
	if (f->told_count == f->told_cap) {
		f->told_cap = f->told_cap > 0 ? f->told_cap * 2 : 64;
		f->told = mem_resize_array(f->told, f->told_cap, sizeof(*f->told));
	}
	f->told[f->told_count++] = stream;
}

static void
hear_releave(void *context, uint64_t stream, int64_t counted_at)
{
	struct fixture *f = context;

	(void)counted_at;
	if (f->told_count == 0 || f->told[f->told_count - 1] != stream)
		panic("taken back what was not told last");
	f->told_count--;
}

static int64_t
say_unleft(void *context, uint64_t stream, int64_t tripped_at)
{
	const struct fixture *f = context;
	size_t i;

	for (i = 0; i < f->trip_count; i++)
		if (f->trips[i].stream == stream && f->trips[i].tripped_at == tripped_at)
			return (int64_t)count_told(f, stream) - (int64_t)f->trips[i].told;
	return 0;
}

void
fixture_open(struct fixture *f, const struct backend *b)
{
	memset(f, 0, sizeof(*f));
	f->b = b;
	f->counters = (struct store_counters){
	    .unleave = hear_unleave, .releave = hear_releave, .unleft = say_unleft, .context = f};
	snprintf(f->dir, sizeof(f->dir), "%s", "/tmp/mailfuse-test-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/store.db", f->dir);
	fixture_reopen(f);
}

static void
shut(struct fixture *f)
{
	if (f->v != NULL)
		store_view_close(f->v);
	if (f->s != NULL)
		store_close(f->s);
	f->v = NULL;
	f->s = NULL;
}

void
fixture_reopen(struct fixture *f)
{
	struct store_options options = {
	    .path = f->path, .counters = f->counters, .feed_ahead = f->feed_ahead};
	struct buf error = {0};

	shut(f);
	f->s = store_open_backend(f->b, &options, &error);
	if (f->s == NULL)
		fail_msg("%s", buf_text(&error));
	f->v = store_view_open(f->s, &error);
	assert_non_null(f->v);
}

void
fixture_count(struct fixture *f, const struct store_counters *counters)
{
	f->counters = *counters;
	fixture_reopen(f);
}

static void
remove_files(const struct fixture *f)
{
	static const char *const endings[] = {"", "-wal", "-shm", ".lock"};
	char path[128];
	size_t i;

	for (i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", f->path, endings[i]);
		unlink(path);
	}
}

void
fixture_replace(struct fixture *f, const void *data, size_t len)
{
	FILE *out;

	shut(f);
	remove_files(f);
	out = fopen(f->path, "wb");
	assert_non_null(out);
	assert_int_equal(fwrite(data, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
	fixture_reopen(f);
}

void
fixture_close(struct fixture *f)
{
	shut(f);
	remove_files(f);
	rmdir(f->dir);
	free(f->told);
}

int
setup(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	fixture_open(f, *state);
	*state = f;
	return 0;
}

int
teardown(void **state)
{
	fixture_close(*state);
	free(*state);
	return 0;
}

/* ---- jobs ---- */

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	size_t left;
};

static void
job_done(struct store_job *job)
{
	struct waiting *w = job->context;

	pthread_mutex_lock(&w->lock);
	w->left--;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void
run_jobs(struct fixture *f, struct store_job *jobs, size_t n)
{
	struct waiting w = {.left = n};
	size_t i;

	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.wake, NULL);
	for (i = 0; i < n; i++) {
		jobs[i].done = job_done;
		jobs[i].context = &w;
		if (jobs[i].op == STORE_LOAD || jobs[i].op == STORE_LOAD_CHUNK)
			reader_submit(f->s, &jobs[i]);
		else
			writer_submit(f->s, &jobs[i]);
	}
	pthread_mutex_lock(&w.lock);
	while (w.left > 0)
		pthread_cond_wait(&w.wake, &w.lock);
	pthread_mutex_unlock(&w.lock);
	pthread_cond_destroy(&w.wake);
	pthread_mutex_destroy(&w.lock);
}

enum store_result
run_job(struct fixture *f, struct store_job *job)
{
	run_jobs(f, job, 1);
	return job->result;
}

struct message *
make_message(const char *environment, const char *subject, unsigned recipients,
	     enum verdict_action action, const char *rule, const struct verdict_stream *stream)
{
	static const char body[] = "Dear customer,\r\nthe content.\r\n";
	struct message *m = message_new();
	struct address a = {.utf8 = false};
	unsigned i;

	m->id = id_next();
	m->accepted_at = TEST_NOW;
	m->environment = environment;
	m->source = "10.2.0.7";
	m->client = "10.2.0.7";
	m->helo = "app";
	m->protocol = "ESMTP";
	m->subject = m->subject_key = arena_strdup(&m->arena, subject);
	m->campaign = m->header_from = "";
	a.local = arena_strdup(&m->arena, "x");
	a.domain = arena_strdup(&m->arena, "example.net");
	a.text = arena_strdup(&m->arena, "app@example.com");
	message_set_sender(m, &a);
	buf_printf(&m->header, "Subject: %s\r\n", subject);
	chunks_add(&m->body, body, sizeof(body) - 1);
	m->body_bytes = sizeof(body) - 1;
	for (i = 0; i < recipients; i++) {
		struct recipient *r;

		a.text = arena_printf(&m->arena, "r%u@example.net", i + 1);
		r = message_add_recipient(m, &a);
		r->final = r->address.text;
		r->verdict = (struct verdict){
		    .action = action, .rule = rule, .stream = stream, .settle = 5 * CLOCK_SECOND};
	}
	return m;
}

uint64_t
add_message(struct fixture *f, struct message *m)
{
	struct store_job job = {.op = STORE_ADD, .u.add.message = m};
	uint64_t id = m->id;

	if (run_job(f, &job) != STORE_OK)
		fail_msg("STORE_ADD: %d %s", job.result, job.error);
	message_free(m);
	return id;
}

struct message *
make_counted(const struct verdict_key *keys, size_t count, int64_t accepted_at, int64_t settle)
{
	struct message *m =
	    make_message("staging", "hello", 1, settle > 0 ? VERDICT_WAIT : VERDICT_PASS,
			 settle > 0 ? "burst volume" : NULL, settle > 0 ? &test_stream : NULL);

	m->accepted_at = accepted_at;
	m->recipients[0].verdict.settle = settle;
	m->recipients[0].verdict.keys = keys;
	m->recipients[0].verdict.key_count = count;
	return m;
}

uint64_t
add_counted(struct fixture *f, const struct verdict_key *keys, size_t count, int64_t accepted_at,
	    int64_t settle)
{
	return add_message(f, make_counted(keys, count, accepted_at, settle));
}

uint64_t
add_passing(struct fixture *f, const char *environment, unsigned recipients)
{
	return add_message(
	    f, make_message(environment, "hello", recipients, VERDICT_PASS, NULL, NULL));
}

uint64_t
add_held(struct fixture *f, const struct verdict_stream *stream, unsigned recipients)
{
	return add_message(
	    f, make_message("staging", "hello", recipients, VERDICT_HOLD, "burst volume", stream));
}

void
decide_job(struct store_job *job, enum store_decision decision, int64_t batch)
{
	*job = (struct store_job){.op = STORE_DECIDE};
	job->u.decide.decision = decision;
	job->u.decide.selector.batch = batch;
	job->u.decide.who = "uid:1000(kim)";
	job->u.decide.reason = "looked at it";
	job->u.decide.now = TEST_NOW + CLOCK_MINUTE;
	job->u.decide.rings.stop_on = -1;
}

enum store_result
decide(struct fixture *f, enum store_decision decision, int64_t batch)
{
	struct store_job job;

	decide_job(&job, decision, batch);
	return run_job(f, &job);
}

uint64_t
claim(struct fixture *f, const char *environment, int64_t now)
{
	struct store_job job = {.op = STORE_CLAIM};
	uint64_t n = 0;
	size_t i;

	job.u.claim.environments = &environment;
	job.u.claim.environment_count = 1;
	job.u.claim.now = now;
	job.u.claim.limit = 10000;
	assert_int_equal(run_job(f, &job), STORE_OK);
	for (i = 0; i < job.u.claim.due_count; i++)
		n += job.u.claim.due[i].count;
	store_due_free(job.u.claim.due, job.u.claim.due_count);
	return n;
}

enum store_result
report(struct fixture *f, uint64_t id, uint32_t number, enum store_state state, int64_t due_at)
{
	struct store_delivery_result result = {.id = id,
					       .number = number,
					       .environment = "staging", /* or it is looked at */
					       .state = state,
					       .due_at = due_at,
					       .tried = true,
					       .reply =
						   state == STORE_SENT ? "250 ok" : "450 later"};
	struct store_job job = {.op = STORE_RESULTS, .u.results = {.results = &result, .count = 1}};

	run_job(f, &job);
	return job.result;
}

enum store_result
press(struct fixture *f, bool on, int scope, const char *name, int64_t now)
{
	struct store_job job = {.op = STORE_HOLD};

	job.u.hold.on = on;
	job.u.hold.scope = scope;
	job.u.hold.name = name;
	job.u.hold.reason = "stop";
	job.u.hold.who = "uid:0(root)";
	job.u.hold.now = now;
	return run_job(f, &job);
}

/* ---- looking ---- */

static bool
see_batch(void *context, const struct store_batch *b)
{
	*(struct batch_numbers *)context = (struct batch_numbers){
	    b->id,    b->state, b->collecting, b->messages, b->recipients, b->leaked,
	    b->bytes, b->held,  b->released,   b->sent,     b->failed,     b->discarded};
	return true;
}

bool
get_batch(struct fixture *f, int64_t id, struct batch_numbers *out)
{
	memset(out, 0, sizeof(*out));
	return store_view_batch(f->v, id, see_batch, out) == STORE_OK;
}

static bool
see_delivery(void *context, const struct store_delivery *d)
{
	(void)d;
	++*(uint64_t *)context;
	return true;
}

uint64_t
count_deliveries(struct fixture *f, int64_t batch, int state)
{
	struct store_filter filter = {.batch = batch, .state = state};
	uint64_t n = 0;

	assert_int_equal(store_view_deliveries(f->v, &filter, see_delivery, &n), STORE_OK);
	return n;
}

struct audit_count {
	const char *action;
	uint64_t n;
};

static bool
see_audit(void *context, const struct store_audit *a)
{
	struct audit_count *c = context;

	c->n += strcmp(a->action, c->action) == 0;
	return true;
}

uint64_t
count_audit(struct fixture *f, const char *action)
{
	struct audit_count c = {action, 0};

	assert_int_equal(store_view_audit(f->v, 0, 0, 0, NULL, see_audit, &c), STORE_OK);
	return c.n;
}

uint64_t
take_alerts(struct fixture *f, const char *event)
{
	static char everything[] = "*";
	static char *globs[] = {everything, NULL};
	static const struct store_channel channel = {"ops", globs};
	struct store_job job = {.op = STORE_ALERTS}, done = {.op = STORE_ALERTS};
	uint64_t n = 0;
	size_t i;

	job.u.alerts.step = STORE_ALERT_FAN_OUT;
	job.u.alerts.channels = &channel;
	job.u.alerts.channel_count = 1;
	job.u.alerts.now = clock_wall();
	assert_int_equal(run_job(f, &job), STORE_OK);
	job.u.alerts.step = STORE_ALERT_TAKE;
	job.u.alerts.limit = 1000;
	job.u.alerts.now = clock_wall();
	assert_int_equal(run_job(f, &job), STORE_OK);
	for (i = 0; i < job.u.alerts.alert_count; i++) {
		n += strcmp(job.u.alerts.alerts[i].event, event) == 0;
		done.u.alerts.step = STORE_ALERT_DONE;
		done.u.alerts.row = job.u.alerts.alerts[i].row;
		assert_int_equal(run_job(f, &done), STORE_OK);
	}
	store_alerts_free(job.u.alerts.alerts, job.u.alerts.alert_count);
	return n;
}

/* ---- invariants ---- */

struct all_batches {
	struct batch_numbers rows[256];
	size_t n;
};

static bool
keep_batch(void *context, const struct store_batch *b)
{
	struct all_batches *all = context;

	see_batch(&all->rows[all->n++], b);
	return all->n < 256;
}

struct summed {
	uint64_t last, messages, bytes, deliveries;
};

static bool
sum_delivery(void *context, const struct store_delivery *d)
{
	struct summed *s = context;

	s->deliveries++;
	if (s->last == d->id)
		return true;
	s->last = d->id;
	s->messages++;
	s->bytes += d->bytes;
	return true;
}

struct oldest {
	const char *environment;
	int64_t at;       /* of the first by id; 0 = none */
	int64_t least_at; /* of all: tests date their mail as they like */
};

static bool
see_held_row(void *context, const struct store_delivery *d)
{
	struct oldest *o = context;

	if (o->at == 0)
		o->at = o->least_at = d->accepted_at;
	if (d->accepted_at < o->least_at)
		o->least_at = d->accepted_at;
	return true;
}

static bool
see_held(void *context, const char *environment, int64_t at)
{
	struct oldest *o = context;

	assert_non_null(environment);
	if (strcmp(environment, o->environment) == 0 && (o->at == 0 || at < o->at))
		o->at = at;
	return true;
}

static void
check_oldest_held(struct fixture *f, const char *environment)
{
	struct store_filter filter = {.environment = environment, .state = STORE_HELD};
	struct oldest listed = {.environment = environment}, held = listed;

	assert_int_equal(store_view_deliveries(f->v, &filter, see_held_row, &listed), STORE_OK);
	assert_int_equal(store_view_held(f->v, see_held, &held), STORE_OK);
	assert_in_range(held.at, listed.least_at, listed.at);
}

struct env_counts {
	struct fixture *f;
	uint64_t total;
};

static bool
check_environment(void *context, const char *environment, enum store_state state, uint64_t count,
		  int64_t oldest, int64_t next)
{
	struct env_counts *c = context;
	struct store_filter filter = {.environment = environment, .state = (int)state};
	uint64_t n = 0;

	(void)next;
	assert_int_equal(store_view_deliveries(c->f->v, &filter, see_delivery, &n), STORE_OK);
	assert_int_equal(n, count);
	assert_int_equal(oldest > 0, state == STORE_QUEUED || state == STORE_WAITING);
	c->total += count;
	if (state == STORE_HELD)
		check_oldest_held(c->f, environment);
	return true;
}

void
check_counts(struct fixture *f)
{
	struct all_batches *all = mem_zalloc(sizeof(*all));
	struct env_counts counts = {.f = f};
	size_t i;

	assert_int_equal(store_view_batches(f->v, -1, true, keep_batch, all), STORE_OK);
	for (i = 0; i < all->n; i++) {
		const struct batch_numbers *b = &all->rows[i];
		struct store_filter filter = {.batch = b->id, .state = -1};
		struct summed sum = {.last = 0};

		assert_int_equal(store_view_deliveries(f->v, &filter, sum_delivery, &sum),
				 STORE_OK);
		assert_int_equal(b->recipients, sum.deliveries);
		assert_int_equal(b->messages, sum.messages);
		assert_int_equal(b->bytes, sum.bytes);
		assert_int_equal(b->held, count_deliveries(f, b->id, STORE_HELD));
		assert_int_equal(b->sent, count_deliveries(f, b->id, STORE_SENT));
		assert_int_equal(b->failed, count_deliveries(f, b->id, STORE_FAILED));
		assert_int_equal(b->discarded, count_deliveries(f, b->id, STORE_DISCARDED));
		assert_int_equal(b->released,
				 b->sent + b->failed + count_deliveries(f, b->id, STORE_QUEUED));
	}
	free(all);
	assert_int_equal(store_view_counts(f->v, check_environment, &counts), STORE_OK);
	assert_int_equal(counts.total, count_deliveries(f, 0, -1));
}

void
wait_for_room(struct fixture *f)
{
	int i;

	for (i = 0; i < 500 && !store_has_room(f->s, NULL); i++)
		usleep(10000);
	assert_true(store_has_room(f->s, NULL));
}

struct verdict_stream
stream_of(uint64_t hash, int64_t tripped_at, uint32_t counted_before)
{
	struct verdict_stream s = test_stream;

	s.hash = hash;
	s.tripped_at = tripped_at;
	s.counted = counted_before;
	s.trips_now = true;
	return s;
}

void
trip(struct fixture *f, const struct verdict_stream *stream, const char *rule)
{
	struct message *m = make_message("staging", "hello", 1, VERDICT_HOLD, rule, stream);

	m->accepted_at = stream->tripped_at;
	add_message(f, m);
}

int64_t
ask_file(const char *path, const char *sql)
{
	sqlite3_stmt *s;
	int64_t answer;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	answer = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return answer;
}
