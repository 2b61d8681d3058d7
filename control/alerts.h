/*
 * The alert channels, how each fares, and what became of the alerts. Called by the table of api.c,
 * on the main loop.
 */
#ifndef CONTROL_ALERTS_H
#define CONTROL_ALERTS_H

#include <jansson.h>

#include "store/views.h"

struct request;

/* GET /v1/alerts. */
void alerts_list(struct request *r);
/* One alert and what became of it at one channel. A new reference. */
json_t *alerts_from_fate(const struct store_alert_fate *f);

#endif
