/*
 * The list of batches. Called by the table of api.c, on the main loop.
 */
#ifndef CONTROL_BATCHES_H
#define CONTROL_BATCHES_H

#include <jansson.h>

#include "store/views.h"

struct request;

/* GET /v1/batches?state=S&all=1&limit=N&after=B17. */
void batches_list(struct request *r);
/* Adds to a batch what it takes more than its row to tell: distinct_recipients and its plan. */
enum store_result batches_complete(struct store_view *view, json_t *batch, int64_t id);

#endif
