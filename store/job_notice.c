/*
 * STORE_NOTICES and STORE_TOLD: the senders who have to hear that mail of theirs failed, or was
 * relayed. relay/bounce.c asks, and tells with a report whose STORE_ADD names what it tells of.
 * Runs on the writer's thread inside a transaction; what NOTICES hands out is freed by its caller
 * with store_notices_free().
 */
#include <string.h>

#include "base/id.h"
#include "base/log.h"
#include "base/mem.h"
#include "store/jobs.h"

enum { NOTICE_HEADER_MAX = 64 << 10 };

/* ---- STORE_NOTICES ---- */

struct noticing {
	struct store_notice *notices;
	size_t count, limit;
};

static struct store_notice *
notice_of(struct noticing *all, const struct delivery_row *d)
{
	struct store_notice *n;

	if (all->count > 0 && all->notices[all->count - 1].id == d->id)
		return &all->notices[all->count - 1];
	if (all->count == all->limit)
		return NULL;
	all->notices = mem_resize_array(all->notices, all->count + 1, sizeof(*n));
	n = &all->notices[all->count++];
	*n = (struct store_notice){.id = d->id,
				   .accepted_at = d->accepted_at,
				   .environment = mem_strdup(d->environment_name),
				   .source = mem_strdup(d->source),
				   .sender = mem_strdup(d->sender)};
	return n;
}

static bool
take_delivery(void *context, const struct delivery_row *d)
{
	struct store_notice *n = notice_of(context, d);

	if (n == NULL)
		return false;
	n->deliveries = mem_resize_array(n->deliveries, n->count + 1, sizeof(*n->deliveries));
	n->deliveries[n->count++] =
	    (struct store_notice_delivery){.number = d->number,
					   .failed = d->state == STORE_FAILED,
					   .recipient = mem_strdup(d->recipient),
					   .final = mem_strdup(d->final),
					   .orcpt = mem_strdup(d->orcpt),
					   .reply = mem_strdup(d->reply),
					   .remote_mta = mem_strdup(d->remote_mta),
					   .at = d->changed_at};
	return true;
}

/* Half a line is no header field; a single endless line stays as it is. */
static void
cut_to_lines(struct buf *header)
{
	const char *end;

	if (header->len < NOTICE_HEADER_MAX)
		return;
	end = memrchr(header->data, '\n', header->len);
	if (end != NULL)
		header->len = (size_t)(end + 1 - header->data);
}

static enum store_result
load_headers(struct work *w, struct noticing *all)
{
	struct buf envid = {0};
	size_t i;

	for (i = 0; i < all->count; i++) {
		struct store_notice *n = &all->notices[i];
		enum store_result r =
		    w->b->header_load(w->db, n->id, NOTICE_HEADER_MAX, &n->header, &envid);

		n->envid = mem_strdup(buf_text(&envid));
		buf_free(&envid);
		TRY(r);
		cut_to_lines(&n->header);
	}
	return STORE_OK;
}

enum store_result
job_notices(struct work *w, struct store_job *job)
{
	struct delivery_query q = {.notices = 1U << STORE_NOTICE_PENDING};
	struct noticing all = {.limit = job->u.notices.limit};
	enum store_result r = w->b->delivery_list(w->db, &q, take_delivery, &all);

	if (r == STORE_OK)
		r = load_headers(w, &all);
	if (r != STORE_OK) {
		store_notices_free(all.notices, all.count);
		return r;
	}
	job->u.notices.notices = all.notices;
	job->u.notices.notice_count = all.count;
	return STORE_OK;
}

/* ---- told ---- */

enum store_result
notice_settle(struct work *w, uint64_t id, const uint32_t *numbers, size_t count,
	      enum store_notice_state to, const char *told, size_t *settled)
{
	struct delivery_row *rows;
	size_t i, n;

	*settled = 0;
	for (i = 0; i < count; i++) {
		struct delivery_query q = {
		    .message = id, .number = numbers[i], .notices = 1U << STORE_NOTICE_PENDING};

		if (numbers[i] == 0) /* would be all of them */
			continue;
		TRY(work_list(w, &q, false, &rows, &n));
		if (n == 0)
			continue;
		TRY(work_settle_notice(w, &rows[0], to, told));
		++*settled;
	}
	return STORE_OK;
}

enum store_result
job_told(struct work *w, struct store_job *job)
{
	const char *why = job->u.told.why != NULL ? job->u.told.why : "";
	char id[ID_TEXT_BYTES];
	size_t settled;

	TRY(notice_settle(w, job->u.told.id, job->u.told.numbers, job->u.told.count,
			  STORE_NOTICE_NONE, why, &settled));
	if (settled > 0)
		log_info("%s sender.not_told deliveries=%zu why=%s", id_format(job->u.told.id, id),
			 settled, log_safe(why));
	return STORE_OK;
}
