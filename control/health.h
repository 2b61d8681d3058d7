/*
 * Whether the process lives and takes mail, for who looks after processes. Without a token: one
 * word, and nothing about mail. For the routes of api.c.
 */
#ifndef CONTROL_HEALTH_H
#define CONTROL_HEALTH_H

struct request;

/* 200 while the main loop answers. */
void health_live(struct request *r);
/* 200 while mail is taken, else 503 and why. */
void health_ready(struct request *r);

#endif
