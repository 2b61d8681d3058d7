/*
 * HTTP on the control socket: finds the route of a call in one table, reads its body, and sends
 * its answer. Served by libevent's evhttp on the main loop. A struct request is made by
 * request_start() and freed by its answer; between the two the client may hang up, and the server
 * may be freed: both only cut the ties that lead to it.
 */
#include "control/http.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "control/audit_log.h"
#include "control/batches.h"
#include "control/decisions.h"
#include "control/deliveries.h"
#include "control/explain.h"
#include "control/holds.h"
#include "control/json.h"
#include "control/messages.h"
#include "control/queue.h"
#include "control/status.h"

enum {
	BODY_SMALL = 1 << 20,  /* some 30,000 delivery ids */
	BODY_LARGE = 32 << 20, /* explain: a whole message */
	/* evhttp answers what is beyond this by itself, as HTML: far enough off to be rare. */
	BODY_REFUSED_UNREAD = 48 << 20,
	HEADERS_MAX = 16 << 10,
	JSON_VALUES_MAX = 100000,
	IDLE_SECONDS = 60, /* of a client that sends or takes nothing */
	REASON_MAX = 500
};

struct http {
	struct control_deps deps;
	struct holds *holds;
	struct evhttp *server;
	struct evhttp_bound_socket *listener;
	LIST_HEAD(, request) unanswered;
};

struct route {
	enum evhttp_cmd_type method;
	const char *path; /* `*` is one segment */
	size_t body_max;
	void (*run)(struct request *r);
};

static const struct route routes[] = {
    {EVHTTP_REQ_GET, "/v1/status", 0, status_get},
    {EVHTTP_REQ_GET, "/v1/batches", 0, batches_list},
    {EVHTTP_REQ_GET, "/v1/batches/*", 0, batches_get},
    {EVHTTP_REQ_GET, "/v1/deliveries", 0, deliveries_list},
    {EVHTTP_REQ_GET, "/v1/messages/*", 0, messages_get},
    {EVHTTP_REQ_GET, "/v1/messages/*/raw", 0, messages_get_raw},
    {EVHTTP_REQ_POST, "/v1/release", BODY_SMALL, decisions_release},
    {EVHTTP_REQ_POST, "/v1/discard", BODY_SMALL, decisions_discard},
    {EVHTTP_REQ_POST, "/v1/restore", BODY_SMALL, decisions_restore},
    {EVHTTP_REQ_POST, "/v1/hold", BODY_SMALL, holds_hold},
    {EVHTTP_REQ_POST, "/v1/unhold", BODY_SMALL, holds_unhold},
    {EVHTTP_REQ_POST, "/v1/explain", BODY_LARGE, explain_post},
    {EVHTTP_REQ_GET, "/v1/queue", 0, queue_get},
    {EVHTTP_REQ_GET, "/v1/log", 0, audit_log_list},
};
enum { ROUTE_COUNT = sizeof(routes) / sizeof(routes[0]) };

static const char *
status_title(int status)
{
	static const struct {
		int status;
		const char *title;
	} titles[] = {{200, "OK"},
		      {400, "Bad Request"},
		      {403, "Forbidden"},
		      {404, "Not Found"},
		      {405, "Method Not Allowed"},
		      {409, "Conflict"},
		      {413, "Content Too Large"},
		      {503, "Service Unavailable"}};

	for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "Error";
}

/* ---- the answer */

static void
request_free(struct request *r)
{
	if (r->http != NULL) {
		struct evhttp_connection *c = evhttp_request_get_connection(r->http);

		if (c != NULL)
			evhttp_connection_set_closecb(c, NULL, NULL);
	}
	if (r->deps != NULL)
		LIST_REMOVE(r, next);
	if (r->query != NULL) {
		evhttp_clear_headers(r->query);
		free(r->query);
	}
	json_decref(r->body);
	free(r);
}

static void
release_bytes(const void *data, size_t len, void *context)
{
	(void)len;
	(void)context;
	free((void *)(uintptr_t)data);
}

/* The one way out of every call. Takes `bytes`. */
static void
request_send(struct request *r, int status, const char *type, char *bytes, size_t len)
{
	struct evhttp_request *http = r->http;
	struct evkeyvalq *headers;
	struct evbuffer *body;

	log_debug("- control_answer path=%s who=%s status=%d", log_safe(r->path), log_safe(r->who),
		  status);
	request_free(r);
	if (http == NULL) { /* nobody is left to tell */
		free(bytes);
		return;
	}
	headers = evhttp_request_get_output_headers(http);
	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	body = evbuffer_new();
	if (body == NULL || evbuffer_add_reference(body, bytes, len, release_bytes, NULL) != 0)
		fatal("out of memory");
	evhttp_send_reply(http, status, status_title(status), body);
	evbuffer_free(body);
}

static void
request_send_json(struct request *r, int status, const char *type, json_t *answer)
{
	char *text = json_dumps(answer, JSON_COMPACT);

	if (text == NULL)
		fatal("out of memory");
	json_decref(answer);
	request_send(r, status, type, text, strlen(text));
}

void
request_reply(struct request *r, json_t *answer)
{
	request_send_json(r, 200, "application/json", answer);
}

void
request_reply_bytes(struct request *r, const char *type, struct buf *bytes)
{
	size_t len = bytes->len;

	request_send(r, 200, type, buf_take(bytes), len);
}

void
request_fail(struct request *r, int status, const char *format, ...)
{
	json_t *problem = json_make_object();
	char *text;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		fatal("out of memory");
	va_end(args);
	json_put_text(problem, "type", "about:blank");
	json_put_text(problem, "title", status_title(status));
	json_put_count(problem, "status", (uint64_t)status);
	json_put_text(problem, "detail", text);
	free(text);
	request_send_json(r, status, "application/problem+json", problem);
}

void
request_fail_store(struct request *r, enum store_result result, const char *what, const char *error)
{
	const char *because = error[0] != '\0' ? error : "the log of mailfused says more";

	if (result == STORE_MISSING)
		request_fail(r, 404, "there is no %s", what);
	else if (result == STORE_REFUSED)
		request_fail(r, 409, "%s: %s", what, because);
	else if (result == STORE_BUSY)
		request_fail(r, 503, "%s: the store is busy; try again in a moment (%s)", what,
			     because);
	else if (result == STORE_FULL)
		request_fail(r, 503, "%s: the store is full; make room on its disk (%s)", what,
			     because);
	else
		request_fail(r, 503, "%s: the store cannot answer: %s", what, because);
}

/* ---- reading a call */

const struct config *
request_config(const struct request *r)
{
	return policy_config(r->deps->policy(r->deps->context));
}

static bool
is_known(const char *const *known, const char *name)
{
	for (; *known != NULL; known++)
		if (strcmp(*known, name) == 0)
			return true;
	return false;
}

static bool
fail_unknown(struct request *r, const char *kind, const char *name, const char *const *known)
{
	struct buf names = {0};

	for (; *known != NULL; known++)
		buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", *known);
	request_fail(r, 400, "unknown %s %s; %s", kind, log_safe(name),
		     names.len > 0 ? buf_text(&names) : "this call takes none");
	buf_free(&names);
	return false;
}

bool
request_check_query(struct request *r, const char *const *known)
{
	const struct evkeyval *pair;

	TAILQ_FOREACH (pair, r->query, next) {
		if (!is_known(known, pair->key))
			return fail_unknown(r, "parameter", pair->key, known);
	}
	return true;
}

bool
request_check_fields(struct request *r, const char *const *known)
{
	const char *key;
	json_t *value;

	json_object_foreach(r->body, key, value)
	{
		if (!is_known(known, key))
			return fail_unknown(r, "field", key, known);
	}
	return true;
}

const char *
request_query(const struct request *r, const char *name)
{
	const char *value = evhttp_find_header(r->query, name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

bool
request_query_limit(struct request *r, const char *name, uint32_t fallback, uint32_t most,
		    uint32_t *out)
{
	const char *text = request_query(r, name);
	unsigned long value;
	char *end;

	*out = fallback;
	if (text == NULL)
		return true;
	value = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || value < 1 || value > most) {
		request_fail(r, 400, "%s=%s: write a number from 1 to %u", name, log_safe(text),
			     (unsigned)most);
		return false;
	}
	*out = (uint32_t)value;
	return true;
}

bool
request_field_text(struct request *r, const char *name, size_t max, const char **out)
{
	json_t *value = json_object_get(r->body, name);
	const char *text;

	*out = "";
	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_string(value)) {
		request_fail(r, 400, "%s is not text: write it in quotes", name);
		return false;
	}
	text = json_string_value(value);
	if (strlen(text) > max) {
		request_fail(r, 400, "%s has %zu bytes; at most %zu are allowed", name,
			     strlen(text), max);
		return false;
	}
	for (const char *c = text; *c != '\0'; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f) {
			request_fail(r, 400, "%s has a control character: write one line of text",
				     name);
			return false;
		}
	}
	*out = text;
	return true;
}

bool
request_field_reason(struct request *r, const char **out)
{
	if (!request_field_text(r, "reason", REASON_MAX, out))
		return false;
	if (text_is_blank(*out)) {
		request_fail(r, 400, "say why: --reason TEXT");
		return false;
	}
	return true;
}

bool
request_field_bool(struct request *r, const char *name, bool *out)
{
	json_t *value = json_object_get(r->body, name);

	*out = json_is_true(value);
	if (value == NULL || json_is_null(value) || json_is_boolean(value))
		return true;
	request_fail(r, 400, "%s: write true or false", name);
	return false;
}

/* ---- the call */

/* The uid of the process at the other end, as the kernel saw it at connect(). */
static void
identify_peer(struct evhttp_connection *c, char *out, size_t size)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	struct passwd entry, *found = NULL;
	char space[4096];
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(c));

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
		snprintf(out, size, "uid:?");
		return;
	}
	if (getpwuid_r(peer.uid, &entry, space, sizeof(space), &found) != 0)
		found = NULL;
	snprintf(out, size, "uid:%u(%s)", (unsigned)peer.uid, found != NULL ? entry.pw_name : "?");
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

/* NULL after it answered 404 or 405. */
static const struct route *
request_route(struct request *r, enum evhttp_cmd_type method)
{
	const struct route *other = NULL;

	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		if (!route_matches(routes[i].path, r->path, r->id, sizeof(r->id)))
			continue;
		if (routes[i].method == method)
			return &routes[i];
		other = &routes[i];
	}
	if (other != NULL) {
		const char *allowed = other->method == EVHTTP_REQ_GET ? "GET" : "POST";

		evhttp_add_header(evhttp_request_get_output_headers(r->http), "Allow", allowed);
		request_fail(r, 405, "%s takes %s only", log_safe(r->path), allowed);
	} else {
		request_fail(r, 404, "there is no %s; docs/api.md lists the calls",
			     log_safe(r->path));
	}
	return NULL;
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
	log_debug("- control_client_gone path=%s who=%s", log_safe(r->path), log_safe(r->who));
	r->http = NULL;
	r->path = "(gone)";
}

static void
request_start(struct evhttp_request *http, void *context)
{
	struct http *h = context;
	struct request *r = mem_zalloc(sizeof(*r));
	struct evhttp_connection *c = evhttp_request_get_connection(http);
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(http);
	const char *query = evhttp_uri_get_query(uri);
	const struct route *route;

	r->deps = &h->deps;
	r->holds = h->holds;
	r->http = http;
	r->path = evhttp_uri_get_path(uri) != NULL ? evhttp_uri_get_path(uri) : "/";
	r->query = mem_zalloc(sizeof(*r->query));
	TAILQ_INIT(r->query);
	LIST_INSERT_HEAD(&h->unanswered, r, next);
	evhttp_connection_set_closecb(c, request_closed, r);
	identify_peer(c, r->who, sizeof(r->who));

	route = request_route(r, evhttp_request_get_command(http));
	if (route == NULL)
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

struct http *
http_new(const struct control_deps *deps, struct holds *holds, int fd)
{
	struct http *h = mem_zalloc(sizeof(*h));

	h->deps = *deps;
	h->holds = holds;
	LIST_INIT(&h->unanswered);
	h->server = evhttp_new(loop_base(deps->loop));
	if (h->server == NULL)
		fatal("out of memory");
	evhttp_set_max_headers_size(h->server, HEADERS_MAX);
	evhttp_set_max_body_size(h->server, BODY_REFUSED_UNREAD);
	evhttp_set_timeout(h->server, IDLE_SECONDS);
	/* All methods: what a path does not take is answered by request_route(). */
	evhttp_set_allowed_methods(h->server, UINT16_MAX);
	evhttp_set_gencb(h->server, request_start, h);
	h->listener = evhttp_accept_socket_with_handle(h->server, fd);
	if (h->listener == NULL)
		fatal("out of memory");
	return h;
}

static void
wake(evutil_socket_t fd, short what, void *context)
{
	(void)fd;
	(void)what;
	(void)context;
}

void
http_drain(struct http *h, int64_t patience)
{
	struct event_base *base = loop_base(h->deps.loop);
	int64_t until = clock_mono() + patience;
	struct timeval tick = {0, 100000};
	struct event *timer = event_new(base, -1, EV_PERSIST, wake, NULL);

	if (timer == NULL || event_add(timer, &tick) != 0)
		fatal("out of memory");
	if (h->listener != NULL)
		evhttp_del_accept_socket(h->server, h->listener);
	h->listener = NULL;
	while (!LIST_EMPTY(&h->unanswered) && clock_mono() < until)
		if (event_base_loop(base, EVLOOP_ONCE) < 0)
			break;
	/* What was answered just now leaves the buffers. */
	event_base_loop(base, EVLOOP_NONBLOCK);
	event_free(timer);
}

void
http_free(struct http *h)
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
		r->holds = NULL;
	}
	evhttp_free(h->server);
	free(h);
}
