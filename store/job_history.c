/*
 * STORE_COUNTERS: the burst counters of one shard as filters/ gives them, so that a restart forgets
 * nothing of long windows; and the part of STORE_PURGE that ends what only history needs. Runs on
 * the writer's thread inside a transaction.
 *
 * A counter's times are monotonic ones of a start of the machine. One that has not changed since an
 * earlier start keeps that start's number, so that each is read back by the right clock.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/jobs.h"

/* A hash belongs to the shard of its highest six bits (filters/gate.h). */
enum { SHARDS = 64 };

enum store_result
job_counters(struct work *w, struct store_job *job)
{
	const struct store_counter_save save = {.shard = job->u.counters.shard,
						.stamp = job->u.counters.stamp,
						.boot = job->u.counters.boot,
						.mono = job->u.counters.mono,
						.wall = job->u.counters.now};
	int64_t boot;
	size_t i;

	for (i = 0; i < job->u.counters.count; i++)
		if (job->u.counters.counters[i].hash >> 58 != save.shard)
			return job_refuse(job, STORE_REFUSED, "a counter of another shard");
	TRY(w->b->counter_save(w->db, &save, &boot));
	for (i = 0; i < job->u.counters.count; i++)
		TRY(w->b->counter_set(w->db, boot, &job->u.counters.counters[i]));
	return STORE_OK;
}

struct boot {
	int64_t number, mono;
};

struct boots {
	char current[CLOCK_BOOT_BYTES];
	int64_t wall, mono;
	struct boot *rows;
	size_t count;
};

/* A boot's monotonic time of now: of one that has ended, further on by what the wall clock is. */
static bool
see_boot(void *context, int64_t boot, const struct store_counter_save *s)
{
	struct boots *b = context;

	b->rows = mem_resize_array(b->rows, b->count + 1, sizeof(*b->rows));
	b->rows[b->count].number = boot;
	b->rows[b->count].mono = s->mono + (b->wall > s->wall ? b->wall - s->wall : 0);
	if (*b->current != '\0' && strcmp(s->boot, b->current) == 0)
		b->rows[b->count].mono = b->mono;
	b->count++;
	return true;
}

/* One shard a step, in turn: at most a 64th of all counters is looked at. */
static enum store_result
purge_counters(struct work *w, uint32_t limit)
{
	unsigned shard = w->counter_shard++ % SHARDS;
	struct boots boots = {.wall = clock_wall(), .mono = clock_mono()};
	enum store_result r;
	size_t i;

	clock_boot_id(boots.current);
	r = w->b->boot_list(w->db, see_boot, &boots);
	for (i = 0; i < boots.count && r == STORE_OK; i++)
		r = w->b->counter_purge(w->db, shard, boots.rows[i].number, boots.rows[i].mono,
					limit);
	free(boots.rows);
	return r;
}

enum store_result
history_purge(struct work *w, const struct store_job *job)
{
	if (job->u.purge.traffic_before > 0)
		TRY(w->b->traffic_purge(w->db, job->u.purge.traffic_before, job->u.purge.limit));
	return purge_counters(w, job->u.purge.limit);
}
