/*
 * How a release goes on: approved by another person, paused, resumed. The answer comes after the
 * commit. Called by the table of api.c, on the main loop.
 */
#ifndef CONTROL_PLANS_H
#define CONTROL_PLANS_H

struct request;

/* POST /v1/approve. */
void plans_approve(struct request *r);
/* POST /v1/pause. */
void plans_pause(struct request *r);
/* POST /v1/resume. */
void plans_resume(struct request *r);

#endif
