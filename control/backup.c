/*
 * POST /v1/backup: has the store write a copy of itself, which it checks, then notes that in the
 * audit log, then answers. Called by api.c; main loop. One at a time.
 *
 *   backup_post -> store_copy_start -> (copy's thread) copy_done -> backup_copied
 *               -> STORE_FACT -> (writer) fact_done -> backup_noted
 *
 * backup_noted() frees the struct copy_call.
 */
#include "control/backup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/json.h"
#include "control/request.h"

struct copy_call {
	struct store_copy copy;
	struct store_job job;
	struct loop_post post;
	struct loop *loop;
	struct store *store;
	struct request *request;
	char *path, *who, *reason, *text;
};

static bool under_way; /* main thread only */

static void
call_free(struct copy_call *c)
{
	under_way = false;
	free(c->path);
	free(c->who);
	free(c->reason);
	free(c->text);
	free(c);
}

static json_t *
json_from_report(const struct copy_call *c)
{
	const struct backup_report *report = &c->copy.report;
	json_t *o = json_make_object(), *audit = json_make_object();

	json_put_text(o, "path", c->path);
	json_put_count(o, "bytes", report->bytes);
	json_put_time(o, "made_at", report->made_at);
	json_put_count(o, "messages", report->messages);
	json_put_count(o, "deliveries", report->deliveries);
	json_put_count(o, "held", report->held);
	json_put_count(o, "discarded", report->discarded);
	json_put_count(o, "batches", report->batches);
	json_put(audit, "id", json_integer(report->audit_id));
	json_put_text(audit, "hash", report->audit_hash);
	json_put(o, "audit", audit);
	return o;
}

/* Main loop. The copy is good even where that could not be written down. */
static void
backup_noted(struct loop_post *post)
{
	struct copy_call *c =
	    (struct copy_call *)(void *)((char *)post - offsetof(struct copy_call, post));

	if (c->job.result != STORE_OK)
		log_warn("- control.backup-not-noted path=%s error=%s", log_safe(c->path),
			 log_safe(c->job.error));
	request_reply(c->request, json_from_report(c));
	call_free(c);
}

/* Writer's thread. */
static void
fact_done(struct store_job *job)
{
	struct copy_call *c = job->context;

	loop_post(c->loop, &c->post);
}

static void
note(struct copy_call *c)
{
	const struct backup_report *report = &c->copy.report;

	c->text = mem_printf("%s: %" PRIu64 " bytes, messages=%" PRIu64 " deliveries=%" PRIu64
			     " held=%" PRIu64 " batches=%" PRIu64 " audit=%" PRId64,
			     c->path, report->bytes, report->messages, report->deliveries,
			     report->held, report->batches, report->audit_id);
	c->post.run = backup_noted;
	c->job.op = STORE_FACT;
	c->job.done = fact_done;
	c->job.context = c;
	c->job.bytes = sizeof(*c);
	c->job.u.fact.event = "backup.made";
	c->job.u.fact.environment = "";
	c->job.u.fact.object = "";
	c->job.u.fact.who = c->who;
	c->job.u.fact.reason = c->reason;
	c->job.u.fact.text = c->text;
	c->job.u.fact.now = clock_wall();
	writer_submit(c->store, &c->job);
}

/* Main loop. */
static void
backup_copied(struct loop_post *post)
{
	struct copy_call *c =
	    (struct copy_call *)(void *)((char *)post - offsetof(struct copy_call, post));

	log_info("- control.backup who=%s path=%s ok=%d", log_safe(c->who), log_safe(c->path),
		 c->copy.result == STORE_OK);
	if (c->request->deps == NULL) { /* control is gone, nobody waits, the store may be too */
		request_fail(c->request, 503, "mailfused stops");
		call_free(c);
	} else if (c->copy.result != STORE_OK) {
		request_fail_store(c->request, c->copy.result, "copy", c->copy.error);
		call_free(c);
	} else {
		note(c);
	}
}

/* The copy's thread. */
static void
copy_done(struct store_copy *copy)
{
	struct copy_call *c = copy->context;

	loop_post(c->loop, &c->post);
}

void
backup_post(struct request *r)
{
	static const char *const known[] = {"path", "reason", NULL};
	const char *path, *reason;
	struct copy_call *c;

	if (!request_check_fields(r, known) ||
	    !request_field_text(r, "path", PATH_MAX - 1, &path) ||
	    !request_field_text(r, "reason", REQUEST_REASON_MAX, &reason))
		return;
	if (path[0] != '/' || path[strlen(path) - 1] == '/') {
		request_fail(r, 400,
			     "path: write the whole path of a new file, such as "
			     "/var/backups/mailfuse.db");
		return;
	}
	if (under_way) {
		request_fail(r, 409, "a backup is being made already; wait until it is done");
		return;
	}
	under_way = true;
	c = mem_zalloc(sizeof(*c));
	c->loop = r->deps->loop;
	c->store = r->deps->store;
	c->request = r;
	c->path = mem_strdup(path);
	c->who = mem_strdup(r->who);
	c->reason = mem_strdup(reason);
	c->post.run = backup_copied;
	c->copy.path = c->path;
	c->copy.done = copy_done;
	c->copy.context = c;
	store_copy_start(c->store, &c->copy);
}
