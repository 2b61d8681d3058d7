/*
 * HTTP on the control socket and on a TCP port: finds the route of a call in one table and reads
 * its body. Served by libevent's evhttp on the main loop. A struct request is made by
 * request_start() and freed by its answer (request.c); between the two the client may hang up, and
 * the server may be freed: both only cut the ties that lead to it.
 */
#include "control/api.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/access.h"
#include "control/alerts.h"
#include "control/alert_test.h"
#include "control/audit_log.h"
#include "control/backup.h"
#include "control/batch.h"
#include "control/batches.h"
#include "control/button.h"
#include "control/decisions.h"
#include "control/deliveries.h"
#include "control/drill.h"
#include "control/environments.h"
#include "control/events.h"
#include "control/explain.h"
#include "control/guard.h"
#include "control/health.h"
#include "control/import.h"
#include "control/json.h"
#include "control/messages.h"
#include "control/metrics.h"
#include "control/openapi.h"
#include "control/origin.h"
#include "control/pages.h"
#include "control/plans.h"
#include "control/pulse.h"
#include "control/queue.h"
#include "control/request.h"
#include "control/rules.h"
#include "control/seats.h"
#include "control/session_call.h"
#include "control/settings.h"
#include "control/status.h"
#include "control/story.h"
#include "control/traffic.h"

enum {
	BODY_SMALL = 1 << 20,  /* some 30,000 delivery ids */
	BODY_LARGE = 32 << 20, /* explain: a whole message */
	/* evhttp answers what is beyond this by itself, as HTML: far enough off to be rare. */
	BODY_REFUSED_UNREAD = 48 << 20,
	/* Over TCP anybody may send, before they are known: HTTP_UNREAD_MAX in all. */
	BODY_HTTP_REFUSED_UNREAD = 2 << 20,
	HTTP_CONNECTIONS_MAX = 64,
	HTTP_UNREAD_MAX = 32 << 20,
	HEADERS_MAX = 16 << 10,
	JSON_VALUES_MAX = 100000,
	IDLE_SECONDS = 60, /* of a client that sends or takes nothing */
	/* A request has so long, and a second more for each so many bytes of it that have come. */
	HTTP_REQUEST_SECONDS = 20,
	HTTP_REQUEST_BYTES = 32 << 10,
	/* The same of an answer that waits to be taken. */
	HTTP_ANSWER_SECONDS = 60,
	HTTP_ANSWER_BYTES = 8 << 10
};

/* Where calls come in. */
struct door {
	LIST_ENTRY(door) next; /* doors */
	struct api *api;
	struct evhttp *server; /* NULL: there is no such door */
	struct evhttp_bound_socket *listener;
	struct loop_timer *rest; /* until it accepts again, after EMFILE and its like */
	struct guard *guard;     /* NULL: the control socket, where the kernel says who asks */
	struct seats *seats;
};

struct api {
	struct control_deps deps;
	struct button *button;
	struct pulse *pulse;
	struct events *events;
	struct door control, http;
	bool stopped;
	LIST_HEAD(, request) unanswered;
};

struct route {
	enum evhttp_cmd_type method;
	const char *path; /* `*` is one segment */
	enum role role;   /* what it takes; FOR_ALL: nothing, and no token */
	size_t body_max;
	void (*run)(struct request *r);
};

#define FOR_ALL ((enum role)0)

static const struct route routes[] = {
    {EVHTTP_REQ_GET, "/livez", FOR_ALL, 0, health_live},
    {EVHTTP_REQ_GET, "/readyz", FOR_ALL, 0, health_ready},
    {EVHTTP_REQ_POST, "/v1/session", FOR_ALL, BODY_SMALL, session_call_open},
    {EVHTTP_REQ_GET, "/v1/session", ROLE_VIEWER, 0, session_call_get},
    {EVHTTP_REQ_DELETE, "/v1/session", ROLE_VIEWER, 0, session_call_end},
    {EVHTTP_REQ_GET, "/v1/status", ROLE_VIEWER, 0, status_get},
    {EVHTTP_REQ_GET, "/v1/batches", ROLE_VIEWER, 0, batches_list},
    {EVHTTP_REQ_GET, "/v1/batches/*", ROLE_VIEWER, 0, batch_get},
    {EVHTTP_REQ_GET, "/v1/batches/*/alerts", ROLE_VIEWER, 0, batch_alerts},
    {EVHTTP_REQ_GET, "/v1/batches/*/story", ROLE_VIEWER, 0, story_get},
    {EVHTTP_REQ_GET, "/v1/deliveries", ROLE_VIEWER, 0, deliveries_list},
    {EVHTTP_REQ_GET, "/v1/messages/*", ROLE_VIEWER, 0, messages_get},
    {EVHTTP_REQ_GET, "/v1/messages/*/raw", ROLE_VIEWER, 0, messages_get_raw},
    {EVHTTP_REQ_GET, "/v1/messages/*/html", ROLE_VIEWER, 0, messages_get_html},
    {EVHTTP_REQ_GET, "/v1/environments", ROLE_VIEWER, 0, environments_list},
    {EVHTTP_REQ_GET, "/v1/environments/*", ROLE_VIEWER, 0, environments_get},
    {EVHTTP_REQ_GET, "/v1/rules", ROLE_VIEWER, 0, rules_list},
    {EVHTTP_REQ_GET, "/v1/alerts", ROLE_VIEWER, 0, alerts_list},
    {EVHTTP_REQ_GET, "/v1/settings", ROLE_VIEWER, 0, settings_list},
    {EVHTTP_REQ_GET, "/v1/events", ROLE_VIEWER, 0, events_listen},
    {EVHTTP_REQ_POST, "/v1/release", ROLE_OPERATOR, BODY_SMALL, decisions_release},
    {EVHTTP_REQ_POST, "/v1/discard", ROLE_OPERATOR, BODY_SMALL, decisions_discard},
    {EVHTTP_REQ_POST, "/v1/restore", ROLE_OPERATOR, BODY_SMALL, decisions_restore},
    {EVHTTP_REQ_POST, "/v1/purge", ROLE_OPERATOR, BODY_SMALL, decisions_purge},
    {EVHTTP_REQ_POST, "/v1/approve", ROLE_APPROVER, BODY_SMALL, plans_approve},
    {EVHTTP_REQ_POST, "/v1/pause", ROLE_OPERATOR, BODY_SMALL, plans_pause},
    {EVHTTP_REQ_POST, "/v1/resume", ROLE_OPERATOR, BODY_SMALL, plans_resume},
    {EVHTTP_REQ_POST, "/v1/hold", ROLE_OPERATOR, BODY_SMALL, button_hold},
    {EVHTTP_REQ_POST, "/v1/unhold", ROLE_OPERATOR, BODY_SMALL, button_unhold},
    {EVHTTP_REQ_POST, "/v1/drill", ROLE_OPERATOR, BODY_SMALL, drill_start},
    {EVHTTP_REQ_POST, "/v1/drill/end", ROLE_OPERATOR, BODY_SMALL, drill_finish},
    {EVHTTP_REQ_POST, "/v1/alerts/test", ROLE_OPERATOR, BODY_SMALL, alert_test_post},
    {EVHTTP_REQ_POST, "/v1/explain", ROLE_VIEWER, BODY_LARGE, explain_post},
    {EVHTTP_REQ_POST, "/v1/backup", ROLE_OPERATOR, BODY_SMALL, backup_post},
    {EVHTTP_REQ_POST, "/v1/import", ROLE_OPERATOR, IMPORT_BODY_MAX, import_post},
    {EVHTTP_REQ_GET, "/v1/queue", ROLE_VIEWER, 0, queue_get},
    {EVHTTP_REQ_GET, "/v1/log", ROLE_VIEWER, 0, audit_log_list},
    {EVHTTP_REQ_GET, "/v1/audit", ROLE_VIEWER, 0, audit_log_list},
    {EVHTTP_REQ_GET, "/v1/traffic", ROLE_VIEWER, 0, traffic_list},
    {EVHTTP_REQ_GET, "/metrics", ROLE_VIEWER, 0, metrics_get},
    {EVHTTP_REQ_GET, "/v1/openapi.json", ROLE_VIEWER, 0, openapi_get},
};
enum { ROUTE_COUNT = sizeof(routes) / sizeof(routes[0]) };

bool
api_route(size_t i, struct api_route *out)
{
	if (i >= ROUTE_COUNT)
		return false;
	*out = (struct api_route){.method = routes[i].method == EVHTTP_REQ_GET      ? "get"
					    : routes[i].method == EVHTTP_REQ_DELETE ? "delete"
										    : "post",
				  .path = routes[i].path,
				  .role = routes[i].role};
	return true;
}

/* ---- the call */

/* The user of the process at the other end, as the kernel saw it at connect(). */
static void
identify_peer(struct request *r, struct evhttp_connection *c)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct passwd entry, *found = NULL;
	char space[4096];
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(c));

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
		snprintf(r->who, sizeof(r->who), "uid:?");
		return;
	}
	if (getpwuid_r(peer.uid, &entry, space, sizeof(space), &found) != 0)
		found = NULL;
	snprintf(r->who, sizeof(r->who), "uid:%u(%s)", (unsigned)peer.uid,
		 found != NULL ? entry.pw_name : "?");
	r->roles = access_roles_of_user(request_config(r), peer.uid);
}

/* True if the path fits the pattern; `*` takes one segment, which `id` gets. */
static bool
route_matches(const char *pattern, const char *path, char *id, size_t size)
{
	size_t n;

	id[0] = '\0';
	for (; *pattern != '\0'; pattern++) {
		if (*pattern != '*') {
			if (*path++ != *pattern)
				return false;
			continue;
		}
		n = strcspn(path, "/");
		if (n == 0 || n >= size)
			return false;
		memcpy(id, path, n);
		id[n] = '\0';
		path += n;
	}
	return *path == '\0';
}

/* Also sets its id. NULL if there is none. */
static const struct route *
request_find_route(struct request *r, enum evhttp_cmd_type method)
{
	for (size_t i = 0; i < ROUTE_COUNT; i++)
		if (routes[i].method == method &&
		    route_matches(routes[i].path, r->path, r->id, sizeof(r->id)))
			return &routes[i];
	return NULL;
}

/* 404, or 405 where the path takes other methods. */
static void
request_fail_route(struct request *r)
{
	struct buf allowed = {0};

	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		if (!route_matches(routes[i].path, r->path, r->id, sizeof(r->id)))
			continue;
		buf_printf(&allowed, "%s%s", allowed.len > 0 ? ", " : "",
			   routes[i].method == EVHTTP_REQ_GET      ? "GET, HEAD"
			   : routes[i].method == EVHTTP_REQ_DELETE ? "DELETE"
								   : "POST");
	}
	if (allowed.len > 0) {
		evhttp_add_header(evhttp_request_get_output_headers(r->http), "Allow",
				  buf_text(&allowed));
		request_fail(r, 405, "%s takes %s only", log_safe(r->path), buf_text(&allowed));
	} else {
		request_fail(r, 404, "there is no %s; docs/api.md lists the calls",
			     log_safe(r->path));
	}
	buf_free(&allowed);
}

static bool
request_read_body(struct request *r, const struct route *route)
{
	struct evbuffer *input = evhttp_request_get_input_buffer(r->http);
	size_t len = evbuffer_get_length(input);
	const char *text;
	json_error_t error;

	if (len > route->body_max) {
		if (route->body_max == 0)
			request_fail(r, 400, "%s takes no body", r->path);
		else
			request_fail(r, 413, "the request has %zu bytes; %s takes at most %zu MB",
				     len, r->path, route->body_max >> 20);
		return false;
	}
	if (route->body_max == 0)
		return true;
	text = len > 0 ? (const char *)evbuffer_pullup(input, -1) : "";
	if (text == NULL)
		fatal("out of memory");
	if (json_estimate_values(text, len) > JSON_VALUES_MAX) {
		request_fail(r, 400, "the JSON has more than %d values; send fewer ids at a time",
			     JSON_VALUES_MAX);
		return false;
	}
	r->body = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
	evbuffer_drain(input, len);
	if (r->body == NULL || !json_is_object(r->body)) {
		request_fail(r, 400, "the body is not a JSON object: %s",
			     r->body != NULL ? "put it in {}" : error.text);
		return false;
	}
	return true;
}

/* Who hung up is not told, but what was asked goes on. */
static void
request_closed(struct evhttp_connection *c, void *context)
{
	struct request *r = context;

	(void)c;
	log_debug("- control.client-gone path=%s who=%s", log_safe(r->path), log_safe(r->who));
	request_let_go(r->http);
	r->http = NULL;
	r->path = "(gone)";
}

static struct request *
request_new(struct door *door, struct evhttp_request *http)
{
	struct request *r = mem_zalloc(sizeof(*r));
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));

	r->deps = &door->api->deps;
	r->button = door->api->button;
	r->pulse = door->api->pulse;
	r->events = door->api->events;
	r->guard = door->guard;
	r->http = http;
	r->path = path != NULL ? path : "/";
	r->query = mem_zalloc(sizeof(*r->query));
	TAILQ_INIT(r->query);
	LIST_INSERT_HEAD(&door->api->unanswered, r, next);
	return r;
}

/* True if the caller may go on: it is known, and what it asks takes no more than it has. */
static bool
request_admit(struct request *r, const struct route *route, bool is_get)
{
	bool for_all = route != NULL && route->role == FOR_ALL;

	if (r->guard == NULL) {
		identify_peer(r, evhttp_request_get_connection(r->http));
	} else if (!origin_check(r, guard_host(r->guard))) {
		return false;
	} else if (route == NULL && is_get && pages_take(r->path)) {
		pages_get(r);
		return false;
	} else if (!for_all && !guard_admit(r->guard, r)) {
		return false;
	}
	if (route == NULL) {
		request_fail_route(r);
		return false;
	}
	return for_all || access_check(r, route->role);
}

static void
request_start(struct evhttp_request *http, void *context)
{
	struct door *door = context;
	struct request *r = request_new(door, http);
	struct evhttp_connection *c = evhttp_request_get_connection(http);
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(http));
	enum evhttp_cmd_type method = evhttp_request_get_command(http);
	const struct route *route;

	if (door->seats != NULL)
		seats_answering(door->seats, evhttp_connection_get_bufferevent(c));
	evhttp_connection_set_closecb(c, request_closed, r);
	if (door->api->stopped) {
		request_fail(r, 503, "mailfused stops; ask again once it runs");
		return;
	}
	if (!origin_check_framing(r))
		return;
	/* The answer to a HEAD is a GET's, without its body. */
	if (method == EVHTTP_REQ_HEAD)
		method = EVHTTP_REQ_GET;
	route = request_find_route(r, method);
	if (!request_admit(r, route, method == EVHTTP_REQ_GET))
		return;
	if (query != NULL && query[0] != '\0' && evhttp_parse_query_str(query, r->query) != 0) {
		request_fail(r, 400,
			     "cannot read what follows the `?`: write ?name=value&name=value");
		return;
	}
	if (request_read_body(r, route))
		route->run(r);
}

/* ---- the server */

/* The open ones, main thread: libevent tells of a failed accept() with the server only. */
static LIST_HEAD(, door) doors = LIST_HEAD_INITIALIZER(doors);

/* Out of descriptors or memory: a moment's rest, or accept() would fail in a tight circle. */
static void
door_failed(struct evconnlistener *event, void *context)
{
	struct door *d;

	log_warn("- control.accept-failed error=%s", log_safe(strerror(errno)));
	LIST_FOREACH (d, &doors, next) {
		if (d->server != context)
			continue;
		evconnlistener_disable(event);
		loop_timer_set(d->rest, CLOCK_SECOND);
	}
}

static void
door_rested(void *context)
{
	struct door *d = context;

	if (d->listener != NULL)
		evconnlistener_enable(evhttp_bound_socket_get_listener(d->listener));
}

static void
door_open(struct door *d, struct api *h, int fd, ev_ssize_t body_max)
{
	d->api = h;
	d->server = evhttp_new(loop_base(h->deps.loop));
	if (d->server == NULL)
		fatal("out of memory");
	evhttp_set_max_headers_size(d->server, HEADERS_MAX);
	evhttp_set_max_body_size(d->server, body_max);
	evhttp_set_timeout(d->server, IDLE_SECONDS);
	/* All methods: what a path does not take is answered by request_route(). */
	evhttp_set_allowed_methods(d->server, UINT16_MAX);
	evhttp_set_gencb(d->server, request_start, d);
	d->listener = evhttp_accept_socket_with_handle(d->server, fd);
	if (d->listener == NULL)
		fatal("out of memory");
	d->rest = loop_timer_new(h->deps.loop, door_rested, d);
	LIST_INSERT_HEAD(&doors, d, next);
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(d->listener), door_failed);
}

static void
door_shut(struct door *d)
{
	if (d->listener != NULL) {
		evhttp_del_accept_socket(d->server, d->listener);
		loop_timer_free(d->rest);
		LIST_REMOVE(d, next);
	}
	d->listener = NULL;
}

static void
door_free(struct door *d)
{
	door_shut(d);
	seats_free(d->seats);
	if (d->server != NULL)
		evhttp_free(d->server);
	guard_free(d->guard);
}

struct api *
api_new(const struct control_deps *deps, struct button *button, int fd)
{
	struct api *h = mem_zalloc(sizeof(*h));

	h->deps = *deps;
	h->button = button;
	h->pulse = pulse_new(&h->deps);
	h->events = events_new(&h->deps);
	LIST_INIT(&h->unanswered);
	door_open(&h->control, h, fd, BODY_REFUSED_UNREAD);
	return h;
}

void
api_serve_http(struct api *h, int fd, const char *host)
{
	static const struct seats_rules rules = {
	    .most = HTTP_CONNECTIONS_MAX,
	    .unread_most = HTTP_UNREAD_MAX,
	    .request = {HTTP_REQUEST_SECONDS * CLOCK_SECOND, HTTP_REQUEST_BYTES},
	    .answer = {HTTP_ANSWER_SECONDS * CLOCK_SECOND, HTTP_ANSWER_BYTES}};

	h->http.guard = guard_new(host);
	door_open(&h->http, h, fd, BODY_HTTP_REFUSED_UNREAD);
	h->http.seats = seats_new(loop_base(h->deps.loop), h->http.server, &rules,
				  h->deps.http_secure, h->deps.context);
}

/* At a stop nothing is left to be looked after: the rest of the daemon may be gone already. */
static void
poke_nobody(void *context)
{
	(void)context;
}

static void
pause_nobody(void *context, int64_t batch)
{
	(void)context;
	(void)batch;
}

static void
wake(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
}

void
api_drain(struct api *h, int64_t patience)
{
	struct event_base *base = loop_base(h->deps.loop);
	int64_t until = clock_mono() + patience;
	struct timeval tick = {0, 100000};
	struct event *timer = event_new(base, -1, EV_PERSIST, wake, NULL);

	if (timer == NULL || event_add(timer, &tick) != 0)
		fatal("out of memory");
	h->stopped = true;
	events_end(h->events);
	door_shut(&h->control);
	door_shut(&h->http);
	h->deps.queue_poke = poke_nobody;
	h->deps.alert_poke = poke_nobody;
	h->deps.held = poke_nobody;
	h->deps.batch_paused = pause_nobody;
	while (!LIST_EMPTY(&h->unanswered) && clock_mono() < until)
		if (event_base_loop(base, EVLOOP_ONCE) < 0)
			break;
	/* What was answered just now leaves the buffers. */
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_free(timer);
}

void
api_free(struct api *h)
{
	struct request *r;

	while ((r = LIST_FIRST(&h->unanswered)) != NULL) {
		struct evhttp_connection *c =
		    r->http != NULL ? evhttp_request_get_connection(r->http) : NULL;

		if (c != NULL)
			evhttp_connection_set_closecb(c, NULL, NULL);
		LIST_REMOVE(r, next);
		r->http = NULL;
		r->path = "(gone)";
		r->deps = NULL;
		r->button = NULL;
		r->pulse = NULL;
		r->events = NULL;
		r->guard = NULL;
		r->session = NULL;
	}
	events_free(h->events);
	pulse_free(h->pulse);
	door_free(&h->control);
	door_free(&h->http);
	free(h);
}
