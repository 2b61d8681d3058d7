/*
 * A store for the tests of control/ that says of plans and alerts what the test wants: what
 * is linked with it needs --wrap of each function in control_fake.c.
 */
#ifndef TESTS_UNIT_CONTROL_FAKE_H
#define TESTS_UNIT_CONTROL_FAKE_H

#include <pthread.h>

#include "base/clock.h"
#include "store/views.h"

struct fake {
	pthread_mutex_t lock;
	bool decides;            /* STORE_DECIDE is answered by `answer` too */
	struct store_job asked;  /* the last STORE_DECIDE or STORE_PLAN */
	struct store_job answer; /* result, error and outputs of STORE_PLAN */
	int seen;                /* STORE_SEEN jobs */
	char seen_by[100];
	const struct store_plan *plan;
	const struct store_alert_fate *fates;
	size_t fate_count;
	uint64_t forgotten; /* the last stream */
	/* Each STORE_DECIDE that may ask is asked this, while it is under way. */
	const char *reach_environment, *reach_address;
	bool reached; /* what it said */
};
extern struct fake fake;

/* cmocka's setup: nothing is wanted. */
int fake_reset(void **state);

/* 2026-11-21T12:00:00Z */
#define NOON INT64_C(1795262400000000)

/* Of B1: in its second ring of three. */
extern const struct store_plan fake_running;

#endif
