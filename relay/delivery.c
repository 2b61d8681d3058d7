/*
 * Deliveries under way: loading, waiting, sending, recording. Called by intake.c and retry.c to
 * start, by smtp_client.c with answers, by upstream.c when nothing more will happen.
 */
#include "relay/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/histogram.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/tally.h"
#include "relay/health.h"
#include "relay/pauses.h"
#include "relay/recall.h"
#include "relay/retry.h"
#include "relay/upstream.h"

enum { REPLY_KEPT_BYTES = 500, RECORD_RETRY_US = 1000000 };

static void
delivery_set_state(struct delivery *d, enum delivery_state next)
{
	static const char *const names[] = {"loading", "waiting", "sending", "recording"};
	static const unsigned char allowed[4][4] = {
	    [DELIVERY_LOADING] = {[DELIVERY_WAITING] = 1, [DELIVERY_RECORDING] = 1},
	    [DELIVERY_WAITING] = {[DELIVERY_SENDING] = 1, [DELIVERY_RECORDING] = 1},
	    /* back to WAITING: a kept connection turned out to be dead before it was used */
	    [DELIVERY_SENDING] = {[DELIVERY_WAITING] = 1, [DELIVERY_RECORDING] = 1},
	};

	log_debug("%s delivery.state old=%s new=%s", d->id, names[d->state], names[next]);
	if (!allowed[d->state][next])
		panic("%s delivery.state old=%s new=%s is not allowed", d->id, names[d->state],
		      names[next]);
	d->state = next;
}

static struct delivery *
delivery_new(struct relay_loop *rl, uint64_t id, const char *environment, const char *upstream)
{
	struct delivery *d = mem_zalloc(sizeof(*d));

	d->rl = rl;
	d->policy = policy_ref(rl->policy);
	d->tally = gate_tally(d->policy, environment);
	d->upstream = mem_strdup(upstream);
	d->remote_mta = "";
	id_format(id, d->id);
	rl->pending++;
	return d;
}

static void
delivery_free(struct delivery *d)
{
	struct relay_loop *rl = d->rl;

	if (d->health != NULL)
		health_returned(d->health, d->count);
	if (d->message != NULL)
		message_free(d->message);
	if (d->due != NULL)
		store_due_free(d->due, 1);
	policy_unref(d->policy);
	arena_free(&d->arena);
	free(d->results);
	free(d->upstream);
	free(d);
	rl->pending--;
	relay_check_quiet(rl);
}

static int
compare_addresses(const void *a, const void *b, void *context)
{
	const struct delivery_recipient *r = context;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	int order = strcmp(r[x].address, r[y].address);

	return order != 0 ? order : (x > y) - (x < y);
}

/* What either asks to hear; NEVER only where both do. Not to ask is FAILURE (RFC 3461 4.1). */
static unsigned
merge_notify(unsigned a, unsigned b)
{
	unsigned both = (a != 0 ? a : DSN_FAILURE) | (b != 0 ? b : DSN_FAILURE);

	if (a == b)
		return a;
	return both == DSN_NEVER ? both : both & ~(unsigned)DSN_NEVER;
}

/*
 * Several recipients rewritten to one mailbox, or one given twice, get the message once; each keeps
 * its own result. O(n log n).
 */
static void
delivery_find_leads(struct delivery *d)
{
	size_t *order = arena_alloc(&d->arena, d->count * sizeof(*order)), i;

	for (i = 0; i < d->count; i++)
		order[i] = i;
	qsort_r(order, d->count, sizeof(*order), compare_addresses, d->recipients);
	for (i = 0; i < d->count; i++) {
		struct delivery_recipient *r = &d->recipients[order[i]];

		r->lead = order[i];
		if (i > 0 && strcmp(r->address, d->recipients[order[i - 1]].address) == 0)
			r->lead = d->recipients[order[i - 1]].lead;
		d->recipients[r->lead].notify =
		    merge_notify(d->recipients[r->lead].notify, r->notify);
	}
}

/* The panic button covers it: it must not move. */
static bool
delivery_is_stopped(const struct delivery *d)
{
	const char *environment =
	    d->message != NULL ? d->message->environment : d->due->environment;
	const char *source = d->message != NULL ? d->message->source : d->due->source;

	return counters_is_held(d->rl->relay->counters, environment, source);
}

bool
delivery_may_move(const struct delivery *d)
{
	return !d->rl->stopping && !delivery_is_stopped(d);
}

/* Its stream has tripped after it was judged: into the batch. */
static void
recipient_recall(struct delivery *d, struct delivery_recipient *r, const struct verdict_key *key,
		 int64_t tripped_at)
{
	r->answered = r->taken_back = true;
	r->result = (struct store_delivery_result){
	    .id = d->message != NULL ? d->message->id : d->due->id,
	    .number = r->number,
	    .state = STORE_HELD,
	    .stream = key->hash,
	    .tripped_at = tripped_at,
	    .reply = "",
	    .remote_mta = "",
	};
	log_info("%s.%u delivery.recalled recipient=%s upstream=%s", d->id, r->number,
		 log_safe(r->address), d->upstream);
}

/* A try has ended: in whole (failed, too), or to be tried again. */
static void
delivery_count(const struct delivery *d, const struct delivery_recipient *r)
{
	switch (r->result.state) {
	case STORE_SENT:
		metric_add(METRIC_RECIPIENTS_SENT, 1);
		tally_add(d->tally, TALLY_DELIVERED, 1);
		if (d->accepted_at != 0)
			histogram_observe(HISTOGRAM_DELIVERY, clock_mono() - d->accepted_at);
		break;
	case STORE_FAILED:
		metric_add(METRIC_RECIPIENTS_FAILED, 1);
		tally_add(d->tally, TALLY_FAILED, 1);
		break;
	default:
		metric_add(METRIC_RECIPIENTS_DEFERRED, 1);
		tally_add(d->tally, TALLY_DEFERRED, 1);
	}
}

/* No word of an upstream on this one. */
static void
delivery_put_back(struct delivery *d, struct delivery_recipient *r, bool tried, const char *why)
{
	r->result.id = d->message != NULL ? d->message->id : d->due->id;
	r->result.number = r->number;
	r->result.state = STORE_QUEUED;
	r->result.tried = tried;
	r->result.remote_mta = d->remote_mta;
	r->result.reply = arena_strdup(&d->arena, why);
	r->result.due_at = clock_steady();
	if (tried) {
		retry_schedule(d, r);
		delivery_count(d, r);
	}
	log_info("%s.%u delivery.%s recipient=%s upstream=%s tries=%u reason=%s", d->id, r->number,
		 tried ? store_state_name(r->result.state) : "put-back", log_safe(r->address),
		 d->upstream, r->tries + (tried ? 1 : 0), log_safe(why));
}

/* The one copy for its address was handed over. */
static bool
is_with_upstream(const struct delivery *d, const struct delivery_recipient *r)
{
	const struct delivery_recipient *lead = &d->recipients[r->lead];

	return lead->answered && !lead->taken_back;
}

bool
delivery_recall(struct delivery *d)
{
	/* What was just accepted under a rule without a head is on its way: its limit is exact. */
	bool settling = d->due == NULL, left = false;
	const struct verdict_key *key;
	int64_t tripped_at;
	size_t i;

	for (i = 0; i < d->count; i++) {
		struct delivery_recipient *r = &d->recipients[i];

		if (r->answered || is_with_upstream(d, r))
			continue;
		if (pauses_cover(d->rl->relay->pauses, r->batch, d->turn)) {
			r->answered = r->taken_back = true;
			delivery_put_back(d, r, false, "its release is paused");
			continue;
		}
		key = counters_find_trip(d->rl->relay->counters, r->keys, r->key_count, settling,
					 &tripped_at);
		if (key != NULL)
			recipient_recall(d, r, key, tripped_at);
		else
			left = true;
	}
	return left;
}

static size_t
delivery_taken_back(const struct delivery *d)
{
	size_t n = 0, i;

	for (i = 0; i < d->count; i++)
		n += d->recipients[i].taken_back;
	return n;
}

bool
delivery_may_leave(struct delivery *d)
{
	size_t before = delivery_taken_back(d);

	if (delivery_is_stopped(d))
		return false;
	delivery_recall(d);
	return delivery_taken_back(d) == before;
}

bool
delivery_may_begin(struct delivery *d)
{
	if (delivery_is_stopped(d))
		delivery_done(d, false, "held by an operator");
	else if (!delivery_recall(d))
		delivery_done(d, false, "");
	else
		return true;
	return false;
}

/* Into the upstream's hands, unless mail must not move. */
static void
delivery_start(struct delivery *d)
{
	if (!delivery_may_begin(d))
		return;
	if (d->rl->stopping) {
		delivery_done(d, false, "shutting down");
		return;
	}
	delivery_set_state(d, DELIVERY_WAITING);
	upstream_acquire(d);
}

void
delivery_sending(struct delivery *d)
{
	delivery_set_state(d, DELIVERY_SENDING);
}

void
delivery_again(struct delivery *d)
{
	delivery_start(d);
}

void
delivery_start_accepted(struct relay_loop *rl, struct policy *policy, struct message *m,
			int64_t now)
{
	const struct config_environment *e =
	    config_find_environment(policy_config(policy), m->environment);
	struct delivery *d = delivery_new(rl, m->id, m->environment, e->upstream);
	size_t i;

	d->message = m;
	d->accepted_at = now;
	d->recipients = arena_zalloc(&d->arena, m->recipient_count * sizeof(*d->recipients));
	for (i = 0; i < m->recipient_count; i++) {
		struct delivery_recipient *r = &d->recipients[d->count];

		if (m->recipients[i].verdict.action != VERDICT_PASS)
			continue;
		r->address = m->recipients[i].final;
		r->rewritten = strcmp(r->address, m->recipients[i].address.text) != 0;
		r->notify = m->recipients[i].notify;
		r->orcpt = m->recipients[i].orcpt != NULL ? m->recipients[i].orcpt : "";
		r->keys = m->recipients[i].verdict.keys;
		r->key_count = m->recipients[i].verdict.key_count;
		r->number = (uint32_t)i + 1;
		r->queued_at = m->counted_at;
		d->count++;
	}
	if (d->count == 0) {
		delivery_free(d);
		return;
	}
	delivery_find_leads(d);
	delivery_start(d);
}

/* The reader has the message, or why not. */
static void
delivery_loaded(struct loop_post *post)
{
	struct delivery *d = (struct delivery *)post;

	if (d->job.result != STORE_OK) {
		log_warn("%s delivery.load-failed error=%s", d->id, log_safe(d->job.error));
		delivery_done(d, true, "the message could not be read from the store");
		return;
	}
	d->message = d->job.u.load.message;
	message_count_memory(d->message);
	d->chunk_count = d->job.u.load.chunk_count;
	delivery_start(d);
}

static void
delivery_job_done(struct store_job *job)
{
	struct delivery *d = job->context;

	loop_post(d->rl->loop, &d->post);
}

void
delivery_start_claimed(struct relay_loop *rl, struct store_due *due, const char *upstream,
		       struct health *health, uint64_t turn)
{
	struct delivery *d = delivery_new(rl, due->id, due->environment, upstream);
	size_t i;

	d->due = due;
	d->health = health;
	d->turn = turn;
	d->count = due->count;
	d->recipients = arena_zalloc(&d->arena, due->count * sizeof(*d->recipients));
	for (i = 0; i < due->count; i++) {
		const struct store_due_delivery *from = &due->deliveries[i];

		d->recipients[i] = (struct delivery_recipient){
		    .address = from->address,
		    .number = from->number,
		    .tries = from->tries,
		    .queued_at = from->queued_at,
		    .notify = from->notify,
		    .orcpt = from->orcpt != NULL ? from->orcpt : "",
		    .rewritten = from->rewritten,
		    .batch = from->batch,
		    .keys = from->keys,
		    .key_count = from->key_count,
		};
	}
	delivery_find_leads(d);
	d->job.op = STORE_LOAD;
	d->job.u.load.id = due->id;
	d->job.done = delivery_job_done;
	d->job.context = d;
	d->post.run = delivery_loaded;
	reader_submit(rl->relay->store, &d->job);
}

void
delivery_answer(struct delivery *d, size_t recipient, int code, const char *reply)
{
	struct delivery_recipient *r = &d->recipients[recipient];
	size_t len = strlen(reply);

	if (r->answered)
		return;
	r->answered = true;
	r->code = code;
	r->result.id = d->message->id;
	r->result.number = r->number;
	r->result.environment = d->message->environment;
	r->result.tried = true;
	r->result.remote_mta = d->remote_mta;
	r->result.reply =
	    arena_strndup(&d->arena, reply, len < REPLY_KEPT_BYTES ? len : REPLY_KEPT_BYTES);
	r->result.state = code < 300 ? STORE_SENT : code < 500 ? STORE_QUEUED : STORE_FAILED;
	r->result.relayed = d->relayed && r->result.state == STORE_SENT;
	if (r->result.state == STORE_QUEUED)
		retry_schedule(d, r);
	delivery_count(d, r);
	log_info("%s.%u delivery.%s recipient=%s upstream=%s tries=%u reply=%s", d->id, r->number,
		 store_state_name(r->result.state), log_safe(r->address), d->upstream, r->tries + 1,
		 log_safe(r->result.reply));
}

static void delivery_recorded(struct loop_post *post);

static void
delivery_record(struct delivery *d)
{
	d->job = (struct store_job){
	    .op = STORE_RESULTS,
	    .done = delivery_job_done,
	    .context = d,
	    .u.results = {.results = d->results, .count = d->count},
	};
	d->post.run = delivery_recorded;
	if (d->rl->relay
		->stopped) { /* the store is closed; what is taken is due after the next start */
		delivery_free(d);
		return;
	}
	writer_submit(d->rl->relay->store, &d->job);
}

struct record_again {
	struct delivery *delivery;
	struct loop_timer *timer;
};

static void
delivery_record_again(void *context)
{
	struct record_again *again = context;
	struct delivery *d = again->delivery;

	loop_timer_free(again->timer);
	free(again);
	delivery_record(d);
}

/* Deferred or put back (or recalled to a batch that is not there): retry.c must know, or it would
 * notice at its next idle look only. */
static bool
delivery_has_queued(const struct delivery *d)
{
	size_t i;

	for (i = 0; i < d->count; i++)
		if (d->results[i].state == STORE_QUEUED || d->results[i].state == STORE_HELD)
			return true;
	return false;
}

/* Somebody has to be told, perhaps: bounce.c looks. */
static bool
delivery_has_news(const struct delivery *d)
{
	size_t i;

	for (i = 0; i < d->count; i++)
		if (d->results[i].state == STORE_FAILED || d->results[i].relayed)
			return true;
	return false;
}

/*
 * The results are in the store. Where they are not (a full disk), they are tried again until they
 * are: forgetting them would send the mail twice.
 */
static void
delivery_recorded(struct loop_post *post)
{
	struct delivery *d = (struct delivery *)post;
	struct record_again *again;

	if (d->job.result == STORE_OK && d->job.u.results.paused != 0)
		relay_pause_batch(d->rl->relay, d->job.u.results.paused);
	if (d->job.result == STORE_OK && delivery_has_queued(d))
		relay_request_poke(d->rl->relay);
	if (d->job.result == STORE_OK && delivery_has_news(d))
		relay_request_bounce(d->rl->relay);
	if (d->job.result == STORE_OK || d->job.result == STORE_MISSING || d->rl->stopping) {
		delivery_free(d);
		return;
	}
	if (d->record_tries++ % 60 == 0)
		log_warn("%s delivery.record-failed error=%s", d->id, log_safe(d->job.error));
	again = mem_zalloc(sizeof(*again));
	again->delivery = d;
	again->timer = loop_timer_new(d->rl->loop, delivery_record_again, again);
	loop_timer_set(again->timer, RECORD_RETRY_US);
}

void
delivery_done(struct delivery *d, bool tried, const char *why)
{
	size_t i;

	delivery_set_state(d, DELIVERY_RECORDING);
	d->results = mem_zalloc(d->count * sizeof(*d->results));
	for (i = 0; i < d->count; i++) {
		struct delivery_recipient *r = &d->recipients[i];
		const struct delivery_recipient *lead = &d->recipients[r->lead];

		if (!r->answered && is_with_upstream(d, r))
			delivery_answer(d, i, lead->code, lead->result.reply);
		else if (!r->answered)
			delivery_put_back(d, r, tried, why);
		d->results[i] = r->result;
	}
	delivery_record(d);
}
