/*
 * What has to be done now and then, on the main loop: retention (once a minute, and soon after a
 * purge of a whole batch, in steps, so that mail passes between them), batches whose stream has
 * cooled, a part of the counters to be saved, what time brings to releases and how full the store
 * is (once a second), and a look at how long the certificates last (once a day). Freed after the
 * store has closed.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"

enum { PURGE_STEP = 2000 };

struct chores {
	struct daemon *daemon;
	struct loop_timer *timer;
	struct saves *saves;
	struct ticks *ticks;
	struct space *space;
	struct loop_post purged;
	struct store_job purge;
	bool purging, purge_failed;            /* failed: the last, and again in a minute */
	int64_t next_purge, next_certificates; /* monotonic */
};

static void
chores_close_done(struct store_job *job)
{
	if (job->result != STORE_OK && job->result != STORE_MISSING)
		log_warn("- batch.close-failed error=%s", log_safe(job->error));
	free(job);
}

/* counters_cool() found a stream that stayed under its limit for its cooldown. */
static void
chores_cooled(void *context, uint64_t stream_hash)
{
	struct chores *c = context;
	struct store_job *job = mem_zalloc(sizeof(*job));

	job->op = STORE_CLOSE;
	job->done = chores_close_done;
	job->u.close.stream_hash = stream_hash;
	job->u.close.now = clock_wall();
	writer_submit(c->daemon->store, job);
}

static void
chores_purge_done(struct store_job *job)
{
	struct chores *c = job->context;

	loop_post(c->daemon->loop, &c->purged);
}

static int64_t
earlier_of(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void
chores_purge(struct chores *c)
{
	const struct config *config = policy_config(c->daemon->policy);
	int64_t now = clock_wall();
	/* What a start counts again, whatever became of the wall clock. */
	int64_t counted = earlier_of(now, clock_steady()) - daemon_replay_span(config);

	if (c->purging || c->daemon->stopping)
		return;
	c->purging = true;
	c->purge = (struct store_job){
	    .op = STORE_PURGE,
	    .done = chores_purge_done,
	    .context = c,
	    .u.purge = {.dropped_before = now - config->keep_dropped,
			.discarded_before = earlier_of(now - config->keep_discarded, counted),
			.sent_before = earlier_of(now - config->keep_sent, counted),
			.traffic_before = now - config->keep_traffic,
			.limit = PURGE_STEP},
	};
	writer_submit(c->daemon->store, &c->purge);
}

static void
chores_purged(struct loop_post *post)
{
	struct chores *c = (struct chores *)((char *)post - offsetof(struct chores, purged));
	bool more = c->purge.result == STORE_OK && c->purge.u.purge.purged >= PURGE_STEP;

	c->purging = false;
	c->purge_failed = c->purge.result != STORE_OK;
	if (c->purge.result != STORE_OK)
		log_warn("- store.purge-failed error=%s", log_safe(c->purge.error));
	else if (c->purge.u.purge.purged > 0)
		log_info("- store.purged deliveries=%llu",
			 (unsigned long long)c->purge.u.purge.purged);
	if (more)
		chores_purge(c);
}

static void
chores_tick(void *context)
{
	struct chores *c = context;
	int64_t now = clock_mono();

	counters_cool(c->daemon->counters, now, chores_cooled, c);
	saves_tick(c->saves);
	ticks_tick(c->ticks);
	space_tick(c->space);
	if (now >= c->next_purge || (ticks_found_gone(c->ticks) && !c->purge_failed)) {
		c->next_purge = now + CLOCK_MINUTE;
		chores_purge(c);
	}
	if (now >= c->next_certificates) {
		c->next_certificates = now + CLOCK_DAY;
		keyring_warn_ending(c->daemon->keys, policy_config(c->daemon->policy));
	}
	if (!c->daemon->stopping)
		loop_timer_set(c->timer, CLOCK_SECOND);
}

struct chores *
chores_new(struct daemon *d)
{
	struct chores *c = mem_zalloc(sizeof(*c));

	c->daemon = d;
	c->next_certificates = clock_mono() + CLOCK_DAY; /* who loads them looks too */
	c->purged.run = chores_purged;
	c->saves = saves_new(d);
	c->ticks = ticks_new(d);
	c->space = space_new(d);
	c->timer = loop_timer_new(d->loop, chores_tick, c);
	loop_timer_set(c->timer, CLOCK_SECOND);
	return c;
}

void
chores_free(struct chores *c)
{
	if (c == NULL)
		return;
	loop_timer_free(c->timer);
	space_free(c->space);
	saves_free(c->saves);
	ticks_free(c->ticks);
	free(c);
}
