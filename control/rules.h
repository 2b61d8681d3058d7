/*
 * The rules that hold mail, and how often each has tripped. Called by the table of api.c, on the
 * main loop.
 */
#ifndef CONTROL_RULES_H
#define CONTROL_RULES_H

struct request;

/* GET /v1/rules. */
void rules_list(struct request *r);

#endif
