/*
 * The webhook channel: the JSON of docs/api.md, "Alerts", by POST. Called by outbox.c.
 */
#include "alert/channel.h"
#include "alert/http.h"

static void *
webhook_start(const struct channel_services *services, const struct config_alert *channel,
	      const struct channel_note *note, channel_done *done, void *context, struct buf *why)
{
	return http_post(services->http, channel->url, note->json, note->json_len, channel->timeout,
			 done, context, why);
}

static void
webhook_cancel(void *attempt)
{
	http_cancel(attempt);
}

const struct channel_type channel_webhook = {webhook_start, webhook_cancel};
