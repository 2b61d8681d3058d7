/*
 * STORE_LOAD and STORE_LOAD_CHUNK, and what all jobs share: refusing, and forgetting what a try has
 * answered. Loads run on the reader's thread, each in a read transaction; the caller frees what
 * they hand out.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "store/jobs.h"

enum store_result
job_refuse(struct store_job *job, enum store_result result, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(job->error, sizeof(job->error), format, ap);
	va_end(ap);
	return result;
}

int64_t
job_now(const struct store_job *job)
{
	switch (job->op) {
	case STORE_ADD:
		return job->u.add.message->accepted_at;
	case STORE_DECIDE:
		return job->u.decide.now;
	case STORE_HOLD:
		return job->u.hold.now;
	case STORE_PLAN:
		return job->u.plan.now;
	case STORE_TICK:
		return job->u.tick.now;
	case STORE_SEEN:
		return job->u.seen.now;
	case STORE_EXPIRE:
		return job->u.expire.now;
	case STORE_IMPORT:
		return job->u.import.now;
	default:
		return clock_wall();
	}
}

void
job_start(struct store_job *job)
{
	if (job->op == STORE_CLAIM) {
		job->u.claim.due = NULL;
		job->u.claim.due_count = 0;
	}
	if (job->op == STORE_ALERTS) {
		job->u.alerts.alerts = NULL;
		job->u.alerts.alert_count = 0;
	}
	if (job->op == STORE_NOTICES) {
		job->u.notices.notices = NULL;
		job->u.notices.notice_count = 0;
	}
	if (job->op == STORE_TICK)
		job->u.tick.forget = NULL;
	if (job->op == STORE_IMPORT)
		job->u.import.chosen = 0;
	job_reset(job);
}

/* Of those that hand out no memory. */
static void
reset_numbers(struct store_job *job)
{
	switch (job->op) {
	case STORE_EXPIRE:
		job->u.expire.expired = 0;
		job->u.expire.paused = 0;
		break;
	case STORE_DECIDE:
		job->u.decide.messages = job->u.decide.recipients = job->u.decide.left = 0;
		job->u.decide.released = 0;
		job->u.decide.closed = job->u.decide.asked = false;
		job->u.decide.stream_hash = 0;
		job->u.decide.approvals_missing = 0;
		job->u.decide.request_expires_at = 0;
		break;
	case STORE_PLAN:
		job->u.plan.state = STORE_PLAN_NONE;
		job->u.plan.recipients = job->u.plan.left = 0;
		job->u.plan.approvals_missing = 0;
		job->u.plan.closed = false;
		job->u.plan.stream_hash = 0;
		break;
	case STORE_PURGE:
		job->u.purge.purged = 0;
		break;
	case STORE_IMPORT:
		job->u.import.added = job->u.import.skipped = 0;
		if (job->u.import.chosen != 0)
			job->u.import.batch = job->u.import.chosen = 0;
		break;
	default:
		break;
	}
}

void
job_reset(struct store_job *job)
{
	job->error[0] = '\0';
	switch (job->op) {
	case STORE_ADD:
		job->u.add.released = false;
		break;
	case STORE_RESULTS:
		job->u.results.paused = 0;
		break;
	case STORE_CLAIM:
		store_due_free(job->u.claim.due, job->u.claim.due_count);
		job->u.claim.due = NULL;
		job->u.claim.due_count = 0;
		job->u.claim.next_due_at = 0;
		break;
	case STORE_TICK:
		job->u.tick.released = job->u.tick.told = job->u.tick.more = false;
		job->u.tick.gone = false;
		free(job->u.tick.forget);
		job->u.tick.forget = NULL;
		job->u.tick.forget_count = 0;
		break;
	case STORE_HOLD:
		job->u.hold.moved = 0;
		job->u.hold.changed = false;
		break;
	case STORE_ALERTS:
		store_alerts_free(job->u.alerts.alerts, job->u.alerts.alert_count);
		job->u.alerts.alerts = NULL;
		job->u.alerts.alert_count = 0;
		job->u.alerts.next_due_at = 0;
		break;
	case STORE_NOTICES:
		store_notices_free(job->u.notices.notices, job->u.notices.notice_count);
		job->u.notices.notices = NULL;
		job->u.notices.notice_count = 0;
		break;
	default:
		reset_numbers(job);
		break;
	}
}

struct chunk *
backend_chunk(const void *data, size_t len)
{
	struct chunk *c = mem_alloc(sizeof(*c) + len);

	atomic_init(&c->refs, 1);
	c->len = c->cap = len;
	if (data != NULL && len > 0)
		memcpy(c->data, data, len);
	metric_add(METRIC_BODY_BYTES_NOW, (int64_t)len); /* chunk_unref() takes it off again */
	return c;
}

static bool
is_ascii(const char *text)
{
	while (*text != '\0' && (unsigned char)*text < 0x80)
		text++;
	return *text == '\0';
}

/* The null path stays; an address that was accepted once is only split again, and leaves as it was
 * written: address_parse() would put A-labels. */
static void
split_sender(struct message *m)
{
	char *text = m->sender.text, *at;
	bool parsed = *text != '\0' && address_parse(text, &m->arena, &m->sender) == NULL;

	m->sender.text = text;
	m->sender.utf8 = !is_ascii(text);
	if (parsed)
		return;
	at = strrchr(text, '@');
	m->sender.local = at != NULL ? arena_strndup(&m->arena, text, (size_t)(at - text)) : text;
	m->sender.domain = arena_strdup(&m->arena, at != NULL ? at + 1 : "");
}

enum store_result
job_load(const struct backend *b, struct db *db, struct store_job *job)
{
	struct message *m;
	enum store_result r;

	if (job->op == STORE_LOAD_CHUNK) {
		r = b->chunk_load(db, job->u.load.id, job->u.load.number, &job->u.load.chunk);
		return r != STORE_MISSING
			   ? r
			   : job_refuse(job, r, "the message is gone, or has no such chunk");
	}
	m = message_new();
	r = b->message_load(db, job->u.load.id, m, &job->u.load.chunk_count);
	if (r != STORE_OK) {
		message_free(m);
		return r != STORE_MISSING ? r : job_refuse(job, r, "the message is gone");
	}
	split_sender(m);
	job->u.load.message = m;
	return STORE_OK;
}
