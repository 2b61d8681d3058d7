/*
 * What the tests of the store share: a store over either twin, jobs that are waited for, messages
 * made out of a line, and the counts of deliveries that a batch's counters must agree with.
 */
#ifndef TESTS_UNIT_STORE_HELP_H
#define TESTS_UNIT_STORE_HELP_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "store/backend.h"

struct fixture {
	const struct backend *b;
	struct store *s;
	struct store_view *v;
	char dir[64], path[96];
	uint32_t feed_ahead;            /* of the next fixture_reopen(); 0 = as it comes */
	struct store_counters counters; /* see fixture_count(); by default it is what follows */
	/* What the store has told the counters and not taken back: a stream for each that does not
	 * leave after all. The writer's while a job runs. */
	uint64_t *told;
	size_t told_count, told_cap;
	/* The counters' trips, and how often they had been told of the stream by then. */
	struct {
		uint64_t stream;
		int64_t tripped_at;
		size_t told;
	} trips[4];
	size_t trip_count;
};

/* A directory of its own, and the store in it. Fails the test if it does not open. */
void fixture_open(struct fixture *f, const struct backend *b);
/* Closes and opens it again. */
void fixture_reopen(struct fixture *f);
/* Closes it, puts that file in its place, and opens it. */
void fixture_replace(struct fixture *f, const void *data, size_t len);
void fixture_close(struct fixture *f);
/* Opens it again with those counters. */
void fixture_count(struct fixture *f, const struct store_counters *counters);
/* How often the counters are told that mail of that stream (0 = any) does not leave after all. */
size_t count_told(const struct fixture *f, uint64_t stream);
/* It trips, as the counters see it: its batch comes later. What was not said to trip counts as of
 * the time at which its batch opens. */
void note_trip(struct fixture *f, const struct verdict_stream *stream);
/* A test's fixture, made of the backend that is its initial state; BOTH runs it over both. */
int setup(void **state);
int teardown(void **state);
#define BOTH(test)                                                                                 \
	{"sqlite: " #test, test, setup, teardown, (void *)&backend_sqlite},                        \
	{                                                                                          \
		"memory: " #test, test, setup, teardown, (void *)&backend_memory                   \
	}

/* Submits and waits; the job's result. */
enum store_result run_job(struct fixture *f, struct store_job *job);
/* Submits all at once, then waits for all. */
void run_jobs(struct fixture *f, struct store_job *jobs, size_t n);

/* Until the store takes new mail again; fails the test after five seconds. */
void wait_for_room(struct fixture *f);

/* All recipients r1@example.net, r2@... with that verdict; stream may be NULL. */
struct message *make_message(const char *environment, const char *subject, unsigned recipients,
			     enum verdict_action action, const char *rule,
			     const struct verdict_stream *stream);
/* Stores it, frees it, returns its id. Fails the test if the store refuses. */
uint64_t add_message(struct fixture *f, struct message *m);
/* To "staging": one recipient that passes, or waits where `settle` is set, counted by those keys,
 * which are not copied; add_counted() stores it. */
struct message *make_counted(const struct verdict_key *keys, size_t count, int64_t accepted_at,
			     int64_t settle);
uint64_t add_counted(struct fixture *f, const struct verdict_key *keys, size_t count,
		     int64_t accepted_at, int64_t settle);
/* STORE_ADD's parts in one: PASS, not taken. */
uint64_t add_passing(struct fixture *f, const char *environment, unsigned recipients);
uint64_t add_held(struct fixture *f, const struct verdict_stream *stream, unsigned recipients);

/* test_stream, but of that hash, just tripping. */
struct verdict_stream stream_of(uint64_t hash, int64_t tripped_at, uint32_t counted_before);
/* One held recipient comes to the store: its batch opens, or has one more. */
void trip(struct fixture *f, const struct verdict_stream *stream, const char *rule);
/* The first number that a question to the store's file gives, asked beside the gate. */
int64_t ask_file(const char *path, const char *sql);

/* One batch's numbers. */
struct batch_numbers {
	int64_t id;
	enum store_batch_state state;
	bool collecting;
	uint64_t messages, recipients, leaked, bytes, held, released, sent, failed, discarded;
};
/* False if there is none. */
bool get_batch(struct fixture *f, int64_t id, struct batch_numbers *out);
uint64_t count_deliveries(struct fixture *f, int64_t batch, int state);
uint64_t count_audit(struct fixture *f, const char *action);
/* Fans out to one channel and takes: how many alerts of that event there were. They are done then.
 */
uint64_t take_alerts(struct fixture *f, const char *event);
/* Every batch's counters against its deliveries, and the counts per environment against all. */
void check_counts(struct fixture *f);

void decide_job(struct store_job *job, enum store_decision decision, int64_t batch);
enum store_result decide(struct fixture *f, enum store_decision decision, int64_t batch);
/* Claims all that is due by `now` in an environment; the number of deliveries. */
uint64_t claim(struct fixture *f, const char *environment, int64_t now);
/* One delivery's result. */
enum store_result report(struct fixture *f, uint64_t id, uint32_t number, enum store_state state,
			 int64_t due_at);
enum store_result press(struct fixture *f, bool on, int scope, const char *name, int64_t now);

/* A stream for tests: hash and trip. */
extern const struct verdict_stream test_stream;
/* When tests accept their mail. */
#define TEST_NOW (INT64_C(1795262400) * CLOCK_SECOND)

#endif
