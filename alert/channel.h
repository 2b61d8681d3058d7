/*
 * A kind of alert channel is one const table: webhook, slack, exec, and in tests a
 * fake one. The outbox knows nothing else about them. All on the main loop.
 */
#ifndef ALERT_CHANNEL_H
#define ALERT_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "config/config.h"
#include "net/loop.h"
#include "store/store.h"

struct http;

struct channel_services {
	struct loop *loop;
	struct http *http;
};

/* What is told; good only during start(). */
struct channel_note {
	const struct store_alert *alert;
	const char *gate; /* the gate's hostname */
	const char *json; /* the body of docs/api.md, "Alerts" */
	size_t json_len;
};

/* The end of one try; `why` is plain English, without a URL, good during the call. */
typedef void channel_done(void *context, bool ok, const char *why);

struct channel_type {
	/*
	 * Starts one try, which ends within the channel's timeout with one call of done(), never
	 * from inside start(). NULL and a reason if it cannot even start.
	 */
	void *(*start)(const struct channel_services *services, const struct config_alert *channel,
		       const struct channel_note *note, channel_done *done, void *context,
		       struct buf *why);
	/* Ends the try without done(). */
	void (*cancel)(void *attempt);
};

/* webhook.c, slack.c, exec.c */
extern const struct channel_type channel_webhook;
extern const struct channel_type channel_slack;
extern const struct channel_type channel_exec;

#endif
