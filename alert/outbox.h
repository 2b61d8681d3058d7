/*
 * What alert.h does not show: the outbox as tests want it.
 */
#ifndef ALERT_OUTBOX_H
#define ALERT_OUTBOX_H

#include "alert/alert.h"
#include "alert/channel.h"

struct outbox_options {
	const struct channel_types *types;
	/* 0: as they are */
	int64_t patience;     /* until a failing channel is told of */
	int64_t digest_first; /* until the first summary */
};

struct alert *outbox_new(struct loop *loop, struct store *store, struct store_view *view,
			 struct config *config, const struct outbox_options *options);

#endif
