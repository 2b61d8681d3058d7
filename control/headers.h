/*
 * Headers of HTTP that are the same for many calls: reading one of a kind, and what every answer
 * says to a browser. Main loop.
 */
#ifndef CONTROL_HEADERS_H
#define CONTROL_HEADERS_H

#include <stdbool.h>
#include <stddef.h>

struct evhttp_request;
struct evkeyvalq;

/* The value of a request's header. NULL where there is none, or (*twice) more than one. */
const char *headers_find_once(struct evhttp_request *http, const char *name, bool *twice);
/*
 * What libevent takes for a header of another name, or for a number, and a program between it and
 * the client may not: "Content-Length : 5" (RFC 9112 5.1), "Content-Length: +5" (RFC 9110 8.6).
 * What to say of it, or NULL.
 */
const char *headers_fault(const char *name, const char *value);
/* Whether a Host is `name`, with any port behind it: who comes through a tunnel has another. */
bool headers_host_is(const char *host, const char *name, size_t len);
/* Whether an Origin is a page of https://HOST, or, where there is no TLS, of http://HOST. */
bool headers_origin_is(const char *origin, const char *host, bool tls);
/* "application/json", with or without parameters. No form of HTML can send it. */
bool headers_is_json(const char *type);
/* If-None-Match (RFC 9110 13.1.2): one of a list, or any; a weak one compares as well. */
bool headers_list_has_etag(const char *list, const char *etag);
/*
 * What keeps a browser from taking an answer for what it is not, or showing it inside of another's
 * page. Cache-Control and Content-Security-Policy only where the answer has none of its own.
 */
void headers_add_security(struct evkeyvalq *headers);
/* The same as text, each line ended: for answers that libevent writes itself. */
extern const char headers_security_text[];

/* For the pages of the console: their own scripts and styles, and nothing from elsewhere. */
#define HEADERS_PAGE_POLICY                                                                        \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "          \
	"connect-src 'self'; frame-src 'self'; font-src 'self'; base-uri 'none'; "                 \
	"form-action 'none'; frame-ancestors 'none'"

#endif
