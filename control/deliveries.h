/*
 * Deliveries of a batch, an environment, a state or a message. Called by the table of
 * api.c, on the main loop.
 */
#ifndef CONTROL_DELIVERIES_H
#define CONTROL_DELIVERIES_H

struct request;

/* GET /v1/deliveries?batch=&environment=&state=&message=&limit=&after=. */
void deliveries_list(struct request *r);

#endif
