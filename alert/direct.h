/*
 * An alert that the store cannot hold, because it tells that the store is broken, or its disk full:
 * straight from memory to each channel that wants it, tried until it is taken or retry_for ends. It
 * is gone with the process. Made and freed by daemon/space.c; everything on the main loop.
 */
#ifndef ALERT_DIRECT_H
#define ALERT_DIRECT_H

#include "config/config.h"
#include "net/loop.h"

struct direct;
struct channel_types;

/* Starts at once, on all but e-mail, which goes by the store. Keeps a reference to the config.
 * `types`: as in channel.h, for tests; NULL: the real ones. */
struct direct *direct_new(struct loop *loop, struct config *config,
			  const struct channel_types *types, const char *event, const char *text);
/* Ends the tries that are under way. NULL is fine. */
void direct_free(struct direct *d);

#endif
