/*
 * After a start the counters learn what they must not forget: the panic button, the streams that
 * are tripped, and what was accepted within the longest window of any rule. Main thread, before the
 * relay runs. Costs O(deliveries accepted in that window).
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"
#include "mail/mime.h"

struct recovery {
	struct daemon *daemon;
	int64_t mono, wall; /* now, on both clocks */
	size_t deliveries, trips;
	struct gate_hold *holds;
	size_t hold_count;
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

/* A row of the store as the message it was, one recipient. */
static bool
recover_delivery(void *context, const struct store_delivery *d)
{
	struct recovery *r = context;
	struct message *m = message_new();
	struct address address;
	struct recipient *to;

	if (address_parse(d->final, &m->arena, &address) == NULL) {
		m->accepted_at = d->accepted_at;
		m->environment = d->environment;
		m->source = d->source;
		m->subject = d->subject;
		m->subject_key = mime_normal_subject(d->subject, &m->arena);
		m->campaign = d->campaign;
		if (*d->sender == '\0' || address_parse(d->sender, &m->arena, &m->sender) != NULL)
			m->sender = (struct address){.local = (char *)"", .domain = (char *)""};
		m->sender.text = (char *)d->sender; /* as it was counted: U-labels stay */
		to = message_add_recipient(m, &address);
		to->final = d->final;
		/* Counted, but not as what left: a new batch states its leak. */
		if (d->state == STORE_HELD || d->state == STORE_DISCARDED)
			to->verdict =
			    (struct verdict){.action = VERDICT_HOLD, .rule = "burst before"};
		counters_replay(r->daemon->counters, r->daemon->policy, m,
				r->mono - (r->wall - d->accepted_at));
		r->deliveries++;
	}
	message_free(m);
	return true;
}

static bool
recover_batch(void *context, const struct store_batch *b)
{
	struct recovery *r = context;

	if (b->collecting && strncmp(b->rule, "burst ", 6) == 0) {
		counters_restore_trip(r->daemon->counters, r->daemon->policy, b->environment,
				      b->rule, b->stream_hash, b->tripped_at,
				      r->mono - (r->wall - b->last_at));
		r->trips++;
	}
	return true;
}

static int64_t
longest_window(const struct config *c)
{
	int64_t longest = 0;
	size_t i, k;

	for (i = 0; i < c->environment_count; i++)
		for (k = 0; k < c->environments[i].burst_count; k++)
			if (c->environments[i].bursts[k].window > longest)
				longest = c->environments[i].bursts[k].window;
	return longest;
}

bool
daemon_recover(struct daemon *d, struct buf *error)
{
	struct recovery r = {.daemon = d, .mono = clock_mono(), .wall = clock_wall()};
	int64_t since = r.wall - longest_window(policy_config(d->policy));
	bool ok = store_view_holds(d->view, recover_hold, &r) == STORE_OK;

	recover_set_holds(&r);
	ok = ok && store_view_recent(d->view, since, recover_delivery, &r) == STORE_OK &&
	     store_view_batches(d->view, -1, true, recover_batch, &r) == STORE_OK;
	if (!ok)
		buf_printf(error, "the store cannot be read; copy it away and see mailfused(8)");
	log_info("- counters.recovered deliveries=%zu tripped=%zu holds=%zu", r.deliveries, r.trips,
		 r.hold_count);
	return ok;
}
