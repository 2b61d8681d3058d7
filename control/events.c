/*
 * See events.h. Called by api.c. The feed is looked at once a second, only while somebody listens,
 * and what it says goes to each. Who does not read is cut off: at 64 KB unsent, or when the
 * connection takes nothing for a minute. A page that was cut off connects again by itself and reads
 * its lists anew, so nothing is numbered or kept.
 *
 * A listener is made by events_listen() and freed by listener_closed(), which libevent calls when
 * the connection goes, however it goes.
 */
#include "control/events.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/feed.h"
#include "control/guard.h"
#include "control/headers.h"
#include "control/request.h"

enum {
	LISTENERS_MAX = 32,
	UNSENT_MAX = 64 << 10,
	UNREAD_MAX = 4 << 10, /* what a page says while it listens waits in its socket */
	IDLE_SECONDS = 60     /* that a listener takes nothing, and is sent a comment every 15 */
};
#define LOOK_EVERY CLOCK_SECOND
#define COMMENT_EVERY (15 * CLOCK_SECOND)

struct listener {
	LIST_ENTRY(listener) next; /* listeners */
	struct events *events;
	struct evhttp_request *http;
	struct guard *guard; /* of the TCP port; NULL: the control socket */
	char who[96];
};

struct events {
	const struct control_deps *deps;
	struct loop_timer *timer;
	struct feed *feed;
	int64_t commented_at; /* mono */
	size_t count;
	LIST_HEAD(, listener) listeners;
};

static void events_tick(void *context);

struct events *
events_new(const struct control_deps *deps)
{
	struct events *e = mem_zalloc(sizeof(*e));

	e->deps = deps;
	e->feed = feed_new(deps);
	e->timer = loop_timer_new(deps->loop, events_tick, e);
	LIST_INIT(&e->listeners);
	return e;
}

static void
listener_free(struct listener *l)
{
	struct events *e = l->events;

	LIST_REMOVE(l, next);
	free(l);
	if (--e->count == 0)
		loop_timer_cancel(e->timer);
}

void
events_free(struct events *e)
{
	struct listener *l;

	if (e == NULL)
		return;
	while ((l = LIST_FIRST(&e->listeners)) != NULL) {
		evhttp_connection_set_closecb(evhttp_request_get_connection(l->http), NULL, NULL);
		listener_free(l);
	}
	loop_timer_free(e->timer);
	feed_free(e->feed);
	free(e);
}

void
events_end(struct events *e)
{
	struct listener *l;

	while ((l = LIST_FIRST(&e->listeners)) != NULL) {
		struct evhttp_request *http = l->http;

		evhttp_connection_set_closecb(evhttp_request_get_connection(http), NULL, NULL);
		listener_free(l);
		evhttp_send_reply_end(http);
	}
}

static void
listener_closed(struct evhttp_connection *c, void *context)
{
	struct listener *l = context;

	(void)c;
	log_debug("- control.listener-gone who=%s", log_safe(l->who));
	request_let_go(l->http);
	listener_free(l);
}

/* False if it is cut off, and freed. */
static bool
listener_send(struct listener *l, const struct buf *text)
{
	struct evhttp_connection *c = evhttp_request_get_connection(l->http);
	struct bufferevent *stream = evhttp_connection_get_bufferevent(c);
	struct evbuffer *chunk;

	if (evbuffer_get_length(bufferevent_get_output(stream)) > UNSENT_MAX) {
		log_info("- control.listener-slow who=%s", log_safe(l->who));
		evhttp_connection_free(c); /* calls listener_closed() */
		return false;
	}
	chunk = evbuffer_new();
	if (chunk == NULL || evbuffer_add(chunk, text->data, text->len) != 0)
		fatal("out of memory");
	evhttp_send_reply_chunk(l->http, chunk);
	evbuffer_free(chunk);
	return true;
}

static void
send_all(struct events *e, const struct buf *text)
{
	struct listener *l, *next;

	for (l = LIST_FIRST(&e->listeners); l != NULL; l = next) {
		next = LIST_NEXT(l, next);
		listener_send(l, text);
	}
}

/* libevent sees the end of a page only where it has read all before it, or writes to it. */
static bool
is_gone(const struct listener *l)
{
	struct bufferevent *stream =
	    evhttp_connection_get_bufferevent(evhttp_request_get_connection(l->http));
	struct pollfd p = {.fd = bufferevent_getfd(stream), .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0;
}

/* Whose token is deleted hears nothing more. */
static void
send_off(struct events *e)
{
	struct listener *l, *next;

	for (l = LIST_FIRST(&e->listeners); l != NULL; l = next) {
		next = LIST_NEXT(l, next);
		if (is_gone(l)) {
			evhttp_connection_free(evhttp_request_get_connection(l->http));
		} else if (l->guard != NULL && !guard_still_admits(l->guard, e->deps, l->http)) {
			log_info("- control.listener-ended who=%s", log_safe(l->who));
			evhttp_connection_free(evhttp_request_get_connection(l->http));
		}
	}
}

static void
events_tick(void *context)
{
	struct events *e = context;
	const int64_t now = clock_mono();
	struct buf text = {0};

	send_off(e);
	if (e->count == 0)
		return;
	feed_look(e->feed, &text);
	if (text.len == 0 && now - e->commented_at >= COMMENT_EVERY)
		buf_add_text(&text, ":\n\n");
	if (text.len > 0) {
		e->commented_at = now;
		send_all(e, &text);
	}
	buf_free(&text);
	if (e->count > 0)
		loop_timer_set(e->timer, LOOK_EVERY);
}

static void
listener_start(struct events *e, struct evhttp_request *http, struct guard *guard, const char *who)
{
	struct evhttp_connection *c = evhttp_request_get_connection(http);
	struct evkeyvalq *headers = evhttp_request_get_output_headers(http);
	const struct timeval idle = {IDLE_SECONDS, 0};
	struct listener *l = mem_zalloc(sizeof(*l));
	struct buf text = {0};

	l->events = e;
	l->http = http;
	l->guard = guard;
	snprintf(l->who, sizeof(l->who), "%s", who);
	if (e->count++ == 0) {
		feed_begin(e->feed);
		e->commented_at = clock_mono();
		loop_timer_set(e->timer, LOOK_EVERY);
	}
	LIST_INSERT_HEAD(&e->listeners, l, next);
	evhttp_connection_set_closecb(c, listener_closed, l);
	/* It has nothing more to say; what it does not take is a sign that it is gone. */
	bufferevent_setwatermark(evhttp_connection_get_bufferevent(c), EV_READ, 0, UNREAD_MAX);
	bufferevent_set_timeouts(evhttp_connection_get_bufferevent(c), NULL, &idle);
	evhttp_add_header(headers, "Content-Type", "text/event-stream");
	headers_add_security(headers);
	evhttp_send_reply_start(http, 200, "OK");
	buf_add_text(&text, "retry: 2000\n\n");
	feed_add_status(e->feed, &text);
	listener_send(l, &text);
	buf_free(&text);
}

void
events_listen(struct request *r)
{
	static const char *const none[] = {NULL};
	struct events *e = r->events;
	struct guard *guard = r->guard;
	struct evhttp_request *http;
	char who[sizeof(r->who)];
	struct buf nothing = {0};

	if (!request_check_query(r, none))
		return;
	if (e->count == LISTENERS_MAX) {
		request_add_header(r, "Retry-After", "30");
		request_fail(r, 503, "%d pages listen already; close one of them", LISTENERS_MAX);
		return;
	}
	if (r->http != NULL && evhttp_request_get_command(r->http) == EVHTTP_REQ_HEAD) {
		buf_add_text(&nothing, "");
		request_reply_bytes(r, "text/event-stream", &nothing);
		return;
	}
	memcpy(who, r->who, sizeof(who));
	http = request_hand_over(r);
	if (http != NULL)
		listener_start(e, http, guard, who);
}
