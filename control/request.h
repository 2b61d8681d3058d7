/*
 * One call of the control API, as the nouns see it: what it asks, and its answer. On the main loop.
 */
#ifndef CONTROL_REQUEST_H
#define CONTROL_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/buf.h"
#include "control/control.h"

struct button;
struct events;
struct pulse;
struct config;
struct guard;
struct web_session;
struct evhttp_request;
struct evkeyvalq;

/*
 * One call, from its last byte to its answer. A handler answers it exactly once, at once or, when
 * the store has to write first, later: request_reply*() and request_fail() free it. The client may
 * be gone by then, which only the answering functions need to know.
 */
struct request {
	LIST_ENTRY(request) next;        /* unanswered ones, in the server */
	const struct control_deps *deps; /* NULL after api_free(): only an answer is left to do */
	struct button *button;
	struct pulse *pulse;
	struct events *events;
	struct guard *guard; /* of the TCP port; NULL on the control socket */
	struct web_session
	    *session; /* whose cookie it came with, NULL = none; gone once it waits */
	struct evhttp_request *http; /* NULL once the client's connection is gone */
	const char *path;            /* as asked, for the log */
	char id[64];                 /* what stood for the `*` of the route, "" if none */
	struct evkeyvalq *query;
	json_t *body;   /* of a POST: an object */
	char who[96];   /* uid:1000(name), or token:NAME */
	unsigned roles; /* of who asks: enum role */
};

/* 200 and this JSON; takes the reference. */
void request_reply(struct request *r, json_t *answer);
/* A header of the answer that is to come. */
void request_add_header(struct request *r, const char *name, const char *value);
/* 200 and these bytes; empties `bytes`. */
void request_reply_bytes(struct request *r, const char *type, struct buf *bytes);
/* 200 and bytes that stay where they are for good. */
void request_reply_static(struct request *r, const char *type, const void *bytes, size_t len);
/* Ends the call without an answer: whoever asked answers over what it gets, which is the
 * connection's; NULL where the client is gone. */
struct evhttp_request *request_hand_over(struct request *r);
/*
 * Where its connection goes before it is answered (evhttp_connection_set_closecb()). One that
 * failed, while an earlier answer was on its way, has let go of its request first: that is whose
 * answer it is to free. Else it goes with the connection.
 */
void request_let_go(struct evhttp_request *http);
/* 304: the client has it. */
void request_reply_unchanged(struct request *r);
/* An RFC 9457 problem. The text says in plain English what was wrong and what to do. */
void request_fail(struct request *r, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with one member more; takes the reference. */
void request_fail_with(struct request *r, int status, const char *key, json_t *more,
		       const char *format, ...) __attribute__((format(printf, 5, 6)));
/* 401, with the WWW-Authenticate of RFC 6750 3; `error` is its error code, NULL where no token was
 * given. */
void request_fail_401(struct request *r, const char *error, const char *detail);
/* The same for a result of the store that is not STORE_OK, in its own words; without any, what is
 * missing is `what`: "batch B17". */
void request_fail_store(struct request *r, enum store_result result, const char *what,
			const char *error);
/* The configuration in force, for the length of the call. */
const struct config *request_config(const struct request *r);

/*
 * Reading a call. Each returns false after it has answered 400: the caller only returns. `known`
 * ends with NULL; a parameter or field that is not in it is refused, so that a misspelt `frist`
 * never releases everything.
 */
bool request_check_query(struct request *r, const char *const *known);
bool request_check_fields(struct request *r, const char *const *known);
/* NULL where it is absent or empty. */
const char *request_query(const struct request *r, const char *name);
/* 1 to `most`, `fallback` where absent. */
bool request_query_limit(struct request *r, const char *name, uint32_t fallback, uint32_t most,
			 uint32_t *out);
/* `after` of a list whose cursor is a number; *out stays where it is absent. */
bool request_query_after(struct request *r, int64_t *out);
/* A text field without control characters, at most `max` bytes; "" where absent or null. */
bool request_field_text(struct request *r, const char *name, size_t max, const char **out);
/* `reason`, which every change needs. */
enum { REQUEST_REASON_MAX = 500 };
bool request_field_reason(struct request *r, const char **out);
bool request_field_bool(struct request *r, const char *name, bool *out);
/* False where it is absent or null. */
bool request_has(const struct request *r, const char *name);
/* `100/1m`; 0 and 0 where absent. */
bool request_field_rate(struct request *r, const char *name, uint32_t *count, int64_t *window);
/* `10m`, from `least` to `most` microseconds; 0 where absent. */
bool request_field_duration(struct request *r, const char *name, int64_t least, int64_t most,
			    int64_t *out);

#endif
