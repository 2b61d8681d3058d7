/*
 * Alerts: empties the store's outbox into the configured channels, with retries. An alert is a row
 * that was written with the fact it tells of; nothing here can lose one. All on the main loop;
 * nothing blocks.
 */
#ifndef ALERT_ALERT_H
#define ALERT_ALERT_H

#include "config/config.h"
#include "net/loop.h"
#include "store/views.h"

struct alert;
/* Keeps a reference to the config. `view` is the main thread's. */
struct alert *alert_new(struct loop *loop, struct store *store, struct store_view *view,
			struct config *config);
/* A reload: channels that went away give up what is pending for them (with an audit row). */
void alert_set_config(struct alert *a, struct config *config);
/* Something may be waiting: look soon. It also looks by itself once a second. */
void alert_poke(struct alert *a);
/* Stops; what is in flight is tried again after the next start. */
void alert_free(struct alert *a);
/* libcurl's, for `mailfused -V`. */
const char *alert_library_version(void);

#endif
