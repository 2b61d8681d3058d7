/*
 * A kind of alert channel is one const table: webhook, slack, teams, exec, email, and in tests a
 * fake one. The outbox knows nothing else about them. All on the main loop.
 */
#ifndef ALERT_CHANNEL_H
#define ALERT_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/tally.h"
#include "config/config.h"
#include "net/loop.h"
#include "store/views.h"

struct http;

struct channel_services {
	struct loop *loop;
	struct http *http;
	struct store *store;     /* email; NULL where the store cannot take anything */
	struct store_view *view; /* email, of a trial */
	/* Mail is in the queue: look. May be NULL. */
	void (*mailed)(void *context);
	void *mailed_context;
};

/* What is told; good only during start(). */
struct channel_note {
	const struct store_alert *alert;
	const struct store_batch *batch; /* as it is now; NULL = of none */
	uint64_t distinct;               /* recipients of the batch */
	const char *gate;                /* the gate's hostname */
	const char *console;             /* http.url; "" = nobody said how to reach it */
	const char *json;                /* the body of docs/api.md, "Alerts" */
	size_t json_len;
	char *const *lines; /* of a summary: what it sums up; NULL at the end; NULL = of none */
	bool trial; /* somebody waits: mail ends its try when the upstream has it, not before */
};

/* The end of one try. */
struct channel_end {
	bool ok;
	const char *why; /* plain English, without a URL, good during the call */
	int64_t leave;   /* how long the receiver asks to be left alone; 0 = it does not */
};
typedef void channel_done(void *context, const struct channel_end *end);

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

/* webhook.c, chat.c, exec.c, email.c */
extern const struct channel_type channel_webhook;
extern const struct channel_type channel_slack;
extern const struct channel_type channel_teams;
extern const struct channel_type channel_exec;
extern const struct channel_type channel_email;

/* In the order of enum config_alert_type; tests have others. */
struct channel_types {
	const struct channel_type *webhook, *slack, *exec, *teams, *email;
};
extern const struct channel_types channel_types_real;
const struct channel_type *channel_type_of(const struct channel_types *types,
					   enum config_alert_type type);
/* For GET /metrics, of what goes past the outbox: one try ended so (TALLY_DELIVERED, DEFERRED,
 * FAILED). */
void channel_count(const char *channel, enum tally_slot slot);
/* NULL if there is no channel of that name. */
const struct config_alert *channel_find(const struct config *config, const char *name);

#endif
