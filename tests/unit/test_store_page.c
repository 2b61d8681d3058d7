/*
 * Decisions on a page that is old: which differences each refuses, and which it may overlook
 * because they come by themselves. Over both backends.
 */
#include <string.h>

#include "store/page.h"
#include "tests/unit/store_help.h"

#define BIT(field) (1U << PAGE_##field)

/* A batch of ten, of which this has happened since the page was made. */
enum since { NOTHING, FILLED, DISCARDED_ALL, DISCARDED_PART, RULED_DISCARD, RULED_PASS };

struct row {
	const char *name;
	enum since since;
	enum store_decision decision;
	uint64_t first;
	unsigned seen;    /* fields that the page says */
	unsigned changed; /* wanted; 0 = it is carried out */
};

static const struct row rows[] = {
    {"release what is there", NOTHING, STORE_RELEASE, 0, 0x3f, 0},
    {"nothing was said", FILLED, STORE_RELEASE, 0, 0, 0},
    {"release, grown", FILLED, STORE_RELEASE, 0, 0x3f, BIT(HELD)},
    {"release, grown, held not said", FILLED, STORE_RELEASE, 0, BIT(STATE) | BIT(RELEASED), 0},
    {"release a part, grown", FILLED, STORE_RELEASE, 5, 0x3f, 0},
    {"discard, grown", FILLED, STORE_DISCARD, 0, 0x3f, 0},
    {"discard a part, grown", FILLED, STORE_DISCARD, 3, 0x3f, 0},
    {"release, a part is discarded", DISCARDED_PART, STORE_RELEASE, 0, 0x3f,
     BIT(HELD) | BIT(DISCARDED)},
    {"release a part, a part is discarded", DISCARDED_PART, STORE_RELEASE, 2, 0x3f,
     BIT(HELD) | BIT(DISCARDED)},
    {"discard, a part is discarded", DISCARDED_PART, STORE_DISCARD, 0, 0x3f,
     BIT(HELD) | BIT(DISCARDED)},
    {"restore, discarded since", DISCARDED_ALL, STORE_RESTORE, 0, 0x3f,
     BIT(STATE) | BIT(HELD) | BIT(DISCARDED)},
    {"purge, discarded since", DISCARDED_ALL, STORE_PURGE_NOW, 0, BIT(DISCARDED), BIT(DISCARDED)},
    {"purge of what is discarded by itself", RULED_DISCARD, STORE_PURGE_NOW, 0, BIT(DISCARDED),
     BIT(DISCARDED)},
    {"restore of what is discarded by itself", RULED_DISCARD, STORE_RESTORE, 0, BIT(DISCARDED), 0},
    {"discard beside what passes by itself", RULED_PASS, STORE_DISCARD, 0, BIT(RELEASED), 0},
};

static bool
keep_plan(void *context, const struct store_plan *p)
{
	struct store_page *page = context;

	page->seen[PAGE_PLAN] = (uint64_t)p->id;
	page->seen[PAGE_RING] = p->ring;
	return true;
}

static void
see(struct fixture *f, struct store_page *page, unsigned set)
{
	struct batch_numbers b;

	assert_true(get_batch(f, 1, &b));
	*page = (struct store_page){.set = set};
	page->seen[PAGE_STATE] = b.state;
	page->seen[PAGE_HELD] = b.held;
	page->seen[PAGE_RELEASED] = b.released;
	page->seen[PAGE_DISCARDED] = b.discarded;
	(void)store_view_plan(f->v, 1, keep_plan, page);
}

static void
decide_part(struct fixture *f, enum store_decision decision, uint64_t first, int64_t stream_for)
{
	struct store_job job;

	decide_job(&job, decision, 1);
	job.u.decide.selector.first = first;
	job.u.decide.stream_for = stream_for;
	assert_int_equal(run_job(f, &job), STORE_OK);
}

static void
make_batch(struct fixture *f, const struct row *row)
{
	add_held(f, &test_stream, 10);
	if (row->since == RULED_DISCARD)
		decide_part(f, STORE_DISCARD, 0, CLOCK_HOUR);
	if (row->since == RULED_PASS) {
		decide_part(f, STORE_RELEASE, 0, CLOCK_HOUR);
		press(f, true, 0, "", TEST_NOW);
		add_held(f, &test_stream, 3);
		press(f, false, 0, "", TEST_NOW);
	}
}

static void
let_it_change(struct fixture *f, const struct row *row)
{
	switch (row->since) {
	case NOTHING:
		break;
	case FILLED:
	case RULED_DISCARD:
	case RULED_PASS:
		add_held(f, &test_stream, 7);
		break;
	case DISCARDED_ALL:
		decide_part(f, STORE_DISCARD, 0, 0);
		break;
	case DISCARDED_PART:
		decide_part(f, STORE_DISCARD, 4, 0);
		break;
	}
}

static uint64_t
count_decisions(struct fixture *f)
{
	return count_audit(f, "batch.released") + count_audit(f, "batch.discarded") +
	       count_audit(f, "batch.restored") + count_audit(f, "batch.purged");
}

static void
run_row(struct fixture *f, const struct row *row, bool dry)
{
	struct batch_numbers before, after;
	struct store_page page;
	struct store_job job;
	uint64_t log;

	make_batch(f, row);
	see(f, &page, row->seen);
	let_it_change(f, row);
	assert_true(get_batch(f, 1, &before));
	log = count_decisions(f);
	decide_job(&job, row->decision, 1);
	job.u.decide.selector.first = row->first;
	job.u.decide.dry_run = dry;
	job.u.decide.page = &page;
	run_job(f, &job);
	assert_int_equal(page.changed, row->changed);
	if (row->changed == 0) {
		if (job.result != STORE_OK)
			print_message("%s\n", job.error);
		assert_int_equal(job.result, STORE_OK);
		return;
	}
	assert_int_equal(job.result, STORE_REFUSED);
	assert_non_null(strstr(job.error, "B1 has changed"));
	assert_true(get_batch(f, 1, &after));
	assert_memory_equal(&before, &after, sizeof(before)); /* nothing has moved */
	assert_int_equal(count_decisions(f), log);
	for (int i = 0; i < PAGE_FIELD_COUNT; i++)
		if ((page.changed >> i & 1) != 0)
			assert_int_not_equal(page.now[i], page.seen[i]);
}

static void
each_decision(void **state)
{
	struct fixture *f = *state;
	const struct backend *b = f->b;

	for (size_t i = 0; i < 2 * (sizeof(rows) / sizeof(rows[0])); i++) {
		print_message("  %s%s\n", rows[i / 2].name, i % 2 == 0 ? ", dry" : "");
		run_row(f, &rows[i / 2], i % 2 == 0);
		fixture_close(f);
		fixture_open(f, b);
	}
}

static enum store_result
step(struct fixture *f, enum store_plan_step what, struct store_page *page)
{
	struct store_job job = {.op = STORE_PLAN,
				.u.plan = {.step = what,
					   .batch = 1,
					   .who = "ann",
					   .reason = "r",
					   .page = page,
					   .now = TEST_NOW,
					   .due_now = TEST_NOW}};

	return run_job(f, &job);
}

/* A release runs on under the page of who stops it; of who goes on with it nothing may differ. */
static void
steps_of_a_plan(void **state)
{
	struct fixture *f = *state;
	struct store_page page, old;

	add_held(f, &test_stream, 10);
	decide_part(f, STORE_RELEASE, 4, 0);
	see(f, &page, 0x3f);
	page.seen[PAGE_HELD] += 2;
	page.seen[PAGE_RELEASED] -= 2;
	old = page;
	old.seen[PAGE_PLAN] += 1;
	assert_int_equal(step(f, STORE_PAUSE, &old), STORE_REFUSED);
	assert_int_equal(old.changed, BIT(PLAN));
	assert_int_equal(step(f, STORE_PAUSE, &page), STORE_OK);
	assert_int_equal(step(f, STORE_RESUME, &page), STORE_REFUSED);
	assert_true((page.changed & BIT(STATE)) != 0);
	see(f, &page, 0x3f);
	add_held(f, &test_stream, 5); /* it releases what it was asked to */
	assert_int_equal(step(f, STORE_RESUME, &page), STORE_OK);
	see(f, &page, 0x3f);
	page.seen[PAGE_RELEASED] += 1;
	assert_int_equal(step(f, STORE_PAUSE, &page), STORE_OK);
	see(f, &page, 0x3f);
	page.seen[PAGE_RELEASED] += 1;
	assert_int_equal(step(f, STORE_RESUME, &page), STORE_REFUSED);
	assert_int_equal(page.changed, BIT(RELEASED));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {BOTH(each_decision), BOTH(steps_of_a_plan)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
