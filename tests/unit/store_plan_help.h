/*
 * What the tests of plans share: releases in rings, the steps of people and of time, and a relay
 * that answers everything alike. All of batch 1, in "staging".
 */
#ifndef TESTS_UNIT_STORE_PLAN_HELP_H
#define TESTS_UNIT_STORE_PLAN_HELP_H

#include "tests/unit/store_help.h"

struct seen_plan {
	struct store_plan p;
	char why[200], refusals[1000], approved_by[200];
};

void release_job(struct store_job *job, const uint64_t *sizes, uint32_t count);
void step_job(struct store_job *job, enum store_plan_step step, const char *who);
/* By the one who releases. */
enum store_result step(struct fixture *f, enum store_plan_step what);
/* Both clocks alike; reminders after 1 h, 4 h, 24 h. How many streams are to be forgotten. */
size_t tick(struct fixture *f, int64_t now);
/* Fails the test if there is none. */
struct seen_plan plan(struct fixture *f);
void assert_plan(struct fixture *f, enum store_plan_state state, uint32_t ring, uint64_t released);
enum store_batch_state batch_state(struct fixture *f);
/* Claims what is due and reports it: how many there were. */
uint64_t deliver(struct fixture *f, int64_t now, enum store_state state, const char *reply);

#endif
