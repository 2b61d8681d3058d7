/*
 * One message: its envelope, its header, its text, its bytes. Called by the table of
 * api.c, on the main loop.
 */
#ifndef CONTROL_MESSAGES_H
#define CONTROL_MESSAGES_H

struct request;

/* GET /v1/messages/ID. */
void messages_get(struct request *r);
/* GET /v1/messages/ID/html. */
void messages_get_html(struct request *r);
/* GET /v1/messages/ID/raw. */
void messages_get_raw(struct request *r);

#endif
