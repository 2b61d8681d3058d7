/*
 * How the release of a batch goes on, as JSON (docs/api.md). Main loop.
 */
#ifndef CONTROL_PLAN_JSON_H
#define CONTROL_PLAN_JSON_H

#include <jansson.h>

#include "store/views.h"

json_t *json_from_plan(const struct store_plan *p);

/* The plan of a batch, JSON null where it has none; the caller owns it. Where the store fails
 * nothing was made. */
enum store_result plan_json_read(struct store_view *view, int64_t batch, json_t **out);

/* People that a request still waits for. */
uint32_t plan_approvals_missing(const struct store_plan *p);

#endif
