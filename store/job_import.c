/*
 * STORE_IMPORT: a message of a backup or an export comes into a batch. Runs on the writer's thread
 * inside a transaction; the message belongs to the caller.
 *
 * It may be tried any number of times: what is here is skipped. A message is known by its id where
 * it was this store's own, which it then keeps, else by where it was before (the table of origins).
 * A delivery of it that is gone (purged) comes back; one that is here stays as it is, whatever its
 * state: nothing that was sent is sent again. Nothing is ever queued.
 */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "store/jobs.h"
#include "store/work_batch.h"

struct importing {
	struct work *w;
	struct store_job *job;
	const struct message *m;
	struct work_environment environment; /* a copy: the table may move */
	uint64_t store;                      /* this one's name */
	uint64_t id;                         /* of the message here; 0 = it is not here */
	struct delivery_row *rows;           /* of it */
	size_t row_count;
	struct work_batch *batch;
};

/* ---- what was asked ---- */

static bool
is_wanted(const struct message *m, size_t i)
{
	return *m->recipients[i].address.text != '\0';
}

static enum store_result
check_job(struct importing *in)
{
	const struct store_job *job = in->job;
	size_t i, wanted = 0;

	for (i = 0; i < in->m->recipient_count; i++) {
		enum store_state state = job->u.import.states[i];

		wanted += is_wanted(in->m, i);
		if (is_wanted(in->m, i) && state != STORE_HELD && state != STORE_DISCARDED)
			return job_refuse(in->job, STORE_REFUSED,
					  "recipient %zu: mail is imported held or discarded, not "
					  "%s",
					  i + 1, store_state_name(state));
	}
	if (wanted == 0)
		return job_refuse(in->job, STORE_REFUSED, "the message has no recipients");
	if (in->m->chunks_stored != 0 || in->m->body.bytes != in->m->body_bytes)
		return job_refuse(in->job, STORE_REFUSED, "the message's body is not complete");
	if (in->m->environment == NULL || *in->m->environment == '\0')
		return job_refuse(in->job, STORE_REFUSED, "the message has no environment");
	return STORE_OK;
}

/* ---- is it here? ---- */

/* Its id here, if it is this store's own message, else 0. */
static uint64_t
own_id(const struct importing *in)
{
	if (in->m->id != 0)
		return in->m->id;
	return in->job->u.import.origin_store == in->store ? in->job->u.import.origin_id : 0;
}

static enum store_result
find_origin(struct importing *in)
{
	const uint64_t store = in->job->u.import.origin_store, id = in->job->u.import.origin_id;
	enum store_result r;

	if (store == 0 || id == 0)
		return STORE_OK;
	r = in->w->b->origin_find(in->w->db, store, id, &in->id);
	return r == STORE_MISSING ? STORE_OK : r;
}

/* An id that this store has never given would be given again to other mail. */
static enum store_result
find_own(struct importing *in, uint64_t id)
{
	bool known = false;

	if (id > id_highest() || id > INT64_MAX)
		return job_refuse(in->job, STORE_REFUSED,
				  "this store has never given that id; import the message as one "
				  "of another store");
	TRY(in->w->b->message_known(in->w->db, id, &known));
	if (known)
		in->id = id;
	return STORE_OK;
}

/* A decision on a whole batch has purged it, and STORE_PURGE has not come by yet. */
static enum store_result
clear_gone(struct importing *in)
{
	const struct delivery_query q = {.message = in->id, .gone = true};
	struct delivery_row *rows;
	size_t i, n;

	TRY(work_list(in->w, &q, false, &rows, &n));
	for (i = 0; i < n; i++)
		TRY(in->w->b->delivery_delete(in->w->db, rows[i].id, rows[i].number));
	if (n == 0 || in->row_count > 0)
		return STORE_OK;
	TRY(in->w->b->message_delete(in->w->db, in->id));
	in->id = 0;
	return STORE_OK;
}

static enum store_result
find_message(struct importing *in)
{
	struct delivery_query q = {.message = 0};
	const uint64_t own = own_id(in);

	TRY(find_origin(in));
	if (in->id == 0 && own != 0)
		TRY(find_own(in, own));
	if (in->id == 0)
		return STORE_OK;
	q.message = in->id;
	TRY(work_list(in->w, &q, true, &in->rows, &in->row_count));
	TRY(clear_gone(in));
	if (in->row_count == 0 && in->id != 0)
		return job_refuse(in->job, STORE_REFUSED,
				  "a message with that id is just coming in; try again");
	return STORE_OK;
}

static const struct delivery_row *
row_of(const struct importing *in, uint32_t number)
{
	size_t i;

	for (i = 0; i < in->row_count; i++)
		if (in->rows[i].number == number)
			return &in->rows[i];
	return NULL;
}

/* What has its id must be the same message: one file is not taken for another's. */
static enum store_result
check_same(struct importing *in)
{
	const struct message *m = in->m;
	char id[ID_TEXT_BYTES];
	bool same = true;
	size_t i;

	for (i = 0; i < in->row_count; i++) {
		const struct delivery_row *d = &in->rows[i];

		same &= strcmp(d->environment_name, m->environment) == 0 &&
			strcmp(d->sender, m->sender.text) == 0 &&
			d->bytes == m->header.len + m->body_bytes;
		if (d->number <= m->recipient_count && is_wanted(m, d->number - 1))
			same &=
			    strcmp(d->recipient, m->recipients[d->number - 1].address.text) == 0;
	}
	if (same)
		return STORE_OK;
	return job_refuse(in->job, STORE_REFUSED,
			  "another message is here as %s: this one has another sender, size, "
			  "environment or recipient; see `mailfuse message %s`",
			  id_format(in->id, id), id);
}

/* How many of its recipients are not here. */
static size_t
count_missing(const struct importing *in)
{
	size_t i, n = 0;

	for (i = 0; i < in->m->recipient_count; i++)
		n += is_wanted(in->m, i) && row_of(in, (uint32_t)i + 1) == NULL;
	return n;
}

/* ---- the batch ---- */

static enum store_result
check_batch(struct importing *in)
{
	const struct store_batch *b = &in->batch->row.b;

	if (strcmp(b->environment, in->m->environment) != 0)
		return job_refuse(in->job, STORE_REFUSED,
				  "B%" PRId64 " is of the environment %s, and the message of %s: "
				  "import it into another batch",
				  b->id, *b->environment != '\0' ? b->environment : "(all)",
				  in->m->environment);
	if (b->state == STORE_BATCH_RELEASING || b->state == STORE_BATCH_PAUSED)
		return job_refuse(in->job, STORE_REFUSED,
				  "B%" PRId64 " is being released, and what joined it now would "
				  "leave with it: import into another batch, or wait",
				  b->id);
	return STORE_OK;
}

/* Opened by the same import before, which did not end: it goes on there. */
static enum store_result
find_begun(struct importing *in)
{
	const struct store_batch *open = in->job->u.import.open;
	struct work_batch *wb;
	size_t i;

	for (i = 0; open != NULL && i < in->row_count && in->batch == NULL; i++) {
		if (in->rows[i].batch == 0)
			continue;
		TRY(work_batch(in->w, in->rows[i].batch, &wb));
		if (strcmp(wb->row.b.rule, open->rule) == 0 &&
		    strcmp(wb->row.b.key, open->key) == 0 &&
		    strcmp(wb->row.b.environment, in->m->environment) == 0 &&
		    wb->row.b.state != STORE_BATCH_RELEASING &&
		    wb->row.b.state != STORE_BATCH_PAUSED)
			in->batch = wb;
	}
	return STORE_OK;
}

/* A stream of its own: no rule counts it, so nothing else joins the batch. */
static uint64_t
make_stream(const struct store_job *job)
{
	const struct store_batch *open = job->u.import.open;
	const uint64_t seed = id_next();
	uint64_t hash = text_hash(TEXT_HASH_START, "import", 6);

	hash = text_hash(hash, open->key, strlen(open->key));
	hash = text_hash(hash, &seed, sizeof(seed));
	return hash != 0 ? hash : 1;
}

static const char *
or_empty(struct work *w, const char *text)
{
	return text != NULL ? work_copy(w, text) : "";
}

static enum store_result
open_batch(struct importing *in)
{
	const struct store_batch *open = in->job->u.import.open;
	struct work *w = in->w;
	struct batch_row row = {
	    .b = {.state = STORE_BATCH_HELD,
		  .stream_hash = make_stream(in->job),
		  .tripped_at = open->tripped_at,
		  .opened_at = open->opened_at != 0 ? open->opened_at : in->job->u.import.now,
		  .last_at = in->job->u.import.now,
		  .environment = in->environment.name,
		  .rule = open->rule,
		  .key = open->key,
		  .source = or_empty(w, open->source),
		  .sender = or_empty(w, open->sender),
		  .subject = or_empty(w, open->subject),
		  .limit = open->limit,
		  .window = open->window,
		  .leaked = open->leaked,
		  .decided_by = "",
		  .decided_reason = "",
		  .seen_by = ""},
	};

	TRY(w->b->batch_add(w->db, &row));
	TRY(work_batch(w, row.b.id, &in->batch));
	/* However old the mail is: nobody has looked at it since now. */
	in->batch->row.remind_from = in->job->u.import.now;
	return STORE_OK;
}

static enum store_result
find_batch(struct importing *in)
{
	const int64_t wanted = in->job->u.import.batch;
	enum store_result r;

	if (wanted == 0)
		return find_begun(in);
	r = work_batch(in->w, wanted, &in->batch);
	if (r == STORE_MISSING)
		return job_refuse(in->job, r, "there is no batch B%" PRId64, wanted);
	TRY(r);
	return check_batch(in);
}

/* ---- telling ---- */

struct last_row {
	const char *who;
	bool same;
};

static bool
see_last(void *context, const struct audit_row *a)
{
	struct last_row *last = context;

	last->same =
	    strcmp(a->link.action, "batch.imported") == 0 && strcmp(a->link.who, last->who) == 0;
	return false;
}

/* An import is many messages: told with its first, until something else happens to the batch. */
static enum store_result
is_told(struct importing *in, const char *object, bool *told)
{
	struct last_row last = {.who = in->job->u.import.who};

	TRY(in->w->b->audit_list(in->w->db, 0, 0, 1, 0, object, see_last, &last));
	*told = last.same;
	return STORE_OK;
}

static const char *
count_text(struct importing *in, size_t added)
{
	const struct store_batch *open = in->job->u.import.open;

	if (open != NULL && open->recipients > 0)
		return arena_printf(&in->w->arena, "messages=%" PRIu64 " recipients=%" PRIu64,
				    open->messages, open->recipients);
	return arena_printf(&in->w->arena, "recipients=%zu and more", added);
}

static enum store_result
tell(struct importing *in, const struct store_batch *before, size_t added)
{
	struct work *w = in->w;
	const struct store_job *job = in->job;
	const struct store_batch *b = &in->batch->row.b;
	const struct store_batch *open = job->u.import.open;
	const char *from = open != NULL && open->key != NULL ? open->key : b->key;
	const char *object = arena_printf(&w->arena, "B%" PRId64, b->id), *counts;
	bool told;

	TRY(is_told(in, object, &told));
	if (told)
		return STORE_OK;
	counts = count_text(in, added);
	TRY(work_audit(
	    w, job->u.import.now, job->u.import.who, "batch.imported", object, job->u.import.reason,
	    arena_printf(&w->arena,
			 "%s held before=%" PRIu64 " discarded before=%" PRIu64 " from=%s", counts,
			 before->held, before->discarded, from)));
	log_info("%s batch.imported environment=%s %s", object, log_safe(b->environment), counts);
	return work_alert(
	    w,
	    &(struct event_row){
		.at = job->u.import.now,
		.event = "batch.imported",
		.environment = b->environment,
		.batch = b->id,
		.count = (int64_t)(open != NULL && open->recipients > 0 ? open->recipients : added),
		.who = job->u.import.who,
		.reason = job->u.import.reason,
		.text = arena_printf(&w->arena,
				     "%s: %s brings mail into B%" PRId64 " from %s: it waits "
				     "there for a decision",
				     b->environment, job->u.import.who, b->id, from)});
}

/* ---- adding ---- */

static enum store_result
add_message(struct importing *in)
{
	struct message *m = in->job->u.import.message;
	const uint64_t store = in->job->u.import.origin_store;

	if (in->id != 0)
		return STORE_OK;
	in->id = own_id(in) != 0 ? own_id(in) : id_next();
	m->id = in->id;
	if (m->accepted_at == 0)
		m->accepted_at = in->job->u.import.now;
	if (in->id > in->w->highest_id)
		in->w->highest_id = in->id;
	TRY(in->w->b->message_add(in->w->db, m, in->environment.number, false, true));
	if (store == 0 || store == in->store || in->job->u.import.origin_id == 0)
		return STORE_OK;
	return in->w->b->origin_add(in->w->db, store, in->job->u.import.origin_id, in->id);
}

static enum store_result
add_delivery(struct importing *in, uint32_t number)
{
	const struct recipient *to = &in->m->recipients[number - 1];
	const struct verdict *v = &to->verdict;
	const int64_t now = in->job->u.import.now;
	struct delivery_row d = {
	    .id = in->id,
	    .number = number,
	    .state = in->job->u.import.states[number - 1],
	    .environment = in->environment.number,
	    .environment_name = in->environment.name,
	    .queued_at = clock_steady(),
	    .changed_at = now,
	    .batch = in->batch->row.b.id,
	    .notify = to->notify,
	    .recipient = to->address.text,
	    .final = to->final != NULL ? to->final : to->address.text,
	    .orcpt = to->orcpt != NULL ? to->orcpt : "",
	    .rule = v->rule != NULL ? v->rule : in->batch->row.b.rule,
	    .reason = v->reason != NULL ? v->reason : "",
	    .reply = "",
	    .bytes = in->m->header.len + in->m->body_bytes,
	    .accepted_at = in->m->accepted_at,
	};

	return work_add(in->w, &d);
}

/* True if a delivery of it stands in the batch already, which then has counted the message. */
static bool
is_in_batch(const struct importing *in)
{
	size_t i;

	for (i = 0; i < in->row_count; i++)
		if (in->rows[i].batch == in->batch->row.b.id)
			return true;
	return false;
}

static enum store_result
add_missing(struct importing *in)
{
	struct store_job *job = in->job;
	size_t i;

	TRY(add_message(in));
	if (!is_in_batch(in))
		in->w->new_message = in->id;
	for (i = 0; i < in->m->recipient_count; i++) {
		if (!is_wanted(in->m, i))
			continue;
		if (row_of(in, (uint32_t)i + 1) != NULL) {
			job->u.import.skipped++;
			continue;
		}
		TRY(add_delivery(in, (uint32_t)i + 1));
		job->u.import.added++;
	}
	return STORE_OK;
}

static enum store_result
import_rest(struct importing *in, size_t missing)
{
	struct store_job *job = in->job;
	struct store_batch before;

	if (in->batch == NULL)
		TRY(open_batch(in));
	before = in->batch->row.b;
	TRY(add_missing(in));
	/* It may have been released before it came back, and nobody knows how much of it. */
	in->batch->row.alone = ALONE_UNKNOWN;
	in->batch->dirty = true;
	in->batch->joined = false; /* no stream that grows: tell() says what came */
	TRY(tell(in, &before, missing));
	if (job->u.import.batch == 0)
		job->u.import.batch = job->u.import.chosen = in->batch->row.b.id;
	return STORE_OK;
}

enum store_result
job_import(struct work *w, struct store_job *job)
{
	struct importing in = {.w = w, .job = job, .m = job->u.import.message};
	struct work_environment *environment;
	int64_t name = 0;
	size_t missing, i;

	TRY(check_job(&in));
	TRY(w->b->meta_get(w->db, "store_name", &name));
	in.store = (uint64_t)name;
	TRY(find_message(&in));
	TRY(check_same(&in));
	TRY(find_batch(&in));
	missing = count_missing(&in);
	if (missing > 0) {
		if (in.batch == NULL && job->u.import.open == NULL)
			return job_refuse(job, STORE_REFUSED, "no batch to import into");
		TRY(work_environment(w, in.m->environment, true, &environment));
		in.environment = *environment;
		w->uncounted = true;
		return import_rest(&in, missing);
	}
	for (i = 0; i < in.m->recipient_count; i++)
		job->u.import.skipped += is_wanted(in.m, i);
	if (in.batch != NULL && job->u.import.batch == 0)
		job->u.import.batch = job->u.import.chosen = in.batch->row.b.id;
	return STORE_OK;
}
