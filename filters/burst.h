/*
 * The burst filter: what is too much at once waits, is held, or is only observed.
 */
#ifndef FILTERS_BURST_H
#define FILTERS_BURST_H

#include "filters/counters.h"
#include "filters/policy.h"

/*
 * Judges every recipient of m that would leave (VERDICT_PASS) by every burst rule of its
 * environment. HOLD beats WAIT beats PASS; among HOLDs the first rule of the file, among WAITs the
 * longest settle. O(recipients * rules), one lock for each key.
 */
void burst_judge(const struct policy_environment *e, struct counters *c, struct message *m,
		 int64_t mono, int64_t wall, enum gate_mode mode);

#endif
