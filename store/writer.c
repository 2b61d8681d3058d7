/*
 * The writer's and the reader's threads: queue, group commit, answers. Everything that writes the
 * database is called from writer_run(). A job belongs to who submitted it, until done() and from
 * then on; in between to the thread here.
 *
 * What was sent waits a moment for company: nobody waits for its record, and alone it would cost a
 * commit of its own. With one client that halves the commits.
 *
 * A group: begin, run every job, flush, commit, done() for each. If any job fails in the database
 * or the commit does, the whole group is rolled back and each job is tried alone, so that one bad
 * job fails by itself. STORE_REFUSED and STORE_MISSING are answers: such a job has written nothing.
 *
 * After a failed sync (db->lost) nothing is tried again: the system has forgotten what it could not
 * write, so a second commit that works would prove nothing. Every job fails until the next start.
 */
#include "store/writer.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/histogram.h"
#include "base/log.h"
#include "base/metrics.h"
#include "store/jobs.h"
#include "store/room.h"

enum { GROUP_MAX = 256, CHECK_SECONDS = 1, PATIENT_MAX = 64, IDLE_JOBS = 16 };

/* How long what was sent may wait to share the commit of what comes in. */
#define PATIENCE (3 * CLOCK_SECOND / 1000)

typedef enum store_result job_fn(struct work *w, struct store_job *job);

static job_fn *const job_table[] = {
    [STORE_BEGIN] = job_begin,       [STORE_CHUNK] = job_chunk,     [STORE_ABANDON] = job_abandon,
    [STORE_ADD] = job_add,           [STORE_RESULTS] = job_results, [STORE_CLAIM] = job_claim,
    [STORE_EXPIRE] = job_expire,     [STORE_DECIDE] = job_decide,   [STORE_HOLD] = job_hold,
    [STORE_CLOSE] = job_close,       [STORE_FACT] = job_fact,       [STORE_ALERTS] = job_alerts,
    [STORE_PURGE] = job_purge,       [STORE_NOTICES] = job_notices, [STORE_TOLD] = job_told,
    [STORE_COUNTERS] = job_counters, [STORE_PLAN] = job_plan,       [STORE_TICK] = job_tick,
    [STORE_SEEN] = job_seen,         [STORE_IMPORT] = job_import,
};

/* ---- the queue ---- */

static void
queue_init(struct queue *q)
{
	pthread_condattr_t attributes;

	STAILQ_INIT(&q->jobs);
	pthread_mutex_init(&q->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&q->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	q->stop = false;
}

/* Nobody waits for it: mail that has left. A crash meanwhile sends it once more, as it would have a
 * moment earlier, before the upstream's answer. */
static bool
is_patient(const struct store_job *job)
{
	size_t i;

	if (job->op != STORE_RESULTS)
		return false;
	for (i = 0; i < job->u.results.count; i++)
		if (job->u.results.results[i].state != STORE_SENT ||
		    job->u.results.results[i].relayed)
			return false;
	return true;
}

static void
queue_add(struct queue *q, struct store_job *job)
{
	bool patient = is_patient(job), wake;

	metric_add(METRIC_WRITER_BYTES_NOW, (int64_t)job->bytes);
	pthread_mutex_lock(&q->lock);
	STAILQ_INSERT_TAIL(&q->jobs, job, next);
	if (patient && q->patient++ == 0)
		q->patient_until = clock_mono() + PATIENCE;
	q->hurried += !patient;
	wake = patient ? q->hurried == 0 && (q->patient == 1 || q->patient == PATIENT_MAX)
		       : q->hurried == 1;
	pthread_mutex_unlock(&q->lock);
	if (wake)
		pthread_cond_signal(&q->wake);
}

/* False once what is in it should be taken, or it is `until`. */
static bool
queue_wait(struct queue *q, int64_t until)
{
	struct timespec at;

	if (q->stop || q->hurried > 0 || q->patient >= PATIENT_MAX)
		return false;
	if (q->patient > 0 && q->patient_until < until)
		until = q->patient_until;
	at.tv_sec = until / CLOCK_SECOND;
	at.tv_nsec = until % CLOCK_SECOND * 1000;
	return pthread_cond_timedwait(&q->wake, &q->lock, &at) == 0;
}

/* Up to `max` jobs; 0 after about a second without one. *end: stopped, and nothing is left. */
static size_t
queue_take(struct queue *q, struct store_job **jobs, size_t max, bool *end)
{
	const int64_t until = clock_mono() + CHECK_SECONDS * CLOCK_SECOND;
	size_t n = 0;

	pthread_mutex_lock(&q->lock);
	while (queue_wait(q, until))
		;
	while (n < max && !STAILQ_EMPTY(&q->jobs)) {
		jobs[n] = STAILQ_FIRST(&q->jobs);
		STAILQ_REMOVE_HEAD(&q->jobs, next);
		is_patient(jobs[n]) ? q->patient-- : q->hurried--;
		n++;
	}
	*end = q->stop && n == 0;
	pthread_mutex_unlock(&q->lock);
	return n;
}

static void
queue_end(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->stop = true;
	pthread_mutex_unlock(&q->lock);
	pthread_cond_signal(&q->wake);
	pthread_join(q->thread, NULL);
	pthread_cond_destroy(&q->wake);
	pthread_mutex_destroy(&q->lock);
}

static void
answer(struct store_job *job)
{
	metric_add(METRIC_WRITER_BYTES_NOW, -(int64_t)job->bytes);
	job->done(job);
}

void
writer_submit(struct store *s, struct store_job *job)
{
	queue_add(&s->writer_queue, job);
}

void
reader_submit(struct store *s, struct store_job *job)
{
	queue_add(&s->reader_queue, job);
}

/* ---- groups ---- */

static bool
is_failure(enum store_result r)
{
	return r == STORE_FULL || r == STORE_BUSY || r == STORE_BROKEN;
}

static bool
is_new_mail(const struct store_job *job)
{
	if (job->op == STORE_ADD)
		return !store_is_alert_mail(job->u.add.message->environment);
	return job->op == STORE_BEGIN || job->op == STORE_CHUNK || job->op == STORE_IMPORT;
}

static enum store_result
run_job(struct store *s, struct store_job *job)
{
	enum store_result r;

	job_start(job);
	if (is_new_mail(job) && !room_is_measured(s))
		return job_refuse(job, STORE_FULL, "the store is full");
	if ((size_t)job->op >= sizeof(job_table) / sizeof(job_table[0]))
		panic("store job %d is not for the writer", (int)job->op);
	r = job_table[job->op](&s->work, job);
	if (r == STORE_OK)
		r = work_end_job(&s->work, job_now(job));
	work_drop_job(&s->work);
	return r;
}

static void
explain_failure(struct store *s, struct store_job *job)
{
	if (job->error[0] != '\0')
		return;
	if (s->work.db->lost)
		job_refuse(job, job->result,
			   "a sync of the store failed, so nothing is written any more: look at "
			   "its disk, then restart mailfused");
	else if (job->result == STORE_BUSY)
		job_refuse(job, job->result, "the store is locked by another program; try again");
	else
		job_refuse(job, job->result, "the store cannot write: %s", s->work.db->error);
}

/* A job refused for want of room has touched nothing; any other failure spoils the transaction. */
static bool
spoils(const struct store_job *job, bool refused)
{
	return is_failure(job->result) && !refused;
}

/* Begins, runs, commits. False: rolled back, results of the jobs are not valid but for n == 1. */
static enum store_result
try_group(struct store *s, struct store_job **jobs, size_t n)
{
	struct work *w = &s->work;
	const int64_t start = clock_mono();
	enum store_result r = w->b->begin(w->db, true);
	size_t i;

	if (r != STORE_OK)
		return r;
	for (i = 0; i < n && r == STORE_OK; i++) {
		bool full = is_new_mail(jobs[i]) && !room_is_measured(s);

		jobs[i]->result = run_job(s, jobs[i]);
		if (spoils(jobs[i], full))
			r = jobs[i]->result;
		else if (is_new_mail(jobs[i]))
			room_note_size(s, jobs[i]->bytes);
	}
	if (r == STORE_OK)
		r = work_flush(w);
	if (r == STORE_OK)
		r = w->b->commit(w->db);
	if (r == STORE_OK) {
		work_committed(w);
		metric_add(METRIC_COMMITS, 1);
		metric_add(METRIC_COMMITTED_JOBS, (int64_t)n);
		histogram_observe(HISTOGRAM_COMMIT_JOBS, (int64_t)n);
		histogram_observe(HISTOGRAM_COMMIT, clock_mono() - start);
		return STORE_OK;
	}
	for (i = 0; i < n; i++)
		job_reset(jobs[i]);
	w->b->rollback(w->db);
	work_forget(w);
	return r;
}

static void
fail_all(struct store *s, struct store_job **jobs, size_t n, enum store_result r)
{
	size_t i;

	for (i = 0; i < n; i++) {
		job_start(jobs[i]);
		jobs[i]->result = r;
		explain_failure(s, jobs[i]);
	}
	room_note_failure(s, r);
}

static bool
wrote(struct store_job **jobs, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (jobs[i]->result == STORE_OK && jobs[i]->op != STORE_CLAIM &&
		    jobs[i]->op != STORE_EXPIRE && jobs[i]->op != STORE_CLOSE &&
		    jobs[i]->op != STORE_ALERTS && jobs[i]->op != STORE_PURGE &&
		    jobs[i]->op != STORE_NOTICES && jobs[i]->op != STORE_TOLD &&
		    jobs[i]->op != STORE_TICK && jobs[i]->op != STORE_SEEN)
			return true;
	return false;
}

static void
run_group(struct store *s, struct store_job **jobs, size_t n)
{
	enum store_result r = s->work.db->lost ? STORE_BROKEN : try_group(s, jobs, n);
	size_t i;

	if (room_note_lost(s)) {
		fail_all(s, jobs, n, STORE_BROKEN);
	} else if (r == STORE_OK) {
		for (i = 0; i < n; i++)
			if (is_new_mail(jobs[i]) && jobs[i]->op == STORE_ADD &&
			    jobs[i]->result == STORE_OK)
				traffic_count(&s->traffic, jobs[i]->u.add.message);
		if (wrote(jobs, n))
			room_note_success(s);
	} else if (n == 1 || r == STORE_BUSY) {
		/* Locked: each alone would wait the whole busy time again. */
		fail_all(s, jobs, n, r);
	} else {
		for (i = 0; i < n; i++)
			run_group(s, &jobs[i], 1);
	}
}

/* Does a write work again? Only that ends the refusal of mail after one failed. */
static void
probe(struct store *s)
{
	struct work *w = &s->work;

	if (!room_has_trouble(s) || w->db->lost || w->b->begin(w->db, true) != STORE_OK)
		return;
	if (w->b->meta_set(w->db, "probed_at", clock_wall()) == STORE_OK &&
	    w->b->commit(w->db) == STORE_OK)
		room_note_success(s);
	else
		w->b->rollback(w->db);
}

/* Its own transaction: that it fails must not fail mail. */
static void
write_traffic(struct store *s, bool all)
{
	struct work *w = &s->work;
	int64_t wall = clock_wall(), mono = clock_mono();
	enum store_result r;

	if (w->db->lost || !traffic_is_due(&s->traffic, wall, mono, all))
		return;
	r = w->b->begin(w->db, true);
	if (r == STORE_OK)
		r = traffic_write(&s->traffic, w->b, w->db);
	if (r == STORE_OK)
		r = w->b->commit(w->db);
	if (r == STORE_OK) {
		traffic_written(&s->traffic, wall);
		return;
	}
	log_warn("- store.traffic_failed error=%s", log_safe(w->db->error));
	w->b->rollback(w->db);
	work_forget(w);
	traffic_failed(&s->traffic, mono);
}

static void
maintain(struct store *s)
{
	if (!s->work.db->lost)
		s->b->maintain(s->work.db);
	room_note_lost(s);
}

/* `n` jobs wait. */
static void
shrink(struct store *s, size_t n)
{
	if (!s->work.db->lost && s->recent + n <= IDLE_JOBS)
		s->b->shrink(s->work.db);
	room_note_lost(s);
}

static void *
writer_run(void *arg)
{
	struct store *s = arg;
	struct store_job *jobs[GROUP_MAX];
	bool end = false;
	size_t i, n;

	while (!end) {
		n = queue_take(&s->writer_queue, jobs, GROUP_MAX, &end);
		if (clock_mono() - s->checked_at >= CHECK_SECONDS * CLOCK_SECOND) {
			room_measure(s);
			probe(s);
			maintain(s);
			write_traffic(s, false);
			shrink(s, n);
			s->recent = 0;
		}
		s->recent += n;
		if (n == 0)
			continue;
		run_group(s, jobs, n);
		for (i = 0; i < n; i++)
			answer(jobs[i]);
		maintain(s);
	}
	write_traffic(s, true);
	traffic_free(&s->traffic);
	return NULL;
}

static void
read_one(struct store *s, struct store_job *job)
{
	job->error[0] = '\0';
	job->u.load.message = NULL;
	job->u.load.chunk = NULL;
	job->result = s->b->begin(s->reader, false);
	if (job->result == STORE_OK) {
		job->result = job_load(s->b, s->reader, job);
		s->b->rollback(s->reader); /* it has only read */
	}
	if (is_failure(job->result) && job->error[0] == '\0')
		job_refuse(job, job->result, "the store cannot read: %s", s->reader->error);
}

static void *
reader_run(void *arg)
{
	struct store *s = arg;
	struct store_job *job;
	bool end = false;

	while (!end) {
		if (queue_take(&s->reader_queue, &job, 1, &end) == 0)
			continue;
		read_one(s, job);
		answer(job);
	}
	return NULL;
}

static void
start(struct queue *q, void *(*run)(void *), struct store *s)
{
	int error;

	queue_init(q);
	error = pthread_create(&q->thread, NULL, run, s);
	if (error != 0)
		fatal("cannot start the store's thread: %s", strerror(error));
}

void
writer_start(struct store *s)
{
	start(&s->writer_queue, writer_run, s);
	start(&s->reader_queue, reader_run, s);
}

void
writer_stop(struct store *s)
{
	queue_end(&s->reader_queue);
	queue_end(&s->writer_queue);
}
