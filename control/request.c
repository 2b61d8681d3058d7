/*
 * One call of the control API: its answer, and the reading of what it asks. Called by api.c and
 * the nouns, on the main loop. The answer frees the request.
 */
#include "control/request.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/units.h"
#include "control/headers.h"
#include "control/json.h"

static const char *
status_title(int status)
{
	static const struct {
		int status;
		const char *title;
	} titles[] = {{200, "OK"},
		      {304, "Not Modified"},
		      {400, "Bad Request"},
		      {401, "Unauthorized"},
		      {403, "Forbidden"},
		      {404, "Not Found"},
		      {405, "Method Not Allowed"},
		      {409, "Conflict"},
		      {413, "Content Too Large"},
		      {421, "Misdirected Request"},
		      {429, "Too Many Requests"},
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

/* A HEAD is told how long it would be (RFC 9110 9.3.2), and 304 has no body. */
static bool
has_body(struct evhttp_request *http, int status, size_t len)
{
	char length[24];

	if (status == 304)
		return false;
	if (evhttp_request_get_command(http) != EVHTTP_REQ_HEAD)
		return true;
	snprintf(length, sizeof(length), "%zu", len);
	evhttp_add_header(evhttp_request_get_output_headers(http), "Content-Length", length);
	return false;
}

/* The one way out of every call but streams. `release` frees the bytes. */
static void
request_send(struct request *r, int status, const char *type, const void *bytes, size_t len,
	     evbuffer_ref_cleanup_cb release)
{
	struct evhttp_request *http = r->http;
	struct evkeyvalq *headers;
	struct evbuffer *body;

	log_debug("- control.answer path=%s who=%s status=%d", log_safe(r->path), log_safe(r->who),
		  status);
	request_free(r);
	if (http == NULL) { /* nobody is left to tell */
		release(bytes, len, NULL);
		return;
	}
	headers = evhttp_request_get_output_headers(http);
	if (type != NULL)
		evhttp_add_header(headers, "Content-Type", type);
	headers_add_security(headers);
	body = evbuffer_new();
	if (body == NULL || evbuffer_add_reference(body, bytes, len, release, NULL) != 0)
		fatal("out of memory");
	if (!has_body(http, status, len))
		evbuffer_drain(body, len);
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
	request_send(r, status, type, text, strlen(text), release_bytes);
}

void
request_reply(struct request *r, json_t *answer)
{
	request_send_json(r, 200, "application/json", answer);
}

void
request_add_header(struct request *r, const char *name, const char *value)
{
	if (r->http != NULL)
		evhttp_add_header(evhttp_request_get_output_headers(r->http), name, value);
}

void
request_reply_bytes(struct request *r, const char *type, struct buf *bytes)
{
	size_t len = bytes->len;

	request_send(r, 200, type, buf_take(bytes), len, release_bytes);
}

static void
release_nothing(const void *data, size_t len, void *context)
{
	(void)data;
	(void)len;
	(void)context;
}

void
request_reply_static(struct request *r, const char *type, const void *bytes, size_t len)
{
	request_send(r, 200, type, bytes, len, release_nothing);
}

void
request_reply_unchanged(struct request *r)
{
	request_send(r, 304, NULL, "", 0, release_nothing);
}

struct evhttp_request *
request_hand_over(struct request *r)
{
	struct evhttp_request *http = r->http;

	log_debug("- control.handed-over path=%s who=%s", log_safe(r->path), log_safe(r->who));
	request_free(r);
	return http;
}

void
request_let_go(struct evhttp_request *http)
{
	if (evhttp_request_get_connection(http) == NULL)
		evhttp_request_free(http);
}

static json_t *__attribute__((format(printf, 2, 0)))
problem_new(int status, const char *format, va_list args)
{
	json_t *problem = json_make_object();
	char *text;

	if (vasprintf(&text, format, args) < 0)
		fatal("out of memory");
	json_put_text(problem, "type", "about:blank");
	json_put_text(problem, "title", status_title(status));
	json_put_count(problem, "status", (uint64_t)status);
	json_put_text(problem, "detail", text);
	free(text);
	return problem;
}

void
request_fail(struct request *r, int status, const char *format, ...)
{
	json_t *problem;
	va_list args;

	va_start(args, format);
	problem = problem_new(status, format, args);
	va_end(args);
	request_send_json(r, status, "application/problem+json", problem);
}

void
request_fail_with(struct request *r, int status, const char *key, json_t *more, const char *format,
		  ...)
{
	json_t *problem;
	va_list args;

	va_start(args, format);
	problem = problem_new(status, format, args);
	va_end(args);
	json_put(problem, key, more);
	request_send_json(r, status, "application/problem+json", problem);
}

void
request_fail_401(struct request *r, const char *error, const char *detail)
{
	char *text =
	    mem_printf("Bearer realm=\"mailfuse\"%s%s%s", error != NULL ? ", error=\"" : "",
		       error != NULL ? error : "", error != NULL ? "\"" : "");

	evhttp_add_header(evhttp_request_get_output_headers(r->http), "WWW-Authenticate", text);
	free(text);
	request_fail(r, 401, "%s", detail);
}

void
request_fail_store(struct request *r, enum store_result result, const char *what, const char *error)
{
	const char *because = error[0] != '\0' ? error : "the log of mailfused says more";

	if (result == STORE_MISSING && error[0] == '\0')
		request_fail(r, 404, "there is no %s", what);
	else if (result == STORE_MISSING || result == STORE_REFUSED)
		request_fail(r, result == STORE_MISSING ? 404 : 409, "%s", because);
	else if (result == STORE_BUSY)
		request_fail(r, 503, "the store is busy; try again in a moment (%s)", because);
	else if (result == STORE_FULL)
		request_fail(r, 503, "the store is full; make room on its disk (%s)", because);
	else
		request_fail(r, 503, "the store cannot answer: %s", because);
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
request_query_after(struct request *r, int64_t *out)
{
	const char *text = request_query(r, "after");
	char *end;

	if (text == NULL)
		return true;
	errno = 0;
	*out = strtoll(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0)
		return true;
	request_fail(r, 400, "after=%s: write the number that `next` was", log_safe(text));
	return false;
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
	if (!request_field_text(r, "reason", REQUEST_REASON_MAX, out))
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

bool
request_has(const struct request *r, const char *name)
{
	json_t *value = json_object_get(r->body, name);

	return value != NULL && !json_is_null(value);
}

bool
request_field_rate(struct request *r, const char *name, uint32_t *count, int64_t *window)
{
	const char *text;

	if (!request_field_text(r, name, 40, &text))
		return false;
	if (!request_has(r, name) || units_parse_rate(text, count, window))
		return true;
	request_fail(r, 400, "%s: %s is none; write a number and a time, such as 100/1m", name,
		     log_safe(text));
	return false;
}

bool
request_field_duration(struct request *r, const char *name, int64_t least, int64_t most,
		       int64_t *out)
{
	char from[UNITS_BYTES], to[UNITS_BYTES];
	const char *text;

	*out = 0;
	if (!request_field_text(r, name, 40, &text))
		return false;
	if (!request_has(r, name) ||
	    (text[0] != '\0' && units_parse_duration(text, out) && *out >= least && *out <= most))
		return true;
	request_fail(r, 400, "%s: %s is none; write a time from %s to %s, such as 10m", name,
		     log_safe(text), units_format_duration(least, from),
		     units_format_duration(most, to));
	return false;
}
