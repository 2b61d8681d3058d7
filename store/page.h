/*
 * What a person had in front of them when they decided on a batch, held against what it is now, in
 * the decision's own transaction: a decision made on numbers that have changed since is refused.
 * Made by control/; checked by the jobs, on the writer's thread. Nothing here is freed.
 */
#ifndef STORE_PAGE_H
#define STORE_PAGE_H

#include <stdbool.h>
#include <stdint.h>

/* In the order in which people are told of them. */
enum page_field {
	PAGE_STATE, /* enum store_batch_state */
	PAGE_HELD,
	PAGE_RELEASED,
	PAGE_DISCARDED,
	PAGE_PLAN, /* its id; 0 = there is none */
	PAGE_RING, /* the present one of the plan; 0 = none has begun */
	PAGE_FIELD_COUNT
};

struct store_page {
	unsigned set; /* of 1 << enum page_field: what the person saw */
	uint64_t seen[PAGE_FIELD_COUNT];
	/* out */
	unsigned changed; /* of the same; not 0: the decision is refused for it */
	uint64_t now[PAGE_FIELD_COUNT];
	bool filling; /* the batch still collects */
};

/* What a decision may overlook. */
enum page_leave {
	/* What a batch does by itself while it fills or a release goes on that the person knew of:
	 * more is held, rings begin, what is held goes out, what comes passes or is discarded. */
	PAGE_LEAVE_PROGRESS = 1,
	/* A pause takes back what it finds: it is never refused for numbers. */
	PAGE_LEAVE_NUMBERS = 2,
	/* Discarded for good: not more than was seen. */
	PAGE_KEEP_DISCARDED = 4
};

struct store_job;
struct work;
struct work_batch;

/* STORE_REFUSED and a reason, with `changed` and what follows filled in. `page` NULL = nothing was
 * said. */
enum store_result page_check(struct work *w, struct store_job *job, struct work_batch *wb,
			     struct store_page *page, unsigned leave);

#endif
