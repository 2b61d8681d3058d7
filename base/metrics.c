/*
 * The process's counters. Written from every room, read by control/.
 */
#include "base/metrics.h"

#include <stdatomic.h>

/* A cache line each, so that two loops do not fight over one. */
static struct {
	_Alignas(64) _Atomic int64_t value;
} metrics[METRIC_COUNT];

static const char *const names[METRIC_COUNT] = {
#define METRICS_ROW(id, name, help) name,
    METRICS_LIST(METRICS_ROW)
#undef METRICS_ROW
};

void
metric_add(enum metric which, int64_t n)
{
	atomic_fetch_add_explicit(&metrics[which].value, n, memory_order_relaxed);
}

void
metric_set(enum metric which, int64_t value)
{
	atomic_store_explicit(&metrics[which].value, value, memory_order_relaxed);
}

int64_t
metric_get(enum metric which)
{
	return atomic_load_explicit(&metrics[which].value, memory_order_relaxed);
}

const char *
metric_name(enum metric which)
{
	return names[which];
}
