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
#include "relay/keyring.h"
#include "relay/smtp_client.h"

enum { WAITING_MAX = 500, AHEAD_LOST_MAX = 3 };

#define FULL_WAIT (5 * CLOCK_SECOND)
#define CLEAR_WAIT (10 * CLOCK_MINUTE)
#define NO_AHEAD_WAIT CLOCK_HOUR

size_t
upstream_share(uint32_t all, size_t loop_index, size_t loop_count)
{
	return all / loop_count + (loop_index < all % loop_count ? 1 : 0);
}

/* Before that one, or NULL: behind all. */
static void
upstream_add_waiting(struct upstream *u, struct delivery *d, struct delivery *before)
{
	if (before != NULL)
		TAILQ_INSERT_BEFORE(before, d, next);
	else
		TAILQ_INSERT_TAIL(&u->waiting, d, next);
	u->waiting_count++;
}

static void
upstream_remove_waiting(struct upstream *u, struct delivery *d)
{
	TAILQ_REMOVE(&u->waiting, d, next);
	u->waiting_count--;
}

static struct delivery *
upstream_take_waiting(struct upstream *u)
{
	struct delivery *d = TAILQ_FIRST(&u->waiting);

	if (d != NULL)
		upstream_remove_waiting(u, d);
	return d;
}

static void
upstream_set_starving(struct upstream *u, bool starving)
{
	if (u->starving == starving)
		return;
	u->starving = starving;
	health_starving(u->health, starving ? 1 : -1);
}

static void
upstream_hand_back(struct upstream *u, const char *why)
{
	struct delivery *d;

	upstream_set_starving(u, false);
	while ((d = upstream_take_waiting(u)) != NULL)
		delivery_done(d, false, why);
}

/* True if a connection that was made with `old` will not do any more. */
static bool
upstream_is_other(const struct config_upstream *old, const struct config_upstream *now)
{
	return now == NULL || strcmp(old->host, now->host) != 0 || old->port != now->port ||
	       old->tls != now->tls || strcmp(old->ca, now->ca) != 0 ||
	       strcmp(old->user, now->user) != 0 || strcmp(old->password, now->password) != 0;
}

void
upstream_refresh(struct upstream *u)
{
	struct policy *before = u->policy;
	const struct config_upstream *old = u->config, *now;
	struct tls *tls;
	struct smtp_client *c;

	if (before == u->rl->policy)
		return;
	now = config_find_upstream(policy_config(u->rl->policy), u->name);
	tls = u->rl->keys != NULL ? keyring_upstream(u->rl->keys, u->name) : NULL;
	tls_unref(u->tls);
	u->tls = tls != NULL ? tls_ref(tls) : NULL;
	u->policy = policy_ref(u->rl->policy);
	u->config = now;
	u->max_clients =
	    now == NULL ? 0
			: upstream_share(now->connections, u->rl->index, u->rl->relay->loop_count);
	if (old != NULL && upstream_is_other(old, now)) {
		u->clear_until = u->no_ahead_until = 0;
		u->ahead_lost = 0;
		LIST_FOREACH (c, &u->busy, next)
			smtp_client_retire(c);
		while ((c = LIST_FIRST(&u->idle)) != NULL)
			smtp_client_quit(c);
	}
	policy_unref(before);
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
	health_connecting(u->health, 1);
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
	upstream_set_starving(u, u->clients == u->connecting && u->waiting_count > 0);
}

/*
 * Another loop has mail and cannot get a connection: all but one that is busy here is given to it,
 * and none opened instead for a while.
 */
static bool
upstream_gives_way(struct upstream *u)
{
	bool last = u->clients - u->connecting <= 1 && u->waiting_count > 0;

	if (!health_is_starving(u->health) || u->starving || last)
		return false;
	if (u->waiting_count > 0) {
		u->full_until = clock_mono() + 2 * FULL_WAIT;
		loop_timer_set(u->again, 2 * FULL_WAIT);
	}
	return true;
}

static void
upstream_look_again(void *context)
{
	struct upstream *u = context;

	u->full_until = 0;
	upstream_refresh(u);
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
						: "the upstream is down");
		return;
	}
	if (c != NULL && TAILQ_EMPTY(&u->waiting)) {
		upstream_send(u, c, d);
		return;
	}
	upstream_add_waiting(u, d, NULL);
	upstream_open_needed(u);
}

void
upstream_opened(struct smtp_client *c)
{
	struct upstream *u = smtp_client_upstream(c);

	health_connected(u->health, 1);
	u->connecting--;
	health_connecting(u->health, -1);
	health_report_up(u->health);
	upstream_set_starving(u, false);
	upstream_release(c);
}

void
upstream_release(struct smtp_client *c)
{
	struct upstream *u = smtp_client_upstream(c);
	struct delivery *d;

	upstream_refresh(u);
	if (u->rl->stopping || u->config == NULL || smtp_client_is_retired(c) ||
	    upstream_gives_way(u)) {
		smtp_client_quit(c);
		relay_check_quiet(u->rl);
		return;
	}
	/* What was stopped by the panic button while it waited, or whose stream tripped, goes back.
	 */
	while ((d = upstream_take_waiting(u)) != NULL && !delivery_may_begin(d))
		;
	if (d != NULL) {
		upstream_send(u, c, d);
		return;
	}
	LIST_REMOVE(c, next);
	LIST_INSERT_HEAD(&u->idle, c, next);
	smtp_client_idle(c);
}

struct delivery *
upstream_take_ahead(struct smtp_client *c)
{
	struct upstream *u = smtp_client_upstream(c);
	struct delivery *d;

	if (u->rl->stopping || u->config == NULL || smtp_client_is_retired(c) ||
	    u->waiting_count < u->clients || health_is_starving(u->health) ||
	    clock_mono() < u->no_ahead_until)
		return NULL;
	while ((d = upstream_take_waiting(u)) != NULL && !delivery_may_begin(d))
		;
	if (d != NULL)
		delivery_sending(d);
	return d;
}

void
upstream_no_ahead(struct smtp_client *c, bool sure)
{
	struct upstream *u = smtp_client_upstream(c);

	if (u->rl->stopping || clock_mono() < u->no_ahead_until)
		return;
	u->ahead_lost = sure ? AHEAD_LOST_MAX : u->ahead_lost + 1;
	if (u->ahead_lost < AHEAD_LOST_MAX)
		return;
	u->ahead_lost = 0;
	u->no_ahead_until = clock_mono() + NO_AHEAD_WAIT;
	log_info("- upstream.no-ahead name=%s next=%s", u->name,
		 log_safe("for an hour each message waits for the reply to the one before it"));
}

void
upstream_took_ahead(struct smtp_client *c)
{
	smtp_client_upstream(c)->ahead_lost = 0;
}

void
upstream_recall_all(struct relay_loop *rl)
{
	struct upstream *u;
	struct smtp_client *c;
	struct delivery *d, *next;

	LIST_FOREACH (u, &rl->upstreams, next) {
		LIST_FOREACH (c, &u->busy, next)
			smtp_client_recall(c);
		for (d = TAILQ_FIRST(&u->waiting); d != NULL; d = next) {
			next = TAILQ_NEXT(d, next);
			upstream_remove_waiting(u, d);
			if (delivery_may_begin(d))
				upstream_add_waiting(u, d, next);
		}
		if (u->waiting_count == 0)
			upstream_set_starving(u, false);
	}
}

/* One less: who waits needs another, or goes back into the queue. */
static void
upstream_carry_on(struct upstream *u, bool open)
{
	if (open && !u->rl->stopping) {
		upstream_refresh(u);
		upstream_open_needed(u);
	}
	/* A reload left this loop no connection: nobody else would come for those that wait. */
	if (u->clients == 0 && !upstream_is_full(u))
		upstream_hand_back(u, "no connection is left to its upstream");
	relay_check_quiet(u->rl);
}

static void
upstream_not_opened(struct upstream *u, bool probe, const char *why)
{
	if (probe ? health_connections(u->health) > 0 : health_may_stand(u->health)) {
		upstream_set_full(u, why);
		if (probe) /* health.c waits for an answer */
			health_report_up(u->health);
		return;
	}
	u->full_until = 0;
	loop_timer_cancel(u->again);
	health_report_down(u->health, probe, why);
	upstream_hand_back(u, why);
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
		health_connecting(u->health, -1);
		upstream_not_opened(u, smtp_client_is_probe(c), why);
	}
	upstream_carry_on(u, opened);
}

bool
upstream_is_clear(const struct upstream *u)
{
	return clock_mono() < u->clear_until;
}

void
upstream_go_clear(struct smtp_client *c, const char *why)
{
	struct upstream *u = smtp_client_upstream(c);

	upstream_refresh(u);
	/* What was set otherwise meanwhile has not failed yet. */
	if (!smtp_client_is_retired(c)) {
		log_warn("- upstream.tls-failed name=%s why=%s next=%s", u->name, log_safe(why),
			 log_safe("for 10 minutes without TLS"));
		u->clear_until = clock_mono() + CLEAR_WAIT;
	}
	LIST_REMOVE(c, next);
	u->clients--;
	u->connecting--;
	health_connecting(u->health, -1);
	if (u->config != NULL && !u->rl->stopping &&
	    (smtp_client_is_probe(c) || u->clients < u->max_clients))
		upstream_open(u, smtp_client_is_probe(c));
	upstream_carry_on(u, false);
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
		tls_unref(u->tls);
		policy_unref(u->policy);
		free(u->name);
		free(u);
	}
}
