/*
 * Lists of deliveries in both orders and page by page, and the other lists that pages of people are
 * made of: what rules held, alerts and the audit log backwards. Both backends over the same random
 * history.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/view.h"
#include "tests/unit/store_help.h"

enum { MOST = 2000, ENVIRONMENTS = 3 };

struct ids {
	struct store_delivery_id list[MOST];
	char environment[MOST][16];
	size_t count;
};

static bool
keep(void *context, const struct store_delivery *d)
{
	struct ids *ids = context;

	assert_true(ids->count < MOST);
	snprintf(ids->environment[ids->count], sizeof(ids->environment[0]), "%s", d->environment);
	ids->list[ids->count++] = (struct store_delivery_id){d->id, d->number};
	return true;
}

static void
read_pages(struct fixture *f, struct store_filter filter, uint32_t limit, struct ids *out)
{
	size_t before;

	filter.limit = limit;
	filter.after = (struct store_delivery_id){0, 0};
	out->count = 0;
	do {
		before = out->count;
		assert_int_equal(store_view_deliveries(f->v, &filter, keep, out), STORE_OK);
		assert_true(out->count - before <= limit);
		if (out->count > before)
			filter.after = out->list[out->count - 1];
	} while (out->count - before == limit);
}

static void
check_same(const struct ids *a, const struct ids *b, bool turned)
{
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		const struct store_delivery_id *x = &a->list[i],
					       *y = &b->list[turned ? b->count - 1 - i : i];

		assert_true(x->id == y->id && x->number == y->number);
	}
}

/* ---- a history ---- */

static const char *const environments[ENVIRONMENTS] = {"staging", "production", "box"};

static void
add_some(struct fixture *f, unsigned seed)
{
	static const enum verdict_action actions[] = {VERDICT_PASS, VERDICT_DROP, VERDICT_WAIT};
	const char *environment = environments[seed % ENVIRONMENTS];
	struct verdict_stream stream = stream_of(100 + seed % 5, TEST_NOW, 0);

	if (seed % 2 == 0)
		add_message(f, make_message(environments[seed % 5 % ENVIRONMENTS], "a",
					    seed % 4 + 1, VERDICT_HOLD, "burst volume", &stream));
	else
		add_message(f, make_message(environment, "b", seed % 3 + 1, actions[seed / 2 % 3],
					    "rule", NULL));
}

static void
make_history(struct fixture *f)
{
	for (unsigned i = 0; i < 120; i++) {
		add_some(f, i * 7 + i / 3);
		if (i % 11 == 10)
			decide(f, STORE_DISCARD, 1 + i % 4);
		if (i % 17 == 16)
			decide(f, STORE_RESTORE, 1 + i % 3);
		if (i % 29 == 28)
			decide(f, STORE_RELEASE, 1 + i % 5);
	}
}

static void
filters_agree_in_both_orders(void **state)
{
	struct fixture *f = *state;
	struct ids *oldest = mem_zalloc(sizeof(*oldest)), *newest = mem_zalloc(sizeof(*newest));
	static const uint32_t limits[] = {1, 7, 128, 1500};

	make_history(f);
	for (int which = 0; which < 5 * (STORE_STATE_COUNT + 1); which++) {
		struct store_filter filter = {.state = which % (STORE_STATE_COUNT + 1) - 1};
		const int by = which / (STORE_STATE_COUNT + 1);

		if (by > 0 && by <= ENVIRONMENTS)
			filter.environment = environments[by - 1];
		else if (by > ENVIRONMENTS)
			filter.batch = 2;
		read_pages(f, filter, MOST, oldest);
		for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
			filter.newest = false;
			read_pages(f, filter, limits[i], newest);
			check_same(oldest, newest, false);
			filter.newest = true;
			read_pages(f, filter, limits[i], newest);
			check_same(oldest, newest, true);
		}
	}
	free(oldest);
	free(newest);
}

static void
an_environment_has_all_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct ids *all = mem_zalloc(sizeof(*all)), *one = mem_zalloc(sizeof(*one));
	size_t found = 0;

	make_history(f);
	read_pages(f, (struct store_filter){.state = -1}, MOST, all);
	assert_true(all->count > 200);
	for (int i = 0; i < ENVIRONMENTS; i++) {
		size_t at = 0;

		read_pages(f, (struct store_filter){.environment = environments[i], .state = -1}, 9,
			   one);
		for (size_t k = 0; k < all->count; k++) {
			if (strcmp(all->environment[k], environments[i]) != 0)
				continue;
			assert_true(at < one->count);
			assert_true(one->list[at].id == all->list[k].id &&
				    one->list[at].number == all->list[k].number);
			at++;
		}
		assert_int_equal(at, one->count);
		found += at;
	}
	assert_int_equal(found, all->count);
	free(all);
	free(one);
}

/* ---- rules ---- */

struct trips {
	char text[400];
};

static bool
add_trips(void *context, const struct store_trips *t)
{
	struct trips *trips = context;
	size_t len = strlen(trips->text);

	snprintf(trips->text + len, sizeof(trips->text) - len, "%s/%s=%u:%d ", t->environment,
		 t->rule, (unsigned)t->count, (int)t->last);
	return true;
}

static void
check_trips(struct fixture *f, uint32_t newest, const char *const *wanted)
{
	struct trips trips = {""};
	size_t len = 0;

	assert_int_equal(store_view_trips(f->v, newest, add_trips, &trips), STORE_OK);
	for (; *wanted != NULL; wanted++) {
		assert_non_null(strstr(trips.text, *wanted));
		len += strlen(*wanted);
	}
	assert_int_equal(strlen(trips.text), len);
}

static void
what_rules_held(void **state)
{
	static const char *const all[] = {"staging/burst volume=2:3 ", "staging/content x=1:2 ",
					  NULL};
	static const char *const newest[] = {"staging/burst volume=1:3 ", "staging/content x=1:2 ",
					     NULL};
	static const char *const none[] = {NULL};
	struct fixture *f = *state;
	struct verdict_stream a = stream_of(1, TEST_NOW, 0), b = stream_of(2, TEST_NOW, 0),
			      c = stream_of(3, TEST_NOW, 0);

	check_trips(f, 100, none);
	trip(f, &a, "burst volume");
	trip(f, &b, "content x");
	trip(f, &c, "burst volume");
	check_trips(f, 100, all);
	check_trips(f, 2, newest);
}

static bool
count_batch(void *context, const struct store_batch *b)
{
	uint64_t *sum = context;

	*sum = *sum * 10 + (uint64_t)b->id;
	return true;
}

static void
batches_by_what_they_hold(void **state)
{
	struct fixture *f = *state;
	struct verdict_stream s[3];
	uint64_t seen = 0;

	for (int i = 0; i < 3; i++) {
		s[i] = stream_of((uint64_t)i + 1, TEST_NOW, 0);
		trip(f, &s[i], "burst volume");
	}
	assert_int_equal(store_view_holding(f->v, count_batch, &seen), STORE_OK);
	assert_int_equal(seen, 321);
	assert_int_equal(decide(f, STORE_DISCARD, 2), STORE_OK);
	seen = 0;
	assert_int_equal(store_view_holding(f->v, count_batch, &seen), STORE_OK);
	assert_int_equal(seen, 31);
	seen = 0;
	assert_int_equal(store_view_batches_before(f->v, -1, true, 3, count_batch, &seen),
			 STORE_OK);
	assert_int_equal(seen, 21);
	seen = 0;
	assert_int_equal(store_view_batches_before(f->v, -1, true, 0, count_batch, &seen),
			 STORE_OK);
	assert_int_equal(seen, 321);
	seen = 0;
	assert_int_equal(store_view_batches_before(f->v, -1, false, 3, count_batch, &seen),
			 STORE_OK);
	assert_int_equal(seen, 1);
}

/* ---- how old what is held is ---- */

static void
hold(struct fixture *f, uint64_t stream, const char *environment, unsigned recipients, int64_t at)
{
	struct verdict_stream s = stream_of(stream, TEST_NOW, 0);
	struct message *m =
	    make_message(environment, "a", recipients, VERDICT_HOLD, "burst volume", &s);

	m->accepted_at = at;
	add_message(f, m);
}

struct held {
	char text[200];
};

static bool
add_held_age(void *context, const char *environment, int64_t at)
{
	struct held *held = context;
	size_t len = strlen(held->text);

	snprintf(held->text + len, sizeof(held->text) - len, "%s:%d ",
		 environment != NULL ? environment : "others", (int)(at - TEST_NOW));
	return true;
}

static void
check_held(struct fixture *f, const char *wanted)
{
	struct held held = {""};

	assert_int_equal(store_view_held(f->v, add_held_age, &held), STORE_OK);
	assert_string_equal(held.text, wanted);
}

static void
the_oldest_of_each_environment(void **state)
{
	struct fixture *f = *state;

	check_held(f, "");
	hold(f, 1, "staging", 2, TEST_NOW + 1);
	hold(f, 1, "staging", 1, TEST_NOW + 2);
	hold(f, 2, "production", 1, TEST_NOW + 3);
	hold(f, 3, "staging", 1, TEST_NOW + 4);
	check_held(f, "staging:1 production:3 ");
	check_counts(f);
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	check_held(f, "production:3 staging:4 ");
	check_counts(f);
	assert_int_equal(decide(f, STORE_RESTORE, 1), STORE_OK);
	assert_int_equal(decide(f, STORE_RELEASE, 3), STORE_OK);
	check_held(f, "staging:1 production:3 ");
	/* A batch of several environments says whose each is. */
	hold(f, 2, "box", 1, TEST_NOW + 5);
	check_held(f, "staging:1 production:3 box:5 ");
	check_counts(f);
}

struct rest {
	uint64_t named, others;
	int64_t others_at;
};

static bool
count_rest(void *context, const char *environment, int64_t at)
{
	struct rest *rest = context;

	if (environment == NULL) {
		rest->others++;
		rest->others_at = at;
	} else {
		rest->named++;
		assert_string_not_equal(environment, "production");
	}
	return true;
}

/* Of a batch of several environments so many are looked at; the rest is said to be no older. */
static void
the_oldest_of_a_large_mixed_batch(void **state)
{
	struct fixture *f = *state;
	struct rest rest = {.named = 0};

	hold(f, 1, "box", 1, TEST_NOW + 1);
	hold(f, 1, "staging", STORE_HELD_LOOK - 1, TEST_NOW + 2);
	hold(f, 1, "production", 1, TEST_NOW + 3);
	assert_int_equal(store_view_held(f->v, count_rest, &rest), STORE_OK);
	assert_int_equal(rest.named, STORE_HELD_LOOK);
	assert_int_equal(rest.others, 1);
	assert_int_equal(rest.others_at, TEST_NOW + 2);
}

static size_t lists;
static const struct backend *counted;

static enum store_result
count_list(struct db *db, const struct delivery_query *q, delivery_row_fn *row, void *context)
{
	lists++;
	return counted->delivery_list(db, q, row, context);
}

/* A look for each environment, whatever number of batches it has. */
static void
ages_cost_a_look_an_environment(void **state)
{
	struct fixture *f = *state;
	struct held held = {""};
	struct backend counting = *f->v->b;
	char name[16];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "e%u", i % 8);
		hold(f, i + 1, name, 1, TEST_NOW);
	}
	counted = f->v->b;
	counting.delivery_list = count_list;
	f->v->b = &counting;
	lists = 0;
	assert_int_equal(store_view_held(f->v, add_held_age, &held), STORE_OK);
	assert_int_equal(lists, 8);
	f->v->b = counted;
}

/* ---- alerts ---- */

struct fates {
	struct store_alert_place list[64];
	size_t count;
};

static bool
keep_fate(void *context, const struct store_alert_fate *f)
{
	struct fates *fates = context;

	assert_true(fates->count < 64);
	assert_true(f->event[0] != '\0');
	fates->list[fates->count++] = (struct store_alert_place){f->event_id, f->row};
	return true;
}

static void
alerts_page_by_page(void **state)
{
	struct fixture *f = *state;
	struct fates all = {.count = 0}, paged = {.count = 0};
	struct store_alert_place at = {0, 0};
	struct verdict_stream s[3];
	size_t before;

	for (int i = 0; i < 3; i++) {
		s[i] = stream_of((uint64_t)i + 1, TEST_NOW, 0);
		trip(f, &s[i], "burst volume");
		if (i == 2)
			break; /* nobody has asked the channels about the last one */
		take_alerts(f, "batch.opened");
	}
	assert_int_equal(store_view_alerts(f->v, &at, 0, keep_fate, &all), STORE_OK);
	assert_true(all.count >= 3);
	do {
		before = paged.count;
		assert_int_equal(store_view_alerts(f->v, &at, 1, keep_fate, &paged), STORE_OK);
		if (paged.count > before)
			at = paged.list[paged.count - 1];
	} while (paged.count > before);
	assert_int_equal(paged.count, all.count);
	assert_memory_equal(paged.list, all.list, all.count * sizeof(all.list[0]));
	for (size_t i = 1; i < all.count; i++)
		assert_true(all.list[i].event <= all.list[i - 1].event);
}

/* ---- the log ---- */

struct rows {
	int64_t list[64];
	size_t count;
};

static bool
keep_row(void *context, const struct store_audit *a)
{
	struct rows *rows = context;

	assert_true(rows->count < 64);
	rows->list[rows->count++] = a->id;
	return true;
}

static void
the_log_backwards(void **state)
{
	static const struct {
		int64_t before;
		uint32_t last;
		const char *object;
		int64_t first;
		size_t count;
	} rows[] = {{4, 2, NULL, 2, 2},  {4, 100, NULL, 1, 3}, {1, 5, NULL, 0, 0},
		    {99, 2, NULL, 5, 2}, {99, 1, "B1", 5, 1},  {3, 1, "B1", 1, 1}};
	struct fixture *f = *state;
	struct verdict_stream a = stream_of(1, TEST_NOW, 0), b = stream_of(2, TEST_NOW, 0);

	trip(f, &a, "burst volume");
	trip(f, &b, "burst volume");
	assert_int_equal(decide(f, STORE_DISCARD, 2), STORE_OK);
	assert_int_equal(decide(f, STORE_RESTORE, 2), STORE_OK);
	assert_int_equal(decide(f, STORE_DISCARD, 1), STORE_OK);
	assert_int_equal(decide(f, STORE_DISCARD, 2), STORE_OK);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rows seen = {.count = 0};

		print_message("  before %d last %u of %s\n", (int)rows[i].before, rows[i].last,
			      rows[i].object != NULL ? rows[i].object : "all");
		assert_int_equal(store_view_audit_before(f->v, rows[i].before, rows[i].last,
							 rows[i].object, keep_row, &seen),
				 STORE_OK);
		assert_int_equal(seen.count, rows[i].count);
		if (seen.count > 0)
			assert_int_equal(seen.list[0], rows[i].first);
		for (size_t k = 1; k < seen.count; k++)
			assert_true(seen.list[k] > seen.list[k - 1]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    BOTH(filters_agree_in_both_orders),
	    BOTH(an_environment_has_all_of_its_own),
	    BOTH(what_rules_held),
	    BOTH(batches_by_what_they_hold),
	    BOTH(the_oldest_of_each_environment),
	    BOTH(the_oldest_of_a_large_mixed_batch),
	    BOTH(ages_cost_a_look_an_environment),
	    BOTH(alerts_page_by_page),
	    BOTH(the_log_backwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
