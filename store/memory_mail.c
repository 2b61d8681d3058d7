/*
 * Messages, bodies and deliveries of the memory twin: arrays sorted by their keys. See memory.c
 * for threads and memory.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "store/memory.h"
#include "store/sweep.h"

/* Index of the first message with an id of at least that. */
static size_t
message_at(const struct memory *m, uint64_t id)
{
	size_t low = 0, high = m->messages.count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (((struct memory_message *)memory_row(&m->messages, mid))->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct memory_message *
find_message(const struct memory *m, uint64_t id, size_t *at)
{
	struct memory_message *row;

	*at = message_at(m, id);
	if (*at == m->messages.count)
		return NULL;
	row = memory_row(&m->messages, *at);
	return row->id == id ? row : NULL;
}

static size_t
delivery_at(const struct memory *m, uint64_t id, uint32_t number)
{
	size_t low = 0, high = m->deliveries.count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct delivery_row *d = memory_row(&m->deliveries, mid);

		if (d->id < id || (d->id == id && d->number < number))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct delivery_row *
find_delivery(const struct memory *m, uint64_t id, uint32_t number, size_t *at)
{
	struct delivery_row *d;

	*at = delivery_at(m, id, number);
	if (*at == m->deliveries.count)
		return NULL;
	d = memory_row(&m->deliveries, *at);
	return d->id == id && d->number == number ? d : NULL;
}

/* ---- messages ---- */

static enum store_result
broken(struct db *db, const char *why)
{
	snprintf(db->error, sizeof(db->error), "%s", why);
	return STORE_BROKEN;
}

enum store_result
memory_message_begin(struct db *db, uint64_t id)
{
	struct memory *m = memory_of(db);
	struct memory_message row = {.id = id};
	size_t at;

	if (find_message(m, id, &at) != NULL)
		return broken(db, "a message with this id exists");
	memory_insert(m, &m->messages, at, &row);
	return STORE_OK;
}

enum store_result
memory_message_delete(struct db *db, uint64_t id)
{
	struct memory *m = memory_of(db);
	size_t i, at;

	if (find_message(m, id, &at) == NULL)
		return STORE_OK;
	memory_remove(m, &m->messages, at);
	for (i = m->chunks.count; i-- > 0;)
		if (((struct memory_chunk *)memory_row(&m->chunks, i))->message == id)
			memory_remove(m, &m->chunks, i);
	at = delivery_at(m, id, 0);
	while (at < m->deliveries.count &&
	       ((struct delivery_row *)memory_row(&m->deliveries, at))->id == id)
		memory_remove(m, &m->deliveries, at);
	for (i = m->origins.count; i-- > 0;)
		if (((struct memory_origin *)memory_row(&m->origins, i))->message == id)
			memory_remove(m, &m->origins, i);
	return STORE_OK;
}

enum store_result
memory_dictionary_purge(struct db *db, int64_t before)
{
	(void)db;
	(void)before;
	return STORE_OK;
}

enum store_result
memory_message_known(struct db *db, uint64_t id, bool *out)
{
	size_t at;

	*out = find_message(memory_of(db), id, &at) != NULL;
	return STORE_OK;
}

enum store_result
memory_origin_find(struct db *db, uint64_t store, uint64_t id, uint64_t *message)
{
	const struct memory *m = memory_of(db);
	size_t i;

	for (i = 0; i < m->origins.count; i++) {
		const struct memory_origin *o = memory_row(&m->origins, i);

		if (o->store != store || o->id != id)
			continue;
		*message = o->message;
		return STORE_OK;
	}
	return STORE_MISSING;
}

enum store_result
memory_origin_add(struct db *db, uint64_t store, uint64_t id, uint64_t message)
{
	struct memory *m = memory_of(db);

	memory_insert(m, &m->origins, m->origins.count,
		      &(struct memory_origin){store, id, message});
	return STORE_OK;
}

enum store_result
memory_message_abandon(struct db *db, uint64_t id)
{
	size_t at;
	const struct memory_message *row = find_message(memory_of(db), id, &at);

	return row == NULL || row->complete ? STORE_OK : memory_message_delete(db, id);
}

static void
put_chunk(struct memory *m, uint64_t id, uint32_t number, const void *data, size_t len)
{
	struct memory_chunk row = {id, number, NULL, len};

	row.data = len > 0 ? memcpy(arena_alloc(&m->arena, len), data, len) : "";
	memory_insert(m, &m->chunks, m->chunks.count, &row);
}

enum store_result
memory_chunk_add(struct db *db, uint64_t id, uint32_t number, const struct chunk *chunk)
{
	size_t at;
	const struct memory_message *row = find_message(memory_of(db), id, &at);

	if (row == NULL || row->complete)
		return STORE_MISSING;
	put_chunk(memory_of(db), id, number, chunk->data, chunk->len);
	return STORE_OK;
}

static uint32_t
count_chunks(const struct memory *m, uint64_t id)
{
	uint32_t n = 0;
	size_t i;

	for (i = 0; i < m->chunks.count; i++)
		n += ((struct memory_chunk *)memory_row(&m->chunks, i))->message == id;
	return n;
}

static void
put_body(struct memory *m, const struct message *from, bool begun)
{
	uint32_t number = from->chunks_stored;
	const struct chunk *chunk;
	struct buf whole = {0};

	if (begun || from->body_bytes > CHUNK_BYTES) {
		STAILQ_FOREACH (chunk, &from->body.list, next)
			put_chunk(m, from->id, number++, chunk->data, chunk->len);
		return;
	}
	STAILQ_FOREACH (chunk, &from->body.list, next)
		buf_add(&whole, chunk->data, chunk->len);
	put_chunk(m, from->id, 0, whole.data, whole.len);
	buf_free(&whole);
}

enum store_result
memory_message_add(struct db *db, const struct message *from, int64_t environment, bool begun,
		   bool pack)
{
	struct memory *m = memory_of(db);
	size_t at;
	const struct memory_message *old = find_message(m, from->id, &at);
	struct memory_message row = {
	    .id = from->id,
	    .complete = true,
	    .eightbit = from->eightbit,
	    .smtputf8 = from->smtputf8,
	    .report = from->report,
	    .audience = from->audience,
	    .ret = from->ret,
	    .accepted_at = from->accepted_at,
	    .environment = environment,
	    .source = memory_text(m, from->source),
	    .client = memory_text(m, from->client),
	    .helo = memory_text(m, from->helo),
	    .protocol = memory_text(m, from->protocol),
	    .sender = memory_text(m, from->sender.text),
	    .envid = memory_text(m, from->envid),
	    .subject = memory_text(m, from->subject),
	    .subject_key = memory_text(m, from->subject_key),
	    .campaign = memory_text(m, from->campaign),
	    .header_from = memory_text(m, from->header_from),
	    .bytes = from->header.len + from->body_bytes,
	    .body_bytes = from->body_bytes,
	    .header_len = from->header.len,
	    .header = arena_strndup(&m->arena, buf_text(&from->header), from->header.len),
	};

	(void)pack; /* it is gone with the process */
	if (begun &&
	    (old == NULL || old->complete || count_chunks(m, from->id) != from->chunks_stored))
		return STORE_MISSING;
	if (!begun && old != NULL)
		return broken(db, "a message with this id exists");
	if (begun)
		memory_replace(m, &m->messages, at, &row);
	else
		memory_insert(m, &m->messages, at, &row);
	put_body(m, from, begun);
	return STORE_OK;
}

enum store_result
memory_chunk_load(struct db *db, uint64_t id, uint32_t number, struct chunk **out)
{
	struct memory *m = memory_of(db);
	size_t i;

	for (i = 0; i < m->chunks.count; i++) {
		const struct memory_chunk *c = memory_row(&m->chunks, i);

		if (c->message != id || c->number != number)
			continue;
		*out = backend_chunk(c->data, c->len);
		return STORE_OK;
	}
	return STORE_MISSING;
}

enum store_result
memory_header_load(struct db *db, uint64_t id, size_t max, struct buf *header, struct buf *envid)
{
	size_t at;
	const struct memory_message *row = find_message(memory_of(db), id, &at);

	if (row == NULL || !row->complete)
		return STORE_MISSING;
	buf_add(header, row->header, row->header_len < max ? row->header_len : max);
	buf_add_text(envid, row->envid);
	return STORE_OK;
}

enum store_result
memory_message_load(struct db *db, uint64_t id, struct message *to, uint32_t *chunk_count)
{
	struct memory *m = memory_of(db);
	size_t at;
	const struct memory_message *row = find_message(m, id, &at);
	struct chunk *chunk;

	if (row == NULL || !row->complete)
		return STORE_MISSING;
	to->id = id;
	to->accepted_at = row->accepted_at;
	to->environment =
	    arena_strdup(&to->arena, memory_environment_row(m, row->environment)->name);
	to->source = arena_strdup(&to->arena, row->source);
	to->client = arena_strdup(&to->arena, row->client);
	to->helo = arena_strdup(&to->arena, row->helo);
	to->protocol = arena_strdup(&to->arena, row->protocol);
	to->sender.text = arena_strdup(&to->arena, row->sender);
	to->sender.local = to->sender.domain = arena_strdup(&to->arena, "");
	to->eightbit = row->eightbit;
	to->smtputf8 = row->smtputf8;
	to->report = row->report;
	to->audience = row->audience;
	to->ret = row->ret;
	to->envid = arena_strdup(&to->arena, row->envid);
	to->subject = arena_strdup(&to->arena, row->subject);
	to->subject_key = arena_strdup(&to->arena, row->subject_key);
	to->campaign = arena_strdup(&to->arena, row->campaign);
	to->header_from = arena_strdup(&to->arena, row->header_from);
	to->body_bytes = row->body_bytes;
	buf_add(&to->header, row->header, row->header_len);
	*chunk_count = count_chunks(m, id);
	TRY(memory_chunk_load(db, id, 0, &chunk));
	STAILQ_INSERT_TAIL(&to->body.list, chunk, next);
	to->body.bytes += chunk->len;
	return STORE_OK;
}

/* ---- deliveries ---- */

enum store_result
memory_delivery_add(struct db *db, const struct delivery_row *d)
{
	struct memory *m = memory_of(db);
	struct delivery_row row = *d;
	size_t at;

	if (find_message(m, d->id, &at) == NULL)
		return broken(db, "a delivery without its message");
	if (find_delivery(m, d->id, d->number, &at) != NULL)
		return broken(db, "a delivery with this number exists");
	row.recipient = memory_text(m, d->recipient);
	row.final = memory_text(m, d->final);
	row.rule = memory_text(m, d->rule);
	row.reason = memory_text(m, d->reason);
	row.reply = memory_text(m, d->reply);
	row.orcpt = memory_text(m, d->orcpt);
	row.remote_mta = row.told = "";
	row.keys = d->keys_len > 0
		       ? memcpy(arena_alloc(&m->arena, d->keys_len), d->keys, d->keys_len)
		       : NULL;
	row.notice = STORE_NOTICE_NONE;
	memory_insert(m, &m->deliveries, at, &row);
	return STORE_OK;
}

enum store_result
memory_delivery_set(struct db *db, const struct delivery_row *d)
{
	struct memory *m = memory_of(db);
	struct delivery_row row, *old;
	size_t at;

	old = find_delivery(m, d->id, d->number, &at);
	if (old == NULL)
		return STORE_OK; /* as UPDATE does */
	row = *old;
	row.state = d->state;
	row.due_at = d->due_at;
	row.queued_at = d->queued_at;
	row.changed_at = d->changed_at;
	row.batch = d->batch;
	row.tries = d->tries;
	row.notice = d->notice;
	row.ring = d->ring;
	row.era = d->era;
	if (d->rule != NULL)
		row.rule = memory_text(m, d->rule);
	if (d->reason != NULL)
		row.reason = memory_text(m, d->reason);
	if (d->reply != NULL)
		row.reply = memory_text(m, d->reply);
	if (d->remote_mta != NULL)
		row.remote_mta = memory_text(m, d->remote_mta);
	if (d->told != NULL)
		row.told = memory_text(m, d->told);
	memory_replace(m, &m->deliveries, at, &row);
	return STORE_OK;
}

enum store_result
memory_delivery_sent(struct db *db, const struct delivery_sent *s)
{
	struct memory *m = memory_of(db);
	struct delivery_row row, *old;
	size_t at;

	old = find_delivery(m, s->id, s->number, &at);
	if (old == NULL || old->state != STORE_QUEUED || old->due_at != 0 || old->batch != 0 ||
	    old->environment != s->environment)
		return STORE_MISSING;
	row = *old;
	row.state = STORE_SENT;
	row.changed_at = s->changed_at;
	row.tries += s->tried;
	if (s->reply != NULL)
		row.reply = memory_text(m, s->reply);
	if (s->remote_mta != NULL)
		row.remote_mta = memory_text(m, s->remote_mta);
	memory_replace(m, &m->deliveries, at, &row);
	return STORE_OK;
}

enum store_result
memory_delivery_mark(struct db *db, uint64_t id, uint32_t number, int64_t ring)
{
	struct memory *m = memory_of(db);
	struct delivery_row row, *old;
	size_t at;

	old = find_delivery(m, id, number, &at);
	if (old == NULL)
		return STORE_OK;
	row = *old;
	row.ring = ring;
	memory_replace(m, &m->deliveries, at, &row);
	return STORE_OK;
}

enum store_result
memory_delivery_delete(struct db *db, uint64_t id, uint32_t number)
{
	struct memory *m = memory_of(db);
	size_t at;

	if (find_delivery(m, id, number, &at) != NULL)
		memory_remove(m, &m->deliveries, at);
	return STORE_OK;
}

static bool
has_member(const struct memory *m, uint64_t stream, uint64_t id, uint32_t number, size_t *at)
{
	for (*at = 0; *at < m->members.count; (*at)++) {
		const struct memory_member *k = memory_row(&m->members, *at);

		if (k->stream == stream && k->id == id && k->number == number)
			return true;
	}
	return false;
}

enum store_result
memory_member_add(struct db *db, uint64_t stream, uint64_t id, uint32_t number)
{
	struct memory *m = memory_of(db);
	struct memory_member row = {stream, id, number};
	size_t at;

	if (!has_member(m, stream, id, number, &at))
		memory_insert(m, &m->members, at, &row);
	return STORE_OK;
}

enum store_result
memory_member_delete(struct db *db, uint64_t stream, uint64_t id, uint32_t number)
{
	struct memory *m = memory_of(db);
	size_t at;

	if (has_member(m, stream, id, number, &at))
		memory_remove(m, &m->members, at);
	return STORE_OK;
}

static int
by_due(const void *a, const void *b)
{
	const struct delivery_row *x = a, *y = b;

	if (x->due_at != y->due_at)
		return x->due_at < y->due_at ? -1 : 1;
	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

enum store_result
memory_delivery_list(struct db *db, const struct delivery_query *q, delivery_row_fn *row,
		     void *context)
{
	struct memory *m = memory_of(db);
	struct delivery_row *found = NULL, d;
	size_t first, i, n = 0, at, end = m->deliveries.count;

	first = q->message != 0 ? delivery_at(m, q->message, 0) : 0;
	if (q->message != 0)
		end = delivery_at(m, q->message, UINT32_MAX);
	for (i = first; i < end; i++) {
		const struct memory_message *message;

		d = *(struct delivery_row *)memory_row(&m->deliveries,
						       q->newest ? end - 1 - (i - first) : i);
		message = find_message(m, d.id, &at);
		d.environment_name = memory_environment_row(m, d.environment)->name;
		d.source = message->source;
		d.sender = message->sender;
		d.subject = message->subject;
		d.campaign = message->campaign;
		d.report = message->report;
		d.audience = message->audience;
		d.accepted_at = message->accepted_at;
		d.bytes = message->bytes;
		if (d.batch != 0) {
			const struct batch_row *b = memory_row(&m->batches, (size_t)d.batch - 1);

			if (sweep_is_gone(&b->sweep, &d) != q->gone)
				continue;
			sweep_read(&b->sweep, &d);
		} else if (q->gone) {
			continue;
		}
		if (!sweep_matches(q, &d) ||
		    (q->stream != 0 && !has_member(m, q->stream, d.id, d.number, &at)))
			continue;
		if ((n & (n - 1)) == 0) /* a power of two: full */
			found = mem_resize_array(found, n > 0 ? n * 2 : 1, sizeof(d));
		found[n++] = d;
		if (!q->order_due && q->limit > 0 && n == q->limit)
			break;
	}
	if (q->order_due && n > 0)
		qsort(found, n, sizeof(*found), by_due);
	if (q->limit > 0 && n > q->limit)
		n = q->limit;
	for (i = 0; i < n && row(context, &found[i]); i++)
		;
	free(found);
	return STORE_OK;
}
