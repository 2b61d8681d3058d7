/*
 * GET /v1/alerts: the channels of the configuration in force, each with what the newest alerts say
 * of it, and all alerts with their fates, newest first, page by page; the cursor is "EVENT.ROW" of
 * the last. Called by api.c; main loop.
 */
#include "control/alerts.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "config/options.h"
#include "control/json.h"
#include "control/request.h"

/* What the health of channels is read from: so many that wait or were given up, and so many of the
 * newest. */
enum { OPEN_LOOKED_AT = 5000, NEWEST_LOOKED_AT = 1000 };

struct channel {
	const struct config_alert *config;
	uint64_t pending, failed;
	bool finished, delivered; /* how the newest alert that is done with ended */
	bool trying;              /* one that waits has failed before */
	int64_t oldest_at, last_at, error_at;
	char *error; /* of the newest try that failed, NULL if none */
};

struct channels {
	struct channel *list;
	size_t count;
};

static struct channel *
find(const struct channels *c, const char *name)
{
	for (size_t i = 0; i < c->count; i++)
		if (strcmp(c->list[i].config->name, name) == 0)
			return &c->list[i];
	return NULL;
}

/* Its own time would be better: the event's is the nearest that is kept. */
static void
take_error(struct channel *c, const struct store_alert_fate *f)
{
	if (f->error[0] == '\0' || f->at < c->error_at)
		return;
	free(c->error);
	c->error = mem_strdup(f->error);
	c->error_at = f->at;
}

static bool
see_open(void *context, const struct store_alert_fate *f)
{
	struct channel *c = find(context, f->channel);

	if (c == NULL)
		return true;
	if (f->fate == STORE_FATE_FAILED) {
		c->failed++;
	} else {
		c->pending++;
		c->trying = c->trying || f->tries > 0;
		if (c->oldest_at == 0 || f->at < c->oldest_at)
			c->oldest_at = f->at;
	}
	take_error(c, f);
	return true;
}

/* Newest first. */
static bool
see_newest(void *context, const struct store_alert_fate *f)
{
	struct channel *c = find(context, f->channel);
	const bool done = f->fate == STORE_FATE_DELIVERED || f->fate == STORE_FATE_FAILED;

	if (c == NULL || !done)
		return true;
	if (!c->finished) {
		c->finished = true;
		c->delivered = f->fate == STORE_FATE_DELIVERED;
	}
	if (f->done_at > c->last_at)
		c->last_at = f->done_at;
	take_error(c, f);
	return true;
}

static const char *
health(const struct channel *c)
{
	if (c->trying || (c->finished && !c->delivered))
		return "failing";
	return c->finished ? "ok" : "untried";
}

static json_t *
json_from_channel(const struct channel *c)
{
	const struct option *type = options_find("alert", "type");
	json_t *o = json_make_object(), *events = json_make_array();

	json_put_text(o, "name", c->config->name);
	json_put_text(o, "type", type->words[(uint64_t)c->config->type - type->min]);
	for (char *const *e = c->config->events; *e != NULL; e++)
		json_append(events, json_text(*e, strlen(*e)));
	json_put(o, "events", events);
	json_put_text(o, "health", health(c));
	json_put_count(o, "pending", c->pending);
	json_put_count(o, "failed", c->failed);
	json_put_time(o, "oldest_at", c->oldest_at);
	json_put_time(o, "last_at", c->last_at);
	json_put_text(o, "last_error", c->error);
	json_put_time(o, "last_error_at", c->error_at);
	return o;
}

static enum store_result
read_channels(struct request *r, json_t *out)
{
	const struct config *config = request_config(r);
	struct channels c = {mem_zalloc((config->alert_count + 1) * sizeof(*c.list)),
			     config->alert_count};
	const struct store_alert_place start = {0, 0};
	enum store_result result;

	for (size_t i = 0; i < c.count; i++)
		c.list[i].config = &config->alerts[i];
	result = store_view_alerts_open(r->deps->view, OPEN_LOOKED_AT, see_open, &c);
	if (result == STORE_OK)
		result = store_view_alerts(r->deps->view, &start, NEWEST_LOOKED_AT, see_newest, &c);
	for (size_t i = 0; i < c.count; i++) {
		json_append(out, json_from_channel(&c.list[i]));
		free(c.list[i].error);
	}
	free(c.list);
	return result;
}

/* ---- alerts */

json_t *
alerts_from_fate(const struct store_alert_fate *f)
{
	static const char *const fates[] = {[STORE_FATE_PENDING] = "pending",
					    [STORE_FATE_DELIVERED] = "delivered",
					    [STORE_FATE_FAILED] = "failed",
					    [STORE_FATE_UNWANTED] = "unwanted"};
	json_t *o = json_make_object();
	char id[JSON_BATCH_BYTES];

	json_put_count(o, "id", (uint64_t)f->event_id);
	json_put_text(o, "event", f->event);
	json_put_time(o, "at", f->at);
	json_put_text(o, "environment", f->environment);
	json_put_text(o, "batch", f->batch > 0 ? json_batch_id(f->batch, id) : NULL);
	json_put_text(o, "text", f->text);
	json_put_text(o, "channel", f->channel);
	json_put_text(o, "fate", fates[f->fate]);
	json_put_time(o, "done_at", f->done_at);
	json_put_count(o, "tries", f->tries);
	json_put_text(o, "error", f->error);
	return o;
}

struct page {
	json_t *items;
	uint32_t limit;
	bool more;
	struct store_alert_place last;
};

static bool
add_fate(void *context, const struct store_alert_fate *f)
{
	struct page *page = context;

	if (json_array_size(page->items) == page->limit) {
		page->more = true;
		return false;
	}
	json_append(page->items, alerts_from_fate(f));
	page->last = (struct store_alert_place){f->event_id, f->row};
	return true;
}

static bool
read_place(struct request *r, struct store_alert_place *out)
{
	const char *text = request_query(r, "after");
	char *end, *last;

	if (text == NULL)
		return true;
	errno = 0;
	out->event = strtoll(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && end[0] == '.' && end[1] >= '0' && end[1] <= '9') {
		out->row = strtoll(end + 1, &last, 10);
		if (*last == '\0' && errno == 0 && out->event > 0)
			return true;
	}
	request_fail(r, 400, "after=%s: write what `next` was", log_safe(text));
	return false;
}

void
alerts_list(struct request *r)
{
	static const char *const known[] = {"limit", "after", NULL};
	struct store_alert_place place = {0, 0};
	struct page page = {.more = false};
	json_t *channels, *answer, *next = NULL;
	enum store_result result;
	char text[48];

	if (!request_check_query(r, known) ||
	    !request_query_limit(r, "limit", 100, 1000, &page.limit) || !read_place(r, &place))
		return;
	channels = json_make_array();
	page.items = json_make_array();
	result = read_channels(r, channels);
	if (result == STORE_OK)
		result = store_view_alerts(r->deps->view, &place, page.limit + 1, add_fate, &page);
	if (result != STORE_OK) {
		json_decref(channels);
		json_decref(page.items);
		request_fail_store(r, result, "alert", "");
		return;
	}
	if (page.more) {
		snprintf(text, sizeof(text), "%" PRId64 ".%" PRId64, page.last.event,
			 page.last.row);
		next = json_string(text);
	}
	answer = json_make_list(page.items, next);
	json_put(answer, "channels", channels);
	request_reply(r, answer);
}
