/*
 * Headers of HTTP that are the same for many calls: reading one of a kind, and what every answer
 * says to a browser. Main loop.
 */
#ifndef CONTROL_HEADERS_H
#define CONTROL_HEADERS_H

#include <stdbool.h>

struct evhttp_request;
struct evkeyvalq;

/* The value of a request's header. NULL where there is none, or (*twice) more than one. */
const char *headers_find_once(struct evhttp_request *http, const char *name, bool *twice);
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
