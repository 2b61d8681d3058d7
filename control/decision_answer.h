/*
 * The answer to a decision. Main loop.
 */
#ifndef CONTROL_DECISION_ANSWER_H
#define CONTROL_DECISION_ANSWER_H

#include <jansson.h>

#include "store/store.h"

struct decision;

/* "release", "discard", ... */
const char *decision_name(enum store_decision what);

/* What was done, or would be: the sum of all steps. The caller owns it. */
json_t *decision_answer(const struct decision *d);

#endif
