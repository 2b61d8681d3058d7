/*
 * Batches: the list, and the story of one. Called by the table of
 * api.c, on the main loop.
 */
#ifndef CONTROL_BATCHES_H
#define CONTROL_BATCHES_H

struct request;

/* GET /v1/batches?state=S&all=1&limit=N&after=B17. */
void batches_list(struct request *r);
/* GET /v1/batches/B17. */
void batches_get(struct request *r);

#endif
