/*
 * The daemon's life: start in order, run, stop in the reverse order. Main thread.
 */
#include "daemon/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/tls_bufferevent.h"
#include "control/assets.h"
#include "relay/recall.h"

/* How long messages and transactions under way may take to finish after SIGTERM. */
#define STOP_LIMIT (10 * CLOCK_SECOND)

static struct policy *
dep_policy(void *context)
{
	return ((struct daemon *)context)->policy;
}

struct upstream_rows {
	void (*row)(void *arg, const struct control_upstream *u);
	void *arg;
};

static void
dep_upstream_row(void *context, const struct relay_upstream_status *u)
{
	struct upstream_rows *rows = context;
	struct control_upstream out = {.name = u->name,
				       .address = u->address,
				       .why = u->why,
				       .up = u->up,
				       .since = u->since,
				       .connections = u->connections};

	rows->row(rows->arg, &out);
}

static void
dep_upstreams(void *context, void (*row)(void *arg, const struct control_upstream *u), void *arg)
{
	struct upstream_rows rows = {row, arg};

	relay_upstreams(((struct daemon *)context)->relay, dep_upstream_row, &rows);
}

static void
dep_listeners(void *context, void (*row)(void *arg, const char *name, const char *address),
	      void *arg)
{
	relay_listeners(((struct daemon *)context)->relay, row, arg);
}

static const struct tokens *
dep_tokens(void *context)
{
	return keyring_tokens(((struct daemon *)context)->keys);
}

static struct bufferevent *
dep_http_secure(void *context, struct event_base *base)
{
	return tls_bufferevent_new(keyring_http(((struct daemon *)context)->keys), base);
}

static bool
dep_stopping(void *context)
{
	return ((struct daemon *)context)->stopping;
}

static void
dep_queue_poke(void *context)
{
	relay_poke(((struct daemon *)context)->relay);
}

static void
dep_alert_poke(void *context)
{
	alert_poke(((struct daemon *)context)->alert);
}

static bool
dep_alert_try(void *context, const char *channel, const char *who, alert_tried *done, void *arg,
	      struct buf *why)
{
	return alert_try(((struct daemon *)context)->alert, channel, who, done, arg, why);
}

static void
dep_held(void *context)
{
	recall_request(((struct daemon *)context)->relay);
}

static void
dep_batch_paused(void *context, int64_t batch)
{
	relay_pause_batch(((struct daemon *)context)->relay, batch);
}

static bool
daemon_open_store(struct daemon *d, struct buf *error)
{
	const struct config *c = policy_config(d->policy);
	struct store_options options = {.path = c->store,
					.size_limit = c->quarantine_limit,
					.min_free_space = c->min_free_space,
					.counters = recall_counters(d->counters)};

	d->store = store_open(&options, error);
	if (d->store == NULL)
		return false;
	d->view = store_view_open(d->store, error);
	if (d->view == NULL || !daemon_recover(d, error))
		return false;
	drill_recall(d);
	return true;
}

/* In the order in which they need each other; the first that cannot be had ends the start. */
static bool
daemon_start(struct daemon *d, struct buf *error)
{
	const struct config *c = policy_config(d->policy);
	struct control_deps deps = {.loop = d->loop,
				    .counters = d->counters,
				    .context = d,
				    .policy = dep_policy,
				    .upstreams = dep_upstreams,
				    .listeners = dep_listeners,
				    .tokens = dep_tokens,
				    .stopping = dep_stopping,
				    .warnings = warnings_list,
				    .queue_poke = dep_queue_poke,
				    .alert_poke = dep_alert_poke,
				    .alert_try = dep_alert_try,
				    .drill_begin = drill_begin,
				    .drill_end = drill_end,
				    .held = dep_held,
				    .batch_paused = dep_batch_paused,
				    .started_at = d->started_at};

	int *sockets = sockets_open(c, error), http;

	if (sockets == NULL)
		return false;
	http = sockets_open_http(c, error);
	if (http < 0 && c->http.set) {
		free(sockets);
		return false;
	}
	/* Before the past is counted again: all that was counted apart has to find its place. */
	counters_set_cap(d->counters, c->counter_keys);
	if (!privileges_drop(c, error) || !daemon_open_store(d, error)) {
		free(sockets);
		return false;
	}
	d->relay = relay_new(d->loop, d->policy, d->keys, sockets, d->store, d->counters);
	free(sockets);
	if (keyring_http(d->keys) != NULL)
		deps.http_secure = dep_http_secure;
	deps.store = d->store;
	deps.view = d->view;
	d->control = control_new(&deps, c->control, error);
	if (d->control == NULL)
		return false;
	if (http >= 0)
		control_serve_http(d->control, http);
	d->alert = alert_new(d->loop, d->store, d->view, (struct config *)c);
	alert_on_mail(d->alert, dep_queue_poke, d);
	d->chores = chores_new(d);
	return true;
}

/* What was under way is finished or in the store: the rest ends in the reverse order. */
static void
daemon_free(struct daemon *d)
{
	if (d->alert != NULL)
		alert_free(d->alert);
	if (d->control != NULL)
		control_free(d->control);
	if (d->view != NULL)
		store_view_close(d->view);
	if (d->store != NULL)
		store_close(d->store);
	loop_drain(d->loop);
	relay_free(d->relay);
	chores_free(d->chores);
	counters_free(d->counters);
	drill_forget(d);
	policy_unref(d->policy);
	keyring_unref(d->keys);
	free(d->refused);
	loop_free(d->loop);
}

static void
daemon_relay_stopped(void *context)
{
	loop_stop(((struct daemon *)context)->loop);
}

static void
daemon_signal(void *context, int number)
{
	struct daemon *d = context;

	if (number == SIGHUP) {
		if (!d->stopping)
			daemon_reload(d);
		return;
	}
	if (d->stopping)
		return;
	d->stopping = true;
	log_info("- stopping signal=%d", number);
	notify_manager("STOPPING=1");
	relay_stop(d->relay, STOP_LIMIT, daemon_relay_stopped, d);
}

static void
daemon_say_hold_everything(const struct config *c)
{
	if (c->upstream_count == 0)
		log_warn("- config.no-upstream every message is held or kept: no upstream is "
			 "configured");
}

int
daemon_run(const char *config_path, struct policy *policy, struct keyring *keys)
{
	static const int signals[] = {SIGHUP, SIGTERM, SIGINT};
	struct loop_signal *caught[3];
	struct daemon d = {.config_path = config_path,
			   .loop = loop_new("main"),
			   .policy = policy,
			   .keys = keys,
			   .counters = counters_new(),
			   .started_at = clock_wall()};
	struct buf error = {0};
	int status = 0;
	size_t i;

	signal(SIGPIPE, SIG_IGN);
	if (!daemon_start(&d, &error)) {
		log_warn("- start.failed %s", buf_text(&error));
		/* Who started it by hand does not look into syslog first. */
		if (policy_config(policy)->log == CONFIG_LOG_SYSLOG)
			fprintf(stderr, "mailfused: %s\n", buf_text(&error));
		status = 1;
	} else {
		/* Caught until the end: a second SIGTERM must not cut the stop short. */
		for (i = 0; i < 3; i++)
			signal(signals[i], SIG_IGN);
		for (i = 0; i < 3; i++)
			caught[i] = loop_signal_new(d.loop, signals[i], daemon_signal, &d);
		relay_start(d.relay);
		daemon_say_hold_everything(policy_config(d.policy));
		warnings_log_names(policy_config(d.policy));
		log_info("- ready version=%s pid=%ld console=%s", PACKAGE_VERSION, (long)getpid(),
			 console_asset_count > 0 ? "yes" : "no");
		notify_manager("READY=1");
		loop_run(d.loop);
		for (i = 0; i < 3; i++)
			loop_signal_free(caught[i]);
		log_info("- stopped");
	}
	buf_free(&error);
	daemon_free(&d);
	return status;
}
