/*
 * Where the gate's verdicts are counted for GET /metrics: the tallies of a policy's environments
 * and rules, looked up when it is compiled.
 */
#ifndef FILTERS_COUNT_H
#define FILTERS_COUNT_H

#include "filters/policy.h"

/* For policy_new(), once its rules are there. */
void count_prepare(struct policy_environment *e);

#endif
