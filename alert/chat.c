/*
 * The channels that talk to people in a chat: Slack, blocks by POST to an incoming webhook, and
 * Teams, an Adaptive Card by POST to the webhook of a workflow. They differ in their card only.
 * Called by outbox.c; main loop.
 */
#include "alert/cards.h"
#include "alert/http.h"

typedef void card_fn(struct wording *w, const struct channel_note *note, struct buf *out);

static void *
chat_start(card_fn *card, const struct channel_services *services,
	   const struct config_alert *channel, const struct channel_note *note, channel_done *done,
	   void *context, struct buf *why)
{
	struct wording w;
	struct buf body = {0};
	struct http_note post = {.url = channel->url};
	void *attempt;

	wording_make(&w, note, channel);
	card(&w, note, &body);
	post.json = buf_text(&body);
	post.len = body.len;
	attempt = http_post(services->http, &post, channel->timeout, done, context, why);
	buf_free(&body);
	wording_free(&w);
	return attempt;
}

static void *
slack_start(const struct channel_services *services, const struct config_alert *channel,
	    const struct channel_note *note, channel_done *done, void *context, struct buf *why)
{
	return chat_start(cards_slack, services, channel, note, done, context, why);
}

static void *
teams_start(const struct channel_services *services, const struct config_alert *channel,
	    const struct channel_note *note, channel_done *done, void *context, struct buf *why)
{
	return chat_start(cards_teams, services, channel, note, done, context, why);
}

static void
chat_cancel(void *attempt)
{
	http_cancel(attempt);
}

const struct channel_type channel_slack = {slack_start, chat_cancel};
const struct channel_type channel_teams = {teams_start, chat_cancel};
