/*
 * The environments: their policy, what stands in the store of each, what goes through. Called by
 * the table of api.c, on the main loop.
 */
#ifndef CONTROL_ENVIRONMENTS_H
#define CONTROL_ENVIRONMENTS_H

struct request;

/* GET /v1/environments. */
void environments_list(struct request *r);
/* GET /v1/environments/NAME. */
void environments_get(struct request *r);

#endif
