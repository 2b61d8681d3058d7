/*
 * What a restart must not forget of long windows: the burst counters are saved shard by shard, one
 * a second, so each about once a minute. Called by chores.c on the main loop; the writer's answer
 * comes back by loop_post(). Freed after the store has closed.
 *
 * A save that could not be written is made up for by the shard's next one; until then its
 * deliveries in the store say what came since (counters_replay).
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "daemon/daemon.h"

struct saves {
	struct daemon *daemon;
	struct loop_post post;
	struct store_job job;
	struct store_counter *counters;
	size_t count, cap;
	unsigned shard; /* the next one, or the one under way */
	/* When each was saved last, or had nothing to save; wall clock, 0 = not yet. */
	int64_t saved_at[COUNTERS_SHARDS];
	bool busy;
	char boot[CLOCK_BOOT_BYTES];
};

static void
saves_clear(struct saves *s)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		free(s->counters[i].data);
	s->count = 0;
}

/* On to the next. How old what is saved may be is told of the oldest shard. */
static void
saves_next(struct saves *s, bool saved)
{
	int64_t oldest = INT64_MAX;
	size_t i;

	if (saved)
		s->saved_at[s->shard] = clock_wall();
	s->shard = (s->shard + 1) % COUNTERS_SHARDS;
	for (i = 0; i < COUNTERS_SHARDS; i++)
		if (s->saved_at[i] < oldest)
			oldest = s->saved_at[i];
	metric_set(METRIC_COUNTERS_SAVED_AT, oldest / CLOCK_SECOND);
}

static void
saves_done(struct loop_post *post)
{
	struct saves *s = (struct saves *)((char *)post - offsetof(struct saves, post));

	if (s->job.result != STORE_OK) {
		log_warn("- counters.save-failed error=%s", log_safe(s->job.error));
		counters_save_failed(s->daemon->counters, s->shard);
	}
	saves_clear(s);
	s->busy = false;
	saves_next(s, s->job.result == STORE_OK);
}

static void
saves_job_done(struct store_job *job)
{
	struct saves *s = job->context;

	loop_post(s->daemon->loop, &s->post);
}

static void
saves_take(void *context, uint64_t hash, int64_t idle_at, const char *data, size_t len)
{
	struct saves *s = context;
	struct store_counter *counter;

	if (s->count == s->cap) {
		s->cap = s->cap == 0 ? 64 : s->cap * 2;
		s->counters = mem_resize_array(s->counters, s->cap, sizeof(*s->counters));
	}
	counter = &s->counters[s->count++];
	*counter = (struct store_counter){.hash = hash, .idle_at = idle_at, .len = len};
	if (len > 0) {
		counter->data = mem_alloc(len);
		memcpy(counter->data, data, len);
	}
}

void
saves_tick(struct saves *s)
{
	int64_t mono = clock_mono();
	uint32_t stamp;

	if (s->busy || s->daemon->stopping)
		return;
	stamp = counters_save(s->daemon->counters, s->shard, mono, saves_take, s);
	/* The first shard's is written even if nothing has changed: a start reads off it until when
	 * we ran, see recover.c. */
	if (s->count == 0 && s->shard != 0) {
		saves_next(s, true);
		return;
	}
	s->busy = true;
	s->job = (struct store_job){
	    .op = STORE_COUNTERS,
	    .done = saves_job_done,
	    .context = s,
	    .u.counters = {.shard = s->shard,
			   .stamp = stamp,
			   .boot = s->boot,
			   .mono = mono,
			   .now = clock_wall(),
			   .counters = s->counters,
			   .count = s->count},
	};
	writer_submit(s->daemon->store, &s->job);
}

struct saves *
saves_new(struct daemon *d)
{
	struct saves *s = mem_zalloc(sizeof(*s));

	s->daemon = d;
	s->post.run = saves_done;
	clock_boot_id(s->boot);
	return s;
}

void
saves_free(struct saves *s)
{
	if (s == NULL)
		return;
	saves_clear(s);
	free(s->counters);
	free(s);
}
