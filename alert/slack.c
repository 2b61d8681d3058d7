/*
 * The Slack channel: {"text": ...} by POST to an incoming webhook. Called by outbox.c.
 */
#include "alert/channel.h"
#include "alert/http.h"
#include "alert/payload.h"

static void *
slack_start(const struct channel_services *services, const struct config_alert *channel,
	    const struct channel_note *note, channel_done *done, void *context, struct buf *why)
{
	struct buf body = {0};
	void *attempt;

	payload_slack(note->alert, note->gate, &body);
	attempt = http_post(services->http, channel->url, buf_text(&body), body.len,
			    channel->timeout, done, context, why);
	buf_free(&body);
	return attempt;
}

static void
slack_cancel(void *attempt)
{
	http_cancel(attempt);
}

const struct channel_type channel_slack = {slack_start, slack_cancel};
