/*
 * Once a second the store does what time brings (STORE_TICK): the next ring of a release, requests
 * and rulings that end, reminders. While a big release is fed, the next tick comes as soon as twice
 * the time that the last one took has passed, so that feeding has a third of the writer's time at
 * most. One job at a time, on the main loop; freed after the store has closed.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/daemon.h"

#define TICKS_SOON (CLOCK_SECOND / 20)

struct ticks {
	struct daemon *daemon;
	struct loop_post done;
	struct loop_timer *soon;
	int64_t began_at; /* clock_mono(), of the job */
	struct store_job job;
	int64_t *remind_after; /* of the job; the configuration may change meanwhile */
	bool busy, gone;       /* gone: as the last one found */
};

static void
ticks_job_done(struct store_job *job)
{
	struct ticks *t = job->context;

	loop_post(t->daemon->loop, &t->done);
}

static void
ticks_want(struct ticks *t)
{
	const int64_t wait = 2 * (clock_mono() - t->began_at);

	loop_timer_set(t->soon, wait > TICKS_SOON ? wait : TICKS_SOON);
}

static void
ticks_soon(void *context)
{
	ticks_tick(context);
}

static void
ticks_done(struct loop_post *post)
{
	struct ticks *t = (struct ticks *)((char *)post - offsetof(struct ticks, done));
	struct store_job *job = &t->job;

	t->busy = false;
	t->gone = job->result == STORE_OK && job->u.tick.gone;
	if (job->result != STORE_OK)
		log_warn("- store.tick-failed error=%s", log_safe(job->error));
	for (size_t i = 0; i < job->u.tick.forget_count; i++)
		counters_forget(t->daemon->counters, job->u.tick.forget[i]);
	free(job->u.tick.forget);
	job->u.tick.forget = NULL;
	/* At a stop the rest of the daemon may be gone already. */
	if (job->result != STORE_OK || t->daemon->stopping)
		return;
	if (job->u.tick.released)
		relay_poke(t->daemon->relay);
	if (job->u.tick.told)
		alert_poke(t->daemon->alert);
	if (job->u.tick.more)
		ticks_want(t);
}

static int64_t *
copy_reminders(const struct config *c)
{
	static const int64_t none[] = {0};
	const int64_t *from = c->remind_after != NULL ? c->remind_after : none;
	size_t n = 0;

	while (from[n] != 0)
		n++;
	return memcpy(mem_alloc((n + 1) * sizeof(*from)), from, (n + 1) * sizeof(*from));
}

void
ticks_tick(struct ticks *t)
{
	if (t->busy || t->daemon->stopping)
		return;
	t->busy = true;
	t->began_at = clock_mono();
	free(t->remind_after);
	t->remind_after = copy_reminders(policy_config(t->daemon->policy));
	t->job = (struct store_job){.op = STORE_TICK,
				    .done = ticks_job_done,
				    .context = t,
				    .u.tick = {.now = clock_wall(),
					       .due_now = clock_steady(),
					       .remind_after = t->remind_after}};
	writer_submit(t->daemon->store, &t->job);
}

bool
ticks_found_gone(struct ticks *t)
{
	const bool gone = t->gone;

	t->gone = false;
	return gone;
}

struct ticks *
ticks_new(struct daemon *d)
{
	struct ticks *t = mem_zalloc(sizeof(*t));

	t->daemon = d;
	t->done.run = ticks_done;
	t->soon = loop_timer_new(d->loop, ticks_soon, t);
	return t;
}

void
ticks_free(struct ticks *t)
{
	loop_timer_free(t->soon);
	free(t->remind_after);
	free(t);
}
