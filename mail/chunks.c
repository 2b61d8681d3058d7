/*
 * Bodies in memory as counted chunks. Called by relay/ (intake, delivery) and store/ (the writer):
 * the list belongs to one thread, a chunk's bytes may be read by several; who gives up the last
 * reference frees it.
 */
#include "mail/chunks.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

/*
 * Sizes of the whole allocation. Most mail fits the first; a large body's chunks grow fourfold to
 * the full size. The slack keeps malloc's own header within the same pages.
 */
enum { FIRST_BYTES = 16384, GROWTH = 4, MALLOC_SLACK = 16 };

static struct chunk *
chunk_new(size_t allocation)
{
	size_t cap = allocation - sizeof(struct chunk) - MALLOC_SLACK;
	struct chunk *chunk = mem_alloc(sizeof(*chunk) + cap);

	atomic_init(&chunk->refs, 1);
	chunk->len = 0;
	chunk->cap = cap;
	metric_add(METRIC_BODY_BYTES_NOW, (int64_t)cap);
	return chunk;
}

void
chunks_init(struct chunks *c)
{
	STAILQ_INIT(&c->list);
	c->bytes = 0;
	c->next_size = 0;
}

void
chunks_clear(struct chunks *c)
{
	struct chunk *chunk;

	while ((chunk = chunks_take(c)) != NULL)
		chunk_unref(chunk);
	chunks_init(c);
}

/* glibc's <sys/queue.h> has no STAILQ_LAST; stqh_last is the address of the last one's next. */
static struct chunk *
last_chunk(struct chunks *c)
{
	if (STAILQ_EMPTY(&c->list))
		return NULL;
	return (struct chunk *)(void *)((char *)c->list.stqh_last - offsetof(struct chunk, next));
}

/* The last chunk if it may still be written: acquire, so that a reader that let go is done. */
static struct chunk *
open_chunk(struct chunks *c)
{
	struct chunk *last = last_chunk(c);
	size_t size = c->next_size > 0 ? c->next_size : FIRST_BYTES;

	if (last != NULL && last->len < last->cap &&
	    atomic_load_explicit(&last->refs, memory_order_acquire) == 1)
		return last;
	last = chunk_new(size);
	c->next_size = size * GROWTH < CHUNK_BYTES ? size * GROWTH : CHUNK_BYTES;
	STAILQ_INSERT_TAIL(&c->list, last, next);
	return last;
}

void
chunks_add(struct chunks *c, const char *data, size_t len)
{
	while (len > 0) {
		struct chunk *chunk = open_chunk(c);
		size_t room = chunk->cap - chunk->len;
		size_t n = len < room ? len : room;

		memcpy(chunk->data + chunk->len, data, n);
		chunk->len += n;
		c->bytes += n;
		data += n;
		len -= n;
	}
}

struct chunk *
chunks_take(struct chunks *c)
{
	struct chunk *chunk = STAILQ_FIRST(&c->list);

	if (chunk == NULL)
		return NULL;
	STAILQ_REMOVE_HEAD(&c->list, next);
	c->bytes -= chunk->len;
	return chunk;
}

struct chunk *
chunk_ref(struct chunk *chunk)
{
	if (atomic_fetch_add_explicit(&chunk->refs, 1, memory_order_relaxed) < 1)
		panic("a freed chunk was referenced");
	return chunk;
}

void
chunk_unref(struct chunk *chunk)
{
	int before = atomic_fetch_sub_explicit(&chunk->refs, 1, memory_order_acq_rel);

	if (before < 1)
		panic("a chunk was released twice");
	if (before > 1)
		return;
	metric_add(METRIC_BODY_BYTES_NOW, -(int64_t)chunk->cap);
	free(chunk);
}
