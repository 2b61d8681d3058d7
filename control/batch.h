/*
 * One batch: its story, and what became of its alerts. Called by the table of api.c, on the main
 * loop.
 */
#ifndef CONTROL_BATCH_H
#define CONTROL_BATCH_H

#include <stdbool.h>
#include <stdint.h>

struct request;

/* GET /v1/batches/B17. */
void batch_get(struct request *r);
/* GET /v1/batches/B17/alerts?limit=N. */
void batch_alerts(struct request *r);
/*
 * How long after the last of `count` recipients, that came within `span`, the application has
 * stopped sending: ten times as long as it took from one to the next, at least a minute, at most
 * ten.
 */
int64_t batch_quiet_after(uint32_t count, int64_t span);
/* The batch that stands in the path; false after it answered 404. */
bool batch_read_id(struct request *r, int64_t *id);

#endif
