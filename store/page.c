/*
 * See page.h. Called by job_decide.c and job_plan.c on the writer's thread, before anything has
 * changed, so that no other decision can come between the look and the act.
 */
#include "store/page.h"

#include <inttypes.h>

#include "store/jobs.h"
#include "store/plan.h"

static void
fill_now(const struct work_batch *wb, struct store_page *page)
{
	const struct store_batch *b = &wb->row.b;
	const struct plan_row *plan = wb->plan;

	page->now[PAGE_STATE] = (uint64_t)b->state;
	page->now[PAGE_HELD] = b->held;
	page->now[PAGE_RELEASED] = b->released;
	page->now[PAGE_DISCARDED] = b->discarded;
	page->now[PAGE_PLAN] = plan != NULL ? (uint64_t)plan->p.id : 0;
	page->now[PAGE_RING] = plan != NULL ? plan->p.ring : 0;
	page->filling = b->collecting;
}

/* The release that goes on is the one that was seen. */
static bool
is_same_run(const struct work_batch *wb, const struct store_page *page)
{
	return wb->plan != NULL && wb->plan->p.state == STORE_PLAN_RUNNING &&
	       (page->set & 1U << PAGE_PLAN) != 0 && page->seen[PAGE_PLAN] == page->now[PAGE_PLAN];
}

/* Whether that field moves that way with nobody doing anything. */
static bool
moves_alone(const struct work_batch *wb, const struct store_page *page, enum page_field field)
{
	const bool grows = page->now[field] > page->seen[field];

	switch (field) {
	case PAGE_HELD:
		return grows || is_same_run(wb, page);
	case PAGE_RELEASED:
		return grows && (is_same_run(wb, page) || wb->row.b.ruling == STORE_RULING_PASS);
	case PAGE_RING:
		return grows && is_same_run(wb, page);
	case PAGE_DISCARDED:
		return grows && wb->row.b.ruling == STORE_RULING_DISCARD;
	case PAGE_STATE:
	case PAGE_PLAN:
	case PAGE_FIELD_COUNT:
		break;
	}
	return false;
}

static bool
may_leave(const struct work_batch *wb, const struct store_page *page, enum page_field field,
	  unsigned leave)
{
	const bool number = field == PAGE_HELD || field == PAGE_RELEASED || field == PAGE_RING;

	if (number && (leave & PAGE_LEAVE_NUMBERS) != 0)
		return true;
	if (field == PAGE_DISCARDED && (leave & PAGE_KEEP_DISCARDED) != 0)
		return false;
	return (leave & PAGE_LEAVE_PROGRESS) != 0 && moves_alone(wb, page, field);
}

enum store_result
page_check(struct work *w, struct store_job *job, struct work_batch *wb, struct store_page *page,
	   unsigned leave)
{
	struct plan_row *plan;
	int i;

	if (page == NULL || page->set == 0)
		return STORE_OK;
	TRY(plan_of(w, wb, &plan));
	fill_now(wb, page);
	page->changed = 0;
	for (i = 0; i < PAGE_FIELD_COUNT; i++) {
		if ((page->set & 1U << i) == 0 || page->seen[i] == page->now[i])
			continue;
		if (!may_leave(wb, page, (enum page_field)i, leave))
			page->changed |= 1U << i;
	}
	if (page->changed == 0)
		return STORE_OK;
	return job_refuse(job, STORE_REFUSED,
			  "B%" PRId64 " has changed since somebody looked at it; see `mailfuse "
			  "show B%" PRId64 "`",
			  wb->row.b.id, wb->row.b.id);
}
