/*
 * What a call of /v1/import brings. Main loop; struct import_call is owned by import.c.
 */
#ifndef CONTROL_IMPORT_CALL_H
#define CONTROL_IMPORT_CALL_H

#include "control/control.h"
#include "mail/message.h"

struct request;

/* One call, until its answer. Texts are those of the request's body. */
struct import_call {
	struct store_job job;
	struct loop_post post;
	struct loop *loop;
	struct request *request;
	struct message *message;
	enum store_state *states; /* of each recipient of the message */
	struct store_batch open;
};

/*
 * Reads and checks the whole body into the job. False after it answered why not; what it has
 * allocated by then is in the call.
 */
bool import_read(struct request *r, struct import_call *c);

#endif
