/*
 * Host, Origin, Sec-Fetch-Site and the framing of a request: what a browser cannot be made to say
 * by another page, and what programs that stand between would read otherwise than we do. Called by
 * api.c for each call, by guard.c for those with a cookie; main loop.
 */
#include "control/origin.h"

#include <arpa/inet.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/log.h"
#include "config/config.h"
#include "control/headers.h"
#include "control/request.h"

enum { HOST_BYTES = 280 };

/* ---- framing */

static bool
takes_body(enum evhttp_cmd_type method)
{
	return method == EVHTTP_REQ_POST || method == EVHTTP_REQ_PUT || method == EVHTTP_REQ_PATCH;
}

/*
 * NULL, or why it is not sure where the request ends. libevent reads no body of a GET and its like,
 * and takes what is there for the next request; of two lengths it takes the first (RFC 9112 6.3
 * forbids both).
 */
static const char *
find_framing_fault(struct evhttp_request *http)
{
	bool two_lengths, two_codings;
	const char *length = headers_find_once(http, "Content-Length", &two_lengths);
	const char *coding = headers_find_once(http, "Transfer-Encoding", &two_codings);
	const struct evkeyval *pair;

	TAILQ_FOREACH (pair, evhttp_request_get_input_headers(http), next) {
		const char *why = headers_fault(pair->key, pair->value);

		if (why != NULL)
			return why;
	}
	if (two_lengths || two_codings || (length != NULL && coding != NULL))
		return "the length of the request is said twice; send Content-Length once, or "
		       "Transfer-Encoding";
	if (coding != NULL && strcasecmp(coding, "chunked") != 0)
		return "this Transfer-Encoding is not taken; send chunked, or Content-Length";
	if (!takes_body(evhttp_request_get_command(http)) &&
	    (coding != NULL || (length != NULL && strcmp(length, "0") != 0)))
		return "this method takes no body; send none, or POST";
	return NULL;
}

bool
origin_check_framing(struct request *r)
{
	const char *why = find_framing_fault(r->http);

	if (why == NULL)
		return true;
	request_add_header(r, "Connection", "close");
	request_fail(r, 400, "%s", why);
	return false;
}

/* ---- whom it is for */

static bool
names_address(const char *text, const char *address)
{
	char host[HOST_BYTES];
	int len =
	    snprintf(host, sizeof(host), strchr(address, ':') != NULL ? "[%s]" : "%s", address);

	return headers_host_is(text, host, (size_t)len);
}

/* The address that the client reached, where the port serves several: no name stands for it. */
static bool
names_reached(struct request *r, const char *text)
{
	struct evhttp_connection *c = evhttp_request_get_connection(r->http);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(c));
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	char host[NI_MAXHOST];

	return getsockname(fd, (struct sockaddr *)&local, &len) == 0 &&
	       getnameinfo((struct sockaddr *)&local, len, host, sizeof(host), NULL, 0,
			   NI_NUMERICHOST) == 0 &&
	       names_address(text, strncmp(host, "::ffff:", 7) == 0 ? host + 7 : host);
}

static bool
is_our_host(struct request *r, const char *served, const char *text)
{
	const struct config_http *http = &request_config(r)->http;
	const char *url = strstr(http->url, "://");
	size_t len;

	if (names_address(text, served) || headers_host_is(text, "localhost", 9))
		return true;
	for (char *const *name = http->hosts; *name != NULL; name++)
		if (headers_host_is(text, *name, strlen(*name)))
			return true;
	if (url != NULL) {
		url += 3;
		len = url[0] == '[' ? strcspn(url, "]") + 1 : strcspn(url, ":");
		if (headers_host_is(text, url, len))
			return true;
	}
	return names_reached(r, text);
}

/* ---- who made the browser ask */

/* A page of ours is at http://HOST, with TLS or behind a proxy that has it at https://HOST, or
 * where `url` says; "null" is no page of ours. */
static bool
is_own_origin(struct request *r, const char *origin, const char *host)
{
	const char *url = request_config(r)->http.url;

	if (url[0] != '\0' && strcasecmp(origin, url) == 0)
		return true;
	return headers_origin_is(origin, host, r->deps->http_secure != NULL);
}

bool
origin_check(struct request *r, const char *served)
{
	const char *in_uri = evhttp_uri_get_host(evhttp_request_get_evhttp_uri(r->http));
	bool twice, origin_twice;
	const char *host = headers_find_once(r->http, "Host", &twice);
	const char *origin = headers_find_once(r->http, "Origin", &origin_twice);

	if (host == NULL || !is_our_host(r, served, host) ||
	    (in_uri != NULL && in_uri[0] != '\0' && !is_our_host(r, served, in_uri))) {
		request_fail(r, 421,
			     "this is %s and not %s; write that address, or localhost, or name it "
			     "in hosts of section http",
			     served,
			     twice          ? "two hosts"
			     : host == NULL ? "a host without name"
					    : log_safe(host));
		return false;
	}
	if (origin_twice || (origin != NULL && !is_own_origin(r, origin, host))) {
		request_fail(r, 403, "a page of %s may not ask here; open the API's own address",
			     origin == NULL ? "two origins" : log_safe(origin));
		return false;
	}
	return true;
}

bool
origin_is_secure(struct request *r)
{
	const char *origin =
	    evhttp_find_header(evhttp_request_get_input_headers(r->http), "Origin");

	return r->deps->http_secure != NULL ||
	       (origin != NULL && strncasecmp(origin, "https://", 8) == 0);
}

bool
origin_check_page(struct request *r)
{
	enum evhttp_cmd_type method = evhttp_request_get_command(r->http);
	bool twice, changes = method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD;
	const char *site = headers_find_once(r->http, "Sec-Fetch-Site", &twice);
	bool ours = site != NULL && strcmp(site, "same-origin") == 0;
	/* That it is none of another page was checked. */
	bool origin =
	    evhttp_find_header(evhttp_request_get_input_headers(r->http), "Origin") != NULL;
	const char *type =
	    evhttp_find_header(evhttp_request_get_input_headers(r->http), "Content-Type");

	if (twice || (site != NULL && !ours && (changes || strcmp(site, "none") != 0)))
		request_fail(r, 403,
			     "a page of another site made the browser ask (Sec-Fetch-Site: %s); "
			     "open the console's own address",
			     twice ? "twice" : log_safe(site));
	else if (changes && !ours && !origin)
		request_fail(r, 403,
			     "a call by cookie that changes something says where it comes from: "
			     "send Origin, or Sec-Fetch-Site: same-origin");
	else if (takes_body(method) && !headers_is_json(type))
		request_fail(r, 403,
			     "a call by cookie is JSON: send Content-Type: application/json");
	else
		return true;
	return false;
}
