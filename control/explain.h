/*
 * What the gate would say of a message; nothing is counted, kept or sent. Called by the table of
 * api.c, on the main loop.
 */
#ifndef CONTROL_EXPLAIN_H
#define CONTROL_EXPLAIN_H

struct request;

/* POST /v1/explain. */
void explain_post(struct request *r);

#endif
