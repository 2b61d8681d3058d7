/*
 * HTTP on the control socket and on a TCP port: the servers and the table of its routes. On the
 * main loop.
 */
#ifndef CONTROL_API_H
#define CONTROL_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/token.h"
#include "control/control.h"

struct button;
struct api;

/* Serves on a listening socket, which it owns from then on. */
struct api *api_new(const struct control_deps *deps, struct button *button, int fd);
/* The same calls for who has a token, on a listening TCP socket, which it owns from then on; `host`
 * is its address without the port. At most once. */
void api_serve_http(struct api *h, int fd, const char *host);
/* Takes no new calls, pokes nobody any more; waits at most `patience` microseconds until all calls
 * are answered. */
void api_drain(struct api *h, int64_t patience);
/* Requests that wait for the store are freed by their answer, which goes nowhere. */
void api_free(struct api *h);

/* One row of the table of routes, as docs/openapi.json has to describe it. */
struct api_route {
	const char *method; /* get, post, delete */
	const char *path;   /* `*` is one segment */
	enum role role;     /* what it takes */
};

/* False behind the last. */
bool api_route(size_t i, struct api_route *out);

#endif
