/*
 * After a start the counters learn what they must not forget: the panic button, the streams that
 * are tripped, the counters that were saved, and what was accepted since, or within the longest
 * window that is not saved. Main thread, before the relay runs. Costs O(saved keys + deliveries
 * accepted in about an hour at most).
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "mail/mime.h"

struct decided {
	uint64_t stream;
	int64_t at; /* clock_steady() */
};

struct recovery {
	struct daemon *daemon;
	int64_t mono, wall; /* now, on both clocks */
	size_t deliveries, trips, loaded;
	struct gate_hold *holds;
	size_t hold_count;
	struct decided *decided; /* in order of time; `forgotten` of them took effect */
	size_t decided_count, forgotten;
	char boot[CLOCK_BOOT_BYTES];
	int64_t saved_at;               /* wall clock, the newest save; 0 = none */
	int64_t since;                  /* what came then or later is counted again */
	int64_t shift[COUNTERS_SHARDS]; /* of saved monotonic times */
};

static bool
recover_hold(void *context, const struct store_hold *h)
{
	struct recovery *r = context;

	r->holds = mem_resize_array(r->holds, r->hold_count + 1, sizeof(*r->holds));
	r->holds[r->hold_count++] = (struct gate_hold){.scope = (enum gate_scope)h->scope,
						       .name = mem_strdup(h->name),
						       .reason = mem_strdup(h->reason),
						       .since = h->since};
	return true;
}

static void
recover_set_holds(struct recovery *r)
{
	size_t i;

	counters_set_holds(r->daemon->counters, r->holds, r->hold_count);
	for (i = 0; i < r->hold_count; i++) {
		free(r->holds[i].name);
		free(r->holds[i].reason);
	}
	free(r->holds);
}

/* Within one boot of the machine monotonic times stay; else the wall clock says what has passed. */
static bool
recover_save(void *context, const struct store_counter_save *s)
{
	struct recovery *r = context;
	int64_t elapsed = r->wall > s->wall ? r->wall - s->wall : 0;

	if (s->shard >= COUNTERS_SHARDS)
		return true;
	if (s->wall > r->saved_at)
		r->saved_at = s->wall;
	counters_load_stamp(r->daemon->counters, s->shard, s->stamp);
	if (*r->boot != '\0' && strcmp(s->boot, r->boot) == 0)
		r->shift[s->shard] = 0;
	else
		r->shift[s->shard] = r->mono - s->mono - elapsed;
	return true;
}

static bool
recover_counter(void *context, unsigned shard, const struct store_counter *c)
{
	struct recovery *r = context;
	int64_t shift = shard < COUNTERS_SHARDS ? r->shift[shard] : 0;

	if (counters_load(r->daemon->counters, c->hash, c->data, c->len, shift))
		r->loaded++;
	else
		log_warn("- counters.load-failed hash=%016llx", (unsigned long long)c->hash);
	return true;
}

/* The monotonic clock's, of a time on clock_steady(); what another start of the machine wrote is
 * not later than now. */
static int64_t
recover_mono(const struct recovery *r, int64_t steady)
{
	int64_t mono = steady - clock_steady_offset();

	return mono < r->mono ? mono : r->mono;
}

/* Decisions made up to then made the counters forget their streams. */
static void
recover_forget(struct recovery *r, int64_t until)
{
	for (; r->forgotten < r->decided_count && r->decided[r->forgotten].at <= until;
	     r->forgotten++) {
		const struct decided *d = &r->decided[r->forgotten];

		counters_replay_forget(r->daemon->counters, d->stream, recover_mono(r, d->at));
	}
}

/* A row of the store as the message it was, one recipient. */
static bool
recover_delivery(void *context, const struct store_delivery *d)
{
	struct recovery *r = context;
	struct message *m = message_new();
	struct address address;
	struct recipient *to;

	recover_forget(r, d->counted_at);
	if (address_parse(d->final, &m->arena, &address) == NULL) {
		m->accepted_at = d->accepted_at;
		m->environment = d->environment;
		m->source = d->source;
		m->subject = d->subject;
		m->subject_key = mime_normal_subject(d->subject, &m->arena);
		m->campaign = d->campaign;
		m->audience = d->audience;
		if (*d->sender == '\0' || address_parse(d->sender, &m->arena, &m->sender) != NULL)
			m->sender = (struct address){.local = (char *)"", .domain = (char *)""};
		m->sender.text = (char *)d->sender; /* as it was counted: U-labels stay */
		to = message_add_recipient(m, &address);
		to->final = d->final;
		/* Counted, but not as what left, also if somebody has released it since: a new
		 * batch states its leak. */
		if (d->batch != 0)
			to->verdict =
			    (struct verdict){.action = VERDICT_HOLD, .rule = "burst before"};
		to->verdict.keys = d->keys;
		to->verdict.key_count = d->key_count;
		counters_replay(r->daemon->counters, r->daemon->policy, m,
				recover_mono(r, d->counted_at));
		r->deliveries++;
	}
	message_free(m);
	return true;
}

/* Decisions that ended a batch: after them its stream was counted afresh. */
static bool
recover_decided(void *context, const struct store_batch *b)
{
	struct recovery *r = context;

	if (b->ended_at == 0 || b->ended_at < r->since)
		return true;
	r->decided = mem_resize_array(r->decided, r->decided_count + 1, sizeof(*r->decided));
	r->decided[r->decided_count++] =
	    (struct decided){.stream = b->stream_hash, .at = b->ended_at};
	return true;
}

static int
by_time(const void *a, const void *b)
{
	const struct decided *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
}

static bool
recover_batch(void *context, const struct store_batch *b)
{
	struct recovery *r = context;
	int64_t elapsed = r->wall > b->last_at ? r->wall - b->last_at : 0;

	if (b->collecting) {
		counters_restore_trip(r->daemon->counters, r->daemon->policy, b->environment,
				      b->rule, b->stream_hash, b->tripped_at, r->mono - elapsed);
		r->trips++;
	}
	return true;
}

static int64_t
longer_replayed(int64_t longest, int64_t window)
{
	return window > longest && window <= COUNTERS_REPLAY_MAX ? window : longest;
}

/* Of the windows that come back by replay alone; longer ones are saved. */
static int64_t
longest_replayed(const struct config *c)
{
	int64_t longest = 0;
	size_t i, k;

	for (i = 0; i < c->environment_count; i++) {
		const struct config_environment *e = &c->environments[i];

		longest = longer_replayed(longest, e->campaign_window);
		for (k = 0; k < e->burst_count; k++) {
			longest = longer_replayed(longest, e->bursts[k].window);
			longest = longer_replayed(longest, e->bursts[k].head_window);
			longest = longer_replayed(longest, e->bursts[k].declared_window);
		}
		for (k = 0; k < e->content_count; k++)
			longest = longer_replayed(longest, e->contents[k].above_window);
	}
	return longest;
}

int64_t
daemon_replay_span(const struct config *c)
{
	int64_t longest = longest_replayed(c);

	/* A slice counts a 60th too long; and what came since the last save of a shard. */
	return longest + longest / 60 + 5 * CLOCK_MINUTE;
}

static bool
recover_counters(struct recovery *r)
{
	struct daemon *d = r->daemon;
	bool ok = store_view_counters(d->view, recover_save, recover_counter, r) == STORE_OK;

	/* The span counts from the time at which we were stopped: long windows miss what came since
	 * the last saves however long ago that is. */
	r->since = r->saved_at > 0 && r->saved_at < r->wall ? r->saved_at : r->wall;
	if (clock_steady() < r->since) /* the wall clock was set ahead */
		r->since = clock_steady();
	r->since -= daemon_replay_span(policy_config(d->policy));
	ok = ok && store_view_batches(d->view, -1, true, recover_decided, r) == STORE_OK;
	if (ok && r->decided_count > 1)
		qsort(r->decided, r->decided_count, sizeof(*r->decided), by_time);
	ok = ok && store_view_recent(d->view, r->since, recover_delivery, r) == STORE_OK;
	recover_forget(r, INT64_MAX);
	free(r->decided);
	return ok && store_view_batches(d->view, -1, true, recover_batch, r) == STORE_OK;
}

bool
daemon_recover(struct daemon *d, struct buf *error)
{
	struct recovery r = {.daemon = d, .mono = clock_mono(), .wall = clock_wall()};
	bool ok = store_view_holds(d->view, recover_hold, &r) == STORE_OK;

	clock_boot_id(r.boot);
	recover_set_holds(&r);
	ok = ok && recover_counters(&r);
	if (!ok)
		buf_printf(error, "the store cannot be read; copy it away and see mailfused(8)");
	log_info("- counters.recovered deliveries=%zu saved=%zu tripped=%zu holds=%zu",
		 r.deliveries, r.loaded, r.trips, r.hold_count);
	return ok;
}
