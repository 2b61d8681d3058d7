/*
 * The table of labelled counters: a hash table under one lock for who looks a pair of names up, and
 * the same objects in a list that only grows for who reads them all. Nothing is ever freed.
 */
#include "base/tally.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { BUCKETS = 4096 };

struct tally {
	_Atomic int64_t values[TALLY_SLOTS];
	_Atomic unsigned expected;
	char *environment, *rule; /* rule NULL: an alert channel */
	struct tally *next;       /* in its bucket */
	/* Under the lock: what came lately and since when (clock_mono()); below 0 what was called
	 * back after it had been told. */
	int64_t fresh, fresh_since;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tally *buckets[BUCKETS];
static struct tally *list[TALLY_MAX + 2]; /* and the two for the rest */
static _Atomic size_t count;
static struct tally *other_rule, *other_channel;

bool
tally_is(const struct tally *t, const char *environment, const char *rule)
{
	return strcmp(t->environment, environment) == 0 &&
	       (t->rule == NULL || rule == NULL ? t->rule == rule : strcmp(t->rule, rule) == 0);
}

static struct tally *
tally_new(const char *environment, const char *rule)
{
	struct tally *t = mem_zalloc(sizeof(*t));
	size_t n = atomic_load_explicit(&count, memory_order_relaxed);

	t->environment = mem_strdup(environment);
	t->rule = rule != NULL ? mem_strdup(rule) : NULL;
	list[n] = t;
	atomic_store_explicit(&count, n + 1, memory_order_release);
	return t;
}

/* The table is full. Mail and alerts are told apart still. */
static struct tally *
find_other(bool channel)
{
	struct tally **other = channel ? &other_channel : &other_rule;

	if (*other == NULL)
		*other = tally_new(TALLY_OTHER, channel ? NULL : TALLY_OTHER);
	return *other;
}

static struct tally *
find(const char *environment, const char *rule)
{
	uint64_t hash = text_hash(TEXT_HASH_START, environment, strlen(environment) + 1);
	struct tally **bucket, *t;

	hash = text_hash(hash, rule != NULL ? rule : "", rule != NULL ? strlen(rule) + 1 : 0);
	bucket = &buckets[hash % BUCKETS];
	for (t = *bucket; t != NULL; t = t->next)
		if (tally_is(t, environment, rule))
			return t;
	if (atomic_load_explicit(&count, memory_order_relaxed) >= TALLY_MAX)
		return find_other(rule == NULL);
	t = tally_new(environment, rule);
	t->next = *bucket;
	*bucket = t;
	return t;
}

struct tally *
tally_get(const char *environment, const char *rule)
{
	struct tally *t;

	pthread_mutex_lock(&lock);
	t = find(environment, rule);
	pthread_mutex_unlock(&lock);
	return t;
}

struct tally *
tally_get_channel(const char *channel)
{
	return tally_get(channel, NULL);
}

void
tally_expect(struct tally *t, unsigned slots)
{
	atomic_fetch_or_explicit(&t->expected, slots, memory_order_relaxed);
}

void
tally_add(struct tally *t, enum tally_slot slot, int64_t n)
{
	atomic_fetch_add_explicit(&t->values[slot], n, memory_order_relaxed);
}

/* What has lasted is told. */
static void
settle(struct tally *t, int64_t now)
{
	if (t->fresh <= 0 || now - t->fresh_since < TALLY_LEAK_SETTLES)
		return;
	tally_add(t, TALLY_LEAKED, t->fresh);
	t->fresh = 0;
}

void
tally_leak(struct tally *t, int64_t n, int64_t now)
{
	pthread_mutex_lock(&lock);
	settle(t, now);
	if (t->fresh <= 0)
		t->fresh_since = now;
	t->fresh += n;
	pthread_mutex_unlock(&lock);
}

size_t
tally_count(void)
{
	return atomic_load_explicit(&count, memory_order_acquire);
}

void
tally_read(size_t i, int64_t now, struct tally_reading *out)
{
	struct tally *t = list[i];
	int slot;

	pthread_mutex_lock(&lock);
	settle(t, now);
	pthread_mutex_unlock(&lock);
	out->environment = t->environment;
	out->rule = t->rule;
	out->expected = atomic_load_explicit(&t->expected, memory_order_relaxed);
	for (slot = 0; slot < TALLY_SLOTS; slot++)
		out->values[slot] = atomic_load_explicit(&t->values[slot], memory_order_relaxed);
}
