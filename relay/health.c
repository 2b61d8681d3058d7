/*
 * Upstreams up and down. Reports come from upstream.c on any loop; timers, facts and alerts are
 * main's. Owned by the relay.
 */
#include "relay/health.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "relay/relay.h"
#include "relay/retry.h"
#include "relay/upstream.h"
#include "store/fact.h"

enum health_state { HEALTH_UP, HEALTH_SUSPECT, HEALTH_DOWN };

enum { WHY_BYTES = 300, PROBE_MAX_US = 60 * 1000000 };

struct health {
	SLIST_ENTRY(health) next;
	struct relay *relay;
	char *name;
	_Atomic int state; /* enum health_state; written by main only */
	_Atomic size_t under_way;
	_Atomic uint32_t connections, connecting, starving;
	_Atomic bool told; /* a report of failure is on its way to main */
	/* main's */
	struct loop_timer *probe;
	int64_t wait; /* before the next probe */
	int64_t since;
	char why[WHY_BYTES];
};

struct health_table {
	struct relay *relay;
	pthread_mutex_t lock;
	SLIST_HEAD(, health) list;
	bool stopping;
};

struct health_report {
	struct loop_post post;
	struct health *health;
	bool up, probe;
	char why[WHY_BYTES];
};

struct health_table *
health_table_new(struct relay *r)
{
	struct health_table *t = mem_zalloc(sizeof(*t));

	t->relay = r;
	pthread_mutex_init(&t->lock, NULL);
	SLIST_INIT(&t->list);
	return t;
}

void
health_table_free(struct health_table *t)
{
	struct health *h;

	if (t == NULL)
		return;
	while ((h = SLIST_FIRST(&t->list)) != NULL) {
		SLIST_REMOVE_HEAD(&t->list, next);
		loop_timer_free(h->probe);
		free(h->name);
		free(h);
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

struct health *
health_find(struct health_table *t, const char *name)
{
	struct health *h;

	pthread_mutex_lock(&t->lock);
	SLIST_FOREACH (h, &t->list, next)
		if (strcmp(h->name, name) == 0)
			break;
	if (h == NULL) {
		h = mem_zalloc(sizeof(*h));
		h->relay = t->relay;
		h->name = mem_strdup(name);
		h->since = clock_wall();
		SLIST_INSERT_HEAD(&t->list, h, next);
	}
	pthread_mutex_unlock(&t->lock);
	return h;
}

bool
health_is_up(const struct health *h)
{
	return atomic_load_explicit(&h->state, memory_order_relaxed) == HEALTH_UP;
}

static void
health_set_state(struct health *h, enum health_state next, const char *why)
{
	static const char *const names[] = {"up", "suspect", "down"};
	static const unsigned char allowed[3][3] = {
	    [HEALTH_UP] = {[HEALTH_SUSPECT] = 1},
	    [HEALTH_SUSPECT] = {[HEALTH_UP] = 1, [HEALTH_DOWN] = 1},
	    [HEALTH_DOWN] = {[HEALTH_UP] = 1},
	};
	int old = atomic_load(&h->state);

	if (!allowed[old][next])
		panic("- upstream.state name=%s old=%s new=%s is not allowed", h->name, names[old],
		      names[next]);
	log_warn("- upstream.state name=%s old=%s new=%s why=%s", h->name, names[old], names[next],
		 log_safe(why));
	h->since = clock_wall();
	snprintf(h->why, sizeof(h->why), "%s", next == HEALTH_UP ? "" : why);
	atomic_store(&h->state, next);
}

/* Audit and alert in one transaction. */
static void
health_tell(struct health *h, const char *event)
{
	bool up = strcmp(event, "upstream.up") == 0;
	char *text = mem_printf(up ? "upstream %s answers again; queued mail is on its way%s"
				   : "upstream %s cannot be used; mail waits in the queue: %s",
				h->name, up ? "" : h->why);

	fact_tell(h->relay->store, &(struct fact){
				       .event = event,
				       .object = h->name,
				       .text = text,
				       .alert = true,
				   });
	free(text);
}

static void
health_probe(void *context)
{
	struct health *h = context;
	struct relay *r = h->relay;

	if (health_is_up(h) || r->stopping)
		return;
	upstream_probe(&r->loops[0], h->name);
}

static void
health_schedule_probe(struct health *h)
{
	if (h->probe == NULL)
		h->probe = loop_timer_new(h->relay->main, health_probe, h);
	if (h->relay->stopping)
		return;
	loop_timer_set(h->probe, retry_jitter(h->wait));
	h->wait = h->wait * 2 > PROBE_MAX_US ? PROBE_MAX_US : h->wait * 2;
}

/* Only a probe makes SUSPECT into DOWN: twenty connections that break at once are one failure. */
static void
health_went_down(struct health *h, bool probe, const char *why)
{
	int state = atomic_load(&h->state);

	if (state == HEALTH_UP) {
		h->wait = retry_probe_delay();
		health_set_state(h, HEALTH_SUSPECT, why);
	} else if (!probe) {
		return;
	} else if (state == HEALTH_SUSPECT) {
		health_set_state(h, HEALTH_DOWN, why);
		health_tell(h, "upstream.down");
	} else {
		snprintf(h->why, sizeof(h->why), "%s", why);
	}
	health_schedule_probe(h);
}

static void
health_came_up(struct health *h)
{
	bool was_down = atomic_load(&h->state) == HEALTH_DOWN;

	if (health_is_up(h))
		return;
	if (h->probe != NULL)
		loop_timer_cancel(h->probe);
	health_set_state(h, HEALTH_UP, "it answers");
	if (was_down)
		health_tell(h, "upstream.up");
	retry_poke(h->relay->retry);
}

static void
health_reported(struct loop_post *post)
{
	struct health_report *report = (struct health_report *)post;
	struct health *h = report->health;

	if (!report->up && !report->probe)
		atomic_store(&h->told, false);
	if (h->relay->stopping)
		log_debug("- upstream.report-late name=%s", h->name);
	else if (report->up)
		health_came_up(h);
	else
		health_went_down(h, report->probe, report->why);
	free(report);
}

static void
health_report(struct health *h, bool up, bool probe, const char *why)
{
	struct health_report *report;

	if (h->relay->stopped) /* nobody listens, and h goes soon */
		return;
	report = mem_zalloc(sizeof(*report));
	report->post.run = health_reported;
	report->health = h;
	report->up = up;
	report->probe = probe;
	snprintf(report->why, sizeof(report->why), "%s", why);
	loop_post(h->relay->main, &report->post);
}

void
health_report_up(struct health *h)
{
	if (!health_is_up(h))
		health_report(h, true, false, "");
}

void
health_report_down(struct health *h, bool probe, const char *why)
{
	/* Many connections fail at once: one report is enough until main has heard it. */
	if (probe || !atomic_exchange(&h->told, true))
		health_report(h, false, probe, why);
}

void
health_claimed(struct health *h, size_t deliveries)
{
	atomic_fetch_add(&h->under_way, deliveries);
}

void
health_returned(struct health *h, size_t deliveries)
{
	atomic_fetch_sub(&h->under_way, deliveries);
	relay_request_poke(h->relay);
}

size_t
health_under_way(const struct health *h)
{
	return atomic_load(&h->under_way);
}

void
health_connected(struct health *h, int n)
{
	atomic_fetch_add(&h->connections, (uint32_t)n);
}

void
health_connecting(struct health *h, int n)
{
	atomic_fetch_add(&h->connecting, (uint32_t)n);
}

void
health_starving(struct health *h, int n)
{
	atomic_fetch_add(&h->starving, (uint32_t)n);
}

bool
health_is_starving(const struct health *h)
{
	return atomic_load_explicit(&h->starving, memory_order_relaxed) > 0;
}

bool
health_may_stand(const struct health *h)
{
	/* In this order: what leaves the second is in the first by then. */
	return atomic_load(&h->connecting) > 0 || atomic_load(&h->connections) > 0;
}

int64_t
health_since(const struct health *h)
{
	return h->since;
}

const char *
health_why(const struct health *h)
{
	return h->why;
}

uint32_t
health_connections(const struct health *h)
{
	return atomic_load(&h->connections);
}

void
health_recheck(struct health_table *t)
{
	struct health *h;

	pthread_mutex_lock(&t->lock);
	SLIST_FOREACH (h, &t->list, next) {
		if (health_is_up(h))
			continue;
		h->wait = retry_probe_delay();
		health_schedule_probe(h);
	}
	pthread_mutex_unlock(&t->lock);
}

void
health_stop(struct health_table *t)
{
	struct health *h;

	pthread_mutex_lock(&t->lock);
	SLIST_FOREACH (h, &t->list, next)
		if (h->probe != NULL)
			loop_timer_cancel(h->probe);
	pthread_mutex_unlock(&t->lock);
}
