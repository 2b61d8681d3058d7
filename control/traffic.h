/*
 * The history of traffic. Called by the table of api.c, on the main loop.
 */
#ifndef CONTROL_TRAFFIC_H
#define CONTROL_TRAFFIC_H

struct request;

/* GET /v1/traffic?since=&until=&environment=&limit=&after=. */
void traffic_list(struct request *r);

#endif
