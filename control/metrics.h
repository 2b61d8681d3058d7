/*
 * GET /metrics: the gate's numbers in the text format of Prometheus. Main loop. docs/metrics.md
 * names each family; a test holds it against what is told.
 */
#ifndef CONTROL_METRICS_H
#define CONTROL_METRICS_H

struct request;
void metrics_get(struct request *r);

#endif
