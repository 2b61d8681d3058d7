/*
 * Copies of a store, verified and read. See backup.h; copy.c makes them, copy_file.c opens them,
 * copy_check.c checks them. Reads with the functions of the SQLite backend over a connection that
 * trusts nothing of the file.
 */
#include "store/backup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "mail/message.h"
#include "store/copy.h"
#include "store/copy_check.h"
#include "store/sqlite.h"

/* Above this a body is none that a gate took in: a damaged length, or somebody's joke. */
#define BODY_BYTES_MAX (UINT64_C(1) << 30)

struct backup {
	struct copy_file f;
};

static bool
check(struct copy_file *f, const char *path, const atomic_bool *stop, struct backup_report *out,
      struct buf *error)
{
	memset(out, 0, sizeof(*out));
	if (!copy_file_open(f, path, stop, error) || !copy_check(f, out, error) ||
	    !copy_file_is_unchanged(f, error))
		return false;
	out->bytes = (uint64_t)f->st.st_size;
	out->made_at = f->seal.made_at;
	out->schema = f->schema;
	return true;
}

bool
copy_verify(const char *path, const atomic_bool *stop, struct backup_report *out, struct buf *error)
{
	struct copy_file f;
	bool ok = check(&f, path, stop, out, error);

	copy_file_close(&f);
	return ok;
}

bool
backup_verify(const char *path, struct backup_report *out, struct buf *error)
{
	return copy_verify(path, NULL, out, error);
}

struct backup *
backup_open(const char *path, struct backup_report *out, struct buf *error)
{
	struct backup *b = mem_zalloc(sizeof(*b));

	if (check(&b->f, path, NULL, out, error)) {
		if (sqlite_schema_step((int)b->f.schema + 1) == NULL)
			return b;
		buf_printf(error,
			   "%s is of an older mailfuse (schema %" PRId64 "); start mailfused once "
			   "with a copy of it as its `store`, and take a backup of that",
			   path, b->f.schema);
	}
	backup_close(b);
	return NULL;
}

void
backup_close(struct backup *b)
{
	if (b == NULL)
		return;
	copy_file_close(&b->f);
	free(b);
}

/* ---- a batch ---- */

struct batch_call {
	void (*row)(void *context, const struct store_batch *batch);
	void *context;
	int64_t newest;
	bool found;
};

static bool
give_batch(void *context, const struct batch_row *b)
{
	struct batch_call *call = context;

	call->found = true;
	call->row(call->context, &b->b);
	return false;
}

bool
backup_batch(struct backup *b, int64_t id,
	     void (*row)(void *context, const struct store_batch *batch), void *context,
	     struct buf *error)
{
	struct batch_call call = {.row = row, .context = context};
	struct batch_query q = {.id = id};
	int64_t newest = 0;

	if (id > 0 && sqlite_batch_list(b->f.db, &q, give_batch, &call) != STORE_OK) {
		copy_file_explain(&b->f, error);
		return false;
	}
	if (call.found)
		return copy_file_is_unchanged(&b->f, error);
	(void)sql_number(b->f.db, "SELECT max(id) FROM batch", NO_ARGS, &newest);
	buf_printf(error, "%s has no batch B%" PRId64, b->f.path, id);
	if (newest > 0)
		buf_printf(error, "; its newest is B%" PRId64, newest);
	return false;
}

/* ---- its messages ---- */

struct ids {
	uint64_t *list;
	size_t count, cap;
};

static bool
keep_id(void *context, const struct delivery_row *d)
{
	struct ids *ids = context;

	if (ids->count > 0 && ids->list[ids->count - 1] == d->id)
		return true;
	if (ids->count == ids->cap) {
		ids->cap = ids->cap > 0 ? ids->cap * 2 : 64;
		ids->list = mem_resize_array(ids->list, ids->cap, sizeof(*ids->list));
	}
	ids->list[ids->count++] = d->id;
	return true;
}

struct reading {
	struct message *m;
	struct store_delivery *deliveries;
	size_t count, cap;
};

static const char *
copy_text(struct reading *r, const char *text)
{
	return *text == '\0' ? "" : arena_strdup(&r->m->arena, text);
}

static void
add_recipient(struct reading *r, const struct delivery_row *d, const struct store_delivery *to)
{
	struct arena *a = &r->m->arena;
	const char *at = strrchr(d->recipient, '@');
	struct address address = {.text = arena_strdup(a, d->recipient)};
	struct recipient *recipient;

	address.local =
	    at != NULL ? arena_strndup(a, d->recipient, (size_t)(at - d->recipient)) : address.text;
	address.domain = arena_strdup(a, at != NULL ? at + 1 : "");
	recipient = message_add_recipient(r->m, &address);
	recipient->final = to->final;
	recipient->notify = d->notify;
	recipient->orcpt = copy_text(r, d->orcpt);
	recipient->verdict =
	    (struct verdict){.action = VERDICT_HOLD, .rule = to->rule, .reason = to->reason};
}

static bool
keep_delivery(void *context, const struct delivery_row *d)
{
	struct reading *r = context;
	struct store_delivery *to;

	if (r->count == r->cap) {
		r->cap = r->cap > 0 ? r->cap * 2 : 8;
		r->deliveries = mem_resize_array(r->deliveries, r->cap, sizeof(*r->deliveries));
	}
	to = &r->deliveries[r->count++];
	*to = (struct store_delivery){
	    .id = d->id,
	    .number = d->number,
	    .state = d->state,
	    .batch = d->batch,
	    .environment = copy_text(r, d->environment_name),
	    .source = copy_text(r, d->source),
	    .sender = copy_text(r, d->sender),
	    .recipient = copy_text(r, d->recipient),
	    .final = copy_text(r, d->final),
	    .subject = copy_text(r, d->subject),
	    .campaign = copy_text(r, d->campaign),
	    .rule = copy_text(r, d->rule),
	    .reason = copy_text(r, d->reason),
	    .reply = copy_text(r, d->reply),
	    .told = copy_text(r, d->told),
	    .bytes = d->bytes,
	    .accepted_at = d->accepted_at,
	    .due_at = d->due_at,
	    .changed_at = d->changed_at,
	    .tries = d->tries,
	    .audience = d->audience,
	    .notice = d->notice,
	};
	add_recipient(r, d, to);
	return true;
}

/* All chunks behind the first, which came with the message. */
static enum store_result
load_rest(struct db *db, struct message *m, uint32_t chunks)
{
	struct chunk *chunk;
	uint32_t i;

	for (i = 1; i < chunks && m->body.bytes <= BODY_BYTES_MAX; i++) {
		TRY(sqlite_chunk_load(db, m->id, i, &chunk));
		STAILQ_INSERT_TAIL(&m->body.list, chunk, next);
		m->body.bytes += chunk->len;
	}
	if (m->body.bytes == m->body_bytes)
		return STORE_OK;
	sqlite3_snprintf(sizeof(db->error), db->error,
			 "a body has not the length that its message says");
	return STORE_BROKEN;
}

static enum store_result
read_message(struct backup *b, int64_t batch, uint64_t id, struct reading *r)
{
	struct delivery_query q = {
	    .message = id, .batch = batch, .states = 1U << STORE_HELD | 1U << STORE_DISCARDED};
	uint32_t chunks = 0;

	TRY(sqlite_message_load(b->f.db, id, r->m, &chunks));
	TRY(load_rest(b->f.db, r->m, chunks));
	return sqlite_delivery_list(b->f.db, &q, keep_delivery, r);
}

/* *more: whether the caller wants another one. */
static enum store_result
give_message(struct backup *b, int64_t batch, uint64_t id,
	     bool (*row)(void *context, const struct message *m,
			 const struct store_delivery *deliveries, size_t count),
	     void *context, bool *more)
{
	struct reading reading = {.m = message_new()};
	enum store_result r = read_message(b, batch, id, &reading);

	if (r == STORE_OK)
		*more = row(context, reading.m, reading.deliveries, reading.count);
	message_free(reading.m);
	free(reading.deliveries);
	return r;
}

bool
backup_messages(struct backup *b, int64_t batch,
		bool (*row)(void *context, const struct message *m,
			    const struct store_delivery *deliveries, size_t count),
		void *context, struct buf *error)
{
	struct delivery_query q = {.batch = batch,
				   .states = 1U << STORE_HELD | 1U << STORE_DISCARDED};
	struct ids ids = {.count = 0};
	enum store_result r;
	bool more = true;
	size_t i;

	if (batch <= 0) {
		buf_printf(error, "B%" PRId64 " is no batch", batch);
		return false;
	}
	r = sqlite_delivery_list(b->f.db, &q, keep_id, &ids);
	for (i = 0; i < ids.count && r == STORE_OK && more; i++)
		r = give_message(b, batch, ids.list[i], row, context, &more);
	free(ids.list);
	if (r == STORE_OK)
		return copy_file_is_unchanged(&b->f, error);
	if (r == STORE_MISSING)
		sqlite3_snprintf(sizeof(b->f.db->error), b->f.db->error,
				 "a message or a part of one is missing");
	copy_file_explain(&b->f, error);
	return false;
}
