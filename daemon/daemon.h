/*
 * The running daemon: everything that lives as long as the process. One object, made in daemon.c,
 * on the main thread.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>
#include <stdint.h>

#include "alert/alert.h"
#include "config/config.h"
#include "control/control.h"
#include "filters/gate.h"
#include "net/loop.h"
#include "relay/keyring.h"
#include "relay/relay.h"
#include "store/views.h"

struct daemon {
	const char *config_path; /* NULL: built-in defaults */
	struct loop *loop;
	struct policy *policy; /* in force */
	struct keyring *keys;  /* that go with it */
	struct counters *counters;
	struct store *store;
	struct store_view *view; /* the main thread's */
	struct relay *relay;
	struct control *control;
	struct alert *alert;
	struct chores *chores;
	struct drill *drill; /* under way, NULL = none */
	char *refused;       /* why the last reload was, one a line; NULL where it was not */
	int64_t refused_at;
	int64_t started_at;
	bool stopping;
};

/* Runs until a signal ends it; returns the exit code. `policy` and `keys` are taken over. */
int daemon_run(const char *config_path, struct policy *policy, struct keyring *keys);

/* reload.c: SIGHUP. A bad file changes nothing; either way the log and the audit log tell. */
void daemon_reload(struct daemon *d);
/*
 * Reads and compiles a file, and what it names: certificates, keys, users. NULL and the reasons,
 * one a line, in `errors`; then *keys is NULL too.
 */
struct policy *daemon_read_policy(const char *path, struct keyring **keys, struct buf *errors);

/* drill.c: for control's deps; drill_end() does nothing where there is none. */
bool drill_begin(void *context, const char *environment, uint16_t sink_port, const char **helo,
		 struct buf *error);
void drill_end(void *context);
/* A reload: takes over the new policy, returns the one to put in force: the same with the drill
 * under way, if there is one. */
struct policy *drill_keep(struct daemon *d, struct policy *next);
/* At the end of the process. */
void drill_forget(struct daemon *d);
/* After a start: the metric of the last drill that passed. */
void drill_recall(struct daemon *d);

/* warnings.c: what status tells people. Copies `why`; NULL after a reload that was not refused. */
void warnings_set_refused(struct daemon *d, const char *why);
/* A line in the log for each user or group of the section access that this machine does not know.
 */
void warnings_log_names(const struct config *c);
/* For control's deps: a row is one sentence. */
void warnings_list(void *context, void (*row)(void *arg, const char *text), void *arg);

/* recover.c: after a start, what the counters must know: holds, streams that are tripped, the
 * recent past. */
bool daemon_recover(struct daemon *d, struct buf *error);
/* For how long deliveries must be kept, whatever keep_sent says, so that counters come back
 * exactly. */
int64_t daemon_replay_span(const struct config *c);

/* saves.c: burst counters with long windows into the store; one shard a call. */
struct saves *saves_new(struct daemon *d);
void saves_tick(struct saves *s);
void saves_free(struct saves *s);

/* ticks.c: rings, reminders, the end of requests: STORE_TICK, unless one is under way. */
struct ticks *ticks_new(struct daemon *d);
void ticks_tick(struct ticks *t);
/* Whether the last one found rows that only have to be deleted; says so once. */
bool ticks_found_gone(struct ticks *t);
void ticks_free(struct ticks *t);

/* space.c: alerts of a store that is filling, full, has room again, or is broken. */
struct space *space_new(struct daemon *d);
void space_tick(struct space *s);
void space_free(struct space *s);

/* chores.c: what has to be done now and then: retention, batches that have cooled. */
struct chores *chores_new(struct daemon *d);
void chores_free(struct chores *c);

/*
 * privileges.c: no core dumps, no new privileges, umask 077; before anything else is done.
 */
void privileges_limit(void);
/*
 * Becomes the configuration's user, for good, and gives up every capability; warns where the
 * process stays root. False and a reason in `error`. After the keys were read and the sockets
 * bound, before there is a thread or a store.
 */
bool privileges_drop(const struct config *c, struct buf *error);

/* For -t: false and a reason in `error` if the configuration's user does not exist. */
bool privileges_check_user(const struct config *c, struct buf *error);

/*
 * sockets.c: one listening socket for each listener of the configuration, in its order; for free().
 * What the service manager passed is used, the rest is bound. NULL and the reasons, one a line, in
 * `error`, which must be empty.
 */
int *sockets_open(const struct config *c, struct buf *error);

/* The same for http: -1 where the configuration has no such section, or it cannot be bound, which
 * `error` then tells. */
int sockets_open_http(const struct config *c, struct buf *error);

/* notify.c: sd_notify(3)'s protocol: "READY=1". Does nothing where nobody listens. */
void notify_manager(const char *state);

#endif
