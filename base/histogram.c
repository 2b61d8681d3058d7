/*
 * The process's histograms. Written by the relay loops and the store's writer, read by control/.
 */
#include "base/histogram.h"

#include <stdatomic.h>

/* 100 us to 5 minutes: from a commit on a fast disk to an upstream that makes its clients wait. */
static const int64_t durations[HISTOGRAM_BOUNDS] = {
    100,    250,    500,    1000,    2500,    5000,     10000,    25000,    50000,
    100000, 250000, 500000, 1000000, 5000000, 10000000, 60000000, 300000000};
/* A group has 256 at most, see store/writer.c. */
static const int64_t jobs[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};

static struct {
	_Alignas(64) _Atomic uint64_t counts[HISTOGRAM_BOUNDS + 1];
	_Atomic int64_t sum;
} histograms[HISTOGRAM_COUNT];

static const int64_t *
bounds_of(enum histogram which, unsigned *n)
{
	*n = which == HISTOGRAM_COMMIT_JOBS ? sizeof(jobs) / sizeof(jobs[0]) : HISTOGRAM_BOUNDS;
	return which == HISTOGRAM_COMMIT_JOBS ? jobs : durations;
}

void
histogram_observe(enum histogram which, int64_t value)
{
	unsigned n, i;
	const int64_t *bounds = bounds_of(which, &n);

	for (i = 0; i < n && value > bounds[i]; i++)
		;
	atomic_fetch_add_explicit(&histograms[which].counts[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&histograms[which].sum, value, memory_order_relaxed);
}

void
histogram_read(enum histogram which, struct histogram_reading *out)
{
	uint64_t total = 0;
	unsigned i;

	out->bounds = bounds_of(which, &out->bound_count);
	out->sum = atomic_load_explicit(&histograms[which].sum, memory_order_relaxed);
	for (i = 0; i <= out->bound_count; i++) {
		total += atomic_load_explicit(&histograms[which].counts[i], memory_order_relaxed);
		out->counts[i] = total;
	}
}
