/*
 * What is remembered of each channel over alerts and reloads: how it fares, and that it failed for
 * so long that the other channels were told. Main loop.
 */
#ifndef ALERT_STATE_H
#define ALERT_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "alert/alert.h"
#include "alert/channel.h"
#include "alert/digest.h"

struct channel {
	LIST_ENTRY(channel) next;
	char *name;
	unsigned failures;     /* in a row */
	int64_t quiet_until;   /* monotonic */
	int64_t failing_since; /* monotonic, 0 = the last try was fine */
	bool told;             /* alert.failed was told; a restart does not forget it */
	unsigned flights, waiting;
	char why[200]; /* of the last failure, "" if there was none since the start */
	struct digest digest;
};

struct states {
	LIST_HEAD(channel_list, channel) channels;
	struct store *store;
	struct store_view *view;
	int64_t patience;     /* of a failing channel, until the others are told */
	int64_t digest_first; /* digest_init() */
};

/* A channel that fails for so long is told of. */
#define STATE_PATIENCE (5 * CLOCK_MINUTE)

void states_init(struct states *s, struct store *store, struct store_view *view);
void states_free(struct states *s);
/* Made where it is not known yet. */
struct channel *state_get(struct states *s, const char *name);

/* A try was fine; says so to the others if they had been told that it fails. */
void state_fine(struct states *s, struct channel *c);
/* A try failed: `why` is kept. Returns how long the channel is left alone. */
int64_t state_failed(struct states *s, struct channel *c, const struct channel_end *end);
/* An alert was given up: that is told without waiting. */
void state_gave_up(struct states *s, struct channel *c, const char *why);
/* Once a second: a channel that fails for too long is told of, also while nothing is tried. Those
 * that are not in the configuration any more are left out. */
void state_tick(struct states *s, const struct config *config);
/* A reload: what failed may have been mended, so all are tried again at once. */
void state_forgive(struct states *s);

/* The wait before the next try after `failures` failed ones (from 1), with a quarter of jitter. */
int64_t state_backoff(unsigned failures, uint64_t seed);

#endif
