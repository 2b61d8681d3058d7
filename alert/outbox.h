/*
 * What alert.h does not show: the outbox with the kinds of channels given, for tests.
 */
#ifndef ALERT_OUTBOX_H
#define ALERT_OUTBOX_H

#include "alert/alert.h"
#include "alert/channel.h"

/* In the order of enum config_alert_type. */
struct outbox_types {
	const struct channel_type *webhook, *slack, *exec;
};

struct alert *outbox_new(struct loop *loop, struct store *store, struct store_view *view,
			 struct config *config, const struct outbox_types *types);
/* The wait before the next try after `failures` failed ones (from 1), with a quarter of jitter. */
int64_t outbox_backoff(unsigned failures, uint64_t seed);

#endif
