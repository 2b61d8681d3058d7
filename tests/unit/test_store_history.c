/*
 * What a restart and a simulation need, run over both twins: saved burst counters, the traffic of
 * each minute, and what is replayed. And that traffic is bounded, and never in the way of mail.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "store/traffic.h"
#include "tests/unit/store_help.h"

/* ---- counters ---- */

static enum store_result
save(struct fixture *f, const char *boot, unsigned shard, uint32_t stamp,
     const struct store_counter *counters, size_t count)
{
	struct store_job job = {.op = STORE_COUNTERS};

	job.u.counters.shard = shard;
	job.u.counters.stamp = stamp;
	job.u.counters.boot = boot;
	job.u.counters.mono = 100 * CLOCK_SECOND;
	job.u.counters.now = clock_wall();
	job.u.counters.counters = counters;
	job.u.counters.count = count;
	return run_job(f, &job);
}

static bool
write_save(void *context, const struct store_counter_save *s)
{
	buf_printf(context, "[%u %u %s %d]", s->shard, s->stamp, s->boot,
		   (int)(s->mono / CLOCK_SECOND));
	return true;
}

static bool
write_counter(void *context, unsigned shard, const struct store_counter *c)
{
	assert_int_equal(c->hash >> 58, shard);
	buf_printf(context, " %llx=%.*s", (unsigned long long)c->hash, (int)c->len, c->data);
	return true;
}

static void
expect_counters(struct fixture *f, const char *wanted)
{
	struct buf text = {0};

	assert_int_equal(store_view_counters(f->v, write_save, write_counter, &text), STORE_OK);
	assert_string_equal(buf_text(&text), wanted);
	buf_free(&text);
}

#define SHARD_63 (UINT64_C(63) << 58)
#define LATER (1000000 * CLOCK_SECOND)

static void
counters_come_back(void **state)
{
	static const struct store_counter first[] = {{1, LATER, (char *)"one", 3},
						     {2, LATER, (char *)"two", 3}},
					  second[] = {{2, LATER, (char *)"TWO", 3},
						      {1, LATER, NULL, 0},
						      {3, LATER, (char *)"", 0}},
					  last[] = {{SHARD_63 | 1, LATER, (char *)"x", 1},
						    {UINT64_MAX, LATER, (char *)"y", 1}};
	struct fixture *f = *state;

	expect_counters(f, "");
	assert_int_equal(save(f, "b1", 63, 1, last, 2), STORE_OK);
	assert_int_equal(save(f, "b1", 0, 1, first, 2), STORE_OK);
	expect_counters(f, "[0 1 b1 100] 1=one 2=two[63 1 b1 100] fc00000000000001=x "
			   "ffffffffffffffff=y");
	assert_int_equal(save(f, "b1", 0, 2, second, 3), STORE_OK);
	assert_int_equal(save(f, "b1", 63, 7, NULL, 0), STORE_OK);
	expect_counters(f, "[0 2 b1 100] 2=TWO[63 7 b1 100] fc00000000000001=x "
			   "ffffffffffffffff=y");
	assert_int_equal(save(f, "b1", 1, 1, first, 1), STORE_REFUSED);
	if (f->b == &backend_sqlite) {
		fixture_reopen(f);
		expect_counters(f, "[0 2 b1 100] 2=TWO[63 7 b1 100] fc00000000000001=x "
				   "ffffffffffffffff=y");
	}
}

/* What has not changed since the machine started again is read by the clock that it was saved by.
 */
static void
each_boot_has_its_clock(void **state)
{
	static const struct store_counter old[] = {{1, LATER, (char *)"one", 3},
						   {2, LATER, (char *)"two", 3}},
					  new[] = {{1, LATER, (char *)"ONE", 3}};
	struct fixture *f = *state;

	assert_int_equal(save(f, "b1", 0, 1, old, 2), STORE_OK);
	assert_int_equal(save(f, "b2", 0, 2, NULL, 0), STORE_OK);
	expect_counters(f, "[0 2 b1 100] 1=one 2=two");
	assert_int_equal(save(f, "b2", 0, 3, new, 1), STORE_OK);
	expect_counters(f, "[0 3 b1 100] 2=two[0 3 b2 100] 1=ONE");
}

static void
idle_counters_are_purged(void **state)
{
	static const struct store_counter counters[] = {{1, 99 * CLOCK_SECOND, (char *)"idle", 4},
							{2, LATER, (char *)"busy", 4},
							{3, 98 * CLOCK_SECOND, (char *)"idle", 4}};
	struct store_job purge = {.op = STORE_PURGE, .u.purge.limit = 1};
	struct fixture *f = *state;
	int i;

	assert_int_equal(save(f, "b1", 0, 1, counters, 3), STORE_OK);
	assert_int_equal(run_job(f, &purge), STORE_OK);
	expect_counters(f, "[0 1 b1 100] 2=busy 3=idle"); /* a bounded step */
	for (i = 0; i < 64; i++)                          /* a shard each time */
		assert_int_equal(run_job(f, &purge), STORE_OK);
	expect_counters(f, "[0 1 b1 100] 2=busy");
}

/* A jump of the wall clock makes nothing idle within one start of the machine. */
static void
idle_goes_by_the_monotonic_clock(void **state)
{
	struct store_counter counters[] = {{1, clock_mono() + CLOCK_HOUR, (char *)"busy", 4},
					   {2, clock_mono() - 1, (char *)"idle", 4}};
	struct store_job job = {.op = STORE_COUNTERS}, purge = {.op = STORE_PURGE};
	struct fixture *f = *state;
	char boot[CLOCK_BOOT_BYTES];
	struct buf text = {0};

	clock_boot_id(boot);
	job.u.counters.boot = boot;
	job.u.counters.stamp = 1;
	job.u.counters.mono = clock_mono();
	job.u.counters.now = clock_wall() - CLOCK_DAY; /* set forward since then */
	job.u.counters.counters = counters;
	job.u.counters.count = 2;
	assert_int_equal(run_job(f, &job), STORE_OK);
	purge.u.purge.limit = 10;
	assert_int_equal(run_job(f, &purge), STORE_OK);
	assert_int_equal(store_view_counters(f->v, write_save, write_counter, &text), STORE_OK);
	assert_non_null(strstr(buf_text(&text), " 1=busy"));
	assert_null(strstr(buf_text(&text), "idle"));
	buf_free(&text);
}

/* ---- traffic ---- */

struct table {
	struct traffic t;
	struct db *db;
	const struct backend *b;
};

/* The table is the writer's: here the test is the writer, on a connection of its own. */
static void
table_open(struct table *t, struct fixture *f)
{
	struct buf error = {0};

	memset(t, 0, sizeof(*t));
	t->b = f->b;
	store_view_close(f->v);
	store_close(f->s);
	f->v = NULL;
	f->s = NULL;
	t->db = f->b->open(f->path, &error);
	assert_non_null(t->db);
}

static void
table_write(struct table *t, int64_t wall)
{
	assert_int_equal(t->b->begin(t->db, true), STORE_OK);
	assert_int_equal(traffic_write(&t->t, t->b, t->db), STORE_OK);
	assert_int_equal(t->b->commit(t->db), STORE_OK);
	traffic_written(&t->t, wall);
}

static void
table_close(struct table *t)
{
	traffic_free(&t->t);
	t->b->close(t->db);
}

static bool
write_traffic(void *context, int64_t number, const struct store_traffic *t)
{
	(void)number;
	buf_printf(context, "%d %s %s %s %s \"%s\" %s %u: %d %d %d = %d %d %d %d\n",
		   (int)((t->minute - TEST_NOW / CLOCK_MINUTE * CLOCK_MINUTE) / CLOCK_MINUTE),
		   t->environment, t->source, t->client, t->sender, t->subject, t->campaign,
		   t->audience, (int)t->messages, (int)t->recipients, (int)(t->bytes > 0),
		   (int)t->passed, (int)t->waited, (int)t->held, (int)t->dropped);
	return true;
}

static void
expect_traffic(struct table *t, int64_t since, int64_t until, const char *wanted)
{
	struct buf text = {0};

	assert_int_equal(t->b->begin(t->db, false), STORE_OK);
	assert_int_equal(t->b->traffic_list(t->db, since, until, 0, 0, write_traffic, &text),
			 STORE_OK);
	t->b->rollback(t->db);
	assert_string_equal(buf_text(&text), wanted);
	buf_free(&text);
}

static void
count_message(struct table *t, int64_t at, const char *subject, enum verdict_action action,
	      unsigned recipients)
{
	struct message *m = make_message("staging", subject, recipients, action, "r", &test_stream);

	m->accepted_at = at;
	m->audience = *subject == 'n' ? 300 : 0;
	m->campaign = *subject == 'n' ? "spring" : "";
	traffic_count(&t->t, m);
	message_free(m);
}

static void
traffic_is_summed_up(void **state)
{
	struct table t;

	table_open(&t, *state);
	assert_false(traffic_is_due(&t.t, TEST_NOW, 0, true));
	count_message(&t, TEST_NOW, "order #", VERDICT_PASS, 1);
	count_message(&t, TEST_NOW + 1, "order #", VERDICT_WAIT, 2);
	count_message(&t, TEST_NOW + 2, "order #", VERDICT_HOLD, 3);
	count_message(&t, TEST_NOW + 3, "order #", VERDICT_DROP, 1);
	assert_false(traffic_is_due(&t.t, TEST_NOW + 59 * CLOCK_SECOND, 0, false));
	assert_true(traffic_is_due(&t.t, TEST_NOW + CLOCK_MINUTE, 0, false));
	assert_true(traffic_is_due(&t.t, TEST_NOW - 1, 0, false)); /* set back */
	assert_true(traffic_is_due(&t.t, TEST_NOW, 0, true));
	table_write(&t, TEST_NOW + CLOCK_MINUTE);
	assert_false(traffic_is_due(&t.t, TEST_NOW + CLOCK_MINUTE, 0, true));
	count_message(&t, TEST_NOW + CLOCK_MINUTE, "news", VERDICT_PASS, 5);
	count_message(&t, TEST_NOW + 4, "order #", VERDICT_PASS, 1); /* late */
	count_message(&t, TEST_NOW + 2 * CLOCK_MINUTE, "order #", VERDICT_PASS, 1);
	table_write(&t, TEST_NOW + 3 * CLOCK_MINUTE);
#define SAME "staging 10.2.0.7 10.2.0.7 app@example.com "
	expect_traffic(&t, 0, TEST_NOW + CLOCK_DAY,
		       "0 " SAME "\"order #\"  0: 4 7 1 = 1 2 3 1\n"
		       "0 " SAME "\"order #\"  0: 1 1 1 = 1 0 0 0\n"
		       "1 " SAME "\"news\" spring 300: 1 5 1 = 5 0 0 0\n"
		       "2 " SAME "\"order #\"  0: 1 1 1 = 1 0 0 0\n");
	expect_traffic(&t, TEST_NOW + 1, TEST_NOW + 2 * CLOCK_MINUTE,
		       "1 " SAME "\"news\" spring 300: 1 5 1 = 5 0 0 0\n");
	table_close(&t);
}

static bool
remember_number(void *context, int64_t number, const struct store_traffic *t)
{
	(void)t;
	assert_true(number > *(int64_t *)context);
	*(int64_t *)context = number;
	return true;
}

static void
traffic_is_paged_and_purged(void **state)
{
	struct table t;
	int64_t after = 0, last = -1;
	int i, pages = 0;

	table_open(&t, *state);
	for (i = 0; i < 5; i++)
		count_message(&t, TEST_NOW + i * CLOCK_MINUTE, "x", VERDICT_PASS, 1);
	table_write(&t, TEST_NOW + 10 * CLOCK_MINUTE);
	for (; after != last; pages++) {
		last = after;
		assert_int_equal(t.b->traffic_list(t.db, TEST_NOW, TEST_NOW + CLOCK_DAY, after, 2,
						   remember_number, &after),
				 STORE_OK);
	}
	assert_int_equal(pages, 4); /* 2, 2, 1, none */
	for (i = 0; i < 2; i++) {
		assert_int_equal(t.b->begin(t.db, true), STORE_OK);
		assert_int_equal(t.b->traffic_purge(t.db, TEST_NOW + 4 * CLOCK_MINUTE, 2),
				 STORE_OK);
		assert_int_equal(t.b->commit(t.db), STORE_OK);
	}
	expect_traffic(&t, 0, TEST_NOW + CLOCK_DAY, "4 " SAME "\"x\"  0: 1 1 1 = 1 0 0 0\n");
	table_close(&t);
}

struct sums {
	uint64_t rows, messages, stars, blind;
};

static bool
sum_up(void *context, int64_t number, const struct store_traffic *t)
{
	struct sums *s = context;

	(void)number;
	s->rows++;
	s->messages += t->messages;
	s->stars += strcmp(t->subject, "*") == 0;
	s->blind += strcmp(t->source, "*") == 0;
	return true;
}

/* A flood of subjects, then of sources, for hours, while nothing can be written. */
static void
traffic_is_bounded(void **state)
{
	enum { FLOOD = 2 * STORE_TRAFFIC_STREAMS };
	struct sums sums = {.rows = 0};
	struct table t;
	char name[32];
	int i;

	table_open(&t, *state);
	for (i = 0; i < 2 * FLOOD; i++) {
		struct message *m = make_message("staging", "x", 1, VERDICT_PASS, NULL, NULL);

		snprintf(name, sizeof(name), "%d", i);
		m->accepted_at = TEST_NOW + i * CLOCK_SECOND;
		if (i < FLOOD)
			m->subject_key = name;
		else
			m->source = name;
		traffic_count(&t.t, m);
		message_free(m);
	}
	assert_true(t.t.count <= FLOOD + 1);
	table_write(&t, TEST_NOW);
	assert_int_equal(t.b->traffic_list(t.db, 0, TEST_NOW + CLOCK_DAY, 0, 0, sum_up, &sums),
			 STORE_OK);
	assert_int_equal(sums.messages, 2 * FLOOD); /* nothing is lost but whose it was */
	assert_true(sums.stars > 0 && sums.stars <= FLOOD - STORE_TRAFFIC_STREAMS + 1);
	assert_int_equal(sums.blind, 1);
	table_close(&t);
}

static void
a_failed_write_is_tried_again(void **state)
{
	struct table t;

	table_open(&t, *state);
	count_message(&t, TEST_NOW, "x", VERDICT_PASS, 1);
	traffic_failed(&t.t, CLOCK_HOUR);
	assert_false(traffic_is_due(&t.t, TEST_NOW + CLOCK_MINUTE, CLOCK_HOUR + 1, false));
	assert_true(
	    traffic_is_due(&t.t, TEST_NOW + CLOCK_MINUTE, CLOCK_HOUR + CLOCK_MINUTE, false));
	assert_true(traffic_is_due(&t.t, TEST_NOW + CLOCK_MINUTE, CLOCK_HOUR + 1, true));
	count_message(&t, TEST_NOW, "x", VERDICT_PASS, 1);
	table_write(&t, TEST_NOW + CLOCK_MINUTE);
	expect_traffic(&t, 0, TEST_NOW + CLOCK_DAY, "0 " SAME "\"x\"  0: 2 2 1 = 2 0 0 0\n");
	table_close(&t);
}

/* Through the writer: what was committed is counted, what was refused is not. */
static void
the_writer_counts_what_is_stored(void **state)
{
	struct fixture *f = *state;
	struct sums sums = {.rows = 0};
	struct message *none = make_message("staging", "x", 0, VERDICT_PASS, NULL, NULL);
	struct store_job refused = {.op = STORE_ADD, .u.add.message = none};

	add_passing(f, "staging", 2);
	add_passing(f, "staging", 1);
	add_held(f, &test_stream, 3);
	assert_int_equal(run_job(f, &refused), STORE_REFUSED);
	message_free(none);
	fixture_reopen(f);
	assert_int_equal(store_view_traffic(f->v, INT64_MIN, INT64_MAX, 0, 0, sum_up, &sums),
			 STORE_OK);
	assert_int_equal(sums.rows, 1);
	assert_int_equal(sums.messages, 3);
}

static struct backend faulty;
static atomic_int adds_to_fail;

static enum store_result
faulty_traffic_add(struct db *db, const struct traffic_row *row)
{
	if (atomic_load(&adds_to_fail) > 0) {
		atomic_fetch_sub(&adds_to_fail, 1);
		return STORE_FULL;
	}
	return backend_sqlite.traffic_add(db, row);
}

static int
setup_faulty(void **state)
{
	struct fixture *f = mem_zalloc(sizeof(*f));

	faulty = backend_sqlite;
	faulty.traffic_add = faulty_traffic_add;
	fixture_open(f, &faulty);
	*state = f;
	return 0;
}

/* The minute of tests is long past: the writer writes it when it looks, once a second. It fails,
 * and mail does not. */
static void
history_is_not_in_the_way_of_mail(void **state)
{
	struct fixture *f = *state;
	struct sums sums = {.rows = 0};
	int i;

	atomic_store(&adds_to_fail, 1);
	for (i = 0; i < 3000 && atomic_load(&adds_to_fail) > 0; i++) {
		add_passing(f, "staging", 1);
		assert_true(store_has_room(f->s, NULL));
		claim(f, "staging", TEST_NOW);
		usleep(10000);
	}
	assert_int_equal(atomic_load(&adds_to_fail), 0);
	check_counts(f);
	fixture_reopen(f);
	assert_int_equal(store_view_traffic(f->v, 0, TEST_NOW + CLOCK_DAY, 0, 0, sum_up, &sums),
			 STORE_OK);
	assert_int_equal(sums.messages, count_deliveries(f, 0, -1));
}

/* ---- replay ---- */

static bool
write_recent(void *context, const struct store_delivery *d)
{
	size_t i;

	buf_printf(context, "%s %u:", store_state_name(d->state), d->audience);
	for (i = 0; i < d->key_count; i++)
		buf_printf(context, " %llx/%u", (unsigned long long)d->keys[i].hash,
			   d->keys[i].stamp);
	buf_add_char(context, '\n');
	return true;
}

static void
recent_has_keys_but_what_was_decided(void **state)
{
	static const struct verdict_key keys[] = {{0x1234, 5, true}, {0x777, 6, false}};
	struct fixture *f = *state;
	struct buf text = {0};
	int i;

	for (i = 0; i < 3; i++) {
		struct message *m =
		    make_message("staging", "x", 1, i == 0 ? VERDICT_PASS : VERDICT_HOLD,
				 i == 0 ? NULL : "burst volume", i == 0 ? NULL : &test_stream);

		m->audience = i == 0 ? 300 : 0;
		m->recipients[0].verdict.keys = i == 0 ? keys + 1 : keys;
		m->recipients[0].verdict.key_count = (size_t[]){1, 2, 0}[i];
		add_message(f, m);
	}
	assert_int_equal(store_view_recent(f->v, 0, write_recent, &text), STORE_OK);
	assert_string_equal(buf_text(&text), "queued 300: 777/6\nheld 0: 1234/5 777/6\nheld 0:\n");
	buf_clear(&text);
	decide(f, STORE_RELEASE, 1);
	assert_int_equal(store_view_recent(f->v, 0, write_recent, &text), STORE_OK);
	assert_string_equal(buf_text(&text), "queued 300: 777/6\nqueued 0: 777/6\n");
	buf_free(&text);
}

#define ON_DISK(test)                                                                              \
	{                                                                                          \
#test, test, setup, teardown, (void *)&backend_sqlite                              \
	}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(counters_come_back),
	    BOTH(each_boot_has_its_clock),
	    BOTH(idle_counters_are_purged),
	    BOTH(idle_goes_by_the_monotonic_clock),
	    BOTH(traffic_is_summed_up),
	    BOTH(traffic_is_paged_and_purged),
	    BOTH(traffic_is_bounded),
	    BOTH(a_failed_write_is_tried_again),
	    ON_DISK(the_writer_counts_what_is_stored),
	    cmocka_unit_test_setup_teardown(history_is_not_in_the_way_of_mail, setup_faulty,
					    teardown),
	    BOTH(recent_has_keys_but_what_was_decided),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
