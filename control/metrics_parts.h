/*
 * What metrics.c puts together. Each adds its families; main thread.
 */
#ifndef CONTROL_METRICS_PARTS_H
#define CONTROL_METRICS_PARTS_H

#include "control/control.h"
#include "control/exposition.h"

/* metrics_counts.c: what has been counted since the start. */
void metrics_add_counts(struct exposition *x);
/* metrics_store.c: what the store holds now. Where it cannot be read, that alone. */
void metrics_add_store(struct exposition *x, const struct control_deps *deps,
		       const struct config *config);
/* metrics_process.c: process_*, as usual. */
void metrics_add_process(struct exposition *x, int64_t started_at);

#endif
