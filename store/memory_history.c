/*
 * Saved burst counters and the history of traffic of the memory twin. See memory.c for threads and
 * memory.
 */
#include <string.h>

#include "base/clock.h"
#include "store/memory.h"

enum { NUMBER_BITS = 20 };

/* ---- counters: boot i has the number i + 1; counters by shard, boot and hash ---- */

enum store_result
memory_counter_save(struct db *db, const struct store_counter_save *s, int64_t *boot)
{
	struct memory *m = memory_of(db);
	struct store_counter_save row = *s;
	struct memory_shard shard = {s->shard, s->stamp};
	size_t i;

	for (i = 0; i < m->boots.count; i++)
		if (strcmp(((struct store_counter_save *)memory_row(&m->boots, i))->boot,
			   s->boot) == 0)
			break;
	row.boot = memory_text(m, s->boot);
	if (i < m->boots.count)
		memory_replace(m, &m->boots, i, &row);
	else
		memory_insert(m, &m->boots, i, &row);
	*boot = (int64_t)i + 1;
	for (i = 0; i < m->shards.count; i++)
		if (((struct memory_shard *)memory_row(&m->shards, i))->shard >= s->shard)
			break;
	if (i < m->shards.count &&
	    ((struct memory_shard *)memory_row(&m->shards, i))->shard == s->shard)
		memory_replace(m, &m->shards, i, &shard);
	else
		memory_insert(m, &m->shards, i, &shard);
	return STORE_OK;
}

static bool
comes_before(const struct memory_counter *x, const struct memory_counter *y)
{
	if (x->c.hash >> 58 != y->c.hash >> 58)
		return x->c.hash >> 58 < y->c.hash >> 58;
	return x->boot != y->boot ? x->boot < y->boot : x->c.hash < y->c.hash;
}

enum store_result
memory_counter_set(struct db *db, int64_t boot, const struct store_counter *c)
{
	struct memory *m = memory_of(db);
	struct memory_counter row = {boot, *c};
	size_t i;

	for (i = m->counters.count; i-- > 0;)
		if (((struct memory_counter *)memory_row(&m->counters, i))->c.hash == c->hash)
			memory_remove(m, &m->counters, i);
	if (c->len == 0)
		return STORE_OK;
	row.c.data = memcpy(arena_alloc(&m->arena, c->len), c->data, c->len);
	for (i = 0; i < m->counters.count; i++)
		if (comes_before(&row, memory_row(&m->counters, i)))
			break;
	memory_insert(m, &m->counters, i, &row);
	return STORE_OK;
}

enum store_result
memory_boot_list(struct db *db,
		 bool (*row)(void *context, int64_t boot, const struct store_counter_save *s),
		 void *context)
{
	struct memory *m = memory_of(db);
	size_t i;

	for (i = 0; i < m->boots.count; i++)
		if (!row(context, (int64_t)i + 1, memory_row(&m->boots, i)))
			break;
	return STORE_OK;
}

enum store_result
memory_shard_list(struct db *db, bool (*row)(void *context, unsigned shard, uint32_t stamp),
		  void *context)
{
	struct memory *m = memory_of(db);
	size_t i;

	for (i = 0; i < m->shards.count; i++) {
		const struct memory_shard *s = memory_row(&m->shards, i);

		if (!row(context, s->shard, s->stamp))
			break;
	}
	return STORE_OK;
}

enum store_result
memory_counter_list(struct db *db, unsigned shard,
		    bool (*row)(void *context, int64_t boot, const struct store_counter *c),
		    void *context)
{
	struct memory *m = memory_of(db);
	size_t i;

	for (i = 0; i < m->counters.count; i++) {
		const struct memory_counter *c = memory_row(&m->counters, i);

		if (c->c.hash >> 58 == shard && !row(context, c->boot, &c->c))
			break;
	}
	return STORE_OK;
}

enum store_result
memory_counter_purge(struct db *db, unsigned shard, int64_t boot, int64_t mono, uint32_t limit)
{
	struct memory *m = memory_of(db);
	size_t i;

	for (i = 0; i < m->counters.count && limit > 0;) {
		const struct memory_counter *c = memory_row(&m->counters, i);

		if (c->c.hash >> 58 == shard && c->boot == boot && c->c.idle_at < mono) {
			memory_remove(m, &m->counters, i);
			limit--;
		} else {
			i++;
		}
	}
	return STORE_OK;
}

/* ---- traffic: sorted by number ---- */

static int64_t
first_number(int64_t wall)
{
	return wall / CLOCK_MINUTE << NUMBER_BITS;
}

enum store_result
memory_traffic_add(struct db *db, const struct traffic_row *from)
{
	struct memory *m = memory_of(db);
	struct memory_traffic row = {first_number(from->t.minute), from->t};
	size_t i = m->traffic.count;

	while (i > 0 && ((struct memory_traffic *)memory_row(&m->traffic, i - 1))->number >=
			    first_number(from->t.minute + CLOCK_MINUTE))
		i--;
	if (i > 0 && ((struct memory_traffic *)memory_row(&m->traffic, i - 1))->number > row.number)
		row.number = ((struct memory_traffic *)memory_row(&m->traffic, i - 1))->number;
	row.number++;
	row.t.minute = from->t.minute / CLOCK_MINUTE * CLOCK_MINUTE;
	row.t.environment = memory_text(m, from->t.environment);
	row.t.source = memory_text(m, from->t.source);
	row.t.client = memory_text(m, from->t.client);
	row.t.sender = memory_text(m, from->t.sender);
	row.t.subject = memory_text(m, from->t.subject);
	row.t.campaign = memory_text(m, from->t.campaign);
	memory_insert(m, &m->traffic, i, &row);
	return STORE_OK;
}

enum store_result
memory_traffic_list(struct db *db, int64_t since, int64_t until, int64_t after, uint32_t limit,
		    bool (*row)(void *context, int64_t number, const struct store_traffic *t),
		    void *context)
{
	struct memory *m = memory_of(db);
	uint32_t given = 0;
	size_t i;

	for (i = 0; i < m->traffic.count; i++) {
		const struct memory_traffic *t = memory_row(&m->traffic, i);

		if (t->number <= after || t->t.minute < since || t->t.minute >= until)
			continue;
		if ((limit > 0 && given++ == limit) || !row(context, t->number, &t->t))
			break;
	}
	return STORE_OK;
}

enum store_result
memory_traffic_purge(struct db *db, int64_t before, uint32_t limit)
{
	struct memory *m = memory_of(db);

	while (m->traffic.count > 0 && limit-- > 0 &&
	       ((struct memory_traffic *)memory_row(&m->traffic, 0))->number < first_number(before))
		memory_remove(m, &m->traffic, 0);
	return STORE_OK;
}
