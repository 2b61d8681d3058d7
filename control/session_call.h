/*
 * /v1/session: a browser signs in with a token, asks who it is, signs out. For the routes of api.c.
 */
#ifndef CONTROL_SESSION_CALL_H
#define CONTROL_SESSION_CALL_H

struct request;

/* Takes no role: who asks is what it tells. */
void session_call_open(struct request *r);
void session_call_get(struct request *r);
void session_call_end(struct request *r);

#endif
