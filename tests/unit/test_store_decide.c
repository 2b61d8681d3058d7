/*
 * The store's contract, run over both twins: decisions, the panic button, alerts, retention, and
 * what people look at. Every test opens a fresh store of each kind.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/mem.h"
#include "base/text.h"
#include "tests/unit/store_help.h"

/* ---- decisions ---- */

static void
release_in_parts_then_whole(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	struct batch_numbers b;
	uint64_t id = add_held(f, &test_stream, 10);
	uint32_t i;

	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.selector.first = 3;
	job.u.decide.dry_run = true;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.decide.recipients, 3);
	assert_int_equal(job.u.decide.left, 7);
	assert_int_equal(count_deliveries(f, 1, STORE_HELD), 10);
	assert_int_equal(count_audit(f, "batch.released"), 0);
	job.u.decide.dry_run = false;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.decide.left, 7);
	assert_false(job.u.decide.closed);
	assert_int_equal(job.u.decide.stream_hash, test_stream.hash);
	get_batch(f, 1, &b);
	assert_true(b.collecting);
	assert_int_equal(b.released, 3);
	assert_int_equal(claim(f, "staging", TEST_NOW + CLOCK_MINUTE), 3);
	for (i = 1; i <= 3; i++)
		assert_int_equal(report(f, id, i, STORE_SENT, 0), STORE_OK);

	decide_job(&job, STORE_RELEASE, 1);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.decide.recipients, 7);
	assert_true(job.u.decide.closed);
	get_batch(f, 1, &b);
	assert_false(b.collecting);
	assert_int_equal(b.state, STORE_BATCH_RELEASING);
	assert_int_equal(claim(f, "staging", TEST_NOW + CLOCK_MINUTE), 7);
	for (i = 4; i <= 10; i++)
		assert_int_equal(report(f, id, i, STORE_SENT, 0), STORE_OK);
	get_batch(f, 1, &b);
	assert_int_equal(b.state, STORE_BATCH_RELEASED);
	assert_int_equal(b.sent, 10);
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_non_null(strstr(job.error, "B1 holds nothing; it was released by uid:1000(kim)"));
	assert_int_equal(count_audit(f, "batch.released"), 2);
	assert_int_equal(take_alerts(f, "batch.released"), 2);
	check_counts(f);
}

static bool
matches_odd(void *context, const char *recipient, const char *subject)
{
	(void)context;
	assert_string_equal(subject, "hello");
	return (strtoul(recipient + 1, NULL, 10) & 1) == 1;
}

static void
selectors_pick(void **state)
{
	static const struct {
		uint64_t first;
		double percent;
		bool match;
		uint64_t wanted;
	} rows[] = {
	    {0, 0, false, 101}, {5, 0, false, 5},    {500, 0, false, 101}, {0, 10, false, 11},
	    {0, 1, false, 2},   {0, 0.01, false, 1}, {0, 100, false, 101}, {0, 0, true, 51},
	    {7, 0, true, 7},    {4, 10, false, 4},
	};
	struct fixture *f = *state;
	struct store_job job;
	size_t i;

	add_held(f, &test_stream, 101);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		decide_job(&job, STORE_RELEASE, 1);
		job.u.decide.dry_run = true;
		job.u.decide.selector.first = rows[i].first;
		job.u.decide.selector.percent = rows[i].percent;
		job.u.decide.selector.match = rows[i].match ? matches_odd : NULL;
		assert_int_equal(run_job(f, &job), STORE_OK);
		assert_int_equal(job.u.decide.recipients, rows[i].wanted);
	}
}

static void
rates_space_the_release(void **state)
{
	struct fixture *f = *state;
	struct store_job job;
	int64_t now = TEST_NOW + CLOCK_MINUTE;

	add_held(f, &test_stream, 10);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.rate_count = 2;
	job.u.decide.rate_window = CLOCK_MINUTE;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(claim(f, "staging", now), 1);
	assert_int_equal(claim(f, "staging", now + 30 * CLOCK_SECOND - 1), 0);
	assert_int_equal(claim(f, "staging", now + 30 * CLOCK_SECOND), 1);
	assert_int_equal(claim(f, "staging", now + 5 * CLOCK_MINUTE), 8);
}

static void
restore_gives_back_what_was_discarded(void **state)
{
	struct fixture *f = *state;
	struct batch_numbers b;
	struct store_job job;
	uint64_t id = add_held(f, &test_stream, 6);
	struct store_delivery_id ids[] = {{id, 2}, {id, 5}, {id, 2}};

	decide_job(&job, STORE_DISCARD, 0);
	job.u.decide.selector.ids = ids;
	job.u.decide.selector.id_count = 3;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.decide.recipients, 2);
	assert_int_equal(job.u.decide.messages, 1);
	assert_int_equal(job.u.decide.left, 4);
	decide_job(&job, STORE_RELEASE, 1);
	job.u.decide.selector.first = 1;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	get_batch(f, 1, &b);
	assert_int_equal(b.discarded, 5);
	assert_int_equal(b.state, STORE_BATCH_RELEASING);
	claim(f, "staging", TEST_NOW + CLOCK_HOUR);
	report(f, id, 1, STORE_SENT, 0);
	get_batch(f, 1, &b);
	assert_int_equal(b.state, STORE_BATCH_DISCARDED);
	assert_int_equal(decide(f, STORE_RESTORE, 1), STORE_OK);
	get_batch(f, 1, &b);
	assert_int_equal(b.held, 5);
	assert_int_equal(b.discarded, 0);
	assert_int_equal(b.state, STORE_BATCH_HELD);
	assert_false(b.collecting);
	assert_int_equal(decide(f, STORE_RESTORE, 1), STORE_REFUSED);
	assert_int_equal(take_alerts(f, "batch.restored"), 1);
	check_counts(f);
}

static void
decisions_are_refused_with_a_reason(void **state)
{
	struct fixture *f = *state;
	uint64_t queued = add_passing(f, "staging", 1);
	struct store_delivery_id ids[] = {{queued, 1}, {queued + 1, 0}};
	struct store_job job;

	assert_int_equal(decide(f, STORE_RELEASE, 5), STORE_MISSING);
	decide_job(&job, STORE_RELEASE, 0);
	job.u.decide.selector.ids = ids;
	job.u.decide.selector.id_count = 1;
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_non_null(strstr(job.error, "is queued: only what is held can be released"));
	job.u.decide.selector.id_count = 2;
	assert_int_equal(run_job(f, &job), STORE_MISSING);
	assert_non_null(strstr(job.error, "there is no delivery"));
	job.u.decide.selector.id_count = 0;
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_int_equal(count_audit(f, "batch.released"), 0);
}

static void
close_stops_collecting(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_CLOSE, .u.close = {.stream_hash = test_stream.hash}};
	struct verdict_stream again = test_stream;
	struct batch_numbers b;

	add_held(f, &test_stream, 1);
	assert_int_equal(run_job(f, &job), STORE_OK);
	get_batch(f, 1, &b);
	assert_false(b.collecting);
	assert_int_equal(b.state, STORE_BATCH_HELD);
	again.tripped_at += CLOCK_HOUR;
	add_held(f, &again, 1);
	assert_true(get_batch(f, 2, &b));
	assert_true(b.collecting);
	get_batch(f, 1, &b);
	assert_int_equal(b.recipients, 1);
}

/* ---- the panic button ---- */

static void
panic_stops_what_can_leave(void **state)
{
	struct fixture *f = *state;
	uint64_t taken = add_passing(f, "staging", 2);
	struct batch_numbers b;
	struct store_job job = {.op = STORE_HOLD};

	claim(f, "staging", TEST_NOW);
	add_passing(f, "staging", 3);
	add_passing(f, "production", 4);
	add_message(f, make_message("staging", "w", 1, VERDICT_WAIT, "burst volume", &test_stream));
	job.u.hold.on = true;
	job.u.hold.scope = 1;
	job.u.hold.name = "staging";
	job.u.hold.reason = "wrong list";
	job.u.hold.who = "uid:0(root)";
	job.u.hold.now = TEST_NOW + 1;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_true(job.u.hold.changed);
	assert_int_equal(job.u.hold.moved, 4);
	/* what waited leaves its stream */
	assert_int_equal(f->told_count, 1);
	assert_int_equal(f->told[0], test_stream.hash);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_false(job.u.hold.changed);
	/* what was under way: sent is sent, the rest is held */
	assert_int_equal(report(f, taken, 1, STORE_SENT, 0), STORE_OK);
	assert_int_equal(report(f, taken, 2, STORE_QUEUED, TEST_NOW), STORE_OK);
	add_passing(f, "staging", 1); /* judged just before */
	get_batch(f, 1, &b);
	assert_int_equal(b.held, 6);
	assert_int_equal(b.messages, 4);
	assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_REFUSED);
	assert_int_equal(count_audit(f, "hold.set"), 1);
	assert_int_equal(count_audit(f, "batch.opened"), 0);
	assert_int_equal(press(f, false, 1, "staging", TEST_NOW + 2), STORE_OK);
	get_batch(f, 1, &b);
	assert_false(b.collecting);
	assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_OK);
	assert_int_equal(claim(f, "staging", TEST_NOW + CLOCK_HOUR), 6);
	assert_int_equal(count_deliveries(f, 0, STORE_QUEUED), 10);
	check_counts(f);
}

static bool
count_hold(void *context, const struct store_hold *h)
{
	(void)h;
	++*(int *)context;
	return true;
}

static void
panic_takes_released_mail_back(void **state)
{
	struct fixture *f = *state;
	struct batch_numbers b;
	int holds = 0;
	uint64_t id = add_held(f, &test_stream, 4);
	struct store_job first = {.op = STORE_CLAIM};
	const char *staging = "staging";

	decide(f, STORE_RELEASE, 1);
	first.u.claim.environments = &staging;
	first.u.claim.environment_count = first.u.claim.limit = 1;
	first.u.claim.now = TEST_NOW + CLOCK_HOUR;
	assert_int_equal(run_job(f, &first), STORE_OK); /* one is under way */
	store_due_free(first.u.claim.due, first.u.claim.due_count);
	assert_int_equal(press(f, true, 2, "10.2.0.7", TEST_NOW + 5), STORE_OK);
	assert_int_equal(press(f, true, 0, "", TEST_NOW + 6), STORE_OK);
	store_view_holds(f->v, count_hold, &holds);
	assert_int_equal(holds, 2);
	/* in its own batch: that must be decided again, and its story is whole */
	get_batch(f, 1, &b);
	assert_int_equal(b.state, STORE_BATCH_PAUSED);
	assert_int_equal(b.recipients, 4);
	assert_int_equal(b.held, 3);
	assert_int_equal(b.released, 1);
	assert_int_equal(report(f, id, 1, STORE_QUEUED, TEST_NOW), STORE_OK);
	get_batch(f, 1, &b);
	assert_int_equal(b.held, 4);
	assert_int_equal(b.released, 0);
	assert_false(get_batch(f, 2, &b));
	assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_REFUSED);
	check_counts(f);
	assert_int_equal(press(f, false, 3, "", TEST_NOW), STORE_REFUSED);
	press(f, false, 2, "10.2.0.7", TEST_NOW + 7);
	press(f, false, 0, "", TEST_NOW + 8);
	assert_int_equal(decide(f, STORE_RELEASE, 1), STORE_OK);
	assert_int_equal(claim(f, "staging", TEST_NOW + CLOCK_HOUR), 4);
	check_counts(f);
}

static bool
see_hold_audit(void *context, const struct store_audit *a)
{
	if (strncmp(a->action, "hold.", 5) == 0)
		buf_printf(context, "%s %s;", a->action, a->detail);
	return true;
}

/* There is a batch when there is something in it. */
static void
panic_that_stops_nothing_opens_no_batch(void **state)
{
	struct fixture *f = *state;
	struct batch_numbers b;
	struct buf seen = {0};

	assert_int_equal(press(f, true, 1, "staging", TEST_NOW + 5), STORE_OK);
	assert_false(get_batch(f, 1, &b));
	add_passing(f, "staging", 2); /* judged just before, stored after it */
	get_batch(f, 1, &b);
	assert_int_equal(b.held, 2);
	assert_true(b.collecting);
	assert_int_equal(take_alerts(f, "batch.opened"), 1);
	press(f, false, 1, "staging", TEST_NOW + 6);
	add_passing(f, "staging", 1);
	press(f, true, 0, "", TEST_NOW + 7);
	assert_int_equal(store_view_audit(f->v, 0, 0, 0, NULL, see_hold_audit, &seen), STORE_OK);
	assert_string_equal(buf_text(&seen), "hold.set moved=0 again=0;hold.cleared ;"
					     "hold.set moved=1 again=0 batch=B2;");
	buf_free(&seen);
	check_counts(f);
}

/* The way out is named. */
static void
release_of_what_was_discarded_names_restore(void **state)
{
	struct fixture *f = *state;
	struct store_job job;

	add_held(f, &test_stream, 2);
	decide(f, STORE_DISCARD, 1);
	decide_job(&job, STORE_RELEASE, 1);
	assert_int_equal(run_job(f, &job), STORE_REFUSED);
	assert_non_null(strstr(job.error, "B1 holds nothing; it was discarded by "));
	assert_non_null(
	    strstr(job.error, "; `mailfuse restore B1` brings back what was discarded"));
}

/* The gate and the store must name a hold's stream alike. */
static void
panic_joins_by_the_gates_hash(void **state)
{
	struct fixture *f = *state;
	int32_t scope = 1;
	struct verdict_stream s = {.key = "environment=staging",
				   .source = "",
				   .sender = "",
				   .subject = "",
				   .tripped_at = TEST_NOW + 5};
	struct batch_numbers b;

	press(f, true, 1, "staging", TEST_NOW + 5);
	s.hash = text_hash(TEXT_HASH_START, "panic", 6);
	s.hash = text_hash(s.hash, &scope, 4);
	s.hash = text_hash(s.hash, "staging", 7);
	add_message(f, make_message("staging", "x", 2, VERDICT_HOLD, "panic", &s));
	get_batch(f, 1, &b);
	assert_int_equal(b.held, 2);
	assert_false(get_batch(f, 2, &b));
}

/* ---- alerts, facts, purge, views ---- */

static void
alerts_are_taken_and_tried_again(void **state)
{
	struct fixture *f = *state;
	static char glob[] = "upstream.*";
	char *globs[] = {glob, NULL};
	struct store_channel channels[] = {{"ops", globs}, {"dev", globs}};
	struct store_job fact = {.op = STORE_FACT}, job = {.op = STORE_ALERTS};
	uint64_t pending, failed;
	int64_t row, oldest;

	fact.u.fact.event = "upstream.down";
	fact.u.fact.environment = fact.u.fact.object = fact.u.fact.who = fact.u.fact.reason = "";
	fact.u.fact.text = "smarthost is down\nsince now";
	fact.u.fact.alert = true;
	fact.u.fact.now = TEST_NOW;
	assert_int_equal(run_job(f, &fact), STORE_OK);
	fact.u.fact.event = "config.reloaded";
	assert_int_equal(run_job(f, &fact), STORE_OK);
	job.u.alerts.step = STORE_ALERT_FAN_OUT;
	job.u.alerts.channels = channels;
	job.u.alerts.channel_count = 2;
	job.u.alerts.now = TEST_NOW;
	assert_int_equal(run_job(f, &job), STORE_OK);
	job.u.alerts.step = STORE_ALERT_TAKE;
	job.u.alerts.limit = 1;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.alerts.alert_count, 1);
	assert_string_equal(job.u.alerts.alerts[0].text, "smarthost is down since now");
	assert_int_equal(job.u.alerts.next_due_at, TEST_NOW);
	row = job.u.alerts.alerts[0].row;
	store_alerts_free(job.u.alerts.alerts, 1);
	job.u.alerts.step = STORE_ALERT_RETRY;
	job.u.alerts.row = row;
	job.u.alerts.due_at = TEST_NOW + 60;
	job.u.alerts.error_text = "500";
	job.u.alerts.tried = true;
	assert_int_equal(run_job(f, &job), STORE_OK);
	job.u.alerts.tried = false; /* handed back untried: no try more */
	assert_int_equal(run_job(f, &job), STORE_OK);
	job.u.alerts.step = STORE_ALERT_TAKE;
	job.u.alerts.limit = 10;
	job.u.alerts.now = TEST_NOW + 60;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.alerts.alert_count, 2);
	assert_int_equal(job.u.alerts.alerts[1].tries, 1);
	assert_int_equal(job.u.alerts.alerts[1].first_tried_at, TEST_NOW);
	store_alerts_free(job.u.alerts.alerts, 2);
	job.u.alerts.step = STORE_ALERT_GIVE_UP;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(count_audit(f, "alert.failed"), 1);
	assert_int_equal(store_view_alert_backlog(f->v, &pending, &failed, &oldest), STORE_OK);
	assert_int_equal(pending, 1);
	assert_int_equal(failed, 1);
	assert_int_equal(oldest, TEST_NOW);
	job.u.alerts.step = STORE_ALERT_DONE;
	job.u.alerts.row = 99;
	assert_int_equal(run_job(f, &job), STORE_MISSING);
}

static void
purge_takes_what_is_old(void **state)
{
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_PURGE};
	uint64_t sent = add_passing(f, "staging", 2);
	struct message *m = make_message("staging", "f", 1, VERDICT_PASS, NULL, NULL);
	uint64_t failed = m->id;
	struct buf raw = {0};
	bool cut;

	m->recipients[0].notify = DSN_NEVER;
	add_message(f, m);
	claim(f, "staging", TEST_NOW);
	report(f, sent, 1, STORE_SENT, 0);
	report(f, failed, 1, STORE_FAILED, 0);
	add_message(f, make_message("staging", "d", 3, VERDICT_DROP, "recipients", NULL));
	add_held(f, &test_stream, 2);
	decide(f, STORE_DISCARD, 1);
	job.u.purge.limit = 2;
	job.u.purge.dropped_before = clock_wall() + CLOCK_HOUR;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.purge.purged, 2);
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.purge.purged, 1);
	job.u.purge.limit = 100;
	/* what failed was counted, like what was sent: a restart counts it again */
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.purge.purged, 0);
	job.u.purge.discarded_before = TEST_NOW + CLOCK_HOUR;
	job.u.purge.sent_before = clock_wall() + CLOCK_HOUR;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.purge.purged, 4);
	assert_int_equal(count_deliveries(f, 0, -1), 1);
	/* a delivery is left: so is the message */
	assert_int_equal(store_view_raw(f->v, sent, 100, &raw, &cut), STORE_OK);
	buf_free(&raw);
	assert_int_equal(decide(f, STORE_RESTORE, 1), STORE_REFUSED);
}

/* Of whatever number of environments there are. */
static void
purge_forgets_no_environment(void **state)
{
	enum { ENVIRONMENTS = 1100 };
	struct fixture *f = *state;
	struct store_job job = {.op = STORE_PURGE};
	char name[16];

	for (unsigned i = 0; i < ENVIRONMENTS; i++) {
		snprintf(name, sizeof(name), "e%u", i);
		add_message(f, make_message(name, "d", 1, VERDICT_DROP, "recipients", NULL));
	}
	job.u.purge.limit = 2 * ENVIRONMENTS;
	job.u.purge.dropped_before = clock_wall() + CLOCK_HOUR;
	assert_int_equal(run_job(f, &job), STORE_OK);
	assert_int_equal(job.u.purge.purged, ENVIRONMENTS);
	assert_int_equal(count_deliveries(f, 0, -1), 0);
}

struct top {
	char text[200];
};

static bool
see_top(void *context, const char *value, uint64_t count)
{
	struct top *t = context;
	size_t used = strlen(t->text);

	snprintf(t->text + used, sizeof(t->text) - used, "%s=%d ", value, (int)count);
	return true;
}

static bool
see_arrival(void *context, int64_t at, uint64_t count)
{
	struct top *t = context;
	size_t used = strlen(t->text);

	snprintf(t->text + used, sizeof(t->text) - used, "%d=%d ",
		 (int)((at - TEST_NOW) / CLOCK_SECOND), (int)count);
	return true;
}

static void
views_sum_a_batch(void **state)
{
	struct fixture *f = *state;
	struct top top = {""};
	struct message *m;

	add_held(f, &test_stream, 2);
	m = make_message("staging", "other", 3, VERDICT_HOLD, "burst volume", &test_stream);
	m->accepted_at += 61 * CLOCK_SECOND;
	add_message(f, m);
	assert_int_equal(store_view_top(f->v, 1, "subject", 9, see_top, &top), STORE_OK);
	assert_int_equal(store_view_top(f->v, 1, "domain", 9, see_top, &top), STORE_OK);
	assert_int_equal(store_view_top(f->v, 1, "recipient", 2, see_top, &top), STORE_OK);
	assert_string_equal(top.text,
			    "other=3 hello=2 example.net=5 r1@example.net=2 r2@example.net=2 ");
	top.text[0] = '\0';
	assert_int_equal(store_view_arrivals(f->v, 1, 30 * CLOCK_SECOND, see_arrival, &top),
			 STORE_OK);
	assert_string_equal(top.text, "0=2 60=3 ");
	assert_int_equal(store_view_arrivals(f->v, 7, 1, see_arrival, &top), STORE_MISSING);
}

struct paging {
	struct store_delivery_id last;
	uint32_t n;
};

static bool
see_page(void *context, const struct store_delivery *d)
{
	struct paging *p = context;

	assert_true(d->id > p->last.id || (d->id == p->last.id && d->number > p->last.number));
	p->last = (struct store_delivery_id){d->id, d->number};
	p->n++;
	return true;
}

static void
lists_page_through_everything(void **state)
{
	struct fixture *f = *state;
	struct store_filter filters[] = {{.state = -1},
					 {.state = STORE_HELD},
					 {.state = -1, .batch = 1},
					 {.state = STORE_HELD, .batch = 1},
					 {.state = STORE_HELD, .environment = "staging"},
					 {.state = -1, .environment = "staging"}};
	size_t i;
	int k;

	for (k = 0; k < 5; k++)
		add_held(f, &test_stream, 3);
	for (i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		struct paging p = {.n = 0};
		uint32_t before;

		filters[i].limit = 4;
		do {
			before = p.n;
			filters[i].after = p.last;
			assert_int_equal(store_view_deliveries(f->v, &filters[i], see_page, &p),
					 STORE_OK);
			assert_true(p.n - before <= 4);
		} while (p.n > before);
		assert_int_equal(p.n, 15);
	}
}

static void
recent_is_what_the_counters_saw(void **state)
{
	struct fixture *f = *state;
	struct verdict_stream decided = test_stream;
	struct paging p = {.n = 0};

	decided.hash = 77;
	add_passing(f, "staging", 2);
	add_held(f, &test_stream, 3);
	add_message(f, make_message("staging", "d", 1, VERDICT_DROP, "recipients", NULL));
	add_message(f, make_message("unknown", "u", 1, VERDICT_HOLD, "unknown", &test_stream));
	press(f, true, 0, "", TEST_NOW + 1); /* counted before it was stopped */
	assert_int_equal(store_view_recent(f->v, clock_wall() - CLOCK_HOUR, see_page, &p),
			 STORE_OK);
	assert_int_equal(p.n, 5);
	/* a decision on the whole batch ends its count */
	assert_int_equal(press(f, false, 0, "", TEST_NOW + 2), STORE_OK);
	add_held(f, &decided, 4);
	assert_int_equal(decide(f, STORE_DISCARD, 3), STORE_OK);
	p = (struct paging){.n = 0};
	assert_int_equal(store_view_recent(f->v, clock_wall() - CLOCK_HOUR, see_page, &p),
			 STORE_OK);
	assert_int_equal(p.n, 5);
	p = (struct paging){.n = 0};
	assert_int_equal(store_view_recent(f->v, clock_wall() + CLOCK_HOUR, see_page, &p),
			 STORE_OK);
	assert_int_equal(p.n, 0);
}

static void
names_read_back(void **state)
{
	static const struct {
		const char *text;
		bool good;
		int64_t id;
	} rows[] = {{"B17", true, 17},
		    {"b1", true, 1},
		    {"B0", false, 0},
		    {"B", false, 0},
		    {"17", false, 0},
		    {"B1x", false, 0},
		    {"B99999999999999999999", false, 0},
		    {"", false, 0}};
	enum store_batch_state batch_state;
	enum store_state delivery_state;
	size_t i;
	int64_t id;
	int s;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(store_batch_parse(rows[i].text, &id), rows[i].good);
		if (rows[i].good)
			assert_int_equal(id, rows[i].id);
	}
	for (s = 0; s < STORE_STATE_COUNT; s++) {
		assert_true(
		    store_state_parse(store_state_name((enum store_state)s), &delivery_state));
		assert_int_equal(delivery_state, s);
	}
	for (s = 0; s < STORE_BATCH_STATE_COUNT; s++) {
		assert_true(store_batch_state_parse(
		    store_batch_state_name((enum store_batch_state)s), &batch_state));
		assert_int_equal(batch_state, s);
	}
	assert_false(store_state_parse("gone", &delivery_state));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(release_in_parts_then_whole),
	    BOTH(selectors_pick),
	    BOTH(rates_space_the_release),
	    BOTH(restore_gives_back_what_was_discarded),
	    BOTH(decisions_are_refused_with_a_reason),
	    BOTH(close_stops_collecting),
	    BOTH(panic_stops_what_can_leave),
	    BOTH(panic_takes_released_mail_back),
	    BOTH(panic_that_stops_nothing_opens_no_batch),
	    BOTH(release_of_what_was_discarded_names_restore),
	    BOTH(panic_joins_by_the_gates_hash),
	    BOTH(alerts_are_taken_and_tried_again),
	    BOTH(purge_takes_what_is_old),
	    BOTH(purge_forgets_no_environment),
	    BOTH(views_sum_a_batch),
	    BOTH(lists_page_through_everything),
	    BOTH(recent_is_what_the_counters_saw),
	    cmocka_unit_test(names_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
