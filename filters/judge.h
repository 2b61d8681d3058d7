/*
 * The rules that count: what is too much at once, or matches a pattern too often, waits, is held,
 * or is only observed.
 */
#ifndef FILTERS_JUDGE_H
#define FILTERS_JUDGE_H

#include "filters/gate.h"
#include "filters/policy.h"

/*
 * Judges every recipient of m that would leave (VERDICT_PASS) by every rule of its environment, as
 * gate_judge() says. O(recipients * rules), one lock for each key.
 */
void judge_message(const struct policy_environment *e, struct counters *c, struct message *m,
		   int64_t mono, int64_t wall, enum gate_mode mode);

#endif
