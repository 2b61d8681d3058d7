/*
 * How long things took, and how many came together: fixed buckets of relaxed atomics, of the whole
 * process, for GET /metrics. Written by any thread.
 */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

enum histogram {
	HISTOGRAM_ACCEPT,      /* microseconds from MAIL to the 250 behind the dot */
	HISTOGRAM_DELIVERY,    /* microseconds from our 250 to the upstream's */
	HISTOGRAM_COMMIT_JOBS, /* jobs of one commit */
	HISTOGRAM_COMMIT,      /* microseconds of a group, from its begin to its commit */
	HISTOGRAM_COUNT
};

enum { HISTOGRAM_BOUNDS = 17 };

void histogram_observe(enum histogram which, int64_t value);

/* `bounds` are inclusive upper ends, in the unit of what is observed; `counts` are cumulative, the
 * last is all of them. Read once, so they agree with each other. */
struct histogram_reading {
	unsigned bound_count;
	const int64_t *bounds;
	uint64_t counts[HISTOGRAM_BOUNDS + 1];
	int64_t sum;
};
void histogram_read(enum histogram which, struct histogram_reading *out);

#endif
