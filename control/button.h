/*
 * The panic button: POST /v1/hold and /v1/unhold, and what of it is in force. On the main loop.
 */
#ifndef CONTROL_BUTTON_H
#define CONTROL_BUTTON_H

#include "control/control.h"

struct button;
struct request;

/* Reads what the store knows and puts it in force. Keeps `deps`. */
struct button *button_new(const struct control_deps *deps);
void button_free(struct button *b);
/* "everything", "environment", "source". */
const char *button_scope_name(int scope);

/* POST /v1/hold: in force at once, answered once it is durable. */
void button_hold(struct request *r);
/* POST /v1/unhold: over once that is durable. */
void button_unhold(struct request *r);

#endif
