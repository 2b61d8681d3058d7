/*
 * HTTP on the control socket: its server and the table of its routes. On the main loop.
 */
#ifndef CONTROL_HTTP_H
#define CONTROL_HTTP_H

#include <stdint.h>

#include "control/control.h"

struct button;
struct http;

/* Serves on a listening socket, which it owns from then on. */
struct http *http_new(const struct control_deps *deps, struct button *button, int fd);
/* Takes no new connections; waits at most `patience` microseconds until all calls are answered. */
void http_drain(struct http *h, int64_t patience);
/* Requests that wait for the store are freed by their answer, which goes nowhere. */
void http_free(struct http *h);

#endif
