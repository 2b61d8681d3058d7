/*
 * Reading for people: lists and sums over what the backend lists. Called by control/ and the
 * daemon, each view on one thread with its own connection; nothing here writes. What a list needs
 * in memory is freed before it returns.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/keys.h"
#include "store/view.h"
#include "store/view_sample.h"
#include "store/work_batch.h"
#include "store/writer.h"

struct store_view *
store_view_open(struct store *s, struct buf *error)
{
	struct store_view *v;
	struct db *db = s->b->open_reader(s->work.db, error);

	if (db == NULL)
		return NULL;
	v = mem_zalloc(sizeof(*v));
	v->b = s->b;
	v->db = db;
	return v;
}

void
store_view_close(struct store_view *v)
{
	if (v == NULL)
		return;
	v->b->close(v->db);
	view_sample_free(v->sample);
	free(v);
}

enum store_result
view_begin(struct store_view *v)
{
	enum store_result r = STORE_OK;

	if (v->depth == 0)
		r = v->b->begin(v->db, false);
	if (r == STORE_OK)
		v->depth++;
	return r;
}

enum store_result
view_end(struct store_view *v, enum store_result r)
{
	if (--v->depth == 0)
		v->b->rollback(v->db);
	if (r != STORE_OK && r != STORE_MISSING)
		log_warn("- store.read_failed error=%s", log_safe(v->db->error));
	return r;
}

/* ---- batches ---- */

struct batch_call {
	bool (*row)(void *context, const struct store_batch *b);
	void *context;
	bool found;
};

static bool
give_batch(void *context, const struct batch_row *b)
{
	struct batch_call *call = context;

	call->found = true;
	return call->row(call->context, &b->b);
}

enum store_result
store_view_batches(struct store_view *v, int state, bool all,
		   bool (*row)(void *context, const struct store_batch *b), void *context)
{
	return store_view_batches_before(v, state, all, 0, row, context);
}

enum store_result
store_view_batches_before(struct store_view *v, int state, bool all, int64_t before,
			  bool (*row)(void *context, const struct store_batch *b), void *context)
{
	struct batch_call call = {row, context, false};
	struct batch_query q = {.id_before = before};

	if (state >= 0)
		q.states = 1U << state;
	else if (!all)
		q.states =
		    1U << STORE_BATCH_HELD | 1U << STORE_BATCH_RELEASING | 1U << STORE_BATCH_PAUSED;
	TRY(view_begin(v));
	return view_end(v, v->b->batch_list(v->db, &q, give_batch, &call));
}

enum store_result
store_view_ruled(struct store_view *v, bool (*row)(void *context, const struct store_batch *b),
		 void *context)
{
	struct batch_call call = {row, context, false};
	const struct batch_query q = {.ruled = true};

	TRY(view_begin(v));
	return view_end(v, v->b->batch_list(v->db, &q, give_batch, &call));
}

enum store_result
store_view_holding(struct store_view *v, bool (*row)(void *context, const struct store_batch *b),
		   void *context)
{
	struct batch_call call = {row, context, false};
	const struct batch_query q = {.holding = true};

	TRY(view_begin(v));
	return view_end(v, v->b->batch_list(v->db, &q, give_batch, &call));
}

enum store_result
store_view_trips(struct store_view *v, uint32_t newest,
		 bool (*row)(void *context, const struct store_trips *t), void *context)
{
	TRY(view_begin(v));
	return view_end(v, v->b->batch_rules(v->db, newest, row, context));
}

enum store_result
store_view_batch(struct store_view *v, int64_t id,
		 bool (*row)(void *context, const struct store_batch *b), void *context)
{
	struct batch_call call = {row, context, false};
	struct batch_query q = {.id = id};
	enum store_result r;

	if (id <= 0)
		return STORE_MISSING;
	TRY(view_begin(v));
	r = view_end(v, v->b->batch_list(v->db, &q, give_batch, &call));
	return r == STORE_OK && !call.found ? STORE_MISSING : r;
}

/* ---- deliveries ---- */

struct delivery_call {
	bool (*row)(void *context, const struct store_delivery *d);
	void *context;
};

static struct store_delivery
view_delivery(const struct delivery_row *d)
{
	return (struct store_delivery){
	    .id = d->id,
	    .number = d->number,
	    .state = d->state,
	    .batch = d->batch,
	    .environment = d->environment_name,
	    .source = d->source,
	    .sender = d->sender,
	    .recipient = d->recipient,
	    .final = d->final,
	    .subject = d->subject,
	    .campaign = d->campaign,
	    .rule = d->rule,
	    .reason = d->reason,
	    .reply = d->reply,
	    .bytes = d->bytes,
	    .accepted_at = d->accepted_at,
	    .due_at = d->due_at,
	    .changed_at = d->changed_at,
	    .tries = d->tries,
	    .notice = d->notice,
	    .told = d->told,
	};
}

static bool
give_delivery(void *context, const struct delivery_row *d)
{
	const struct delivery_call *call = context;
	struct store_delivery out = view_delivery(d);

	return call->row(call->context, &out);
}

enum store_result
store_view_deliveries(struct store_view *v, const struct store_filter *f,
		      bool (*row)(void *context, const struct store_delivery *d), void *context)
{
	struct delivery_call call = {row, context};
	struct delivery_query q = {.batch = f->batch,
				   .message = f->message,
				   .after = f->after,
				   .newest = f->newest,
				   .limit = f->limit,
				   .states = f->state >= 0 ? 1U << f->state : 0};
	enum store_result r = STORE_OK;

	TRY(view_begin(v));
	if (f->environment != NULL)
		r = v->b->environment(v->db, f->environment, false, &q.environment);
	if (r == STORE_MISSING) /* no mail of it yet: an empty list */
		return view_end(v, STORE_OK);
	if (r == STORE_OK && q.environment != 0 && q.states == 0 && q.batch == 0 && q.message == 0)
		r = view_merge(v, &q, give_delivery, &call);
	else if (r == STORE_OK)
		r = v->b->delivery_list(v->db, &q, give_delivery, &call);
	return view_end(v, r);
}

struct recent_call {
	struct delivery_call call;
	struct store_view *v;
	int64_t batch;   /* looked up last */
	uint64_t stream; /* whose counts its decision has ended; 0 = none */
	struct verdict_key *keys;
	size_t cap; /* bytes of packed keys that there is room for */
	enum store_result result;
};

static bool
see_decided(void *context, const struct batch_row *b)
{
	struct recent_call *r = context;

	if (b->b.ended_at != 0)
		r->stream = b->b.stream_hash;
	return false;
}

/* The keys but for the one that the decision ended. */
static size_t
keep_keys(struct recent_call *r, const struct delivery_row *d)
{
	size_t i, n, kept = 0;

	if (d->keys_len > r->cap) {
		r->cap = d->keys_len;
		r->keys = mem_resize_array(r->keys, r->cap / KEYS_BYTES_MIN, sizeof(*r->keys));
	}
	n = d->keys_len > 0 ? keys_unpack(d->keys, d->keys_len, r->keys) : 0;
	for (i = 0; i < n; i++)
		if (r->stream == 0 || r->keys[i].hash != r->stream)
			r->keys[kept++] = r->keys[i];
	return kept;
}

/* A decision on a whole batch made the counters forget its stream: a restart must not recall it.
 * What was stored before there were keys is counted by that stream only. */
static bool
give_recent(void *context, const struct delivery_row *d)
{
	struct recent_call *r = context;
	struct batch_query q = {.id = d->batch};
	struct store_delivery out;

	if (d->batch != r->batch) {
		r->batch = d->batch;
		r->stream = 0;
		if (d->batch != 0)
			r->result = r->v->b->batch_list(r->v->db, &q, see_decided, r);
		if (r->result != STORE_OK)
			return false;
	}
	if (r->stream != 0 && d->keys_len == 0 && r->stream == d->stream)
		return true;
	out = view_delivery(d);
	out.counted_at = keys_time(d->keys, d->keys_len, d->accepted_at);
	out.audience = d->audience;
	out.key_count = keep_keys(r, d);
	out.keys = out.key_count > 0 ? r->keys : NULL;
	return r->call.row(r->call.context, &out);
}

enum store_result
store_view_recent(struct store_view *v, int64_t since,
		  bool (*row)(void *context, const struct store_delivery *d), void *context)
{
	struct recent_call call = {.call = {row, context}, .v = v};
	struct delivery_query q = {.id_from = work_id_at(since), .counted = true};
	enum store_result r;

	TRY(view_begin(v));
	r = v->b->delivery_list(v->db, &q, give_recent, &call);
	r = view_end(v, r == STORE_OK ? call.result : r);
	free(call.keys);
	return r;
}

/* ---- the whole store ---- */

struct count_row {
	int64_t environment;
	char *name;
	enum store_state state;
	uint64_t count;
	int64_t oldest_at, next_due_at;
};

struct counting {
	struct count_row *rows;
	size_t count;
};

static bool
keep_count(void *context, int64_t environment, const char *name, enum store_state state,
	   uint64_t count)
{
	struct counting *c = context;

	c->rows = mem_resize_array(c->rows, c->count + 1, sizeof(*c->rows));
	c->rows[c->count++] = (struct count_row){
	    .environment = environment, .name = mem_strdup(name), .state = state, .count = count};
	return true;
}

static bool
see_oldest(void *context, const struct delivery_row *d)
{
	((struct count_row *)context)->oldest_at = d->accepted_at;
	return false;
}

static bool
see_due(void *context, const struct delivery_row *d)
{
	((struct count_row *)context)->next_due_at = d->due_at;
	return false;
}

static enum store_result
fill_count(struct store_view *v, struct count_row *c)
{
	struct delivery_query q = {
	    .environment = c->environment, .states = 1U << c->state, .limit = 1};

	if (c->state != STORE_QUEUED && c->state != STORE_WAITING)
		return STORE_OK;
	TRY(v->b->delivery_list(v->db, &q, see_oldest, c));
	q.due = DUE_SET;
	q.order_due = true;
	return v->b->delivery_list(v->db, &q, see_due, c);
}

enum store_result
store_view_counts(struct store_view *v,
		  bool (*row)(void *context, const char *environment, enum store_state state,
			      uint64_t count, int64_t oldest_accepted_at, int64_t next_due_at),
		  void *context)
{
	struct counting all = {.count = 0};
	enum store_result r;
	bool more = true;
	size_t i;

	TRY(view_begin(v));
	r = v->b->count_list(v->db, keep_count, &all);
	for (i = 0; i < all.count && r == STORE_OK; i++)
		r = fill_count(v, &all.rows[i]);
	view_end(v, r);
	for (i = 0; i < all.count; i++) {
		struct count_row *c = &all.rows[i];

		if (r == STORE_OK && more)
			more =
			    row(context, c->name, c->state, c->count, c->oldest_at, c->next_due_at);
		free(c->name);
	}
	free(all.rows);
	return r;
}

struct tallies_call {
	bool (*row)(void *context, const char *environment, enum store_state state, uint64_t count);
	void *context;
};

static bool
give_tally(void *context, int64_t environment, const char *name, enum store_state state,
	   uint64_t count)
{
	const struct tallies_call *call = context;

	(void)environment;
	return call->row(call->context, name, state, count);
}

enum store_result
store_view_tallies(struct store_view *v,
		   bool (*row)(void *context, const char *environment, enum store_state state,
			       uint64_t count),
		   void *context)
{
	struct tallies_call call = {row, context};

	TRY(view_begin(v));
	return view_end(v, v->b->count_list(v->db, give_tally, &call));
}

static void
add_upto(struct buf *out, const char *data, size_t len, size_t max, bool *cut)
{
	size_t room = max - out->len;

	if (len > room)
		*cut = true;
	buf_add(out, data, len < room ? len : room);
}

static bool
see_delivery(void *context, const struct delivery_row *d)
{
	(void)d;
	*(bool *)context = true;
	return false;
}

/* What a decision on its batch has purged is gone for everybody, also before it is deleted. */
static enum store_result
find_message(struct store_view *v, uint64_t id)
{
	const struct delivery_query q = {.message = id, .unordered = true, .limit = 1};
	bool found = false;
	enum store_result r = v->b->delivery_list(v->db, &q, see_delivery, &found);

	return r == STORE_OK && !found ? STORE_MISSING : r;
}

enum store_result
store_view_raw(struct store_view *v, uint64_t id, size_t max, struct buf *out, bool *cut)
{
	struct message *m = message_new();
	struct chunk *chunk;
	uint32_t i, n = 0;
	enum store_result r = view_begin(v);

	if (r != STORE_OK) {
		message_free(m);
		return r;
	}
	*cut = false;
	max = out->len + max < max ? SIZE_MAX : out->len + max;
	r = find_message(v, id);
	if (r == STORE_OK)
		r = v->b->message_load(v->db, id, m, &n);
	if (r == STORE_OK) {
		add_upto(out, buf_text(&m->header), m->header.len, max, cut);
		add_upto(out, "\r\n", 2, max, cut);
		STAILQ_FOREACH (chunk, &m->body.list, next)
			add_upto(out, chunk->data, chunk->len, max, cut);
	}
	for (i = 1; i < n && r == STORE_OK && !*cut; i++) {
		r = v->b->chunk_load(v->db, id, i, &chunk);
		if (r != STORE_OK)
			break;
		add_upto(out, chunk->data, chunk->len, max, cut);
		chunk_unref(chunk);
	}
	message_free(m);
	return view_end(v, r);
}

struct audit_call {
	bool (*row)(void *context, const struct store_audit *a);
	void *context;
};

static bool
give_audit(void *context, const struct audit_row *a)
{
	const struct audit_call *call = context;
	char hex[AUDIT_CHAIN_HEX_BYTES];

	audit_chain_format(a->hash, hex);
	return call->row(call->context, &(struct store_audit){.id = a->link.id,
							      .at = a->link.at,
							      .who = a->link.who,
							      .action = a->link.action,
							      .object = a->link.object,
							      .reason = a->link.reason,
							      .detail = a->link.detail,
							      .hash = hex,
							      .malformed = a->malformed});
}

enum store_result
store_view_audit(struct store_view *v, int64_t after, uint32_t last, uint32_t limit,
		 const char *object, bool (*row)(void *context, const struct store_audit *a),
		 void *context)
{
	struct audit_call call = {row, context};

	TRY(view_begin(v));
	return view_end(v,
			v->b->audit_list(v->db, after, 0, last, limit, object, give_audit, &call));
}

enum store_result
store_view_audit_before(struct store_view *v, int64_t before, uint32_t last, const char *object,
			bool (*row)(void *context, const struct store_audit *a), void *context)
{
	struct audit_call call = {row, context};

	TRY(view_begin(v));
	return view_end(
	    v, v->b->audit_list(v->db, INT64_MIN, before, last, 0, object, give_audit, &call));
}

enum store_result
store_view_audit_head(struct store_view *v, int64_t *id, char hash[AUDIT_CHAIN_HEX_BYTES])
{
	unsigned char bytes[AUDIT_CHAIN_BYTES] = {0};
	enum store_result r;

	TRY(view_begin(v));
	r = v->b->audit_head(v->db, id, bytes);
	audit_chain_format(bytes, hash);
	return view_end(v, r);
}

enum store_result
store_view_holds(struct store_view *v, bool (*row)(void *context, const struct store_hold *h),
		 void *context)
{
	TRY(view_begin(v));
	return view_end(v, v->b->hold_list(v->db, row, context));
}
