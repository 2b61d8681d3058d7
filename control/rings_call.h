/*
 * How a release goes on by itself, and what becomes of the rest of its stream: the fields rings,
 * wait, stop_on and stream of a decision. Main loop.
 */
#ifndef CONTROL_RINGS_CALL_H
#define CONTROL_RINGS_CALL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

struct decision;
struct request;

/* The last to be read of a decision. False after it answered why not. */
bool rings_read(struct request *r, struct decision *d);

/* What the rings make of so many recipients: a list of sizes, [10,100,890]. */
json_t *rings_sizes(const struct store_rings *rings, uint64_t recipients);
/* As they were asked for: [10,100,"all"]. */
json_t *json_from_rings(const struct store_rings *rings);

#endif
