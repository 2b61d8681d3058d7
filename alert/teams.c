/*
 * The Teams channel: an Adaptive Card by POST to the webhook of a workflow. Called by outbox.c.
 */
#include "alert/cards.h"
#include "alert/http.h"

static void *
teams_start(const struct channel_services *services, const struct config_alert *channel,
	    const struct channel_note *note, channel_done *done, void *context, struct buf *why)
{
	struct wording w;
	struct buf body = {0};
	struct http_note post = {.url = channel->url};
	void *attempt;

	wording_make(&w, note, channel);
	cards_teams(&w, note, &body);
	post.json = buf_text(&body);
	post.len = body.len;
	attempt = http_post(services->http, &post, channel->timeout, done, context, why);
	buf_free(&body);
	wording_free(&w);
	return attempt;
}

static void
teams_cancel(void *attempt)
{
	http_cancel(attempt);
}

const struct channel_type channel_teams = {teams_start, teams_cancel};
