/*
 * Reading what a restart and a simulation need: saved counters, and the history of traffic. See
 * view.c.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "store/view.h"

struct boot {
	int64_t number;
	struct store_counter_save save;
};

struct shard {
	unsigned shard;
	uint32_t stamp;
};

struct saved {
	bool (*save)(void *context, const struct store_counter_save *s);
	bool (*counter)(void *context, unsigned shard, const struct store_counter *c);
	void *context;
	struct boot *boots;
	struct shard *shards;
	size_t boot_count, shard_count;
	struct shard now;
	int64_t told; /* the boot that was given last of this shard */
	bool more;
};

static bool
keep_boot(void *context, int64_t boot, const struct store_counter_save *s)
{
	struct saved *saved = context;
	struct boot *to;

	saved->boots = mem_resize_array(saved->boots, saved->boot_count + 1, sizeof(*to));
	to = &saved->boots[saved->boot_count++];
	*to = (struct boot){boot, *s};
	to->save.boot = mem_strdup(s->boot);
	return true;
}

static bool
keep_shard(void *context, unsigned shard, uint32_t stamp)
{
	struct saved *saved = context;

	saved->shards =
	    mem_resize_array(saved->shards, saved->shard_count + 1, sizeof(*saved->shards));
	saved->shards[saved->shard_count++] = (struct shard){shard, stamp};
	return true;
}

static bool
tell_save(struct saved *saved, int64_t boot)
{
	struct store_counter_save s;
	size_t i;

	for (i = 0; i < saved->boot_count; i++) {
		if (saved->boots[i].number != boot)
			continue;
		s = saved->boots[i].save;
		s.shard = saved->now.shard;
		s.stamp = saved->now.stamp;
		saved->told = boot;
		saved->more = saved->save(saved->context, &s);
		return true;
	}
	return false;
}

/* What is of a boot that was forgotten counts no more. */
static bool
give_counter(void *context, int64_t boot, const struct store_counter *c)
{
	struct saved *saved = context;

	if (boot != saved->told && !tell_save(saved, boot))
		return true;
	if (saved->more)
		saved->more = saved->counter(saved->context, saved->now.shard, c);
	return saved->more;
}

enum store_result
store_view_counters(struct store_view *v,
		    bool (*save)(void *context, const struct store_counter_save *s),
		    bool (*counter)(void *context, unsigned shard, const struct store_counter *c),
		    void *context)
{
	struct saved saved = {.save = save, .counter = counter, .context = context, .more = true};
	enum store_result r;
	size_t i;

	TRY(view_begin(v));
	r = v->b->boot_list(v->db, keep_boot, &saved);
	if (r == STORE_OK)
		r = v->b->shard_list(v->db, keep_shard, &saved);
	for (i = 0; i < saved.shard_count && r == STORE_OK && saved.more; i++) {
		saved.now = saved.shards[i];
		saved.told = 0;
		r = v->b->counter_list(v->db, saved.now.shard, give_counter, &saved);
		if (r == STORE_OK && saved.told == 0 && saved.boot_count > 0)
			tell_save(&saved, saved.boots[saved.boot_count - 1].number);
	}
	for (i = 0; i < saved.boot_count; i++)
		free((char *)saved.boots[i].save.boot);
	free(saved.boots);
	free(saved.shards);
	return view_end(v, r);
}

enum store_result
store_view_traffic(struct store_view *v, int64_t since, int64_t until, int64_t after,
		   uint32_t limit,
		   bool (*row)(void *context, int64_t number, const struct store_traffic *t),
		   void *context)
{
	TRY(view_begin(v));
	return view_end(v, v->b->traffic_list(v->db, since, until, after, limit, row, context));
}
