/*
 * Alerts: empties the store's outbox into the configured channels, with retries. An alert is a row
 * that was written with the fact it tells of; nothing here can lose one. All on the main loop;
 * nothing blocks.
 */
#ifndef ALERT_ALERT_H
#define ALERT_ALERT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "config/config.h"
#include "net/loop.h"
#include "store/views.h"

struct alert;
/* Keeps a reference to the config. `view` is the main thread's. */
struct alert *alert_new(struct loop *loop, struct store *store, struct store_view *view,
			struct config *config);
/* A reload: channels that went away give up what is pending for them (with an audit row). */
void alert_set_config(struct alert *a, struct config *config);
/* Called when mail of an alert is in the queue. */
void alert_on_mail(struct alert *a, void (*mailed)(void *context), void *context);
/* Something may be waiting: look soon. It also looks by itself once a second. */
void alert_poke(struct alert *a);
/*
 * One try of one channel with an alert that says it is a test, past the outbox: at once, and also
 * to a channel that is quiet. done() is called once, within the channel's timeout or when the
 * outbox ends, never from inside; `took` is in microseconds, `why` plain English, "" where it is
 * ok. Mail counts when the upstream has it. False and a reason if there is no such channel, or too
 * many tries are under way. The audit log keeps who asked.
 */
typedef void alert_tried(void *context, bool ok, int64_t took, const char *why);
bool alert_try(struct alert *a, const char *channel, const char *who, alert_tried *done,
	       void *context, struct buf *why);
/* Stops; what is in flight is tried again after the next start. */
void alert_free(struct alert *a);
/* libcurl's, for `mailfused -V`. */
const char *alert_library_version(void);

#endif
