/*
 * What waits for an upstream. Called by the table of
 * api.c, on the main loop.
 */
#ifndef CONTROL_QUEUE_H
#define CONTROL_QUEUE_H

struct request;

/* GET /v1/queue. */
void queue_get(struct request *r);

#endif
