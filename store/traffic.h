/*
 * The history of traffic, summed up per minute and stream before it is written. One struct, the
 * writer's thread (or a test's).
 */
#ifndef STORE_TRAFFIC_H
#define STORE_TRAFFIC_H

#include "store/backend.h"

struct traffic_stream;

struct traffic {
	struct traffic_stream *table; /* uthash */
	size_t count;
	int64_t minute;   /* that is being summed up; 0 = none yet */
	int64_t retry_at; /* monotonic; 0 = the last write worked */
};

/* A message that was stored. */
void traffic_count(struct traffic *t, const struct message *m);
/* True if something is to be written: a minute has passed, or `all` of it. */
bool traffic_is_due(const struct traffic *t, int64_t wall, int64_t mono, bool all);
/* Within a transaction; after its commit traffic_written(). What could not be written stays, and is
 * tried again later. */
enum store_result traffic_write(const struct traffic *t, const struct backend *b, struct db *db);
void traffic_written(struct traffic *t, int64_t wall);
void traffic_failed(struct traffic *t, int64_t mono);
void traffic_free(struct traffic *t);

#endif
