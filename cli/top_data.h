/*
 * What `mailfuse top` knows: the newest answers of mailfused, and enough of those before to tell
 * how fast things move. Nothing is asked or printed here.
 */
#ifndef CLI_TOP_DATA_H
#define CLI_TOP_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* One set of answers, each taken over; what was not answered is NULL. */
struct top_answers {
	json_t *status;
	json_t *batches;      /* an array, without repeats */
	json_t *queue;        /* GET /v1/queue */
	json_t *environments; /* an array of GET /v1/environments */
	bool more;            /* there are batches that were not asked for */
};

/* Numbers of one moment, by what they count. */
struct top_past {
	int64_t at; /* microseconds, of clock_mono() */
	json_t *numbers;
};

/* Zero-initialised knows nothing. */
struct top_data {
	struct top_answers answers;
	json_t *rows;                      /* environment -> state -> count */
	struct top_past now, middle, base; /* rates are those since `base` */
};

/* What a rate is of. */
enum top_count {
	TOP_ACCEPTED, /* by an environment; NULL: by the whole gate */
	TOP_SENT,
	TOP_JOINED /* a batch, by its id */
};

void top_data_take(struct top_data *d, struct top_answers *answers, int64_t now);
void top_data_free(struct top_data *d);
/* Recipients a second over the last five to ten seconds; below 0 where that is not known yet. */
double top_data_rate(const struct top_data *d, enum top_count what, const char *name);
struct top_environment {
	const char *name, *policy; /* policy: "" where it is not known */
	bool production;
	double accepted, sent; /* a second */
	int64_t held, queued, waiting, failed;
	int64_t oldest_at; /* of what is queued or waits, seconds since 1970; -1: none */
};

/*
 * Those of the configuration and those that have mail: what is busy first, then production, by
 * name. free() it; its texts are as good as the answers.
 */
struct top_environment *top_data_environments(const struct top_data *d, size_t *count);

struct top_batch {
	const json_t *batch;
	double joined; /* recipients a second */
	bool filling;
	size_t place; /* in mailfused's list: the newest first */
};

/*
 * Those of which a release runs, is paused or waits for approval, or all others: what fills first,
 * then the newest. free() it.
 */
struct top_batch *top_data_batches(const struct top_data *d, bool planned, size_t *count);

#endif
