/*
 * libcurl's multi interface on libevent: curl says which sockets and which timer it wants watched,
 * the loop says what happened. Used by webhook.c and chat.c; all on the main loop. A
 * request is freed when it ends or is cancelled. URLs are secrets and appear in no message.
 */
#include "alert/http.h"

#include "alert/alert.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

/* More of an answer than anybody needs to say "ok"; the connection is cut there. */
enum { ANSWER_MAX = 65536 };
/* Seconds that a Retry-After is followed (RFC 9110 10.2.3): a receiver must not silence us. */
enum { RETRY_AFTER_MAX = 900 };

struct http_request {
	LIST_ENTRY(http_request) next;
	struct http *h;
	CURL *easy;
	struct curl_slist *header;
	size_t answer_bytes;
	channel_done *done;
	void *context;
};

struct http {
	CURLM *multi;
	struct event_base *base;
	struct event *timer;
	LIST_HEAD(request_list, http_request) requests;
};

static void
request_free(struct http_request *r)
{
	LIST_REMOVE(r, next);
	curl_multi_remove_handle(r->h->multi, r->easy);
	curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->header);
	free(r);
}

void
http_cancel(struct http_request *r)
{
	request_free(r);
}

static void
request_end(struct http_request *r, CURLcode code)
{
	channel_done *done = r->done;
	void *context = r->context;
	bool cut = r->answer_bytes > ANSWER_MAX;
	long status = 0;
	curl_off_t after = 0;
	struct channel_end end = {0};
	char why[160];

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(r->easy, CURLINFO_RETRY_AFTER, &after);
	if (code != CURLE_OK && !(code == CURLE_WRITE_ERROR && cut))
		snprintf(why, sizeof(why), "%s", curl_easy_strerror(code));
	else
		snprintf(why, sizeof(why), "answered with HTTP status %ld", status);
	request_free(r);
	end.ok = (code == CURLE_OK || cut) && status >= 200 && status <= 299;
	end.why = why;
	if (!end.ok && after > 0)
		end.leave = (after < RETRY_AFTER_MAX ? after : RETRY_AFTER_MAX) * CLOCK_SECOND;
	done(context, &end);
}

/* Requests that ended since; done() may start others. */
static void
http_reap(struct http *h)
{
	struct CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(h->multi, &left)) != NULL) {
		struct http_request *r = NULL;
		CURLcode code = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&r);
		request_end(r, code);
	}
}

static void
http_socket_ready(evutil_socket_t fd, short what, void *context)
{
	struct http *h = context;
	int action = ((what & EV_READ) != 0 ? CURL_CSELECT_IN : 0) |
		     ((what & EV_WRITE) != 0 ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(h->multi, fd, action, &running);
	http_reap(h);
}

static void
http_timer_fired(evutil_socket_t fd, short what, void *context)
{
	struct http *h = context;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	http_reap(h);
}

/* curl wants a socket watched, otherwise watched, or no more. */
static int
http_watch_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *socket_data)
{
	struct http *h = context;
	struct event *watch = socket_data;
	short events = EV_PERSIST;

	(void)easy;
	if (watch != NULL)
		event_free(watch);
	watch = NULL;
	if (what != CURL_POLL_REMOVE) {
		if ((what & CURL_POLL_IN) != 0)
			events |= EV_READ;
		if ((what & CURL_POLL_OUT) != 0)
			events |= EV_WRITE;
		watch = event_new(h->base, fd, events, http_socket_ready, h);
		if (watch == NULL || event_add(watch, NULL) != 0)
			fatal("cannot watch a socket");
	}
	curl_multi_assign(h->multi, fd, watch);
	return 0;
}

static int
http_set_timer(CURLM *multi, long milliseconds, void *context)
{
	struct http *h = context;
	struct timeval in = {milliseconds / 1000, (milliseconds % 1000) * 1000};

	(void)multi;
	if (milliseconds < 0)
		event_del(h->timer);
	else
		event_add(h->timer, &in);
	return 0;
}

static size_t
http_take_answer(char *bytes, size_t size, size_t n, void *context)
{
	struct http_request *r = context;

	(void)bytes;
	r->answer_bytes += size * n;
	return r->answer_bytes > ANSWER_MAX ? 0 : size * n;
}

struct http *
http_new(struct loop *loop)
{
	struct http *h = mem_zalloc(sizeof(*h));

	LIST_INIT(&h->requests);
	h->base = loop_base(loop);
	h->timer = event_new(h->base, -1, 0, http_timer_fired, h);
	if (h->timer == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fatal("cannot start libcurl");
	h->multi = curl_multi_init();
	if (h->multi == NULL)
		fatal("cannot start libcurl");
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, http_watch_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, http_set_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, 8L);
	return h;
}

void
http_free(struct http *h)
{
	struct http_request *r;

	while ((r = LIST_FIRST(&h->requests)) != NULL)
		request_free(r);
	curl_multi_cleanup(h->multi);
	event_free(h->timer);
	curl_global_cleanup();
	free(h);
}

static bool
request_add_headers(struct http_request *r, const struct http_note *note)
{
	r->header = curl_slist_append(NULL, "Content-Type: application/json");
	for (size_t i = 0; r->header != NULL && note->headers[i] != NULL; i++) {
		struct curl_slist *longer = curl_slist_append(r->header, note->headers[i]);

		if (longer == NULL)
			return false;
		r->header = longer;
	}
	return r->header != NULL;
}

static bool
request_set_up(struct http_request *r, const struct http_note *note, int64_t timeout)
{
	CURL *e = r->easy;
	long ms = (long)(timeout / 1000);
	bool ok = request_add_headers(r, note);

	ok = ok && curl_easy_setopt(e, CURLOPT_URL, note->url) == CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x075500
	ok = ok && curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
#else
	ok = ok && curl_easy_setopt(e, CURLOPT_PROTOCOLS,
				    (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS)) == CURLE_OK;
#endif
	ok = ok && curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, ms) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, ms) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->header) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_USERAGENT, "mailfuse") == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)note->len) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, note->json) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, http_take_answer) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_WRITEDATA, r) == CURLE_OK;
	ok = ok && curl_easy_setopt(e, CURLOPT_PRIVATE, r) == CURLE_OK;
	return ok && curl_multi_add_handle(r->h->multi, e) == CURLM_OK;
}

struct http_request *
http_post(struct http *h, const struct http_note *note, int64_t timeout, channel_done *done,
	  void *context, struct buf *why)
{
	struct http_request *r = mem_zalloc(sizeof(*r));

	r->h = h;
	r->done = done;
	r->context = context;
	r->easy = curl_easy_init();
	if (r->easy == NULL)
		fatal("cannot start libcurl");
	LIST_INSERT_HEAD(&h->requests, r, next);
	if (request_set_up(r, note, timeout))
		return r;
	buf_add_text(why, "the url cannot be used");
	request_free(r);
	return NULL;
}

const char *
alert_library_version(void)
{
	return curl_version();
}
