/*
 * The memory twin: the same table of functions as SQLite's over arrays, for tests. Right rather
 * than fast: most lists look at every row. One recursive mutex is held from begin() to the end of
 * the transaction, by readers too. The last connection that closes frees everything.
 */
#include "store/memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum undo_kind { UNDO_INSERT, UNDO_REPLACE, UNDO_REMOVE };

struct memory_undo {
	enum undo_kind kind;
	struct memory_table *table;
	size_t index;
	void *old; /* REPLACE, REMOVE: the row as it was */
};

struct memory *
memory_of(struct db *db)
{
	return ((struct memory_db *)db)->m;
}

/* ---- tables ---- */

void *
memory_row(const struct memory_table *t, size_t i)
{
	return (char *)t->rows + i * t->size;
}

static void
note(struct memory *m, enum undo_kind kind, struct memory_table *t, size_t i)
{
	struct memory_undo *u;

	if (m->undo_count == m->undo_cap) {
		m->undo_cap = m->undo_cap > 0 ? m->undo_cap * 2 : 64;
		m->undo = mem_resize_array(m->undo, m->undo_cap, sizeof(*u));
	}
	u = &m->undo[m->undo_count++];
	*u = (struct memory_undo){kind, t, i, NULL};
	if (kind != UNDO_INSERT)
		u->old = memcpy(mem_alloc(t->size), memory_row(t, i), t->size);
}

static void
open_gap(struct memory_table *t, size_t i)
{
	if (t->count == t->cap) {
		t->cap = t->cap > 0 ? t->cap * 2 : 16;
		t->rows = mem_resize_array(t->rows, t->cap, t->size);
	}
	memmove(memory_row(t, i + 1), memory_row(t, i), (t->count - i) * t->size);
	t->count++;
}

static void
close_gap(struct memory_table *t, size_t i)
{
	t->count--;
	memmove(memory_row(t, i), memory_row(t, i + 1), (t->count - i) * t->size);
}

void
memory_insert(struct memory *m, struct memory_table *t, size_t i, const void *row)
{
	note(m, UNDO_INSERT, t, i);
	open_gap(t, i);
	memcpy(memory_row(t, i), row, t->size);
}

void
memory_replace(struct memory *m, struct memory_table *t, size_t i, const void *row)
{
	note(m, UNDO_REPLACE, t, i);
	memmove(memory_row(t, i), row, t->size);
}

void
memory_remove(struct memory *m, struct memory_table *t, size_t i)
{
	note(m, UNDO_REMOVE, t, i);
	close_gap(t, i);
}

static void
undo_all(struct memory *m)
{
	while (m->undo_count > 0) {
		struct memory_undo *u = &m->undo[--m->undo_count];

		if (u->kind == UNDO_INSERT) {
			close_gap(u->table, u->index);
			continue;
		}
		if (u->kind == UNDO_REMOVE)
			open_gap(u->table, u->index);
		memcpy(memory_row(u->table, u->index), u->old, u->table->size);
		free(u->old);
	}
}

const char *
memory_text(struct memory *m, const char *text)
{
	return text == NULL || *text == '\0' ? "" : arena_strdup(&m->arena, text);
}

/* ---- connections ---- */

static struct memory *
memory_new(void)
{
	static const struct memory empty = {
	    .meta.size = sizeof(struct memory_meta),
	    .environments.size = sizeof(struct memory_environment),
	    .messages.size = sizeof(struct memory_message),
	    .chunks.size = sizeof(struct memory_chunk),
	    .deliveries.size = sizeof(struct delivery_row),
	    .batches.size = sizeof(struct batch_row),
	    .people.size = sizeof(struct memory_person),
	    .holds.size = sizeof(struct store_hold),
	    .events.size = sizeof(struct memory_event),
	    .outbox.size = sizeof(struct memory_outbox),
	    .notices.size = sizeof(struct notice_row),
	    .audit.size = sizeof(struct audit_row),
	    .ids.size = sizeof(struct memory_ids),
	    .members.size = sizeof(struct memory_member),
	    .boots.size = sizeof(struct store_counter_save),
	    .shards.size = sizeof(struct memory_shard),
	    .counters.size = sizeof(struct memory_counter),
	    .traffic.size = sizeof(struct memory_traffic),
	    .origins.size = sizeof(struct memory_origin),
	    .plans.size = sizeof(struct plan_row),
	};
	struct memory *m = mem_alloc(sizeof(*m));
	pthread_mutexattr_t attributes;

	*m = empty;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&m->lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
	open_gap(&m->ids, 0);
	memset(memory_row(&m->ids, 0), 0, m->ids.size);
	return m;
}

static struct db *
connect_to(struct memory *m)
{
	struct memory_db *db = mem_zalloc(sizeof(*db));

	pthread_mutex_lock(&m->lock);
	m->refs++;
	pthread_mutex_unlock(&m->lock);
	db->m = m;
	return &db->base;
}

static struct db *
memory_open(const char *path, struct buf *error)
{
	(void)path;
	(void)error;
	return connect_to(memory_new());
}

static struct db *
memory_open_reader(struct db *writer, struct buf *error)
{
	(void)error;
	return connect_to(memory_of(writer));
}

static void
memory_close(struct db *db)
{
	struct memory *m = memory_of(db);
	struct memory_table *all[] = {&m->meta,       &m->environments, &m->messages, &m->chunks,
				      &m->deliveries, &m->batches,      &m->holds,    &m->events,
				      &m->outbox,     &m->notices,      &m->audit,    &m->ids,
				      &m->members,    &m->boots,        &m->shards,   &m->counters,
				      &m->traffic,    &m->plans,        &m->origins,  &m->people};
	bool last;
	size_t i;

	free(db);
	pthread_mutex_lock(&m->lock);
	last = --m->refs == 0;
	pthread_mutex_unlock(&m->lock);
	if (!last)
		return;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		free(all[i]->rows);
	free(m->undo);
	arena_free(&m->arena);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static enum store_result
memory_begin(struct db *db, bool write)
{
	(void)write;
	pthread_mutex_lock(&memory_of(db)->lock);
	((struct memory_db *)db)->active = true;
	return STORE_OK;
}

static void
end(struct db *db)
{
	((struct memory_db *)db)->active = false;
	pthread_mutex_unlock(&memory_of(db)->lock);
}

static enum store_result
memory_commit(struct db *db)
{
	struct memory *m = memory_of(db);

	while (m->undo_count > 0)
		free(m->undo[--m->undo_count].old);
	end(db);
	return STORE_OK;
}

static void
memory_rollback(struct db *db)
{
	if (!((struct memory_db *)db)->active)
		return;
	undo_all(memory_of(db));
	end(db);
}

/* There is nothing to recover: it begins empty. */
static enum store_result
memory_recover(struct db *db, int64_t now)
{
	(void)db;
	(void)now;
	return STORE_OK;
}

static void
memory_shrink(struct db *db)
{
	(void)db;
}

static void
memory_maintain(struct db *db)
{
	(void)db;
}

static enum store_result
memory_used_bytes(struct db *db, uint64_t *out)
{
	struct memory *m = memory_of(db);
	size_t i;

	*out = 0;
	pthread_mutex_lock(&m->lock);
	for (i = 0; i < m->messages.count; i++)
		*out += ((struct memory_message *)memory_row(&m->messages, i))->header_len;
	for (i = 0; i < m->chunks.count; i++)
		*out += ((struct memory_chunk *)memory_row(&m->chunks, i))->len;
	pthread_mutex_unlock(&m->lock);
	return STORE_OK;
}

static const char *
memory_directory(struct db *db)
{
	(void)db;
	return NULL;
}

/* ---- small tables ---- */

static size_t
find_meta(const struct memory_table *t, const char *name)
{
	size_t i;

	for (i = 0; i < t->count; i++)
		if (strcmp(((struct memory_meta *)memory_row(t, i))->name, name) == 0)
			break;
	return i;
}

static enum store_result
memory_meta_get(struct db *db, const char *name, int64_t *out)
{
	struct memory *m = memory_of(db);
	size_t i = find_meta(&m->meta, name);

	if (i == m->meta.count)
		return STORE_MISSING;
	*out = ((struct memory_meta *)memory_row(&m->meta, i))->value;
	return STORE_OK;
}

static enum store_result
memory_meta_set(struct db *db, const char *name, int64_t value)
{
	struct memory *m = memory_of(db);
	size_t i = find_meta(&m->meta, name);
	struct memory_meta row = {NULL, value};

	if (i < m->meta.count) {
		row.name = ((struct memory_meta *)memory_row(&m->meta, i))->name;
		memory_replace(m, &m->meta, i, &row);
	} else {
		row.name = memory_text(m, name);
		memory_insert(m, &m->meta, i, &row);
	}
	return STORE_OK;
}

struct memory_environment *
memory_environment_row(struct memory *m, int64_t id)
{
	return id > 0 && (size_t)id <= m->environments.count
		   ? memory_row(&m->environments, (size_t)id - 1)
		   : NULL;
}

static enum store_result
memory_environment(struct db *db, const char *name, bool make, int64_t *out)
{
	struct memory *m = memory_of(db);
	struct memory_environment row = {.id = (int64_t)m->environments.count + 1};
	size_t i;

	for (i = 0; i < m->environments.count; i++) {
		const struct memory_environment *e = memory_row(&m->environments, i);

		*out = e->id;
		if (strcmp(e->name, name) == 0)
			return STORE_OK;
	}
	if (!make)
		return STORE_MISSING;
	row.name = memory_text(m, name);
	memory_insert(m, &m->environments, i, &row);
	*out = row.id;
	return STORE_OK;
}

static enum store_result
memory_count_add(struct db *db, int64_t environment, enum store_state state, int64_t n)
{
	struct memory *m = memory_of(db);
	struct memory_environment row = *memory_environment_row(m, environment);

	row.counts[state] += n;
	memory_replace(m, &m->environments, (size_t)environment - 1, &row);
	return STORE_OK;
}

static int
by_name(const void *a, const void *b)
{
	const struct memory_environment *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static enum store_result
memory_count_list(struct db *db,
		  bool (*row)(void *context, int64_t environment, const char *name,
			      enum store_state state, uint64_t count),
		  void *context)
{
	struct memory *m = memory_of(db);
	size_t i, n = m->environments.count;
	struct memory_environment *sorted = mem_alloc((n + 1) * sizeof(*sorted));
	bool more = true;
	int state;

	if (n > 0)
		memcpy(sorted, m->environments.rows, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_name);
	for (i = 0; i < n; i++)
		for (state = 0; state < STORE_STATE_COUNT && more; state++)
			if (sorted[i].counts[state] > 0)
				more =
				    row(context, sorted[i].id, sorted[i].name,
					(enum store_state)state, (uint64_t)sorted[i].counts[state]);
	free(sorted);
	return STORE_OK;
}

const struct backend backend_memory = {
    .name = "memory",
    .open = memory_open,
    .open_reader = memory_open_reader,
    .close = memory_close,
    .begin = memory_begin,
    .commit = memory_commit,
    .rollback = memory_rollback,
    .recover = memory_recover,
    .maintain = memory_maintain,
    .shrink = memory_shrink,
    .used_bytes = memory_used_bytes,
    .directory = memory_directory,
    .meta_get = memory_meta_get,
    .meta_set = memory_meta_set,
    .environment = memory_environment,
    .count_add = memory_count_add,
    .count_list = memory_count_list,
    .message_begin = memory_message_begin,
    .chunk_add = memory_chunk_add,
    .message_add = memory_message_add,
    .message_delete = memory_message_delete,
    .message_abandon = memory_message_abandon,
    .dictionary_purge = memory_dictionary_purge,
    .message_known = memory_message_known,
    .origin_find = memory_origin_find,
    .origin_add = memory_origin_add,
    .message_load = memory_message_load,
    .chunk_load = memory_chunk_load,
    .header_load = memory_header_load,
    .delivery_add = memory_delivery_add,
    .delivery_set = memory_delivery_set,
    .delivery_sent = memory_delivery_sent,
    .delivery_mark = memory_delivery_mark,
    .delivery_delete = memory_delivery_delete,
    .delivery_list = memory_delivery_list,
    .member_add = memory_member_add,
    .member_delete = memory_member_delete,
    .batch_add = memory_batch_add,
    .batch_set = memory_batch_set,
    .batch_list = memory_batch_list,
    .batch_rules = memory_batch_rules,
    .person_add = memory_person_add,
    .person_cut = memory_person_cut,
    .person_purge = memory_person_purge,
    .plan_set = memory_plan_set,
    .plan_list = memory_plan_list,
    .hold_set = memory_hold_set,
    .hold_delete = memory_hold_delete,
    .hold_list = memory_hold_list,
    .event_add = memory_event_add,
    .event_list_new = memory_event_list_new,
    .event_set_fanned = memory_event_set_fanned,
    .outbox_add = memory_outbox_add,
    .outbox_set = memory_outbox_set,
    .outbox_list = memory_outbox_list,
    .outbox_channels = memory_outbox_channels,
    .fate_list = memory_fate_list,
    .event_purge = memory_event_purge,
    .notice_get = memory_notice_get,
    .notice_set = memory_notice_set,
    .notice_list = memory_notice_list,
    .audit_last = memory_audit_last,
    .audit_add = memory_audit_add,
    .audit_head = memory_audit_last,
    .audit_list = memory_audit_list,
    .counter_save = memory_counter_save,
    .counter_set = memory_counter_set,
    .boot_list = memory_boot_list,
    .shard_list = memory_shard_list,
    .counter_list = memory_counter_list,
    .counter_purge = memory_counter_purge,
    .traffic_add = memory_traffic_add,
    .traffic_list = memory_traffic_list,
    .traffic_purge = memory_traffic_purge,
};
