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
/* A batch as the calls that list or show it tell it, but for its plan. */
json_t *batches_make(const struct store_batch *b);
/* Adds the plan, which cannot be asked for during a list. */
enum store_result batches_add_plan(struct store_view *view, json_t *batch, int64_t id);

#endif
