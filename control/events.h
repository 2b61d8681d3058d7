/*
 * GET /v1/events: server-sent events (the HTML standard, 9.2) for pages that show what is. Those
 * who listen keep their connection; all get the same. On the main loop.
 */
#ifndef CONTROL_EVENTS_H
#define CONTROL_EVENTS_H

#include "control/control.h"

struct events;
struct request;

/* Borrows what it is given. */
struct events *events_new(const struct control_deps *deps);
/* Lets go of all who listen: their connections are the server's to close. Before the server is
 * freed. */
void events_free(struct events *e);
/* Ends what all hear: mailfused stops. */
void events_end(struct events *e);
/* The route. */
void events_listen(struct request *r);

#endif
