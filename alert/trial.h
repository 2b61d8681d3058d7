/*
 * `mailfuse alert test`: one try of one channel, for somebody who waits. Main loop.
 */
#ifndef ALERT_TRIAL_H
#define ALERT_TRIAL_H

#include <sys/queue.h>

#include "alert/alert.h"
#include "alert/channel.h"

struct trial;

struct trials {
	LIST_HEAD(trial_list, trial) list;
	const struct channel_services *services;
	const struct channel_types *types;
	struct store *store;
	size_t count;
};

void trials_init(struct trials *t, const struct channel_services *services,
		 const struct channel_types *types, struct store *store);
/* As alert_try(). */
bool trial_start(struct trials *t, struct config *config, const char *channel, const char *who,
		 alert_tried *done, void *context, struct buf *why);
/* Each ends with that reason. */
void trials_end(struct trials *t, const char *why);

#endif
