/*
 * The HTTP+JSON API on the control socket and on a TCP port (docs/api.md). On the main loop; reads
 * through the main thread's view, writes through the store's writer.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "config/tokens.h"
#include "filters/gate.h"
#include "net/loop.h"
#include "store/views.h"

struct bufferevent;
struct event_base;

struct control_upstream {
	const char *name, *address, *why; /* why it is down, "" if up */
	bool up;
	int64_t since; /* wall clock */
	uint32_t connections;
};

/* What control asks of the daemon; every call is made on the main loop. */
struct control_deps {
	struct loop *loop;
	struct store *store;
	struct store_view *view;
	struct counters *counters;
	void *context;
	/* The policy in force; borrowed until the call's end. */
	struct policy *(*policy)(void *context);
	void (*upstreams)(void *context, void (*row)(void *arg, const struct control_upstream *u),
			  void *arg);
	/* Listener name and bound address "127.0.0.1:2525". */
	void (*listeners)(void *context,
			  void (*row)(void *arg, const char *name, const char *address), void *arg);
	/* Sentences for people about what only the daemon knows; NULL where it knows nothing. */
	void (*warnings)(void *context, void (*row)(void *arg, const char *text), void *arg);
	/* Who may use HTTP; borrowed until the call's end. NULL, or an answer of NULL: nobody. */
	const struct tokens *(*tokens)(void *context);
	/* The server's side of a TLS connection without a socket yet, for the TCP port; NULL: it
	 * has no TLS, for as long as the process lives. */
	struct bufferevent *(*http_secure)(void *context, struct event_base *base);
	/* The process was told to end; NULL: never. */
	bool (*stopping)(void *context);
	/* Queued mail or alerts may be waiting now: look. */
	void (*queue_poke)(void *context);
	void (*alert_poke)(void *context);
	/*
	 * One try of an alert channel (alert_try()): done() is called once, never from inside;
	 * `took` in microseconds, `why` "" where it is ok. False and a reason if it cannot be
	 * tried. NULL: there are no channels.
	 */
	bool (*alert_try)(void *context, const char *channel, const char *who,
			  void (*done)(void *arg, bool ok, int64_t took, const char *why),
			  void *arg, struct buf *why);
	/* A hold is in force now: what waits for an upstream goes back (recall_request()). */
	void (*held)(void *context);
	/* A release of this batch was paused (relay_pause_batch()). */
	void (*batch_paused)(void *context, int64_t batch);
	/*
	 * A drill begins: for a while the policy in force has the environment CONFIG_DRILL with the
	 * rules of `environment`. False and a reason if there is one already, or no such
	 * environment. `helo` is good until it ends. drill_end() ends the one under way, if any.
	 */
	bool (*drill_begin)(void *context, const char *environment, uint16_t sink_port,
			    const char **helo, struct buf *error);
	void (*drill_end)(void *context);
	int64_t started_at;
};

struct control;
/* Makes the socket (mode 0660; a stale one is replaced, a live one is an error). NULL and a reason
 * in `error`. */
struct control *control_new(const struct control_deps *deps, const char *path, struct buf *error);
/*
 * Serves the same calls to who has a token, on a listening TCP socket, which it owns from then on.
 * Before the loop runs; at most once.
 */
void control_serve_http(struct control *c, int fd);
/*
 * Ends the calls that wait for the store, at most 10 s, then the socket. On the main thread, its
 * loop stopped, before store_close(). Of the daemon it needs only the store, the view and the
 * counters any more, and that SIGPIPE is ignored: clients may be gone.
 */
void control_free(struct control *c);

/* jansson's, for `mailfused -V`. */
const char *control_library_version(void);

#endif
