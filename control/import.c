/*
 * POST /v1/import: one message of a backup or an export comes back, held or discarded, never
 * queued: to send it is a decision of its own. What is there already is skipped, so that a broken
 * import is simply repeated. Called by api.c; main loop.
 *
 *   import_post -> (writer) import_done -> import_stored
 *
 * import_stored() frees the struct import_call.
 */
#include "control/import.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "control/import_call.h"
#include "control/json.h"
#include "control/request.h"

static void
call_free(struct import_call *c)
{
	if (c->message != NULL)
		message_free(c->message);
	free(c->states);
	free(c);
}

static void
import_answer(struct import_call *c)
{
	json_t *o = json_make_object();
	int64_t batch = c->job.u.import.batch;
	char id[JSON_BATCH_BYTES];

	json_put_text(o, "batch", batch == 0 ? NULL : json_batch_id(batch, id));
	json_put_count(o, "added", c->job.u.import.added);
	json_put_count(o, "skipped", c->job.u.import.skipped);
	request_reply(c->request, o);
}

/* Main loop, after the commit. */
static void
import_stored(struct loop_post *post)
{
	struct import_call *c =
	    (struct import_call *)(void *)((char *)post - offsetof(struct import_call, post));
	struct request *r = c->request;
	char what[40], id[JSON_BATCH_BYTES];

	snprintf(what, sizeof(what), "batch %s", json_batch_id(c->job.u.import.batch, id));
	if (r->deps == NULL) { /* control is gone, nobody waits */
		request_fail(r, 503, "mailfused stops");
	} else if (c->job.result != STORE_OK) {
		request_fail_store(r, c->job.result, what, c->job.error);
	} else {
		r->deps->alert_poke(r->deps->context);
		import_answer(c);
	}
	call_free(c);
}

/* Writer's thread. */
static void
import_done(struct store_job *job)
{
	struct import_call *c = job->context;

	loop_post(c->loop, &c->post);
}

void
import_post(struct request *r)
{
	struct import_call *c = mem_zalloc(sizeof(*c));

	c->loop = r->deps->loop;
	c->request = r;
	c->post.run = import_stored;
	if (!import_read(r, c)) {
		call_free(c);
		return;
	}
	c->job.op = STORE_IMPORT;
	c->job.done = import_done;
	c->job.context = c;
	c->job.bytes = sizeof(*c) + c->message->header.len + c->message->body_bytes;
	writer_submit(r->deps->store, &c->job);
}
