/*
 * The panic button. The list is set by the control room's thread, read by every relay loop once a
 * message; it belongs to the counters, which free it. Streams are named as in gate.h, so that the
 * store finds the batch of a hold without asking the gate.
 */
#include "filters/holds.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "config/config.h"
#include "filters/stream.h"

void
holds_init(struct holds *h)
{
	atomic_init(&h->count, 0);
	pthread_rwlock_init(&h->lock, NULL);
	h->list = NULL;
}

static void
list_free(struct gate_hold *list, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++) {
		free(list[i].name);
		free(list[i].reason);
	}
	free(list);
}

void
holds_free(struct holds *h)
{
	list_free(h->list, atomic_load(&h->count));
	pthread_rwlock_destroy(&h->lock);
}

void
holds_set(struct holds *h, const struct gate_hold *list, size_t count)
{
	struct gate_hold *fresh = count > 0 ? mem_resize_array(NULL, count, sizeof(*fresh)) : NULL;
	struct gate_hold *old;
	size_t i, old_count;

	for (i = 0; i < count; i++) {
		fresh[i] = list[i];
		fresh[i].name = mem_strdup(list[i].name == NULL ? "" : list[i].name);
		fresh[i].reason = mem_strdup(list[i].reason == NULL ? "" : list[i].reason);
	}
	pthread_rwlock_wrlock(&h->lock);
	old = h->list;
	old_count = atomic_load_explicit(&h->count, memory_order_relaxed);
	h->list = fresh;
	atomic_store_explicit(&h->count, count, memory_order_relaxed);
	pthread_rwlock_unlock(&h->lock);
	list_free(old, old_count);
}

static bool
hold_covers(const struct gate_hold *hold, const char *environment, const char *source)
{
	/* The gate's own alerts tell people of the hold. */
	if (environment != NULL && strncmp(environment, CONFIG_ALERTS, strlen(CONFIG_ALERTS)) == 0)
		return false;
	switch (hold->scope) {
	case GATE_SCOPE_ENVIRONMENT:
		return environment != NULL && strcmp(hold->name, environment) == 0;
	case GATE_SCOPE_SOURCE:
		return source != NULL && strcmp(hold->name, source) == 0;
	default: /* a scope of a newer store holds everything rather than nothing */
		return true;
	}
}

bool
holds_find(struct holds *h, const char *environment, const char *source, struct arena *arena,
	   struct gate_hold *out)
{
	bool found = false;
	size_t i, count;

	if (atomic_load_explicit(&h->count, memory_order_relaxed) == 0)
		return false;
	pthread_rwlock_rdlock(&h->lock);
	count = atomic_load_explicit(&h->count, memory_order_relaxed);
	for (i = 0; i < count && !found; i++) {
		if (!hold_covers(&h->list[i], environment, source))
			continue;
		found = true;
		if (arena == NULL)
			break;
		*out = h->list[i];
		out->name = arena_strdup(arena, h->list[i].name);
		out->reason = arena_strdup(arena, h->list[i].reason);
	}
	pthread_rwlock_unlock(&h->lock);
	return found;
}

static uint64_t
hold_hash(const struct gate_hold *hold)
{
	int32_t scope = (int32_t)hold->scope;
	uint64_t hash = text_hash(TEXT_HASH_START, "panic", 6);

	hash = text_hash(hash, &scope, 4);
	hash = text_hash(hash, hold->name, strlen(hold->name));
	return hash == 0 ? 1 : hash;
}

static const struct verdict_stream *
hold_stream(const struct gate_hold *hold, struct message *m)
{
	struct verdict_stream *s = stream_new(m, hold_hash(hold), 0, NULL);
	struct buf key = {0};

	switch (hold->scope) {
	case GATE_SCOPE_ENVIRONMENT:
		buf_add_text(&key, "environment=");
		stream_format_value(hold->name, &key);
		break;
	case GATE_SCOPE_SOURCE:
		buf_add_text(&key, "source=");
		stream_format_value(hold->name, &key);
		s->source = hold->name;
		break;
	default:
		buf_add_text(&key, "everything");
	}
	s->key = arena_strdup(&m->arena, buf_text(&key));
	s->tripped_at = hold->since;
	buf_free(&key);
	return s;
}

bool
holds_judge(struct holds *h, struct message *m)
{
	const struct verdict_stream *stream = NULL;
	struct gate_hold hold;
	size_t i;

	if (!holds_find(h, m->environment, m->source, &m->arena, &hold))
		return false;
	for (i = 0; i < m->recipient_count; i++) {
		struct verdict *v = &m->recipients[i].verdict;

		if (v->action != VERDICT_PASS)
			continue;
		if (stream == NULL)
			stream = hold_stream(&hold, m);
		*v = (struct verdict){.action = VERDICT_HOLD,
				      .rule = "panic",
				      .reason = *hold.reason != '\0' ? hold.reason
								     : "somebody pressed hold",
				      .stream = stream};
	}
	return true;
}
