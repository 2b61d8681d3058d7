/*
 * simulate --history: one row a minute and stream out of the daemon's records. Called by
 * cli/simulate.c.
 */
#include "cli/simulate_history.h"

#include <string.h>

#include "base/clock.h"
#include "cli/drill_call.h"
#include "cli/field.h"
#include "cli/screen.h"

struct history {
	struct simulation *simulation;
	int64_t start; /* seconds since 1970; -1 before the first row */
	struct buf *errors;
};

static void
feed_part(struct history *h, const json_t *item, int64_t at, uint64_t count, bool blast)
{
	const char *source = field_text(item, "source"), *client = field_text(item, "client");
	struct trace_row row = {.at = at,
				.over = CLOCK_MINUTE,
				.client = client,
				.user = strcmp(source, client) == 0 ? "" : source,
				.tls_name = "",
				.listener = "",
				.sender = field_text(item, "sender"),
				.subject = field_text(item, "subject"),
				.campaign = field_text(item, "campaign"),
				.body = "",
				.count = count,
				.audience = (uint32_t)field_count(item, "audience"),
				.blast = blast};

	if (count == 0)
		return;
	/* What is wrong stands in `errors`. */
	(void)simulation_feed(h->simulation, &row, h->errors);
}

/*
 * What was held then should be held again. Where a stream also waited in that minute, the trip
 * called back what waited, and what passed was the head of the same blast.
 */
static void
feed_item(void *context, const json_t *item)
{
	struct history *h = context;
	int64_t minute = screen_time_parse(field_text(item, "minute"));
	int64_t recipients = field_count(item, "recipients"), held = field_count(item, "held"), at;
	int64_t blast = held > 0 && field_count(item, "waited") > 0 ? recipients : held;

	if (minute < 0 || recipients < 0 || held < 0 || held > recipients) {
		buf_printf(h->errors, "the daemon's record of \"%s\" cannot be read\n",
			   field_text(item, "minute"));
		return;
	}
	if (strcmp(field_text(item, "environment"), DRILL_ENVIRONMENT) == 0)
		return; /* nobody's mail */
	if (h->start < 0)
		h->start = minute;
	at = (minute - h->start) * CLOCK_SECOND;
	feed_part(h, item, at, (uint64_t)(recipients - blast), false);
	feed_part(h, item, at, (uint64_t)blast, true);
}

int
history_feed(const struct command *c, struct simulation *s, int64_t length, int64_t *start,
	     struct buf *errors)
{
	struct history h = {.simulation = s, .start = -1, .errors = errors};
	char since[CLOCK_ISO_BYTES];
	struct buf path = {0};
	bool more;
	int result;

	clock_format_iso(clock_wall() - length, since);
	buf_add_text(&path, "/v1/traffic");
	client_add_query(&path, "since", since);
	result = command_list(c, buf_text(&path), SIZE_MAX, feed_item, &h, &more);
	buf_free(&path);
	*start = h.start * CLOCK_SECOND;
	if (result == CLIENT_DONE && h.start < 0)
		command_note("No traffic is recorded for that time.");
	return result;
}
