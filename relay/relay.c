/*
 * The relay as a whole: loops, listeners, reload, stop. Made and freed by daemon/; main thread
 * unless said.
 */
#include "relay/relay.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "relay/bounce.h"
#include "relay/guesses.h"
#include "relay/health.h"
#include "relay/keyring.h"
#include "relay/login.h"
#include "relay/pauses.h"
#include "relay/peers.h"
#include "relay/recall.h"
#include "relay/retry.h"
#include "relay/session.h"
#include "relay/upstream.h"

enum { LOOPS_MAX = 8 };

/* A message from main to one loop. */
struct relay_order {
	struct loop_post post;
	struct relay_loop *rl;
};

static void
relay_make_loops(struct relay *r, uint32_t wanted)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	char name[16];
	size_t i;

	r->loop_count = wanted > 0          ? wanted
			: cores > LOOPS_MAX ? LOOPS_MAX
			: cores > 0         ? (size_t)cores
					    : 1;
	r->loops = mem_zalloc(r->loop_count * sizeof(*r->loops));
	r->loop_list = mem_zalloc(r->loop_count * sizeof(*r->loop_list));
	for (i = 0; i < r->loop_count; i++) {
		struct relay_loop *rl = &r->loops[i];

		snprintf(name, sizeof(name), "relay-%u", (unsigned)(i % 1000));
		rl->relay = r;
		rl->index = i;
		rl->loop = r->loop_list[i] = loop_new(name);
		rl->policy = policy_ref(r->policy);
		rl->keys = keyring_ref(r->keys);
		rl->logins = login_cache_new();
		LIST_INIT(&rl->sessions);
		LIST_INIT(&rl->upstreams);
	}
}

static void
relay_listen(struct relay *r, const struct config *c, const int *sockets)
{
	size_t i;

	r->listeners = mem_zalloc(c->listener_count * sizeof(*r->listeners));
	r->listener_count = c->listener_count;
	for (i = 0; i < c->listener_count; i++) {
		struct relay_listener *l = &r->listeners[i];

		l->relay = r;
		l->name = mem_strdup(c->listeners[i].name);
		l->listener = listener_new(l->name, sockets[i], r->loop_list, r->loop_count,
					   session_start, l);
		log_info("- listener.bound name=%s address=%s", l->name,
			 listener_address(l->listener));
	}
}

struct relay *
relay_new(struct loop *main, struct policy *policy, struct keyring *keys, const int *sockets,
	  struct store *store, struct counters *counters)
{
	struct relay *r = mem_zalloc(sizeof(*r));

	r->main = main;
	r->store = store;
	r->counters = counters;
	r->policy = policy_ref(policy);
	r->keys = keyring_ref(keys);
	pthread_mutex_init(&r->policy_lock, NULL);
	r->health = health_table_new(r);
	r->retry = retry_new(r);
	r->bounce = bounce_new(r);
	r->peers = peers_new();
	r->pauses = pauses_new();
	r->guesses = guesses_new(store);
	r->desk = login_desk_new();
	relay_make_loops(r, policy_config(policy)->loops);
	relay_listen(r, policy_config(policy), sockets);
	return r;
}

void
relay_start(struct relay *r)
{
	size_t i;

	for (i = 0; i < r->listener_count; i++)
		listener_resume(r->listeners[i].listener);
	for (i = 0; i < r->loop_count; i++)
		loop_start(r->loops[i].loop);
	retry_poke(r->retry);
	bounce_poke(r->bounce);
}

void
relay_see_policy(struct relay_loop *rl)
{
	struct relay *r = rl->relay;

	if (atomic_load_explicit(&r->policy_version, memory_order_acquire) == rl->policy_version)
		return;
	policy_unref(rl->policy);
	keyring_unref(rl->keys);
	pthread_mutex_lock(&r->policy_lock);
	rl->policy = policy_ref(r->policy);
	rl->keys = keyring_ref(r->keys);
	rl->policy_version = atomic_load(&r->policy_version);
	pthread_mutex_unlock(&r->policy_lock);
}

/* A loop at rest lets the old ones go too. */
static void
relay_policy_changed(struct loop_post *post)
{
	struct relay_order *o = (struct relay_order *)post;

	relay_see_policy(o->rl);
	free(o);
}

void
relay_set_policy(struct relay *r, struct policy *policy, struct keyring *keys)
{
	struct policy *old_policy = r->policy;
	struct keyring *old_keys = r->keys;
	size_t i;

	pthread_mutex_lock(&r->policy_lock);
	r->policy = policy_ref(policy);
	r->keys = keyring_ref(keys);
	atomic_fetch_add(&r->policy_version, 1);
	pthread_mutex_unlock(&r->policy_lock);
	policy_unref(old_policy);
	keyring_unref(old_keys);
	for (i = 0; i < r->loop_count; i++) {
		struct relay_order *o = mem_zalloc(sizeof(*o));

		o->post.run = relay_policy_changed;
		o->rl = &r->loops[i];
		loop_post(r->loops[i].loop, &o->post);
	}
	health_recheck(r->health);
	retry_poke(r->retry);
}

void
relay_pause_batch(struct relay *r, int64_t batch)
{
	pauses_add(r->pauses, batch);
	recall_request(r);
}

void
relay_poke(struct relay *r)
{
	retry_poke(r->retry);
}

void
relay_probe(struct relay *r, const char *upstream)
{
	if (!r->stopping)
		upstream_probe(&r->loops[0], upstream);
}

static void
relay_poked(struct loop_post *post)
{
	struct relay *r = (struct relay *)((char *)post - offsetof(struct relay, poke));

	atomic_store(&r->poke_posted, false);
	retry_poke(r->retry);
	if (atomic_exchange(&r->bounce_due, false))
		bounce_poke(r->bounce);
}

void
relay_request_poke(struct relay *r)
{
	if (r->stopped || atomic_exchange(&r->poke_posted, true))
		return;
	r->poke.run = relay_poked;
	loop_post(r->main, &r->poke);
}

void
relay_request_bounce(struct relay *r)
{
	atomic_store(&r->bounce_due, true);
	relay_request_poke(r);
}

/* ---- stopping: each loop tells main when nothing is under way on it ---- */

static void
relay_finish(struct relay *r)
{
	size_t i;

	if (r->stopped)
		return;
	loop_timer_cancel(r->stop_timer);
	for (i = 0; i < r->loop_count; i++)
		loop_stop(r->loops[i].loop);
	for (i = 0; i < r->loop_count; i++)
		loop_join(r->loops[i].loop);
	r->stopped = true;
	r->stop_done(r->stop_context);
}

static void
relay_stop_late(void *context)
{
	log_warn("- relay.stop-late what is under way is tried again after the next start");
	relay_finish(context);
}

static void
relay_loop_is_quiet(struct loop_post *post)
{
	struct relay_order *o = (struct relay_order *)post;
	struct relay *r = o->rl->relay;

	free(o);
	if (++r->quiet_loops == r->loop_count)
		relay_finish(r);
}

void
relay_check_quiet(struct relay_loop *rl)
{
	struct relay_order *o;

	if (!rl->stopping || rl->quiet_told || rl->relay->stopped || rl->pending > 0 ||
	    !LIST_EMPTY(&rl->sessions) || !upstream_all_quiet(rl))
		return;
	rl->quiet_told = true;
	o = mem_zalloc(sizeof(*o));
	o->post.run = relay_loop_is_quiet;
	o->rl = rl;
	loop_post(rl->relay->main, &o->post);
}

static void
relay_loop_stop(struct loop_post *post)
{
	struct relay_order *o = (struct relay_order *)post;
	struct relay_loop *rl = o->rl;
	struct session *s, *next;
	size_t i;

	free(o);
	rl->stopping = true;
	for (i = 0; rl->index == 0 && i < rl->relay->listener_count; i++)
		listener_pause(rl->relay->listeners[i].listener);
	for (s = LIST_FIRST(&rl->sessions); s != NULL; s = next) {
		next = LIST_NEXT(s, next);
		session_stop(s);
	}
	upstream_stop_all(rl);
	relay_check_quiet(rl);
}

void
relay_stop(struct relay *r, int64_t limit, void (*done)(void *context), void *context)
{
	size_t i;

	r->stopping = true;
	r->stop_done = done;
	r->stop_context = context;
	r->stop_timer = loop_timer_new(r->main, relay_stop_late, r);
	loop_timer_set(r->stop_timer, limit);
	retry_stop(r->retry);
	bounce_stop(r->bounce);
	health_stop(r->health);
	for (i = 0; i < r->loop_count; i++) {
		struct relay_order *o = mem_zalloc(sizeof(*o));

		o->post.run = relay_loop_stop;
		o->rl = &r->loops[i];
		loop_post(r->loops[i].loop, &o->post);
	}
}

static void
relay_free_loop(struct relay_loop *rl)
{
	struct session *s;

	while ((s = LIST_FIRST(&rl->sessions)) != NULL)
		session_end(s, "shutdown");
	upstream_free_all(rl);
	loop_drain(rl->loop);
	policy_unref(rl->policy);
	keyring_unref(rl->keys);
	login_cache_free(rl->logins);
	loop_free(rl->loop);
}

void
relay_free(struct relay *r)
{
	size_t i;

	if (r == NULL)
		return;
	r->stopped = true;
	login_desk_free(r->desk);
	/* Sockets that were dealt out but not served yet are refused while their listener is there.
	 */
	for (i = 0; i < r->loop_count; i++) {
		r->loops[i].stopping = true;
		loop_drain(r->loops[i].loop);
	}
	for (i = 0; i < r->listener_count; i++) {
		listener_free(r->listeners[i].listener);
		free(r->listeners[i].name);
	}
	for (i = 0; i < r->loop_count; i++)
		relay_free_loop(&r->loops[i]);
	loop_timer_free(r->stop_timer);
	retry_free(r->retry);
	bounce_free(r->bounce);
	health_table_free(r->health);
	peers_free(r->peers);
	pauses_free(r->pauses);
	guesses_free(r->guesses);
	policy_unref(r->policy);
	keyring_unref(r->keys);
	pthread_mutex_destroy(&r->policy_lock);
	free(r->listeners);
	free(r->loops);
	free(r->loop_list);
	free(r);
}

void
relay_upstreams(struct relay *r, void (*row)(void *context, const struct relay_upstream_status *u),
		void *context)
{
	const struct config *c = policy_config(r->policy);
	size_t i;

	for (i = 0; i < c->upstream_count; i++) {
		struct health *h = health_find(r->health, c->upstreams[i].name);
		char address[300];
		struct relay_upstream_status u = {.name = c->upstreams[i].name,
						  .address = address,
						  .why = health_why(h),
						  .up = health_is_up(h),
						  .since = health_since(h),
						  .connections = health_connections(h)};

		snprintf(address, sizeof(address), "%s:%u", c->upstreams[i].host,
			 c->upstreams[i].port);
		row(context, &u);
	}
}

void
relay_listeners(struct relay *r, void (*row)(void *context, const char *name, const char *address),
		void *context)
{
	size_t i;

	for (i = 0; i < r->listener_count; i++)
		row(context, r->listeners[i].name, listener_address(r->listeners[i].listener));
}
