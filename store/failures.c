/*
 * Counts a job's failures by environment, and tells or keeps the count. Writer's thread; memory is
 * the job's arena. See failures.h.
 */
#include "store/failures.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

#define FAILURES_QUIET (10 * CLOCK_MINUTE)

void
failures_add(struct work *w, struct failures_list *all, const struct delivery_row *d,
	     const char *reply)
{
	struct failures *f;

	SLIST_FOREACH (f, all, next)
		if (f->environment == d->environment)
			break;
	if (f == NULL) {
		f = arena_zalloc(&w->arena, sizeof(*f));
		f->environment = d->environment;
		f->name = d->environment_name;
		SLIST_INSERT_HEAD(all, f, next);
	}
	f->reply = reply;
	f->count++;
}

/* A clock that was set back must not keep it quiet for longer. */
static bool
is_quiet(int64_t told_at, int64_t now)
{
	return now >= told_at && now - told_at < FAILURES_QUIET;
}

/* Mail of an alert: a channel fails, which is told on the others only (job_alert.c). */
static enum store_result
alert_channel(struct work *w, const struct failures *f, int64_t now)
{
	const char *channel = f->name + strlen(STORE_ALERTS_PREFIX);

	return work_alert(
	    w, &(struct event_row){
		   .at = now,
		   .event = "alert.failed",
		   .environment = f->name,
		   .count = f->count,
		   .who = "gate",
		   .text = arena_printf(
		       &w->arena,
		       "alerts on channel %s do not arrive: the upstream refused %" PRId64
		       " for good (mailfuse messages --environment %s), the last: %s",
		       channel, f->count, f->name, f->reply)});
}

static enum store_result
alert(struct work *w, const struct failures *f, int64_t now)
{
	TRY(w->b->notice_set(w->db, &(struct notice_row){.kind = NOTICE_FAILED,
							 .key = (uint64_t)f->environment,
							 .at = now,
							 .text = ""}));
	if (store_is_alert_mail(f->name))
		return alert_channel(w, f, now);
	return work_alert(
	    w, &(struct event_row){
		   .at = now,
		   .event = "delivery.failed",
		   .environment = f->name,
		   .count = f->count,
		   .who = "gate",
		   .text = arena_printf(
		       &w->arena,
		       "%s: %" PRId64
		       " %s failed for good (mailfuse messages --state failed), the last: %s",
		       f->name, f->count, f->count == 1 ? "delivery" : "deliveries", f->reply)});
}

static enum store_result
tell(struct work *w, const struct failures *f, int64_t now)
{
	uint64_t key = (uint64_t)f->environment;
	int64_t at = 0, untold = 0;
	enum store_result r = w->b->notice_get(w->db, NOTICE_FAILED, key, &at, &untold);
	struct failures all = *f;

	if (r != STORE_OK && r != STORE_MISSING)
		return r;
	all.count += untold;
	if (r == STORE_OK && is_quiet(at, now))
		return w->b->notice_set(w->db, &(struct notice_row){.kind = NOTICE_FAILED,
								    .key = key,
								    .at = at,
								    .count = all.count,
								    .text = f->reply});
	return alert(w, &all, now);
}

enum store_result
failures_tell(struct work *w, const struct failures_list *all, int64_t now)
{
	const struct failures *f;

	SLIST_FOREACH (f, all, next)
		TRY(tell(w, f, now));
	return STORE_OK;
}

/* ---- sweep ---- */

struct sweeping {
	struct work *w;
	struct failures_list due;
	int64_t now;
};

static bool
see_untold(void *context, const struct notice_row *n)
{
	struct sweeping *s = context;
	struct failures *f;

	if (is_quiet(n->at, s->now))
		return true;
	f = arena_zalloc(&s->w->arena, sizeof(*f));
	*f = (struct failures){.environment = (int64_t)n->key,
			       .count = n->count,
			       .name = "",
			       .reply = work_copy(s->w, n->text)};
	SLIST_INSERT_HEAD(&s->due, f, next);
	return true;
}

static bool
see_name(void *context, int64_t environment, const char *name, enum store_state state,
	 uint64_t count)
{
	struct sweeping *s = context;
	struct failures *f;

	(void)state;
	(void)count;
	SLIST_FOREACH (f, &s->due, next)
		if (f->environment == environment && *f->name == '\0')
			f->name = work_copy(s->w, name);
	return true;
}

enum store_result
failures_sweep(struct work *w, int64_t now)
{
	struct sweeping s = {.w = w, .now = now};
	const struct failures *f;

	TRY(w->b->notice_list(w->db, NOTICE_FAILED, see_untold, &s));
	if (SLIST_EMPTY(&s.due))
		return STORE_OK;
	TRY(w->b->count_list(w->db, see_name, &s));
	SLIST_FOREACH (f, &s.due, next)
		TRY(alert(w, f, now));
	return STORE_OK;
}
