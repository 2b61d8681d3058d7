/*
 * POST /v1/drill, /v1/drill/end, and what is known of the last drill. On the main loop.
 */
#ifndef CONTROL_DRILL_H
#define CONTROL_DRILL_H

#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"

struct config;
struct request;
struct store_view;

/* Numbers that the store keeps (store_view_number()): wall clock, of the last of each kind. */
#define DRILL_PASSED_AT "drill_passed_at"
#define DRILL_FAILED_AT "drill_failed_at"

void drill_start(struct request *r);
void drill_finish(struct request *r);

/* For status: {"at","passed","passed_at"}, or null where there was none. A new reference. */
json_t *drill_last(struct store_view *view);
/* For status: what to do about drills, "" if nothing, of drill_last()'s answer. */
void drill_warn(const struct config *config, const json_t *last, struct buf *out);

#endif
