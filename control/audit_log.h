/*
 * The audit log. Called by the table of
 * api.c, on the main loop.
 */
#ifndef CONTROL_AUDIT_LOG_H
#define CONTROL_AUDIT_LOG_H

struct request;

/* GET /v1/log?after=N&last=N&limit=N. */
void audit_log_list(struct request *r);

#endif
