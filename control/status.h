/*
 * What runs, what is protected, what is held, and what a person should know of. Called by the table
 * of api.c, on the main loop.
 */
#ifndef CONTROL_STATUS_H
#define CONTROL_STATUS_H

#include <jansson.h>

#include "control/control.h"

struct config_environment;
struct request;

/* GET /v1/status. */
void status_get(struct request *r);
/* The same; out is a new reference where the store could answer. */
enum store_result status_make(const struct control_deps *deps, json_t **out);
/* A panic button that is pressed. A new reference. */
json_t *status_hold(const struct store_hold *h);
/* The burst rules of an environment, as status lists them. A new reference. */
json_t *status_bursts(const struct config_environment *env);
json_t *status_contents(const struct config_environment *env);

#endif
