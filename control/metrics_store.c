/*
 * What the store holds now: the queue, the quarantine, the panic button, alerts that wait.
 *
 * Nothing here reads deliveries but the oldest that are queued or wait in each environment, and the
 * oldest that each batch holds. The numbers are kept as they change (store/work.c).
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "control/button.h"
#include "control/metrics_parts.h"

struct environment_row {
	char *name;
	uint64_t queued, waiting, held;
	int64_t queued_at, held_at; /* wall clock, of the oldest; 0 = none */
	int64_t due_at;             /* clock_steady(); 0 = nothing is due */
};

struct hold_row {
	char *name;
	int scope;
};

struct stored {
	struct environment_row *environments;
	size_t environment_count;
	struct hold_row *holds;
	size_t hold_count;
	uint64_t batches, alerts_pending, alerts_failed;
	int64_t alerts_oldest_at;
	int64_t others_at; /* for whom no oldest was found: it is no older; 0 = all were found */
};

static struct environment_row *
add_row(struct stored *s, const char *name)
{
	struct environment_row *row;

	s->environments =
	    mem_resize_array(s->environments, s->environment_count + 1, sizeof(*s->environments));
	row = &s->environments[s->environment_count++];
	*row = (struct environment_row){.name = mem_strdup(name)};
	return row;
}

/* All states of an environment come one after the other. */
static bool
see_count(void *context, const char *environment, enum store_state state, uint64_t count,
	  int64_t oldest_accepted_at, int64_t next_due_at)
{
	struct stored *s = context;
	struct environment_row *row =
	    s->environment_count > 0 ? &s->environments[s->environment_count - 1] : NULL;

	if (row == NULL || strcmp(row->name, environment) != 0)
		row = add_row(s, environment);
	if (state == STORE_QUEUED) {
		row->queued = count;
		row->queued_at = oldest_accepted_at;
		row->due_at = next_due_at;
	} else if (state == STORE_WAITING) {
		row->waiting = count;
	} else if (state == STORE_HELD) {
		row->held = count;
	}
	return true;
}

static int
compare_rows(const void *a, const void *b)
{
	return strcmp(((const struct environment_row *)a)->name,
		      ((const struct environment_row *)b)->name);
}

/* Those of the configuration, of which nothing is stored, are told too. */
static void
add_empty(struct stored *s, const struct config *config)
{
	const size_t stored = s->environment_count;

	if (stored > 0)
		qsort(s->environments, stored, sizeof(*s->environments), compare_rows);
	for (size_t i = 0; i < config->environment_count; i++) {
		const struct environment_row key = {.name = config->environments[i].name};

		if (stored == 0 || bsearch(&key, s->environments, stored, sizeof(*s->environments),
					   compare_rows) == NULL)
			add_row(s, key.name);
	}
	if (s->environment_count > 0)
		qsort(s->environments, s->environment_count, sizeof(*s->environments),
		      compare_rows);
}

static void
be_older(int64_t *oldest_at, int64_t at)
{
	if (*oldest_at == 0 || at < *oldest_at)
		*oldest_at = at;
}

static bool
see_held(void *context, const char *environment, int64_t oldest_accepted_at)
{
	struct stored *s = context;
	const struct environment_row key = {.name = (char *)environment};
	struct environment_row *row;

	if (environment == NULL) {
		be_older(&s->others_at, oldest_accepted_at);
		return true;
	}
	row = s->environment_count == 0 ? NULL
					: bsearch(&key, s->environments, s->environment_count,
						  sizeof(*s->environments), compare_rows);
	if (row != NULL)
		be_older(&row->held_at, oldest_accepted_at);
	return true;
}

static bool
see_batch(void *context, const struct store_batch *b)
{
	(void)b;
	((struct stored *)context)->batches++;
	return true;
}

static bool
see_hold(void *context, const struct store_hold *h)
{
	struct stored *s = context;

	s->holds = mem_resize_array(s->holds, s->hold_count + 1, sizeof(*s->holds));
	s->holds[s->hold_count++] =
	    (struct hold_row){.name = mem_strdup(h->name), .scope = h->scope};
	return true;
}

static enum store_result
read_stored(struct store_view *view, const struct config *config, struct stored *s)
{
	enum store_result r = store_view_counts(view, see_count, s);

	add_empty(s, config);
	if (r == STORE_OK)
		r = store_view_held(view, see_held, s);
	if (r == STORE_OK)
		r = store_view_holding(view, see_batch, s);
	if (r == STORE_OK)
		r = store_view_holds(view, see_hold, s);
	if (r == STORE_OK)
		r = store_view_alert_backlog(view, &s->alerts_pending, &s->alerts_failed,
					     &s->alerts_oldest_at);
	return r;
}

static void
free_stored(struct stored *s)
{
	for (size_t i = 0; i < s->environment_count; i++)
		free(s->environments[i].name);
	free(s->environments);
	for (size_t i = 0; i < s->hold_count; i++)
		free(s->holds[i].name);
	free(s->holds);
}

/* 0 where there is none; clocks may have been set back. */
static int64_t
age(int64_t at, int64_t now)
{
	return at != 0 && at < now ? now - at : 0;
}

static void
add_queue(struct exposition *x, const struct stored *s, int64_t now)
{
	const int64_t steady = clock_steady();
	const struct environment_row *row = s->environments, *end = row + s->environment_count;

	exposition_family(x, "mailfuse_queue_deliveries", EXPOSITION_GAUGE,
			  "Deliveries that are queued, or wait because their stream is beyond its "
			  "head.");
	for (row = s->environments; row < end; row++) {
		exposition_count(x, (int64_t)row->queued, "environment", row->name, "state",
				 "queued", NULL);
		exposition_count(x, (int64_t)row->waiting, "environment", row->name, "state",
				 "waiting", NULL);
	}
	exposition_family(x, "mailfuse_queue_oldest_seconds", EXPOSITION_GAUGE,
			  "Since the oldest queued mail was accepted; of a release that includes "
			  "the time in quarantine.");
	for (row = s->environments; row < end; row++)
		exposition_seconds(x, row->queued > 0 ? age(row->queued_at, now) : 0, "environment",
				   row->name, NULL);
	exposition_family(x, "mailfuse_queue_overdue_seconds", EXPOSITION_GAUGE,
			  "Since the first queued delivery is due and no upstream takes it.");
	for (row = s->environments; row < end; row++)
		exposition_seconds(x, row->queued > 0 ? age(row->due_at, steady) : 0, "environment",
				   row->name, NULL);
}

static void
add_quarantine(struct exposition *x, const struct stored *s, int64_t now)
{
	const struct environment_row *row, *end = s->environments + s->environment_count;

	exposition_family(x, "mailfuse_quarantine_recipients", EXPOSITION_GAUGE,
			  "Deliveries held now.");
	for (row = s->environments; row < end; row++)
		exposition_count(x, (int64_t)row->held, "environment", row->name, NULL);
	exposition_family(x, "mailfuse_quarantine_oldest_seconds", EXPOSITION_GAUGE,
			  "Since the oldest mail that is held was accepted.");
	for (row = s->environments; row < end; row++) {
		int64_t at = row->held_at != 0 ? row->held_at : s->others_at;

		exposition_seconds(x, row->held > 0 ? age(at, now) : 0, "environment", row->name,
				   NULL);
	}
	exposition_family(x, "mailfuse_quarantine_batches", EXPOSITION_GAUGE,
			  "Batches that hold something now.");
	exposition_count(x, (int64_t)s->batches, NULL);
}

static void
add_holds(struct exposition *x, const struct stored *s)
{
	exposition_family(x, "mailfuse_panic_hold", EXPOSITION_GAUGE,
			  "1 for each panic button that is pressed.");
	for (size_t i = 0; i < s->hold_count; i++)
		exposition_count(x, 1, "scope", button_scope_name(s->holds[i].scope), "name",
				 s->holds[i].name, NULL);
}

static void
add_alerts(struct exposition *x, const struct stored *s, int64_t now)
{
	exposition_family(x, "mailfuse_alerts_pending", EXPOSITION_GAUGE,
			  "Alerts that are not delivered yet.");
	exposition_count(x, (int64_t)s->alerts_pending, NULL);
	exposition_family(x, "mailfuse_alerts_oldest_seconds", EXPOSITION_GAUGE,
			  "Since the oldest of them was raised.");
	exposition_seconds(x, s->alerts_pending > 0 ? age(s->alerts_oldest_at, now) : 0, NULL);
}

static void
add_room(struct exposition *x, const struct control_deps *deps, const struct config *config)
{
	const char *why;

	exposition_family(x, "mailfuse_quarantine_bytes", EXPOSITION_GAUGE,
			  "Bytes of the store that are in use, which quarantine_limit looks at.");
	exposition_count(x, metric_get(METRIC_STORE_BYTES_NOW), NULL);
	exposition_family(x, "mailfuse_quarantine_limit_bytes", EXPOSITION_GAUGE,
			  "quarantine_limit; 0 is none.");
	exposition_count(x, (int64_t)config->quarantine_limit, NULL);
	exposition_family(x, "mailfuse_store_room", EXPOSITION_GAUGE,
			  "1 while new mail has room in the store; else it is answered 452.");
	exposition_count(x, store_has_room(deps->store, &why), NULL);
	exposition_family(x, "mailfuse_store_broken", EXPOSITION_GAUGE,
			  "1 if the last write to the store failed otherwise than for want of "
			  "room; new mail is answered 451.");
	exposition_count(x, store_is_broken(deps->store), NULL);
}

void
metrics_add_store(struct exposition *x, const struct control_deps *deps,
		  const struct config *config)
{
	struct stored s = {.batches = 0};
	int64_t now = clock_wall();
	enum store_result r = read_stored(deps->view, config, &s);

	add_room(x, deps, config);
	exposition_family(
	    x, "mailfuse_store_readable", EXPOSITION_GAUGE,
	    "1 if the store could be read for this answer; else what it holds is left "
	    "out.");
	exposition_count(x, r == STORE_OK, NULL);
	if (r == STORE_OK) {
		add_queue(x, &s, now);
		add_quarantine(x, &s, now);
		add_holds(x, &s);
		add_alerts(x, &s, now);
	} else {
		log_warn("- metrics.store-unreadable result=%d", (int)r);
	}
	free_stored(&s);
}
