/*
 * What has been counted since the start: the tallies of base/tally.h, the histograms, and the
 * process's own counters. Cost: at most TALLY_MAX tallies, whatever mail there was.
 */
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/tally.h"
#include "control/metrics_parts.h"

struct tallies {
	struct tally_reading *rows;
	size_t count;
};

struct named_slot {
	enum tally_slot slot;
	const char *name;
};

static bool
is_told(const struct tally_reading *t, enum tally_slot slot)
{
	return (t->expected & TALLY_BIT(slot)) != 0 || t->values[slot] != 0;
}

static void
add_recipients(struct exposition *x, const struct tallies *all)
{
	static const struct named_slot verdicts[] = {
	    {TALLY_ACCEPTED, "accepted"},   {TALLY_WAITED, "waited"},
	    {TALLY_HELD, "held"},           {TALLY_DROPPED, "dropped"},
	    {TALLY_REWRITTEN, "rewritten"}, {TALLY_REJECTED, "rejected"}};

	exposition_family(x, "mailfuse_recipients_total", EXPOSITION_COUNTER,
			  "Recipients: all that were accepted (rule \"\"), and what each rule has "
			  "done to some of them; do not add the verdicts up.");
	for (size_t i = 0; i < all->count; i++) {
		const struct tally_reading *t = &all->rows[i];

		for (size_t k = 0; t->rule != NULL && k < sizeof(verdicts) / sizeof(*verdicts); k++)
			if (is_told(t, verdicts[k].slot))
				exposition_count(x, t->values[verdicts[k].slot], "environment",
						 t->environment, "rule", t->rule, "verdict",
						 verdicts[k].name, NULL);
	}
}

static void
add_leaked(struct exposition *x, const struct tallies *all)
{
	exposition_family(x, "mailfuse_leaked_recipients_total", EXPOSITION_COUNTER,
			  "Recipients of a stream that had left when its rule tripped, told some "
			  "seconds after the trip, when what could be called back was.");
	for (size_t i = 0; i < all->count; i++) {
		const struct tally_reading *t = &all->rows[i];

		if (t->rule != NULL && is_told(t, TALLY_LEAKED))
			exposition_count(x, t->values[TALLY_LEAKED], "environment", t->environment,
					 "rule", t->rule, NULL);
	}
}

static const struct named_slot results[] = {
    {TALLY_DELIVERED, "delivered"}, {TALLY_DEFERRED, "deferred"}, {TALLY_FAILED, "failed"}};

static void
add_results(struct exposition *x, const struct tallies *all, bool channels)
{
	for (size_t i = 0; i < all->count; i++) {
		const struct tally_reading *t = &all->rows[i];

		for (size_t k = 0; (t->rule == NULL) == channels && k < 3; k++)
			if (is_told(t, results[k].slot))
				exposition_count(x, t->values[results[k].slot],
						 channels ? "channel" : "environment",
						 t->environment, "result", results[k].name, NULL);
	}
}

static void
add_tallies(struct exposition *x)
{
	struct tallies all = {.count = tally_count()};
	int64_t now = clock_mono();

	all.rows = mem_resize_array(NULL, all.count + 1, sizeof(*all.rows));
	for (size_t i = 0; i < all.count; i++)
		tally_read(i, now, &all.rows[i]);
	add_recipients(x, &all);
	add_leaked(x, &all);
	exposition_family(x, "mailfuse_deliveries_total", EXPOSITION_COUNTER,
			  "What upstreams said: delivered and failed end a delivery, deferred is a "
			  "try that will be repeated.");
	add_results(x, &all, false);
	exposition_family(
	    x, "mailfuse_alerts_total", EXPOSITION_COUNTER,
	    "Alerts of a channel: delivered, given up (failed), and tries that will be "
	    "repeated (deferred).");
	add_results(x, &all, true);
	free(all.rows);
}

static void
add_metric(struct exposition *x, const char *name, enum exposition_type type, const char *help,
	   enum metric which)
{
	exposition_family(x, name, type, help);
	exposition_count(x, metric_get(which), NULL);
}

static void
add_clients(struct exposition *x)
{
	add_metric(x, "mailfuse_connections_total", EXPOSITION_COUNTER,
		   "Client connections accepted.", METRIC_CONNECTIONS);
	add_metric(x, "mailfuse_connections_refused_total", EXPOSITION_COUNTER,
		   "Client connections answered 421.", METRIC_CONNECTIONS_REFUSED);
	add_metric(x, "mailfuse_connections", EXPOSITION_GAUGE, "Client connections open now.",
		   METRIC_CONNECTIONS_NOW);
	exposition_family(x, "mailfuse_messages_total", EXPOSITION_COUNTER,
			  "Messages answered 250 (accepted), or 4xx or 5xx after their content "
			  "(refused).");
	exposition_count(x, metric_get(METRIC_MESSAGES_ACCEPTED), "result", "accepted", NULL);
	exposition_count(x, metric_get(METRIC_MESSAGES_REFUSED), "result", "refused", NULL);
	add_metric(x, "mailfuse_message_memory_bytes", EXPOSITION_GAUGE,
		   "Content of messages in memory; memory_limit is its limit.",
		   METRIC_BODY_BYTES_NOW);
	add_metric(x, "mailfuse_writer_waiting_bytes", EXPOSITION_GAUGE,
		   "Content that waits to be written to the store.", METRIC_WRITER_BYTES_NOW);
}

void
metrics_add_counts(struct exposition *x)
{
	add_tallies(x);
	exposition_histogram(x, "mailfuse_accept_duration_seconds",
			     "From MAIL to the 250 behind the content's dot.", HISTOGRAM_ACCEPT,
			     true);
	exposition_histogram(x, "mailfuse_delivery_duration_seconds",
			     "From that 250 to the upstream's, of each recipient of mail that "
			     "passed at once.",
			     HISTOGRAM_DELIVERY, true);
	exposition_histogram(x, "mailfuse_commit_duration_seconds",
			     "Of a group of writes to the store, from its begin until it is on "
			     "disk.",
			     HISTOGRAM_COMMIT, true);
	exposition_histogram(x, "mailfuse_commit_jobs", "Writes that shared a commit.",
			     HISTOGRAM_COMMIT_JOBS, false);
	add_clients(x);
	exposition_family(x, "mailfuse_reloads_total", EXPOSITION_COUNTER,
			  "Reloads of the configuration: ok, or refused and the old one stayed.");
	exposition_count(x, metric_get(METRIC_RELOADS), "result", "ok", NULL);
	exposition_count(x, metric_get(METRIC_RELOADS_REFUSED), "result", "refused", NULL);
	add_metric(x, "mailfuse_config_refused", EXPOSITION_GAUGE,
		   "1 if the last reload was refused.", METRIC_CONFIG_REFUSED_NOW);
}
