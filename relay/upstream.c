/*
 * Pools of connections to upstreams: who waits, who is idle, when to open one more. Called by
 * delivery.c, smtp_client.c and health.c; one pool a loop and name.
 */
#include "relay/upstream.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "relay/health.h"
#include "relay/smtp_client.h"

enum { WAITING_MAX = 500 };

#define FULL_WAIT (5 * CLOCK_SECOND)

size_t
upstream_share(uint32_t all, size_t loop_index, size_t loop_count)
{
	return all / loop_count + (loop_index < all % loop_count ? 1 : 0);
}

static struct delivery *
upstream_take_waiting(struct upstream *u)
{
	struct delivery *d = TAILQ_FIRST(&u->waiting);

	if (d != NULL) {
		TAILQ_REMOVE(&u->waiting, d, next);
		u->waiting_count--;
	}
	return d;
}

static void
upstream_hand_back(struct upstream *u, const char *why)
{
	struct delivery *d;

	while ((d = upstream_take_waiting(u)) != NULL)
		delivery_done(d, false, why);
}

/* Takes the loop's present configuration; connections to an address that changed end. */
static void
upstream_refresh(struct upstream *u)
{
	const struct config_upstream *old = u->config, *now;
	struct smtp_client *c;

	if (u->policy == u->rl->policy)
		return;
	now = config_find_upstream(policy_config(u->rl->policy), u->name);
	if (old != NULL &&
	    (now == NULL || strcmp(old->host, now->host) != 0 || old->port != now->port)) {
		LIST_FOREACH (c, &u->busy, next)
			smtp_client_retire(c);
		while ((c = LIST_FIRST(&u->idle)) != NULL)
			smtp_client_quit(c);
	}
	u->config = now;
	policy_unref(u->policy);
	u->policy = policy_ref(u->rl->policy);
	u->max_clients =
	    now == NULL ? 0
			: upstream_share(now->connections, u->rl->index, u->rl->relay->loop_count);
	if (now == NULL)
		upstream_hand_back(u, "its upstream is no longer configured");
}

static void upstream_look_again(void *context);

static struct upstream *
upstream_get(struct relay_loop *rl, const char *name)
{
	struct upstream *u;

	LIST_FOREACH (u, &rl->upstreams, next)
		if (strcmp(u->name, name) == 0)
			break;
	if (u == NULL) {
		u = mem_zalloc(sizeof(*u));
		u->rl = rl;
		u->name = mem_strdup(name);
		u->health = health_find(rl->relay->health, name);
		u->again = loop_timer_new(rl->loop, upstream_look_again, u);
		TAILQ_INIT(&u->waiting);
		LIST_INSERT_HEAD(&rl->upstreams, u, next);
	}
	upstream_refresh(u);
	return u;
}

bool
upstream_has_room(struct relay_loop *rl, const char *name)
{
	struct upstream *u = upstream_get(rl, name);

	return u->max_clients > 0 && u->waiting_count < WAITING_MAX && health_is_up(u->health) &&
	       (u->clients > 0 || clock_mono() >= u->full_until);
}

static void
upstream_send(struct upstream *u, struct smtp_client *c, struct delivery *d)
{
	LIST_REMOVE(c, next);
	LIST_INSERT_HEAD(&u->busy, c, next);
	delivery_sending(d);
	smtp_client_send(c, d);
}

static void
upstream_open(struct upstream *u, bool probe)
{
	struct smtp_client *c = smtp_client_open(u, probe);

	LIST_INSERT_HEAD(&u->busy, c, next);
	u->clients++;
	u->connecting++;
}

/* It has just refused one connection more than it allows. */
static bool
upstream_is_full(const struct upstream *u)
{
	return clock_mono() < u->full_until;
}

/* A connection for each that waits and for whom none is on its way. */
static void
upstream_open_needed(struct upstream *u)
{
	while (u->config != NULL && !upstream_is_full(u) && u->waiting_count > u->connecting &&
	       u->clients < u->max_clients)
		upstream_open(u, false);
}

/* While connections stand, here or on another loop, it is full rather than down: a while later. */
static void
upstream_set_full(struct upstream *u, const char *why)
{
	log_warn("- upstream.connect-failed name=%s why=%s", u->name, log_safe(why));
	u->full_until = clock_mono() + FULL_WAIT;
	loop_timer_set(u->again, FULL_WAIT);
}

static void
upstream_look_again(void *context)
{
	struct upstream *u = context;

	u->full_until = 0;
	if (!u->rl->stopping)
		upstream_open_needed(u);
}

void
upstream_acquire(struct delivery *d)
{
	struct upstream *u = upstream_get(d->rl, d->upstream);
	struct smtp_client *c = LIST_FIRST(&u->idle);

	if (u->config == NULL || u->max_clients == 0 || !health_is_up(u->health)) {
		delivery_done(d, false,
			      u->config == NULL ? "its upstream is no longer configured"
						: "the upstream cannot be reached");
		return;
	}
	if (c != NULL && TAILQ_EMPTY(&u->waiting)) {
		upstream_send(u, c, d);
		return;
	}
	TAILQ_INSERT_TAIL(&u->waiting, d, next);
	u->waiting_count++;
	upstream_open_needed(u);
}

void
upstream_opened(struct smtp_client *c)
{
	struct upstream *u = smtp_client_upstream(c);

	u->connecting--;
	health_connected(u->health, 1);
	health_report_up(u->health);
	upstream_release(c);
}

void
upstream_release(struct smtp_client *c)
{
	struct upstream *u = smtp_client_upstream(c);
	struct delivery *d;

	upstream_refresh(u);
	if (u->rl->stopping || u->config == NULL || smtp_client_is_retired(c)) {
		smtp_client_quit(c);
		relay_check_quiet(u->rl);
		return;
	}
	/* What was stopped by the panic button while it waited goes back. */
	while ((d = upstream_take_waiting(u)) != NULL && delivery_is_stopped(d))
		delivery_done(d, false, "held by an operator");
	if (d != NULL) {
		upstream_send(u, c, d);
		return;
	}
	LIST_REMOVE(c, next);
	LIST_INSERT_HEAD(&u->idle, c, next);
	smtp_client_idle(c);
}

void
upstream_lost(struct smtp_client *c, bool opened, const char *why)
{
	struct upstream *u = smtp_client_upstream(c);

	LIST_REMOVE(c, next);
	u->clients--;
	if (opened) {
		health_connected(u->health, -1);
	} else {
		u->connecting--;
		if (health_connections(u->health) > 0 && !smtp_client_is_probe(c)) {
			upstream_set_full(u, why);
		} else {
			health_report_down(u->health, smtp_client_is_probe(c), why);
			upstream_hand_back(u, why);
		}
	}
	if (opened && !u->rl->stopping)
		upstream_open_needed(u);
	/* A reload left this loop no connection: nobody else would come for those that wait. */
	if (u->clients == 0 && !upstream_is_full(u))
		upstream_hand_back(u, "no connection is left to its upstream");
	relay_check_quiet(u->rl);
}

struct probe {
	struct loop_post post;
	struct relay_loop *rl;
	char *name;
};

static void
upstream_probe_here(struct loop_post *post)
{
	struct probe *p = (struct probe *)post;
	struct upstream *u;

	if (!p->rl->stopping) {
		u = upstream_get(p->rl, p->name);
		if (u->config != NULL)
			upstream_open(u, true);
	}
	free(p->name);
	free(p);
}

void
upstream_probe(struct relay_loop *rl, const char *name)
{
	struct probe *p = mem_zalloc(sizeof(*p));

	p->post.run = upstream_probe_here;
	p->rl = rl;
	p->name = mem_strdup(name);
	loop_post(rl->loop, &p->post);
}

void
upstream_stop_all(struct relay_loop *rl)
{
	struct upstream *u;
	struct smtp_client *c;

	LIST_FOREACH (u, &rl->upstreams, next) {
		upstream_hand_back(u, "shutting down");
		while ((c = LIST_FIRST(&u->idle)) != NULL)
			smtp_client_quit(c);
	}
}

bool
upstream_all_quiet(const struct relay_loop *rl)
{
	const struct upstream *u;

	LIST_FOREACH (u, &rl->upstreams, next)
		if (!LIST_EMPTY(&u->busy) && u->clients > u->connecting)
			return false;
	return true;
}

void
upstream_free_all(struct relay_loop *rl)
{
	struct upstream *u;
	struct smtp_client *c;
	struct delivery *d;

	while ((u = LIST_FIRST(&rl->upstreams)) != NULL) {
		while ((c = LIST_FIRST(&u->busy)) != NULL || (c = LIST_FIRST(&u->idle)) != NULL)
			smtp_client_abort(c);
		while ((d = upstream_take_waiting(u)) != NULL)
			delivery_done(d, false, "shutting down");
		LIST_REMOVE(u, next);
		loop_timer_free(u->again);
		policy_unref(u->policy);
		free(u->name);
		free(u);
	}
}
