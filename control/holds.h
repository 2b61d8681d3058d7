/*
 * The panic button: POST /v1/hold and /v1/unhold, and what of it is in force. On the main loop.
 */
#ifndef CONTROL_HOLDS_H
#define CONTROL_HOLDS_H

#include "control/control.h"

struct holds;
struct request;

/* Reads what the store knows and puts it in force. Keeps `deps`. */
struct holds *holds_new(const struct control_deps *deps);
void holds_free(struct holds *h);
/* "everything", "environment", "source". */
const char *holds_scope_name(int scope);

/* POST /v1/hold: in force at once, answered once it is durable. */
void holds_hold(struct request *r);
/* POST /v1/unhold: over once that is durable. */
void holds_unhold(struct request *r);

#endif
