/*
 * What alert.h does not show: the outbox as tests want it.
 */
#ifndef ALERT_OUTBOX_H
#define ALERT_OUTBOX_H

#include "alert/alert.h"
#include "alert/channel.h"

struct outbox_options {
	const struct channel_types *types;
	int64_t patience; /* until a failing channel is told of; 0 = five minutes */
};

struct alert *outbox_new(struct loop *loop, struct store *store, struct store_view *view,
			 struct config *config, const struct outbox_options *options);

#endif
