/*
 * Sums of what was stored: messages, recipients, bytes and verdicts of each stream of a minute, in
 * a hash table in memory. The writer counts a message after its commit, and writes the table when
 * the minute has passed, in a transaction of its own: mail never waits for its history, nor fails
 * with it.
 *
 * Bounds: STORE_TRAFFIC_STREAMS streams are kept apart; beyond, a source's mail is one stream with
 * the subject "*"; beyond twice as many an environment's is. So also when it cannot be written for
 * hours. About 300 bytes a stream.
 */
#include "store/traffic.h"

#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#define RETRY (10 * CLOCK_SECOND)

struct traffic_key {
	uint64_t stream;
	int64_t minute;
};

struct traffic_stream {
	UT_hash_handle hh;
	struct traffic_key key;
	struct store_traffic sums; /* its strings stand behind the struct */
	char text[];
};

enum { NAMES = 6 };
struct names {
	const char *text[NAMES]; /* environment, source, client, sender, subject, campaign */
	uint32_t audience;
};

static uint64_t
names_hash(const struct names *n)
{
	uint64_t hash = text_hash(TEXT_HASH_START, &n->audience, sizeof(n->audience));
	size_t i;

	for (i = 0; i < NAMES; i++)
		hash = text_hash(hash, n->text[i], strlen(n->text[i]) + 1);
	return hash;
}

static struct traffic_stream *
stream_new(const struct names *n, const struct traffic_key *key)
{
	struct traffic_stream *s;
	const char *copies[NAMES];
	size_t i, len, bytes = 0;
	char *to;

	for (i = 0; i < NAMES; i++)
		bytes += strlen(n->text[i]) + 1;
	s = mem_zalloc(sizeof(*s) + bytes);
	for (i = 0, to = s->text; i < NAMES; i++, to += len) {
		len = strlen(n->text[i]) + 1;
		copies[i] = memcpy(to, n->text[i], len);
	}
	s->key = *key;
	s->sums = (struct store_traffic){.minute = key->minute,
					 .environment = copies[0],
					 .source = copies[1],
					 .client = copies[2],
					 .sender = copies[3],
					 .subject = copies[4],
					 .campaign = copies[5],
					 .audience = n->audience};
	return s;
}

static struct traffic_stream *
find(struct traffic *t, const struct names *n, struct traffic_key *key)
{
	struct traffic_stream *s;

	key->stream = names_hash(n);
	HASH_FIND(hh, t->table, key, sizeof(*key), s);
	return s;
}

static struct traffic_stream *
find_or_add(struct traffic *t, const struct message *m)
{
	struct names n = {
	    {m->environment, m->source, m->client, m->sender.text, m->subject_key, m->campaign},
	    m->audience};
	struct traffic_key key = {.minute = m->accepted_at / CLOCK_MINUTE * CLOCK_MINUTE};
	struct traffic_stream *s = find(t, &n, &key);

	if (s == NULL && t->count >= STORE_TRAFFIC_STREAMS) {
		n = (struct names){{m->environment, m->source, "", "", "*", ""}, 0};
		s = find(t, &n, &key);
	}
	if (s == NULL && t->count >= 2 * (size_t)STORE_TRAFFIC_STREAMS) {
		/* Also of one minute, or hours of a full disk would go on adding. */
		key.minute = t->minute;
		n.text[1] = "*";
		s = find(t, &n, &key);
	}
	if (s != NULL)
		return s;
	s = stream_new(&n, &key);
	HASH_ADD(hh, t->table, key, sizeof(s->key), s);
	t->count++;
	return s;
}

void
traffic_count(struct traffic *t, const struct message *m)
{
	struct store_traffic *sums;
	size_t i;

	if (t->minute == 0)
		t->minute = m->accepted_at / CLOCK_MINUTE * CLOCK_MINUTE;
	sums = &find_or_add(t, m)->sums;
	sums->messages++;
	sums->recipients += m->recipient_count;
	sums->bytes += m->header.len + m->body_bytes;
	for (i = 0; i < m->recipient_count; i++) {
		switch (m->recipients[i].verdict.action) {
		case VERDICT_PASS:
			sums->passed++;
			break;
		case VERDICT_WAIT:
			sums->waited++;
			break;
		case VERDICT_HOLD:
			sums->held++;
			break;
		case VERDICT_DROP:
		case VERDICT_REJECT:
			sums->dropped++;
			break;
		}
	}
}

/* Another minute, in either direction: the wall clock may be set back. */
bool
traffic_is_due(const struct traffic *t, int64_t wall, int64_t mono, bool all)
{
	if (t->table == NULL || (t->retry_at != 0 && mono < t->retry_at && !all))
		return false;
	return all || wall / CLOCK_MINUTE * CLOCK_MINUTE != t->minute;
}

enum store_result
traffic_write(const struct traffic *t, const struct backend *b, struct db *db)
{
	const struct traffic_stream *s;

	for (s = t->table; s != NULL; s = s->hh.next)
		TRY(b->traffic_add(db, &(struct traffic_row){s->key.stream, s->sums}));
	return STORE_OK;
}

void
traffic_written(struct traffic *t, int64_t wall)
{
	traffic_free(t);
	t->minute = wall / CLOCK_MINUTE * CLOCK_MINUTE;
}

void
traffic_failed(struct traffic *t, int64_t mono)
{
	t->retry_at = mono + RETRY;
}

void
traffic_free(struct traffic *t)
{
	struct traffic_stream *s, *next;

	HASH_ITER(hh, t->table, s, next)
	{
		HASH_DEL(t->table, s);
		free(s);
	}
	*t = (struct traffic){.count = 0};
}
