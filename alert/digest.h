/*
 * What a channel for people is told when too much happens: so many alerts an hour one by one, the
 * rest summed up. A summary comes a minute after the first alert that is in it, then after twice as
 * long, up to every five minutes while it goes on: `per_hour` and some 14 messages an hour,
 * whatever happens. Owned by the channel's state; main loop.
 *
 * It is in memory: what is summed up stays taken in the store until it was told, so a start tells
 * it again, and forgets what was told within the hour.
 */
#ifndef ALERT_DIGEST_H
#define ALERT_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

#define DIGEST_FIRST CLOCK_MINUTE
#define DIGEST_MOST (5 * CLOCK_MINUTE)

/* A row of the outbox. */
struct digest_row {
	int64_t row, first_tried_at;
};

struct digest_kind;

struct digest {
	int64_t *told; /* monotonic: when each of the last `size` was told; a ring */
	unsigned size, next;
	int64_t first, wait,
	    due;       /* wait: of the next summary; due: monotonic, while there are rows */
	int64_t since; /* monotonic: the first row */
	struct digest_row *rows;
	size_t count, room;
	struct digest_kind *kinds;
	size_t kind_count;
	unsigned tries;    /* of the row that was tried most */
	char *environment; /* of all rows; "" = of several; NULL without rows */
};

/* What a summary says. */
struct digest_summary {
	char *text;
	char **lines; /* NULL at the end */
};

/* `first`: how long the first summary waits. */
void digest_init(struct digest *d, int64_t first);
void digest_free(struct digest *d);

/* True if the next alert belongs into a summary. `per_hour` 0: never. */
bool digest_wants(struct digest *d, uint32_t per_hour, int64_t now);
/* One was told by itself. */
void digest_count(struct digest *d, int64_t now);
/* Copies what it needs. */
void digest_add(struct digest *d, const struct store_alert *alert, int64_t now);
bool digest_is_due(const struct digest *d, int64_t now);
/* The rare first, since what is rare in a storm is what matters. */
void digest_sum_up(const struct digest *d, int64_t now, struct digest_summary *out);
void digest_summary_free(struct digest_summary *s);
/* The rows become the caller's, to be freed; it begins anew. */
struct digest_row *digest_take(struct digest *d, size_t *count);

#endif
