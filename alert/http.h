/*
 * POST over HTTP and HTTPS, without blocking: one libcurl multi handle on the main loop. The body
 * of an answer is thrown away.
 */
#ifndef ALERT_HTTP_H
#define ALERT_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "alert/channel.h"

struct http_request;

/* What is sent; copied. */
struct http_note {
	const char *url, *json;
	size_t len;
	const char *headers[3]; /* "Name: value", NULL at the end */
};

struct http *http_new(struct loop *loop);
/* Cancels what is under way. */
void http_free(struct http *h);
/*
 * Ends with one call of done(), never from inside; any 2xx is success. No redirect is followed: a
 * note must not be carried where nobody sent it. TLS is verified. NULL and a reason if it cannot
 * start.
 */
struct http_request *http_post(struct http *h, const struct http_note *note, int64_t timeout,
			       channel_done *done, void *context, struct buf *why);
void http_cancel(struct http_request *r);

#endif
